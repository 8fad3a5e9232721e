"""GLUE: its tasks, where their data come from, and their metrics."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rcompile.errors import BadInputError, UsageError, no_such
from runtime.scoring.hub import offline_unless_reachable

DATA_VARIABLE = "RCOMPILE_GLUE"
HUB_DATASET = "nyu-mll/glue"
Predictions = npt.NDArray[np.generic]


def accuracy(truth: Predictions, predicted: Predictions) -> float:
    """Share of right predictions."""
    return float((truth == predicted).mean())


def f1(truth: Predictions, predicted: Predictions) -> float:
    """F1 of the positive class."""
    from sklearn.metrics import f1_score

    return float(f1_score(truth, predicted))


def matthews(truth: Predictions, predicted: Predictions) -> float:
    """Matthews correlation."""
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(truth, predicted))


def pearson(truth: Predictions, predicted: Predictions) -> float:
    """Pearson correlation; 0 for constant predictions, where it is undefined."""
    from scipy.stats import pearsonr

    return 0.0 if np.ptp(predicted) == 0 else float(pearsonr(truth, predicted).statistic)


def spearman(truth: Predictions, predicted: Predictions) -> float:
    """Spearman rank correlation; 0 for constant predictions, where it is undefined."""
    from scipy.stats import spearmanr

    return 0.0 if np.ptp(predicted) == 0 else float(spearmanr(truth, predicted).statistic)


Metric = Callable[[Predictions, Predictions], float]


@dataclass(frozen=True)
class Task:
    """A GLUE task. labels: classes, 1 for a regression. split: that is evaluated. metrics: GLUE's own; the score is
    their mean.
    """

    name: str
    columns: tuple[str, ...]
    labels: int
    metrics: tuple[Metric, ...]
    split: str = "validation"

    @property
    def metric(self) -> str:
        """The name of the score."""
        names = [m.__name__ for m in self.metrics]
        return names[0] if len(names) == 1 else f"mean of {' and '.join(names)}"

    def predicted(self, logits: npt.NDArray[np.floating[Any]]) -> Predictions:
        """What logits [sentences, labels] say of each sentence: its class, or its value in a regression. Logits that
        are not finite count as class 0, or as 0.
        """
        logits = np.nan_to_num(logits.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
        return logits[:, 0] if self.labels == 1 else logits.argmax(axis=1)

    def scores(self, truth: Predictions, logits: npt.NDArray[np.floating[Any]]) -> dict[str, float]:
        """Every metric in points (100 is perfect)."""
        predicted = self.predicted(logits)
        return {m.__name__: 100 * m(truth, predicted) for m in self.metrics}


PAIR = ("sentence1", "sentence2")
TASKS = {
    task.name: task
    for task in (
        Task("sst2", ("sentence",), 2, (accuracy,)),
        Task("cola", ("sentence",), 2, (matthews,)),
        Task("mrpc", PAIR, 2, (accuracy, f1)),
        Task("stsb", PAIR, 1, (pearson, spearman)),
        Task("qqp", ("question1", "question2"), 2, (accuracy, f1)),
        Task("mnli", ("premise", "hypothesis"), 3, (accuracy,), split="validation_matched"),
        Task("qnli", ("question", "sentence"), 2, (accuracy,)),
        Task("rte", PAIR, 2, (accuracy,)),
        Task("wnli", PAIR, 2, (accuracy,)),
    )
}


def find_task(name: str) -> Task:
    """The task of that name. Raises UsageError listing the names."""
    if name not in TASKS:
        raise no_such("task", name, TASKS)
    return TASKS[name]


@dataclass(frozen=True)
class Examples:
    """Labelled texts of one task, and where they came from."""

    texts: Sequence[str] | Sequence[tuple[str, str]]
    labels: Predictions
    origin: str


def load_examples(task: Task, data: str | Path | None, limit: int | None) -> Examples:
    """The evaluation split of a task, its first `limit` examples.

    data: a folder with `<task>/<split>*.parquet`, or `.tsv` with a header line; default: the folder that RCOMPILE_GLUE
    names; else the hub, through `datasets`. Raises BadInputError for data that are missing or wrong, UsageError for a
    limit below 1.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"limit is {limit}; give a positive number of examples.")
    folder = data or os.environ.get(DATA_VARIABLE)
    columns, origin = _from_folder(task, Path(folder)) if folder else _from_hub(task)
    missing = [c for c in (*task.columns, "label") if c not in columns]
    if missing:
        raise BadInputError(
            f"{origin} has no column {', '.join(missing)}; it has {', '.join(columns)}. Task {task.name} needs {', '.join(task.columns)} and label."
        )
    texts = [columns[c][:limit] for c in task.columns]
    labels = _labels(task, columns["label"][:limit], origin)
    if not len(labels):
        raise BadInputError(f"{origin} holds no example.")
    return Examples(texts[0] if len(texts) == 1 else list(zip(*texts, strict=True)), labels, origin)


