"""The statistics of docs/results.md, against GLUE's own metrics and closed forms, and the page of generated lines."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from answers import packed, unpacked
from hypothesis import given, settings
from hypothesis import strategies as st
from report_data import Results
from resampling import draws, interval, scores
from results_cost import Cost, cost
from schemes import DENSE, SCHEMES, Scheme, in_order, seeds
from scripts import run
from small_models import tiny_classifier

from rcompile import CompileOptions, compile_model
from rcompile.bundle.reader import Bundle
from runtime.die.votes import tickets_of
from runtime.scoring.glue import TASKS
from runtime.scoring.task import Answers

PAPER = CompileOptions(protect="paper", allow_extra_crossbars=True)
DENSE_COST = Cost(crossbars=10, cells=1000, conversions=100, layer_share=1.0)


def drawn_answers(task: str, seed: int, sentences: int) -> tuple[Answers, Answers]:
    """Labels, and answers that have to do with them."""
    rng, labels = np.random.default_rng(seed), TASKS[task].head
    if labels == 1:  # with ties
        truth = rng.integers(0, 6, sentences) / 2
        return truth, np.round(truth + rng.normal(0, 1, sentences), 1)
    truth = rng.integers(0, labels, sentences)
    return truth, np.where(rng.random(sentences) < 0.3, rng.integers(0, labels, sentences), truth)


@pytest.mark.filterwarnings("ignore")  # constants among few sentences
@settings(max_examples=30)
@given(st.sampled_from(sorted(TASKS)), st.integers(0, 999), st.integers(2, 40))
def test_scores_of_drawn_sentences_are_those_of_the_sentences_one_by_one(task: str, seed: int, sentences: int) -> None:
    truth, predicted = drawn_answers(task, seed, sentences)
    drawn = draws(sentences, seed)[:4]
    for row, found in zip(drawn.astype(int), scores(TASKS[task], truth, predicted, drawn), strict=True):
        some = np.repeat(np.arange(sentences), row)
        if np.ptp(truth[some]) == 0 and TASKS[task].head == 1:
            continue  # a correlation with a constant is no number
        one_by_one = TASKS[task].measured(truth[some], predicted[some]).values()
        assert found == pytest.approx(np.mean(list(one_by_one)), abs=1e-6)


def test_an_interval_is_that_of_the_binomial_distribution() -> None:
    sentences, share = 1000, 0.8
    truth = np.ones(sentences, np.int64)
    found = scores(TASKS["sst2"], truth, (np.arange(sentences) < share * sentences).astype(int), draws(sentences, 3))
    low, high = (found[row] for row in interval(found))
    deviation = 100 * np.sqrt(share * (1 - share) / sentences)
    assert found[0] == 100 * share
    assert high - low == pytest.approx(2 * 1.96 * deviation, rel=0.1)


@given(st.sampled_from(sorted(TASKS)), st.integers(0, 999), st.integers(1, 40))
def test_answers_come_out_as_they_went_in(task: str, seed: int, sentences: int) -> None:
    _, predicted = drawn_answers(task, seed, sentences)
    found = unpacked(packed(predicted, TASKS[task]), TASKS[task], sentences)
    np.testing.assert_allclose(found, predicted, rtol=1e-3)


def lost_points(scheme: str, rate: float, wholly: float) -> int:
    """A line over the logarithm of the rate, which meets one point at `wholly`, and 21 ten times higher."""
    return round(1 + 20 * np.log10(rate / wholly)) if rate else 0


# A rate at which each scheme has lost a point.
WHOLLY = {scheme.name: 0.001 if scheme == DENSE else 0.01 for scheme in SCHEMES}


def write_lines(folder: Path, task: str, dies: int = 2) -> None:
    """Lines of 100 sentences, of which so many are answered wrongly as points are to be lost."""
    of, truth = TASKS[task], np.arange(100) % 2
    wrong = {f"{model} {kind}": 0 for model in ("dense", "pruned") for kind in ("fp32", "int8")}
    about = {"model": "a model", "task": task, "sentences": 100, "labels": packed(truth, of)}
    lines = [json.dumps({**about, "dense": asdict(DENSE_COST)})]
    asked = [(name, 0.0, None) for name in [*wrong, *(s.name for s in SCHEMES)]]
    asked += [(s.name, rate, die) for s, rate in in_order(SCHEMES) for die in seeds(s, dies)]
    for scheme, rate, die in asked:
        lost = np.clip(lost_points(scheme, rate, WHOLLY.get(scheme, 1)), 0, 50)
        answers = np.where(np.arange(100) < lost, 1 - truth, truth)
        line = {"scheme": scheme, "rate": rate, "die": die, "sentences": 100, "score": 100.0 - lost}
        lines.append(json.dumps({**line, "answers": packed(answers, of), **asdict(DENSE_COST)}))
    folder.mkdir(exist_ok=True)
    (folder / f"{task}.jsonl").write_text("\n".join(lines) + "\n")


def test_what_is_tolerated_lies_between_measured_rates(tmp_path: Path) -> None:
    for task in ("sst2", "rte"):
        write_lines(tmp_path, task)
    results = Results([tmp_path / "sst2.jsonl", tmp_path / "rte.jsonl"])
    scheme = Scheme("auto", "auto", (0.003, 0.01, 0.02))
    found = results.tolerated(scheme, DENSE.name)
    assert found.values[0] == pytest.approx(0.01)
    assert (found / results.tolerated(DENSE, DENSE.name)).values[0] == pytest.approx(10)
    assert results.tolerated(Scheme("auto", "", (0.001, 0.003)), DENSE.name).text(100, " %").startswith("over 0.3 %")
    assert results.tolerated(Scheme("auto", "", (0.02, 0.03)), DENSE.name).text(100, " %").startswith("under 2 %")


def test_the_page_of_generated_lines(tmp_path: Path) -> None:
    for task in ("sst2", "qnli"):
        write_lines(tmp_path / "results", task)
    write_lines(tmp_path / "given", "rte")
    (tmp_path / "given" / "rte.jsonl").rename(tmp_path / "results" / "large-rte.jsonl")
    run("benchmarks/report.py", "--results", tmp_path / "results", "--out", tmp_path)
    page = (tmp_path / "results.md").read_text()
    assert page.count("\n| dense, unprotected | ") == 5  # lost, tolerated and cost; of the one that is given two
    assert "| auto, in situ | 1 % (" in page and "## a model, rte" in page
    for name in ("results-mean.svg", "results-tasks.svg"):
        assert "sha256 of the data: sst2.jsonl" in (tmp_path / "figures" / name).read_text()


@pytest.mark.parametrize("target", ["reram128x128", "reram128x128-ou16", "reram128x128-storage"])
def test_conversions(target: str, tmp_path: Path) -> None:
    """Of each operation unit: four bitlines an output, and of three copies of the largest digit what is chosen."""
    model = tiny_classifier(tmp_path / "model.onnx", hidden=32)  # 32 x 128, 128 x 32, 32 x 2
    for name, options in (("none", CompileOptions()), ("paper", PAPER)):
        compile_model(model, target, tmp_path / name, options)
    plain, paper = (Bundle.open(tmp_path / name) for name in ("none", "paper"))
    units = {"reram128x128-ou16": (2, 8, 2)}.get(target, (1, 1, 1))
    conversions = sum(4 * n * u for n, u in zip((128, 32, 2), units, strict=True))
    assert cost(plain).conversions == conversions
    combiner = paper.manifest.combiner
    chosen = conversions * (3 + tickets_of(combiner, 3)) // 4
    assert cost(paper).conversions == (None if combiner == "cell" else chosen)
    assert cost(paper).cells == cost(plain).cells * 6 // 4


def test_what_matters_most_is_measured_first() -> None:
    first, second, *others = in_order(SCHEMES)
    assert [(scheme.name, rate) for scheme, rate in (first, second)] == [("known-die", 0.25), ("known-die", 0.35)]
    assert len(others) + 2 == sum(len(scheme.rates) for scheme in SCHEMES)
