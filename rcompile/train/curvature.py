"""What a model's outputs lose with each line: the optimal brain surgeon on whole lines of matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from rcompile.pipeline import Progress
from rcompile.train.budget import Group, Removal
from rcompile.train.data import Corpus

STEPS = 64  # in which the lines of a group go; after each, what is left takes over their work
RIDGE = 1e-3  # of the mean input energy
ROUNDING = 1e-12  # of the energy, the mean included: what a difference of float64 sums may be off


class Curvature:
    """How the model's logits answer to a change of a linear's weights, gathered while it runs forwards and backwards.

    A token whose output the logits depend on weighs more, by g^2, where g is the gradient of a random mix of the
    logits; so that the last layer is judged by the one token that the head reads. inputs: second moments of the
    centred inputs, [inputs, inputs]; outputs: those of g, [outputs, outputs]; dropped: what the logits move when an
    output becomes constant, [outputs]. Moments over inputs and over gradients are taken to be independent (K-FAC,
    Martens and Grosse 2015).
    """

    def __init__(self, linear: nn.Linear) -> None:
        outputs, inputs = linear.weight.shape
        self.moments = torch.zeros(inputs + 1, inputs + 1, dtype=torch.float64)  # the last input is 1
        self.outputs = torch.zeros(outputs, outputs, dtype=torch.float64)
        self.dropped = torch.zeros(outputs, dtype=torch.float64)
        self.hook = linear.register_forward_hook(self._see)

    def _see(self, linear: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        x, y = (v.detach().reshape(-1, v.shape[-1]) for v in (inputs[0], output))

        def weigh(gradient: Tensor) -> None:
            g = gradient.reshape(-1, gradient.shape[-1])
            weight = g.square().sum(1, keepdim=True)
            seen = torch.cat([x, torch.ones(len(x), 1)], dim=1).double()  # what is left without the mean may be little
            mean = (weight * y).sum(0) / weight.sum().clamp_min(1e-30)
            self.moments += (weight * seen).T @ seen
            self.outputs += g.T @ g
            self.dropped += (g * (y - mean)).square().sum(0)

        output.register_hook(weigh)

    @property
    def inputs(self) -> Tensor:
        """Second moments of the centred inputs, their weights summing to one; a bias makes up for their mean."""
        moments = self.moments / self.moments[-1, -1].clamp_min(1e-30)
        mean = moments[:-1, -1]
        rounding = ROUNDING * moments.diagonal().mean() * torch.eye(len(mean), dtype=torch.float64)
        return moments[:-1, :-1] - mean[:, None] * mean + rounding


def gather(
    model: Any, corpus: Corpus, batches: Sequence[npt.NDArray[np.int64]], progress: Progress
) -> dict[str, Curvature]:
    """The curvature of every linear of a model in evaluation mode, by module path. The model's parameters are frozen.

    The gradient is of the logits times random normal numbers, so that its second moments are those of the logits'
    Jacobian (Gauss-Newton), whatever the model's labels: no label is needed, and texts of which it is sure count, too.
    What moves all logits alike moves no class.
    """
    model.requires_grad_(False)
    curvatures = {name: Curvature(m) for name, m in model.named_modules() if isinstance(m, nn.Linear)}
    start = model.base_model.embeddings.register_forward_hook(lambda module, inputs, output: output.requires_grad_())
    random = torch.Generator().manual_seed(0)
    for done, rows in enumerate(batches, 1):
        logits = model(**corpus.batch(rows.tolist())[0]).logits
        mix = torch.randn(logits.shape, generator=random)
        if logits.shape[1] > 1:
            mix -= mix.mean(1, keepdim=True)
        (logits * mix).sum().backward()
        progress("weighing lines", done, len(batches))
    for hook in (start, *(c.hook for c in curvatures.values())):
        hook.remove()
    return curvatures


def removals(model: Any, groups: Sequence[Group], curvatures: dict[str, Curvature]) -> dict[str, Removal]:
    """The order in which the lines of each group go, and what that costs.

    Lines with rows cost what is left of the change when the other rows have taken over their work; the columns that go
    with them are then not missed. Lines of columns alone cost what the logits move when they become constant; those of
    a query and of its key meet in a product, where either is all that there is.
    """
    found = {}
    for group in groups:
        if group.rows_of:
            (name,) = group.rows_of
            seen = curvatures[name]
            found[group.name] = remove_inputs(model.get_submodule(name).weight, seen.inputs, seen.outputs)
        else:
            cost = torch.stack([curvatures[name].dropped for name in group.cols_of]).mean(0)
            order = torch.argsort(cost, stable=True)
            found[group.name] = Removal(order.numpy(), np.concatenate([[0.0], np.cumsum(cost[order].numpy())]))
    return found


@torch.no_grad()
def remove_inputs(weight: Tensor, inputs: Tensor, outputs: Tensor) -> Removal:
    """The order in which a linear loses its inputs, the cheapest first, and the cost of having lost the first k.

    weight: [outputs, inputs]. inputs, outputs: second moments A and G, f64. Without the inputs S, and with the best
    weights on the others, tr(G dW A dW^T) is tr(G W_S [A^-1]_SS^-1 W_S^T) (Hassibi and Stork 1993, for a set of lines
    and a Kronecker-factored curvature as in van der Ouderaa et al., The LLM Surgeon, 2024). After each of STEPS
    equal steps the others take over, which changes what they are worth.
    """
    lines = torch.arange(len(inputs))
    at_once = -(-len(lines) // STEPS)
    ridge = RIDGE * inputs.diagonal().mean().clamp_min(1e-30)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(inputs + ridge * torch.eye(len(lines), dtype=ridge.dtype)))
    work = torch.stack([weight.double(), outputs @ weight.double()])  # W and G W, as inputs leave
    order, cost = list[int](), [0.0]
    while len(lines):
        price = (work[0] * work[1]).sum(0).clamp_min(0) / inverse.diagonal()
        ranks = torch.argsort(price, stable=True)
        gone, stay = ranks[:at_once], ranks[at_once:].sort().values
        among = torch.linalg.cholesky(inverse[gone][:, gone])
        taken = torch.cholesky_solve(work[:, :, gone].mT, among)
        lost = max(0.0, float((work[1][:, gone] * taken[0].T).sum()))
        share = price[gone].cumsum(0) / price[gone].sum().clamp_min(1e-300)
        cost += [cost[-1] + lost * float(part) for part in share]
        order += lines[gone].tolist()
        across = inverse[gone][:, stay]
        work = work[:, :, stay] - taken.mT @ across
        inverse = inverse[stay][:, stay] - across.T @ torch.cholesky_solve(across, among)
        lines = lines[stay]
    return Removal(np.array(order, np.int64), np.array(cost))
