"""GLUE's nine tasks, and the demo's sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from rcompile.vocabulary import TaskName
from runtime.scoring.tasks.classification import Classification, Regression

Glue = Classification | Regression
PAIR = ("sentence1", "sentence2")
COLUMNS = {
    "sst2": ("sentence",),
    "cola": ("sentence",),
    "qqp": ("question1", "question2"),
    "mnli": ("premise", "hypothesis"),
    "qnli": ("question", "sentence"),
}
LABELS = {
    "sst2": ("negative", "positive"),
    "cola": ("unacceptable", "acceptable"),
    "mrpc": ("not_equivalent", "equivalent"),
    "qqp": ("not_duplicate", "duplicate"),
    "mnli": ("entailment", "neutral", "contradiction"),
    "qnli": ("entailment", "not_entailment"),
    "rte": ("entailment", "not_entailment"),
    "wnli": ("not_entailment", "entailment"),
}
ACCURACY = ("accuracy_score",)
METRICS = {
    "cola": ("matthews_corrcoef",),
    "mrpc": ("accuracy_score", "f1_score"),
    "stsb": ("pearson", "spearman"),
    "qqp": ("accuracy_score", "f1_score"),
}


def _task(name: str, data: str, like: str) -> Glue:
    """A task of the columns, labels and metrics of another."""
    keys: dict[str, Any] = {
        "name": name,
        "data": data,
        "text": COLUMNS.get(like, PAIR),
        "label": "label",
        "metrics": METRICS.get(like, ACCURACY),
    }
    if like not in LABELS:
        return Regression(**keys)
    names = LABELS[like]
    return Classification(**keys, labels=tuple(map(str, range(len(names)))), label_names=names)


def of_split(task: Glue, split: str) -> Glue:
    """The same task on another split of its data."""
    return task.model_copy(update={"data": f"glue:{task.name}:{split}"})


def demo_sentences() -> Path:
    """Labelled sentences that ship: in the package once installed, in docs/ in a checkout."""
    package = Path(__file__).resolve().parent
    place = package if (package / "demo").is_dir() else package.parent.parent / "docs"
    return place / "demo" / "sst2" / "validation.tsv"


TASKS: dict[str, Glue] = {
    name: _task(name, f"glue:{name}:{'validation_matched' if name == 'mnli' else 'validation'}", name)
    for name in get_args(TaskName)
}
DEMO = _task("demo", str(demo_sentences()), "sst2")
