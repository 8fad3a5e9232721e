"""A bundle with sentences that it answers rightly, and checks of it."""

import json
from pathlib import Path
from typing import Any

from small_models import tiny_classifier, write_sentences

import rcompile
from rcompile.bundle.reader import Bundle
from runtime.scoring.glue import TASKS
from runtime.scoring.scorer import Scorer

GOOD = {"dies": "1-8", "sa1": 1e-6, "max_loss_points": 2}
BAD = {"dies": "1-8", "sa0": 0.1, "sa1": 0.3, "max_loss_points": 2}
UNDECIDED = {**BAD, "dies": "1"}


def checked_project(folder: Path) -> Path:
    """m.onnx, b.bundle and glue in a folder."""
    tiny_classifier(folder / "m.onnx")
    rcompile.compile_model(folder / "m.onnx", "reram128x128", folder / "b.bundle")
    data, task = write_sentences(folder / "glue"), TASKS["sst2"]
    examples = task.load(data, None)
    answers = Scorer(Bundle.open(folder / "b.bundle"), task, examples).on(None, "", lambda *_: None).answers
    lines = [f"{text}\t{answer}" for text, answer in zip(examples.texts, answers, strict=True)]
    (data / "sst2" / "validation.tsv").write_text("\n".join(["sentence\tlabel", *lines]) + "\n")
    return folder


def check(project: Path, name: str = "it", **keys: Any) -> str:
    """A check of the bundle, or of what `keys` name instead."""
    asked = {"name": name, "bundle": str(project / "b.bundle"), "task": "sst2", "data": str(project / "glue"), **keys}
    lines = [f"{key} = {json.dumps(value)}" for key, value in asked.items() if value is not None]
    return "\n".join(["[[check]]", *lines]) + "\n"
