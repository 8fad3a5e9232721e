"""The training run: gates learn which lines go, then the pruned model learns to do without them."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rcompile.errors import BadInputError
from rcompile.pipeline import Progress
from rcompile.train.budget import Budget, Group, Masks
from rcompile.train.crossbar_aware import CrossbarRead
from rcompile.train.data import Corpus
from rcompile.train.gates import COLDEST, HOTTEST, Gates
from rcompile.train.losses import distillation_loss, label_loss
from rcompile.train.model import cut, gate_linears, line_importance, restore, set_gates

Score = Callable[[Tensor, Tensor], float]
GATE_RATE = 0.05
IMPORTANCE_BATCHES = 24
WRITING = ".writing"  # the suffix of a checkpoint that is not whole


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the result of a run, but for the model and the data.

    keep: share of the dense crossbars that the pruned model may take; 1 trains on the labels instead. Word embeddings
    stay as they are. steps: of `batch` texts. gate_share: share of the steps in which gates are learned; in the first
    `ramp` of those the budget falls to `keep`. learning_rate: its peak; it warms up, and falls linearly to zero.
    patience: held-out checks without improvement before an early stop. fault_rate: share of cells stuck while training,
    on all digits but the `voted` largest.
    """

    keep: float = 0.5
    steps: int = 1200
    batch: int = 16
    learning_rate: float = 5e-4
    gate_share: float = 0.35
    ramp: float = 0.6
    patience: int = 5
    check_every: int = 100
    seed: int = 0
    fault_rate: float = 0.0
    voted: int = 0

    @property
    def prunes(self) -> bool:
        """False for plain fine-tuning."""
        return self.keep < 1

    @property
    def gate_steps(self) -> int:
        """Steps in which gates are learned."""
        return round(self.steps * self.gate_share) if self.prunes else 0


@dataclass
class Trained:
    """A finished run. state: of the dense architecture, pruned lines exact zeros. masks: kept lines by group.

    held_out: distance to the teacher on the held-out texts, or minus the score of a run on labels.
    """

    state: dict[str, Tensor]
    masks: Masks
    steps: int
    held_out: float