def _labels(task: Task, raw: list[Any], origin: str) -> Predictions:
    try:
        labels = np.asarray(raw, np.float64)
    except (TypeError, ValueError):
        raise BadInputError(f"{origin} has labels that are not numbers.") from None
    if task.labels == 1:
        return labels
    wrong = np.flatnonzero(~np.isin(labels, np.arange(task.labels)))
    if len(wrong):
        raise BadInputError(
            f"{origin}: example {wrong[0]} has label {raw[wrong[0]]}; {task.name} has labels 0 .. {task.labels - 1} (test splits are unlabelled)."
        )
    return labels.astype(np.int64)


def _from_folder(task: Task, folder: Path) -> tuple[dict[str, list[Any]], str]:
    found = sorted(p for p in (folder / task.name).glob(f"{task.split}*") if p.suffix in (".parquet", ".tsv"))
    if not found:
        raise BadInputError(
            f"no data for {task.name}: '{folder / task.name}' has no {task.split}*.parquet or .tsv. Give the folder of all tasks with --data."
        )
    path = found[0]
    if path.suffix == ".tsv":
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                header, *rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        except (OSError, ValueError, csv.Error) as error:
            raise BadInputError(f"cannot read '{path}': {error}.") from None
        for line, row in enumerate(rows, 2):
            if len(row) != len(header):
                raise BadInputError(f"'{path}', line {line}: {len(row)} columns, the header has {len(header)}.")
        return {column: [row[i] for row in rows] for i, column in enumerate(header)}, f"'{path}'"
    try:
        import pyarrow.parquet
    except ImportError:
        raise BadInputError(f"'{path}' needs pyarrow: pip install 'rcompile[glue]'.") from None
    try:
        columns: dict[str, list[Any]] = pyarrow.parquet.read_table(path).to_pydict()
    except (OSError, ValueError) as error:
        raise BadInputError(f"cannot read '{path}': {error}.") from None
    return columns, f"'{path}'"


def _from_hub(task: Task) -> tuple[dict[str, list[Any]], str]:
    way_out = f"give a folder with --data, or set {DATA_VARIABLE}"
    offline_unless_reachable()
    try:
        import datasets
    except ImportError:
        raise BadInputError(
            f"no data for {task.name}: {way_out}; or pip install 'rcompile[glue]' to load it from the hub."
        ) from None
    try:
        loaded = datasets.load_dataset(HUB_DATASET, task.name, split=task.split)
    except Exception as error:  # datasets, huggingface_hub and the HTTP client each raise their own
        raise BadInputError(
            f"cannot load {HUB_DATASET} {task.name} from the hub ({type(error).__name__}): {way_out}."
        ) from None
    return {c: list(loaded[c]) for c in loaded.column_names}, f"{HUB_DATASET} {task.name} {task.split}"
