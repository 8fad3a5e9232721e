"""docs/tasks.md: every example on the page is a task that runs."""

import re
import sys
from pathlib import Path

import pytest
from command_line import run
from small_models import tiny_classifier, tiny_tagger

import runtime
from rcompile import compile_model
from runtime.scoring.task_file import KINDS, find_task

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "tasks.md").read_text()
# A name in backquotes on a line of its own, then its content.
FILES = dict(re.findall(r"^`([\w.]+)`\n\n```\w+\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
OF_KIND = {re.match(r'kind = "(\w+)"', text)[1]: name for name, text in FILES.items() if name.endswith(".toml")}
METRICS = {
    "classification": {"accuracy", "macro f1"},
    "regression": {"pearson", "spearman"},
    "tokens": {"f1", "precision", "recall"},
    "answers": {"f1", "exact_match"},
    "similarity": {"spearman"},
    "retrieval": {"nDCG@1", "recall@1"},
    "fidelity": {"agreement", "cosine", "kl_nats"},
}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the page, and a bundle for each kind of head."""
    folder = tmp_path_factory.mktemp("page")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    models = {
        "classes": lambda path: tiny_classifier(path),
        "value": lambda path: tiny_classifier(path, labels=1),
        "tags": lambda path: tiny_tagger(path, {"logits": 5}),
        "spans": lambda path: tiny_tagger(path, {"start_logits": 1, "end_logits": 1}),
    }
    for name, make in models.items():
        compile_model(make(folder / f"{name}.onnx"), "reram128x128", folder / name)
    return folder


HEADS = {"regression": "value", "tokens": "tags", "answers": "spans"}


def test_every_kind_is_on_the_page() -> None:
    assert set(OF_KIND) == set(KINDS) == set(METRICS)


@pytest.mark.parametrize("kind", METRICS)
def test_an_example_runs(kind: str, page: Path) -> None:
    task = find_task(str(page / OF_KIND[kind]))
    assert task.name == OF_KIND[kind].removesuffix(".task.toml")
    found = runtime.evaluate(page / HEADS.get(kind, "classes"), task, dies=[runtime.Die(1, 0.01, 0.2)])
    assert (found.examples, found.task) == (2, task.name)
    for metrics in (found.metrics["source"], found.metrics["clean"], found.dies[0].metrics):
        assert set(metrics) == METRICS[kind]
    if kind == "fidelity":
        assert (found.source, found.metrics["source"]["kl_nats"]) == (100, 0)
        assert found.metrics["source"]["cosine"] == pytest.approx(100)


@pytest.mark.parametrize("kind", ["classification", "tokens", "answers"])
def test_another_head_is_refused(kind: str, page: Path) -> None:
    result = run("evaluate", page / "value", "--task", page / OF_KIND[kind])
    assert result.exit_code == 3
    assert f"; task {OF_KIND[kind].removesuffix('.task.toml')} needs " in result.stderr


def test_the_task_in_python(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(page)
    monkeypatch.delitem(sys.modules, "most", raising=False)
    result = run("evaluate", "classes", "--task", "most:task", "--json")
    assert (result.exit_code, '"metric": "accuracy"' in result.stdout) == (0, True), result.stderr
    wrong = run("evaluate", "classes", "--task", "most:Examples")
    assert (wrong.exit_code, "'most:Examples' is no task: it has no name" in wrong.stderr) == (3, True)
    lost = run("evaluate", "classes", "--task", "most:nothing")
    assert (lost.exit_code, "cannot load task 'most:nothing'" in lost.stderr) == (3, True)


def test_the_demo_needs_no_data(page: Path) -> None:
    result = run("evaluate", page / "classes", "--task", "demo", "--limit", 7)
    assert (result.exit_code, "demo, 7 examples" in result.stdout) == (0, True), result.stderr
