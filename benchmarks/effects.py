"""What each effect costs: a pruned MiniLM-L6 on SST-2, unprotected, on dies that have one effect each.

    python benchmarks/effects.py --data GLUE_DIR

Resumable: which sentences a die answers rightly is a line of docs/results/effects.jsonl as soon as it is known, and is
not computed again; the first line says what all are about. `effects_page.py` makes docs/effects.md of the lines.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from effects_cases import CASES, Case
from effects_scores import CLEAN, SOURCE

from rcompile import compile_model
from rcompile.bundle.reader import Bundle
from rcompile.hardware.changes import with_changes
from rcompile.hardware.target_file import load_target
from runtime import CrossbarSession, load
from runtime.scoring.glue import TASKS
from runtime.scoring.question import Question
from runtime.scoring.scorer import source_session

MODEL = Path("docs/demo/sst2-minilm.onnx")
TARGET = "reram128x128"
TASK = TASKS["sst2"]
LIMIT, DIES = 300, 3


class Study:
    """The lines, and what makes the next one. sets: changes of the target that the bundle is compiled for."""

    sets: tuple[str, ...]
    bundle: Bundle
    session: CrossbarSession

    def __init__(self, model: Path, data: Path, limit: int, lines: Path, build: Path) -> None:
        self.model, self.build = model, build
        self._compile(())
        examples = TASK.load(data, limit)
        self.question = Question(TASK, examples, self.bundle, self.session)
        labels = self.question.labels
        asked = json.dumps([examples.texts, labels.tolist()]).encode()
        about = {
            "model_sha256": self.bundle.manifest.source.sha256,
            "target": TARGET,
            "sentences": len(labels),
            "sentences_sha256": hashlib.sha256(asked).hexdigest(),
            "majority": int(np.unique(labels, return_counts=True)[1].max()),
        }
        self.lines = lines
        if not lines.exists():
            self._write(about)
        first, *known = (json.loads(line) for line in lines.read_text().splitlines())
        if first != about:
            raise SystemExit(f"{lines} is about another model, other sentences or another target; give other --lines.")
        self.known = {(line["case"], line["die"]) for line in known}

    def without_effects(self) -> None:
        """The source model in fp32, and clean crossbars."""
        self._ask(SOURCE, None, source_session(self.bundle))
        self._ask(CLEAN, None, self.session)

    def on_die(self, case: Case, seed: int) -> None:
        if (case.options, seed) in self.known:
            return
        if case.sets != self.sets:
            self._compile(case.sets)
        die = case.die(seed, self.bundle.manifest.target)
        if self.session.accepts(die):
            self.session.set_die(die)
        else:
            self.session = load(self.bundle, die)
        self._ask(case.options, seed, self.session)

    def _compile(self, sets: tuple[str, ...]) -> None:
        """For the target with these changes."""
        compile_model(self.model, with_changes(load_target(TARGET), sets), self.build, force=True)
        self.sets, self.bundle = sets, Bundle.open(self.build)
        self.session = load(self.bundle)

    def _ask(self, case: str, die: int | None, session: ort.InferenceSession) -> None:
        if (case, die) in self.known:
            return
        start = time.perf_counter()
        right = self.question.answers(session) == self.question.labels
        spent = round(time.perf_counter() - start, 1)
        line = {"case": case, "die": die, "right": np.packbits(right).tobytes().hex(), "seconds": spent}
        if session is self.session:
            report = self.session.report()
            line["collapsed"] = round(sum(r.collapsed for r in report) / sum(r.bitlines for r in report), 6)
        self.known.add((case, die))
        self._write(line)
        print(f"{case}, die {die}: {100 * right.mean():.1f} after {spent} s", flush=True)

    def _write(self, line: dict[str, Any]) -> None:
        with self.lines.open("a") as file:
            file.write(json.dumps(line) + "\n")


def main(model: Path, data: Path, limit: int, dies: int, lines: Path, build: Path) -> None:
    study = Study(model, data, limit, lines, build)
    study.without_effects()
    for seed in range(1, dies + 1):
        for case in CASES:
            if case.drawn or seed == 1:
                study.on_die(case, seed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--data", type=Path, required=True, help="folder of GLUE data")
    parser.add_argument("--limit", type=int, default=LIMIT, help="sentences")
    parser.add_argument("--dies", type=int, default=DIES)
    parser.add_argument("--lines", type=Path, default=Path("docs/results/effects.jsonl"))
    parser.add_argument("--build", type=Path, default=Path("build/effects"))
    arguments = parser.parse_args()
    main(**vars(arguments))
