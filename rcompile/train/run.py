"""The two ways to prune a model for a target: train it, or cut it in one shot."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rcompile.errors import BadInputError, UnsupportedError, UsageError
from rcompile.hardware.target import Target
from rcompile.onnx_in.text import read_texts
from rcompile.pipeline import Progress, silent
from rcompile.train.budget import Budget, Masks
from rcompile.train.crossbar_aware import CrossbarRead
from rcompile.train.data import read_corpus
from rcompile.train.export import check_source, export_model, model_inputs, tokenizer_file
from rcompile.train.model import RECORD, find_groups, load_classifier, save
from rcompile.train.oneshot import prune_once
from rcompile.train.trainer import WRITING, Recipe, Trainer
from runtime.scoring.glue import Glue, of_split

CHECKPOINT = "checkpoint.pt"
ONNX = "model.onnx"
UNFINISHED = ".rcompile-unfinished"  # the first thing in a directory that is being written, and the last


@dataclass(frozen=True)
class Pruned:
    """What came out. kept: lines of each group, and of how many. held_out: see Trained; None for a one-shot cut."""

    out: Path
    crossbars_dense: int
    crossbars_pruned: int
    kept: dict[str, tuple[int, int]]
    steps: int = 0
    held_out: float | None = None


def train(  # noqa: PLR0913  # a user's call names them
    source: str,
    task: Glue,
    data: Path | None,
    target: Target,
    out: Path,
    recipe: Recipe,
    *,
    new_head: bool = False,
    force: bool = False,
    progress: Progress = silent,
) -> Pruned:
    """Fine-tune `source` on a task, pruning as the recipe says; write a Hugging Face directory with model.onnx in it.

    A run that was killed goes on from the checkpoint in `out`. Raises RcompileError.
    """
    check_recipe(recipe, new_head)
    check_source(source)
    _check_free(source, out, force)
    torch.manual_seed(recipe.seed)
    model = load_classifier(source, task.head, new_head=new_head)
    shapes, groups = find_groups(model)
    budget = Budget.of(shapes, groups, target)
    if recipe.prunes:
        budget.check(recipe.keep)
    examples = of_split(task, "train").load(data, None)
    corpus = read_corpus(
        examples.texts, _labels(task, examples.labels), tokenizer_file(source), model_inputs(model.config)
    )

    def score(truth: Tensor, logits: Tensor) -> float:
        return task.points(truth.numpy(), logits.numpy())

    if len(corpus.texts) < 2:
        raise BadInputError(
            f"{examples.origin} holds {len(corpus.texts)} example; training and stopping need one each."
        )
    if recipe.fault_rate and target.weights.encoding != "offset":
        raise UnsupportedError(
            f"--fault-rate knows offset encoding only; target '{target.name}' is {target.weights.encoding}."
        )
    run = {"source": source, "task": task.name, "target": target.sha256, "new head": new_head}
    read = CrossbarRead(target, recipe.fault_rate, recipe.voted, recipe.seed)
    record = {"source": Path(source).name, "task": task.name, "target": target.name, "recipe": asdict(recipe)}
    with _unfinished(out, force):
        done = Trainer(model, corpus, score, recipe, budget, groups, read).run(out / CHECKPOINT, run, progress)
        about = {**record, "steps": done.steps, "held_out": done.held_out}
        _write(source, task.head, done.state, out, about, new_head)
    (out / CHECKPOINT).unlink()
    return _result(out, budget, done.masks, done.steps, done.held_out)


def prune(
    source: str,
    samples: Path,
    target: Target,
    out: Path,
    keep: float,
    *,
    force: bool = False,
    progress: Progress = silent,
) -> Pruned:
    """Cut a fine-tuned model once, without training: samples say which lines matter, least squares mend the rest.

    samples: a text file, a sentence a line, or two parted by a tab. Raises RcompileError.
    """
    check_recipe(Recipe(keep=keep), new_head=False)
    check_source(source)
    _check_free(source, out, force)
    model = load_classifier(source, None, new_head=False)
    shapes, groups = find_groups(model)
    budget = Budget.of(shapes, groups, target)
    budget.check(keep)
    texts = read_texts(samples)
    corpus = read_corpus(texts, torch.zeros(len(texts)), tokenizer_file(source), model_inputs(model.config))
    state, masks = prune_once(model, corpus, budget, groups, keep, progress)
    record = {"source": Path(source).name, "target": target.name, "keep": keep}
    with _unfinished(out, force):
        _write(source, None, state, out, record, new_head=False)
    return _result(out, budget, masks)


def use_threads(threads: int) -> None:
    """Let torch compute on so many threads; 0: on all cores. Raises UsageError for a negative number."""
    if threads < 0:
        raise UsageError(f"--threads is {threads}; give 0 for all cores, or a positive number.")
    if threads:
        torch.set_num_threads(threads)


def check_recipe(recipe: Recipe, new_head: bool) -> None:
    """Raises UsageError for settings that mean nothing."""
    limits: tuple[tuple[str, float, Callable[[Any], bool], str], ...] = (
        ("--keep", recipe.keep, lambda v: 0 < v <= 1, "above 0 and at most 1"),
        ("--steps", recipe.steps, lambda v: v >= 1, "at least 1"),
        ("--batch", recipe.batch, lambda v: v >= 1, "at least 1"),
        ("--learning-rate", recipe.learning_rate, lambda v: 0 < v < 1, "between 0 and 1"),
        ("--fault-rate", recipe.fault_rate, lambda v: 0 <= v < 1, "at least 0 and below 1"),
        ("--patience", recipe.patience, lambda v: v >= 1, "at least 1"),
        ("--voted", recipe.voted, lambda v: v >= 0, "at least 0"),
        ("--seed", recipe.seed, lambda v: v >= 0, "at least 0"),
    )
    for option, value, sound, meaning in limits:
        if not sound(value):
            raise UsageError(f"{option} is {value}; give a number {meaning}.")
    if recipe.fault_rate and not recipe.prunes:
        raise UsageError("--fault-rate is for training a pruned model: --keep 1 trains dense weights.")
    if new_head and recipe.prunes:
        raise UsageError(
            "--new-head has nothing to distil from: train the head with --keep 1 first, then prune that model."
        )


def _check_free(source: str, out: Path, force: bool) -> None:
    """Raises UsageError for an output that would overwrite what is no run of ours."""
    if out.resolve() == Path(source).resolve():
        raise UsageError(f"-o is '{source}' itself. Choose another directory.")
    if not out.exists() or (out.is_dir() and not any(out.iterdir())) or (out / UNFINISHED).exists():
        return
    if not force:
        if (out / CHECKPOINT).exists():  # which goes after the marker: it is worth hours
            return
        raise UsageError(f"'{out}' exists. Choose another -o, or --force.")
    if not (out / RECORD).exists():
        raise UsageError(
            f"'{out}' is not of rcompile train or prune; --force replaces only what is. Choose another -o."
        )


@contextmanager
def _unfinished(out: Path, force: bool) -> Iterator[None]:
    """A directory that says that it is not whole until the block has ended well; force: emptied first. One in which
    nothing was written is removed.
    """
    out.mkdir(parents=True, exist_ok=True)
    try:
        (out / UNFINISHED).touch()
        if force:
            for path in out.iterdir():
                if path.name != UNFINISHED:
                    _remove(path)
        (out / CHECKPOINT).with_suffix(WRITING).unlink(missing_ok=True)
        yield
    except BaseException:
        if {path.name for path in out.iterdir()} == {UNFINISHED}:
            shutil.rmtree(out, ignore_errors=True)
        raise
    (out / UNFINISHED).unlink()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _labels(task: Glue, labels: Any) -> Tensor:
    return torch.from_numpy(np.asarray(labels)).to(torch.float32 if task.head == 1 else torch.int64)


def _write(
    source: str, labels: int | None, state: dict[str, Tensor], out: Path, record: dict[str, Any], new_head: bool
) -> None:
    model = load_classifier(source, labels, new_head=new_head)
    model.load_state_dict(state)
    save(model, source, out, record)
    export_model(str(out), out / ONNX, force=True)  # a run that was killed may have come so far


def _result(out: Path, budget: Budget, masks: Masks, steps: int = 0, held_out: float | None = None) -> Pruned:
    counts = {g: int(m.sum()) for g, m in masks.items()}
    kept = {g: (counts[g], budget.groups[g].size) for g in counts}
    return Pruned(out, budget.crossbars({}), budget.crossbars(counts), kept, steps, held_out)