class Trainer:
    """One run, step by step; its state can be saved and taken up again, to the same result bit for bit on the same
    machine.
    """

    def __init__(
        self,
        model: Any,
        corpus: Corpus,
        score: Score,
        recipe: Recipe,
        budget: Budget,
        groups: list[Group],
        read: CrossbarRead,
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.corpus, self.score, self.recipe, self.budget, self.groups = corpus, score, recipe, budget, groups
        self.teacher = copy.deepcopy(model).eval().requires_grad_(False) if recipe.prunes else None
        self.model = model.train(not recipe.prunes)
        model.base_model.embeddings.word_embeddings.weight.requires_grad_(False)
        self.linears = gate_linears(model)
        self.read = read.train()
        self.gates = Gates(budget)
        self.masks: Masks = {}
        self.rows, self.held_out = corpus.split(recipe.seed)
        self.step, self.best, self.best_step, self.best_state = 0, float("inf"), 0, dict[str, Tensor]()
        self._optimize()

    def run(self, checkpoint: Path, of: dict[str, Any], progress: Progress) -> Trained:
        """Train to the end, from the checkpoint if there is one. of: what the run is of, to be the same when it is
        taken up again.
        """
        recipe = self.recipe
        self.settings = {**of, **asdict(recipe)}
        if checkpoint.exists():
            self._load(checkpoint)
        elif recipe.prunes:
            self.gates.start_from(self._importance(progress), self.budget)
        while self.step < recipe.steps and not self._stalled():
            if self.step == recipe.gate_steps and recipe.prunes and not self.masks:
                self._cut(self.budget.choose(self.gates.worth(recipe.keep), recipe.keep))
            self._train_step()
            self.step += 1
            progress("learning gates" if self.step < recipe.gate_steps else "training", self.step, recipe.steps)
            if self.step % recipe.check_every == 0 or self.step == recipe.steps:
                if self.step > recipe.gate_steps:
                    self._check()
                self._save(checkpoint)
        state = restore(self.linears, self.groups, self.masks, self.best_state) if self.masks else self.best_state
        return Trained(state, self.masks, self.best_step, self.best)

    def _train_step(self) -> None:
        recipe, step = self.recipe, self.step
        epoch, at = divmod(step, -(-len(self.rows) // recipe.batch))
        if at == 0 or not hasattr(self, "_epoch"):
            self._epoch = self.corpus.epoch(self.rows, recipe.batch, recipe.seed * 1000 + epoch)
        feeds, labels = self.corpus.batch(self._epoch[at].tolist())
        if recipe.prunes and not self.masks:
            done = min(1.0, (step + 1) / (recipe.ramp * recipe.gate_steps))
            keep = 1 - done * (1 - recipe.keep)
            cold = (step + 1) / recipe.gate_steps
            set_gates(self.linears, self.groups, self.gates(keep, HOTTEST * (COLDEST / HOTTEST) ** cold))
        loss = self._loss(feeds, labels)
        if not torch.isfinite(loss):
            raise BadInputError(f"the loss is not finite at step {step}. Give a lower --learning-rate.")
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for group in self.optimizer.param_groups:
            warm, cool = 0.05 * recipe.steps, 0.95 * recipe.steps
            group["lr"] = group["peak"] * min((step + 1) / warm, (recipe.steps - step) / cool)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def _loss(self, feeds: dict[str, Tensor], labels: Tensor) -> Tensor:
        if self.teacher is None:
            return label_loss(self.model(**feeds).logits, labels)
        with torch.no_grad():
            goal = self.teacher(**feeds, output_hidden_states=True)
        return distillation_loss(self.model(**feeds, output_hidden_states=True), goal, feeds["attention_mask"])

    def _importance(self, progress: Progress) -> dict[str, Tensor]:
        some = self.corpus.epoch(self.rows, self.recipe.batch, self.recipe.seed)[:IMPORTANCE_BATCHES]
        return line_importance(self.model, self.linears, self.groups, self.corpus, some, progress)

    def _cut(self, masks: Masks) -> None:
        """Make the pruning final and train what is left, rounded to the target's codes."""
        self.masks = masks
        cut(self.linears, self.groups, masks)
        for linear in self.linears.values():
            linear.read = self.read
        self._optimize()

    def _optimize(self) -> None:
        free = [p for p in self.model.parameters() if p.requires_grad]
        rate = self.recipe.learning_rate
        groups: list[dict[str, Any]] = [
            {"params": [p for p in free if p.dim() > 1], "peak": rate, "weight_decay": 0.01},
            {"params": [p for p in free if p.dim() <= 1], "peak": rate, "weight_decay": 0.0},
        ]
        if self.recipe.prunes and not self.masks:
            groups.append({"params": list(self.gates.parameters()), "peak": GATE_RATE, "weight_decay": 0.0})
        self.optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), fused=True)

    @torch.no_grad()
    def _check(self) -> None:
        """Judge the held-out texts, by the distance to the teacher, or else by the task's score; the best state is
        kept.
        """
        self.model.eval()
        self.read.eval()
        loss, logits, labels = 0.0, [], []
        for rows in self.corpus.epoch(self.held_out, 32, 0):
            feeds, truth = self.corpus.batch(rows.tolist())
            if self.teacher is not None:
                loss += float(self._loss(feeds, truth)) * len(rows) / len(self.held_out)
            else:
                logits.append(self.model(**feeds).logits)
                labels.append(truth)
        if self.teacher is None:
            loss = -self.score(torch.cat(labels), torch.cat(logits))
        self.model.train(not self.recipe.prunes)
        self.read.train()
        if loss < self.best:
            self.best, self.best_step = loss, self.step
            self.best_state = {k: v.clone() for k, v in self.model.state_dict().items()}

    def _stalled(self) -> bool:
        return bool(self.best_step) and self.step - self.best_step >= self.recipe.patience * self.recipe.check_every

    def _save(self, checkpoint: Path) -> None:
        state = {
            "settings": self.settings,
            "step": self.step,
            "best": (self.best, self.best_step, self.best_state),
            "masks": {k: torch.from_numpy(v) for k, v in self.masks.items()},
            "model": self.model.state_dict(),
            "gates": self.gates.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "faults": self.read.generator.get_state(),
        }
        scratch = checkpoint.with_suffix(WRITING)
        try:
            torch.save(state, scratch)
            os.replace(scratch, checkpoint)
        except (OSError, RuntimeError) as error:  # torch tells of a full disk as RuntimeError
            raise BadInputError(f"cannot write '{checkpoint}': {error}. Free space, or choose another -o.") from error
        finally:
            scratch.unlink(missing_ok=True)

    def _load(self, checkpoint: Path) -> None:
        try:
            state = torch.load(checkpoint)
        except Exception as error:  # pickle, zipfile and torch each raise their own
            raise BadInputError(f"cannot read '{checkpoint}': {error}. Start again with --force.") from None
        changed = [k for k, v in self.settings.items() if state["settings"].get(k) != v]
        if changed:
            raise BadInputError(
                f"'{checkpoint}' is of a run with other settings ({', '.join(changed)}). Give the same settings to go on, another -o, or --force."
            )
        if state["masks"]:
            self._cut({k: v.numpy() for k, v in state["masks"].items()})
        self.model.load_state_dict(state["model"])
        self.gates.load_state_dict(state["gates"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, (self.best, self.best_step, self.best_state) = state["step"], state["best"]
        torch.set_rng_state(state["random"])
        self.read.generator.set_state(state["faults"])
