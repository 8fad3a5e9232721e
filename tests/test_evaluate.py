"""Evaluation: GLUE's own metrics, data from folders, and errors that say what to do."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from command_line import run
from small_models import tiny_classifier, write_sentences

import runtime
from rcompile import CompileOptions, compile_model
from rcompile.errors import BadInputError, UsageError
from rcompile.onnx_in.text import TextEncoder, session_inputs
from runtime.scoring.glue import TASKS
from runtime.scoring.question import Question, Score
from runtime.scoring.task import finite


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_sentences(tmp_path / "glue")


def test_scores_are_those_of_one_sentence_at_a_time(bundle: Path, data: Path, classifier_onnx: Path) -> None:
    """Batching, sorting by length and padding change nothing."""
    result = runtime.evaluate(bundle, "sst2", data=data)
    session = ort.InferenceSession(str(classifier_onnx))
    encoder = TextEncoder(classifier_onnx.parent / "tokenizer.json", session_inputs(session))
    examples = TASKS["sst2"].load(data, None)
    right = [
        session.run(None, encoder.feeds([t]))[0].argmax() == y
        for t, y in zip(examples.texts, examples.labels, strict=True)
    ]
    assert result.source == pytest.approx(100 * np.mean(right))
    assert (result.examples, result.metric) == (30, "accuracy")


def test_dies_are_reported_in_order_and_reproducibly(bundle: Path, data: Path) -> None:
    dies = [runtime.Die(seed, 0.05, 0.2) for seed in (4, 2, 4)]
    result = runtime.evaluate(bundle, "sst2", data=data, dies=dies, int8=True)
    assert [d.seed for d in result.dies] == [4, 2, 4]
    assert result.dies[0] == result.dies[2]
    assert result.int8 is not None
    assert runtime.evaluate(bundle, "sst2", data=data, dies=dies[:1]).clean == result.clean


def test_progress_says_which_die_of_how_many(bundle: Path, data: Path) -> None:
    said: list[str] = []
    dies = [runtime.Die(seed, 0.05, 0.2) for seed in (4, 2)]
    runtime.evaluate(bundle, "sst2", data=data, dies=dies, progress=lambda what, done, total: said.append(what))
    assert list(dict.fromkeys(said)) == ["fp32", "clean", "die 1 of 2 (seed 4)", "die 2 of 2 (seed 2)"]


def test_limit(bundle: Path, data: Path) -> None:
    assert runtime.evaluate(bundle, "sst2", data=data, limit=7).examples == 7
    with pytest.raises(UsageError, match="limit is 0"):
        runtime.evaluate(bundle, "sst2", data=data, limit=0)


def test_the_environment_names_the_data(bundle: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RCOMPILE_GLUE", str(data))
    assert runtime.evaluate(bundle, "sst2").examples == 30


def test_parquet(bundle: Path, data: Path, tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    examples = TASKS["sst2"].load(data, None)
    (tmp_path / "p" / "sst2").mkdir(parents=True)
    table = pa.table({"sentence": examples.texts, "label": examples.labels})
    pyarrow.parquet.write_table(table, tmp_path / "p" / "sst2" / "validation.parquet")
    assert (
        runtime.evaluate(bundle, "sst2", data=tmp_path / "p").clean == runtime.evaluate(bundle, "sst2", data=data).clean
    )


def test_a_bundle_without_its_source_has_no_fp32_score(classifier_onnx: Path, data: Path, tmp_path: Path) -> None:
    compile_model(classifier_onnx, "reram128x128", tmp_path / "lean", CompileOptions(keep_source=False))
    assert runtime.evaluate(tmp_path / "lean", "sst2", data=data).source is None


TRUTH = np.array([0, 1, 1, 0, 1, 1])
GUESS = np.array([0, 1, 0, 1, 1, 1])


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        # Counted by hand: 3 true positives, 1 false positive, 1 false negative, 1 true negative.
        ("sst2", {"accuracy": 100 * 4 / 6}),
        ("mrpc", {"accuracy": 100 * 4 / 6, "f1": 100 * 6 / 8}),
        ("qqp", {"accuracy": 100 * 4 / 6, "f1": 100 * 6 / 8}),
        ("cola", {"matthews": 100 * (3 * 1 - 1 * 1) / (4 * 4 * 2 * 2) ** 0.5}),
    ],
)
def test_metrics_of_classification(task: str, expected: dict[str, float]) -> None:
    assert TASKS[task].measured(TRUTH, TASKS[task].predicted(np.eye(2)[GUESS])) == pytest.approx(expected)


def test_metrics_of_regression() -> None:
    truth, guess = np.array([1.0, 2.0, 3.0, 4.0]), np.array([[1.0], [2.0], [4.0], [3.0]])
    assert TASKS["stsb"].measured(truth, guess[:, 0]) == pytest.approx({"pearson": 80.0, "spearman": 80.0})
    assert TASKS["stsb"].measured(truth, np.ones(4)) == {"pearson": 0.0, "spearman": 0.0}


def test_a_broken_output_scores_as_a_constant() -> None:
    assert TASKS["sst2"].predicted(finite(np.full((6, 2), np.nan))).tolist() == [0] * 6


def test_nine_tasks() -> None:
    assert set(TASKS) == {"sst2", "cola", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"}
    assert TASKS["mrpc"].metric == "mean of accuracy and f1"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("sentence\tlabel\nw1 w2\t7\n", "example 0: label 7; sst2 has labels 0, 1"),
        ("sentence\tlabel\nw1 w2\tgood\n", "label good; sst2 has labels"),
        ("text\tlabel\nw1\t1\n", "has no column sentence"),
        ("sentence\tlabel\n", "no example"),
        ("sentence\tlabel\nw1\t1\textra\nw2\t0\n", "line 2: 3 columns, the header has 2"),
        ("label\tsentence\n1\n", "line 2: 1 columns, the header has 2"),
        ("", "cannot read"),
    ],
)
def test_wrong_data(bundle: Path, tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "d" / "sst2").mkdir(parents=True)
    (tmp_path / "d" / "sst2" / "validation.tsv").write_text(content)
    with pytest.raises(BadInputError, match=message):
        runtime.evaluate(bundle, "sst2", data=tmp_path / "d")


def test_the_hub_is_the_last_resort(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the `datasets` library, by the names that the hub uses; here a stand-in, for tests have no network."""

    class Split(dict):
        column_names = ("sentence", "label", "idx")

    asked = []

    def load_dataset(name: str, task: str, split: str) -> Split:
        asked.append((name, task, split))
        if task != "sst2":
            raise ConnectionError("no network")
        return Split(sentence=["w1 w2", "w3"], label=[0, 1], idx=[0, 1])

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    monkeypatch.delenv("RCOMPILE_GLUE", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert runtime.evaluate(bundle, "sst2").examples == 2
    assert asked == [("nyu-mll/glue", "sst2", "validation")]
    with pytest.raises(BadInputError, match="give a folder with --data, or set RCOMPILE_GLUE"):
        runtime.evaluate(bundle, "rte")


def test_missing_data_say_where_they_should_be(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"'.*rte' has no validation\*.parquet or .tsv"):
        runtime.evaluate(bundle, "rte", data=tmp_path)


def test_a_head_of_the_wrong_size(tmp_path: Path, data: Path) -> None:
    compile_model(tiny_classifier(tmp_path / "m.onnx", labels=3), "reram128x128", tmp_path / "bundle")
    with pytest.raises(BadInputError, match="needs a head of 2"):
        runtime.evaluate(tmp_path / "bundle", "sst2", data=data)


def test_a_model_without_tokenizer(classifier_onnx: Path, tmp_path: Path, data: Path) -> None:
    (classifier_onnx.parent / "tokenizer.json").unlink()
    compile_model(classifier_onnx, "reram128x128", tmp_path / "bundle")
    with pytest.raises(BadInputError, match=r"put tokenizer.json beside the ONNX file"):
        runtime.evaluate(tmp_path / "bundle", "sst2", data=data)


def test_the_repository_ships_three_hundred_sentences() -> None:
    examples = TASKS["sst2"].load(Path(__file__).parent.parent / "docs" / "demo", None)
    assert len(examples.labels) >= 300
    assert 0.4 < examples.labels.mean() < 0.6
    assert len(set(examples.texts)) == len(examples.texts)


def test_json_has_the_documented_keys(bundle: Path, data: Path) -> None:
    from rcompile.cli.show import to_json

    result = json.loads(to_json(runtime.evaluate(bundle, "sst2", data=data, dies=[runtime.Die(1, 0.01, 0.02)])))
    assert {"task", "metric", "source", "clean", "dies", "examples"} <= set(result)
    assert {"seed", "sa0", "sa1", "score"} <= set(result["dies"][0])


def interrupt_at(monkeypatch: pytest.MonkeyPatch, scores: int) -> None:
    """Ctrl-C instead of that score; the source's is the first, the clean bundle's the second."""
    real, calls = Question.score, iter(range(1000))

    def interrupted(*arguments: Any) -> Score:
        if next(calls) == scores:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(Question, "score", interrupted)


@pytest.mark.parametrize("done", [0, 2])
def test_an_interrupted_evaluation_keeps_the_dies_that_it_has(
    done: int, bundle: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = runtime.evaluate(bundle, "sst2", data=data, dies=[runtime.Die(s, 0, 0.2) for s in range(3, 3 + done)])
    options = ("evaluate", bundle, "--task", "sst2", "--data", data, "--sa1", 0.2, "--die", "3-6,9", "--die", 1)
    interrupt_at(monkeypatch, 2 + done)
    shown = run(*options)
    rest = "3-6,9,1" if done == 0 else "5-6,9,1"
    assert (shown.exit_code, shown.stderr) == (
        130,
        f"interrupted; {done} of 6 dies are scored; go on with --die {rest}\n",
    )
    assert [f"seed {seed}" in shown.stdout for seed in (3, 4, 5)] == [done == 2, done == 2, False]
    interrupt_at(monkeypatch, 2 + done)
    asked = run(*options, "--json")
    result = json.loads(asked.stdout)
    assert asked.exit_code == 130
    assert [d["score"] for d in result["dies"]] == [d.score for d in whole.dies]
    assert result["unfinished"] == [f"seed {seed}" for seed in (3, 4, 5, 6, 9, 1)[done:]]


def test_an_evaluation_interrupted_before_its_dies_has_no_scores(
    bundle: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(monkeypatch, 1)
    shown = run("evaluate", bundle, "--task", "sst2", "--data", data)
    assert (shown.exit_code, shown.stdout) == (130, "")
