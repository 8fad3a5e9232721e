"""Least squares, matrix after matrix: what is left of a pruned model learns the dense model's outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from rcompile.pipeline import Progress
from rcompile.train.budget import Group, Masks
from rcompile.train.model import encoder_layers, head_linears

Feeds = Sequence[dict[str, Tensor]]
Linears = dict[str, nn.Linear]
RIDGE = 1e-3  # of the mean input energy; it holds the weights to the dense ones
STAGES = (("query", "key", "value"), ("attention_output",), ("up",), ("down",))


class _Seen(Exception):
    """All that was wanted of a forward pass has been seen."""


class _LeastSquares:
    """Normal equations of a linear's weights and bias, gathered batch by batch."""

    def __init__(self, linear: nn.Linear) -> None:
        outputs, inputs = linear.weight.shape
        self.linear = linear
        self.inputs = torch.zeros(inputs + 1, inputs + 1, dtype=torch.float64)
        self.products = torch.zeros(inputs + 1, outputs, dtype=torch.float64)

    def add(self, inputs: Tensor, goal: Tensor) -> None:
        """inputs: [tokens, inputs]; goal: [tokens, outputs]."""
        inputs = torch.cat([inputs, torch.ones(len(inputs), 1)], dim=1)
        self.inputs += inputs.T @ inputs
        self.products += inputs.T @ goal

    def solve(self, rows: Tensor | None, cols: Tensor | None) -> None:
        """Give the linear the best weights that are zero outside the rows and columns that are kept (bool; None: all);
        a dropped output is constant.
        """
        weight, bias = self.linear.weight, self.linear.bias
        stays = torch.ones(len(self.inputs), dtype=torch.bool)
        if rows is not None:
            stays[:-1] = rows
        inside = self.inputs[stays][:, stays]
        ridge = RIDGE * inside.diagonal()[:-1].mean() * torch.eye(len(inside), dtype=torch.float64)
        ridge[-1, -1] *= RIDGE  # a bias may move
        dense = torch.cat([weight.T, bias[None]]).double()[stays]
        best = torch.linalg.solve(inside + ridge, self.products[stays] + ridge @ dense)
        weight.zero_()
        weight[:, stays[:-1]] = best[:-1].T.float()
        bias.copy_(best[-1])
        if cols is not None:
            weight *= cols[:, None]
            bias[~cols] = (self.products[-1] / self.inputs[-1, -1]).float()[~cols]


@torch.no_grad()
def refit(model: Any, dense: Any, feeds: Feeds, groups: Sequence[Group], masks: Masks, progress: Progress) -> None:
    """Drop the lines outside the masks, and refit every matrix that is pruned or comes after one that is, in the order
    in which they run.

    model: becomes the pruned one; dense: as it was, both in evaluation mode. The inputs are those of the model as it is
    pruned and refitted so far, the outputs those that the dense model has on its own inputs: each matrix makes up for
    the errors of those before it (as in K-prune, Park et al. 2024, and SlimGPT, Ling et al. 2024), and a matrix whose
    outputs are added to the residual stream for the stream's errors, too.
    """
    rows, cols = (
        {m: torch.from_numpy(masks[g.name]) for g in groups for m in getattr(g, lines)}
        for lines in ("rows_of", "cols_of")
    )
    paths = {module: name for name, module in model.named_modules()}
    layers = list(zip(encoder_layers(model), encoder_layers(dense), strict=True))
    calls = [_arguments(layers[0][1].module, partial(dense, **f)) for f in feeds]
    streams = [(hidden, hidden) for (hidden, *_), _ in calls]
    real = [f["attention_mask"].bool() for f in feeds]
    for done, pair in enumerate(layers, 1):
        runs = [
            [partial(layer.module, hidden, *rest, **named) for layer, hidden in zip(pair, stream, strict=True)]
            for stream, ((_, *rest), named) in zip(streams, calls, strict=True)
        ]
        for stage in STAGES:
            fits = {name: _LeastSquares(pair[0].parts[name]) for name in stage}
            for run, stream, mask in zip(runs, streams, real, strict=True):
                _add(fits, pair, run, stream, mask)
            for fit in fits.values():
                fit.solve(rows.get(paths[fit.linear]), cols.get(paths[fit.linear]))
        streams = [tuple(_tensor(run()) for run in both) for both in runs]
        progress("refitting", done, len(layers))
    _refit_head(model, dense, feeds, rows)


def _add(
    fits: dict[str, _LeastSquares], pair: Any, runs: list[Any], stream: tuple[Tensor, Tensor], real: Tensor
) -> None:
    """Add a batch to the normal equations of a stage."""
    wanted = {*fits, "up"} if "down" in fits else set(fits)
    now, goal = (
        _watch(run, {name: layer.parts[name] for name in wanted}) for run, layer in zip(runs, pair, strict=True)
    )
    for name, fit in fits.items():
        outputs = goal[name][1]
        if name == "attention_output":
            outputs = outputs + stream[1] - stream[0]
        if name == "down":  # what goes into `up` is added to what comes out of `down`
            outputs = outputs + goal["up"][0] - now["up"][0]
        fit.add(now[name][0][real], outputs[real])


def _refit_head(model: Any, dense: Any, feeds: Feeds, rows: dict[str, Tensor]) -> None:
    """The head's first matrix, the only one of it that is pruned."""
    name = head_linears(model)[0]
    fit = _LeastSquares(model.get_submodule(name))
    for f in feeds:
        now, goal = (_watch(partial(m, **f), {name: m.get_submodule(name)})[name] for m in (model, dense))
        fit.add(now[0], goal[1])
    fit.solve(rows.get(name), None)


def _watch(run: Callable[[], Any], linears: Linears) -> dict[str, tuple[Tensor, Tensor]]:
    """The inputs and outputs of these linears, by name, when this runs; it runs no further than the last of them."""
    seen: dict[str, tuple[Tensor, Tensor]] = {}

    def see(name: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen[name] = (inputs[0], output)
        if len(seen) == len(linears):
            raise _Seen

    hooks = [linear.register_forward_hook(partial(see, name)) for name, linear in linears.items()]
    try:
        run()
    except _Seen:
        pass
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def _arguments(layer: nn.Module, run: Callable[[], Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What this layer is called with when this runs."""
    seen = []

    def see(module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        seen.append((given, named))
        raise _Seen

    hook = layer.register_forward_pre_hook(see, with_kwargs=True)
    try:
        run()
    except _Seen:
        pass
    finally:
        hook.remove()
    return seen[0]


def _tensor(output: Any) -> Tensor:
    """The hidden state that a layer gives; some give it in a tuple."""
    return output[0] if isinstance(output, tuple) else output
