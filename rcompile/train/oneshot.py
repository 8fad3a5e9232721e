"""One-shot pruning: drop the lines that the outputs miss least, and refit what is left by least squares."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor

from rcompile.pipeline import Progress
from rcompile.train.budget import Budget, Group, Masks
from rcompile.train.curvature import gather, removals
from rcompile.train.data import Corpus
from rcompile.train.refit import refit

BATCH = 16


def prune_once(
    model: Any, corpus: Corpus, budget: Budget, groups: list[Group], keep: float, progress: Progress
) -> tuple[dict[str, Tensor], Masks]:
    """The state of the pruned model, dropped lines exact zeros, and the kept lines by group."""
    model.eval()
    dense = copy.deepcopy(model)
    batches = corpus.in_order(BATCH)
    masks = budget.cheapest(removals(dense, groups, gather(dense, corpus, batches, progress)), keep)
    refit(model, dense, [corpus.batch(rows.tolist())[0] for rows in batches], groups, masks, progress)
    return model.state_dict(), masks
