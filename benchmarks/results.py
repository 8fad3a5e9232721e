"""The experiment: nine GLUE tasks on crossbars, dense, pruned and protected, over rates of stuck cells and dies.

    python benchmarks/results.py --data GLUE_DIR [--models DIR] [--tasks sst2,mrpc] [--limit 300]

Resumable: what a die answers to every sentence is a line of docs/results/<task>.jsonl as soon as it is known, and is
not computed again; the first line of a file says what all are about. Models and bundles lie under build/results. A
task's dense model is DIR/<task> (Hugging Face) if --models has it, its pruned one DIR/<task>-pruned; else they are
trained. With --model-name, models of another kind are given, and nothing is trained. Several of these may run side by
side, of other tasks. `benchmarks/report.py` makes docs/results.md of the lines.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnxruntime as ort
from answers import packed
from results_cost import Cost, cost
from results_models import STEPS, Models, onnx_of
from schemes import DENSE, DIES, FIRST_DIES, GIVEN, MODEL, SCHEMES, Scheme, die_of, in_order, seeds

from rcompile import compile_model
from rcompile.bundle.reader import Bundle
from rcompile.hardware.target_file import load_target
from rcompile.options import CompileOptions
from runtime import load, read_die
from runtime.die.write_map import write_chip_map
from runtime.ort.baseline import int8_session
from runtime.scoring.glue import TASKS
from runtime.scoring.question import Question
from runtime.scoring.scorer import source_file, source_session


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=Path, help="folder of fine-tuned models, TASK and TASK-pruned")
    parser.add_argument("--model-name", default=MODEL, help="of the models in --models, if they are no MiniLM")
    parser.add_argument("--encoder", type=Path, help=f"pretrained model, if not the package {MODEL}")
    parser.add_argument("--steps", type=int, help="of each training, if not the task's own")
    parser.add_argument("--tasks", default=",".join(STEPS))
    parser.add_argument("--limit", type=int, default=300, help="sentences under faults")
    parser.add_argument("--model-limit", type=int, default=1000, help="sentences without faults")
    parser.add_argument("--dies", type=int, default=DIES)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--build", type=Path, default=Path("build/results"))
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    models = Models(args.build, args.data, args.models, args.model_name, args.encoder, args.steps)
    tasks = [Task(name, models, args) for name in args.tasks.split(",")]
    for task in tasks:
        task.without_faults()
    for first, last in ((0, FIRST_DIES), (FIRST_DIES, args.dies)):
        for scheme, rate in in_order(SCHEMES if models.trains else GIVEN):
            for task in tasks:
                if task.has(scheme):
                    task.on_dies(scheme, rate, list(seeds(scheme, min(last, args.dies))[first:]))


class Task:
    """One task's models, bundles and lines."""

    def __init__(self, name: str, models: Models, args: argparse.Namespace) -> None:
        self.name, self.models, self.args, self.task = name, models, args, TASKS[name]
        self.folder = models.folder(name)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.dense = self.bundle(DENSE)
        self.costs: dict[str, Cost] = {"dense": cost(self.dense)}
        examples = [self.task.load(args.data, limit) for limit in (args.model_limit, args.limit)]
        session = load(self.dense, threads=args.threads)
        self.all, self.some = (Question(self.task, found, self.dense, session) for found in examples)
        self.lines = args.out / f"{models.label(name)}.jsonl"
        self.known = self._known()
        self.commit = commit()

    def _known(self) -> set[tuple[Any, ...]]:
        """What there are lines of."""
        about = {
            "model": self.models.name,
            "task": self.name,
            "sentences": len(self.all.labels),
            "labels": packed(self.all.labels, self.task),
            "dense": asdict(self.costs["dense"]),
        }
        if not self.lines.exists():
            self._append(about)
        first, *lines = (json.loads(line) for line in self.lines.read_text().splitlines())
        if first != about:
            raise SystemExit(f"{self.lines} is about another model or other sentences; give another --out.")
        return {(line["scheme"], line["rate"], line["die"]) for line in lines}

    def has(self, scheme: Scheme) -> bool:
        return self._model(scheme) is not None

    def _model(self, scheme: Scheme) -> Path | None:
        return self.models.dense(self.name) if scheme.model == "dense" else self.models.pruned(self.name)

    def _compile(self, scheme: Scheme, out: Path, die_map: Path | None = None) -> Bundle:
        model = self._model(scheme)
        assert model is not None
        options = CompileOptions(protect=scheme.protect)
        compile_model(onnx_of(model), scheme.target, out, options, die_map=die_map)
        return Bundle.open(out)

    def bundle(self, scheme: Scheme) -> Bundle:
        """The bundle of a scheme, which is the same for all dies."""
        out = self.folder / f"{scheme.name}.bundle"
        return Bundle.open(out) if out.exists() else self._compile(scheme, out)

    def without_faults(self) -> None:
        """The dense and the pruned model in fp32, in ONNX Runtime's int8, and on crossbars without faults."""
        for scheme in SCHEMES[:2]:
            if not self.has(scheme):
                continue
            for kind, make in (("fp32", source_session), ("int8", lambda b, t: int8_session(source_file(b), t))):
                name = f"{scheme.name} {kind}"
                if (name, 0.0, None) not in self.known:
                    self._write(name, 0.0, None, self.all, make(self.bundle(scheme), self.args.threads), None)
            self._ask(scheme, 0.0, [None])

    def on_dies(self, scheme: Scheme, rate: float, dies: list[int]) -> None:
        """What is not known yet: without faults, for known dies on a perfect chip; and on these dies at this rate."""
        self._ask(scheme, 0.0, [None])
        self._ask(scheme, rate, dies)

    def _ask(self, scheme: Scheme, rate: float, dies: list[int] | list[None]) -> None:
        left = [die for die in dies if (scheme.name, rate, die) not in self.known]
        if scheme.known_die:
            for die in left:
                self._ask_known_die(scheme, rate, die)
        elif left:
            bundle = self.bundle(scheme)
            if scheme.name not in self.costs:
                self.costs[scheme.name] = cost(bundle)
            session = load(bundle, threads=self.args.threads)
            for die in left:
                session.set_die(die_of(rate, die))
                self._write(scheme.name, rate, die, self._question(die), session, self.costs[scheme.name])

    def _ask_known_die(self, scheme: Scheme, rate: float, die: int | None) -> None:
        """With a bundle that is compiled for this die alone, a chip of as many crossbars as the dense model takes."""
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            chip, target = Path(name) / "chip.npz", load_target(scheme.target)
            write_chip_map(die_of(rate, die), target, self.costs["dense"].crossbars, chip)
            bundle = self._compile(scheme, Path(name) / "bundle", chip)
            session = load(bundle, read_die(chip, bundle), threads=self.args.threads)
            self._write(scheme.name, rate, die, self._question(die), session, cost(bundle))

    def _question(self, die: int | None) -> Question:
        return self.all if die is None else self.some

    def _write(
        self,
        scheme: str,
        rate: float,
        die: int | None,
        question: Question,
        session: ort.InferenceSession,
        taken: Cost | None,
    ) -> None:
        found = question.score(session)
        score, answers = round(found.points, 4), found.answers
        line = {
            "scheme": scheme,
            "rate": rate,
            "die": die,
            "sentences": len(answers),
            "score": score,
            "commit": self.commit,
        }
        self._append({**line, "answers": packed(answers, self.task), **(asdict(taken) if taken else {})})
        self.known.add((scheme, rate, die))
        print(f"{self.name}: {scheme}, {100 * rate:g} %, die {die}: {score:.2f}", flush=True)

    def _append(self, line: dict[str, Any]) -> None:
        with self.lines.open("a") as file:
            file.write(json.dumps(line) + "\n")


def commit() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
