"""Every script in benchmarks/ and docs/ that needs no torch runs, in a small form, as a user runs it."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from scripts import ROOT, run
from small_models import tiny_classifier, write_sentences

from rcompile.canonical import file_sha256


def test_bench_measures_every_key_of_its_readme(tmp_path: Path) -> None:
    run("benchmarks/bench.py", "--small", "--out", tmp_path / "bench.json")
    table = (ROOT / "benchmarks" / "README.md").read_text().partition("## Keys of build/bench.json")[2]
    keys = {
        key
        for line in table.splitlines()
        if line.startswith("| `")
        for key in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    measured = json.loads((tmp_path / "bench.json").read_text())
    assert set(measured) == keys
    assert measured["alternatives"]["NumPy (runtime/product/reference.py), every read"]["same_numbers"]


def half_pruned(path: Path) -> Path:
    """The model with half of its inner neurons zero, so that there is room for replicas."""
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.name in ("up.weight", "down.weight"):
            array = numpy_helper.to_array(tensor).copy()
            np.moveaxis(array, 1 if tensor.name == "up.weight" else 0, 0)[128:] = 0
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    onnx.save(model, path)
    return path


def test_ranking(tmp_path: Path) -> None:
    model = half_pruned(tiny_classifier(tmp_path / "model.onnx", hidden=64))
    data = write_sentences(tmp_path / "glue")
    run("benchmarks/ranking.py", "--model", model, "--data", data, "--out", tmp_path)
    rows = json.loads((tmp_path / "ranking.json").read_text())["rows"]
    assert len(rows) == 31 and all(row["predicted"] > 0 and row["measured"] > 0 for row in rows)


def test_rivals(tmp_path: Path) -> None:
    """Every step of ours is better than the one before on the weights, compensation on the outputs."""
    model = half_pruned(tiny_classifier(tmp_path / "model.onnx", hidden=64))
    data = write_sentences(tmp_path / "glue")
    shutil.copyfile(data / "sst2" / "validation.tsv", data / "sst2" / "train.tsv")
    options = ("--limit", 8, "--dies", 1, "--rates", 0.2, "--samples", 12, "--out", tmp_path / "rivals.json")
    run("benchmarks/rivals.py", "--model", model, "--data", data, *options)
    rows = json.loads((tmp_path / "rivals.json").read_text())["rows"]
    errors = [row["weights"] for row in rows]
    assert len(rows) == 10 and errors[0] > errors[2] > errors[3] > errors[5] > errors[6] > errors[7] > errors[8]


def test_the_results_page_is_that_of_its_data(tmp_path: Path) -> None:
    run("benchmarks/report.py", "--out", tmp_path)
    assert (tmp_path / "results.md").read_text() == (ROOT / "docs" / "results.md").read_text(), (
        "run benchmarks/report.py"
    )


def test_effects_can_be_resumed_and_shown(tmp_path: Path) -> None:
    tiny_classifier(tmp_path / "model.onnx")
    options = ("--model", tmp_path / "model.onnx", "--data", write_sentences(tmp_path / "glue"), "--dies", 2)
    places = ("--lines", tmp_path / "effects.jsonl", "--build", tmp_path / "bundle")
    run("benchmarks/effects.py", *options, *places)
    whole = (tmp_path / "effects.jsonl").read_text()
    (tmp_path / "effects.jsonl").write_text("".join(whole.splitlines(keepends=True)[:50]))
    run("benchmarks/effects.py", *options, *places)
    without_times = [
        re.sub(r'"seconds": [0-9.]+', "", text) for text in (whole, (tmp_path / "effects.jsonl").read_text())
    ]
    assert without_times[0] == without_times[1]
    run("benchmarks/effects_page.py", "--lines", tmp_path / "effects.jsonl", "--out", tmp_path)
    assert "## Flipped bits" in (tmp_path / "effects.md").read_text()
    assert (tmp_path / "figures" / "effects.svg").exists()


def test_the_generated_pages(tmp_path: Path) -> None:
    run("docs/generate.py", "--out", tmp_path)
    for page in tmp_path.iterdir():
        assert page.read_text() == (ROOT / "docs" / page.name).read_text(), "run `make docs`"


def test_the_demo_and_its_figures(tmp_path: Path) -> None:
    printed = run("docs/demo/demo.py", "--out", tmp_path / "demo", "--data", ROOT / "docs" / "demo", "--limit", 8)
    assert "| auto |" in printed
    out = tmp_path / "figures"
    places = ("--demo", tmp_path / "demo", "--out", out, "--results", tmp_path / "demo.json")
    run("docs/figures.py", *places, "--limit", 8)
    assert {path.name for path in out.iterdir()} == {"accuracy.svg", "flow.svg", "terminal.svg", "tile.svg"}
    data = f"demo.json {file_sha256(tmp_path / 'demo.json')[:12]}<"
    assert data in (out / "accuracy.svg").read_text()
