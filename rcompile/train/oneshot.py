"""One-shot pruning: drop the lines that carry least of the outputs' variation, and refit what is left by least
squares.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rcompile.train.budget import Budget, Group, Masks
from rcompile.train.data import Corpus
from rcompile.train.gates import Gates
from rcompile.train.model import GatedLinear, gate_linears, line_importance
from rcompile.train.trainer import Progress

BATCH = 16
RIDGE = 1e-4  # of the mean input energy


class _Gram:
    """The second moments of a linear's inputs, gathered while it runs: [inputs + 1, inputs + 1], the last for the
    bias.
    """

    def __init__(self, linear: GatedLinear) -> None:
        inputs = linear.weight.shape[1]
        self.sum = torch.zeros(inputs + 1, inputs + 1, dtype=torch.float64)
        self.hook = linear.register_forward_hook(self._see)

    def _see(self, linear: torch.nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        x = inputs[0].reshape(-1, inputs[0].shape[-1]).double()
        x = torch.cat([x, torch.ones(len(x), 1, dtype=torch.float64)], dim=1)
        self.sum += x.T @ x


@torch.no_grad()
def prune_once(
    model: Any, corpus: Corpus, budget: Budget, groups: list[Group], keep: float, progress: Progress
) -> tuple[dict[str, Tensor], Masks]:
    """The state of the pruned model, dropped lines exact zeros, and the kept lines by group.

    A matrix that loses inputs is refitted so that the inputs that are left give the same outputs as nearly as can be on
    the samples: min ||X W - X_kept W'||, with a small ridge (as the optimal brain surgeon does, Hassibi and Stork 1993,
    a whole set of lines at a time).
    """
    model.eval()
    linears = gate_linears(model)
    grams = {name: _Gram(linear) for name, linear in linears.items()}
    batches = corpus.in_order(BATCH)
    gates = Gates(budget)
    gates.start_from(line_importance(model, linears, groups, corpus, batches, progress), budget)
    masks = budget.choose(gates.worth(keep), keep)
    rows, cols = ({m: masks[g.name] for g in groups for m in getattr(g, lines)} for lines in ("rows_of", "cols_of"))
    for done, (name, linear) in enumerate(linears.items(), 1):
        grams[name].hook.remove()
        if name in rows:
            _refit(linear, torch.from_numpy(rows[name]), grams[name].sum)
        if name in cols:
            linear.weight *= torch.from_numpy(cols[name])[:, None]
        progress("refitting", done, len(linears))
    return model.state_dict(), masks


def _refit(linear: GatedLinear, kept: Tensor, gram: Tensor) -> None:
    """Give the work of the dropped inputs to the kept ones and to the bias."""
    stays = torch.cat([kept, torch.ones(1, dtype=torch.bool)])
    inside = gram[stays][:, stays]
    inside += RIDGE * torch.diagonal(inside).mean() * torch.eye(len(inside), dtype=torch.float64)
    moved = torch.linalg.solve(inside, gram[stays][:, ~stays] @ linear.weight.double()[:, ~kept].T)
    linear.weight[:, kept] += moved[:-1].T.float()
    linear.weight[:, ~kept] = 0
    if linear.bias is not None:
        linear.bias += moved[-1].float()
