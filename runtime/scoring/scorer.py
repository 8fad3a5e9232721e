"""Scorer: a bundle in a session and the texts of a task, made ready once; a die is then a change of the session."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnxruntime as ort

from rcompile.bundle.reader import Bundle
from rcompile.errors import BadInputError
from rcompile.vocabulary import Combiner
from runtime.die.any_die import AnyDie
from runtime.ort.baseline import int8_session
from runtime.ort.session import CrossbarSession, load, quiet_options
from runtime.scoring.question import Progress, Question, Score, silent
from runtime.scoring.task import Examples, Task


class Scorer:
    """Scores of one bundle on one task. threads, combiner: as `load` takes them. Raises RcompileError for a bundle that
    is damaged, and as `Question`.
    """

    def __init__(
        self, bundle: Bundle, task: Task, examples: Examples, *, threads: int = 0, combiner: Combiner | None = None
    ) -> None:
        self.bundle, self.threads, self.combiner = bundle, threads, combiner
        self.session: CrossbarSession = load(bundle, threads=threads, combiner=combiner)
        self.question = Question(task, examples, bundle, self.session)
        if examples.labels is None:
            says = self.question.answers(source_session(bundle, threads))
            self.question.examples = replace(examples, labels=says)

    def on(self, die: AnyDie | None, what: str = "", progress: Progress = silent) -> Score:
        """On a die, or without faults. progress(what, done, total) is called after each batch."""
        if self.session.accepts(die):
            self.session.set_die(die)
        else:
            self.session = load(self.bundle, die, threads=self.threads, combiner=self.combiner)
        return self.question.score(self.session, what, progress)

    def source(self, progress: Progress = silent) -> Score:
        """Of the source model, in plain ONNX Runtime."""
        return self.question.score(source_session(self.bundle, self.threads), "fp32", progress)

    def int8(self, progress: Progress = silent) -> Score:
        """Of the source model, quantized by ONNX Runtime."""
        return self.question.score(int8_session(source_file(self.bundle), self.threads), "int8", progress)


def source_file(bundle: Bundle) -> Path:
    """The source model that the bundle holds. Raises BadInputError if it holds none."""
    if bundle.manifest.source.model is None:
        raise BadInputError(f"bundle '{bundle.folder}' does not hold its source model; compile without --no-source.")
    bundle.verify(n for n in bundle.manifest.files if n.startswith("source/"))
    return bundle.path(bundle.manifest.source.model)


def source_session(bundle: Bundle, threads: int = 0) -> ort.InferenceSession:
    """The source model that the bundle holds, in plain ONNX Runtime. Raises BadInputError if it holds none or it does
    not run.
    """
    path = source_file(bundle)
    options = quiet_options(threads)
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises one class a status code
        raise BadInputError(f"ONNX Runtime cannot run the source model of bundle '{bundle.folder}': {error}") from None
