"""Weights as the crossbar will hold them: rounded to the target's codes, and, if asked, on cells some of which are
stuck.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rcompile.hardware.target import Target


class CrossbarRead(nn.Module):
    """Reads a weight matrix as its codes times their scale; the gradient passes straight through (Bengio et al. 2013).

    fault_rate: share of cells that are stuck, drawn anew at every read, split as the target's SA0 and SA1; the `voted`
    most significant digits are spared, as replicas would repair them. Offset encoding only, where a stuck cell moves a
    code by its digit's error.
    """

    def __init__(self, target: Target, fault_rate: float = 0.0, voted: int = 0, seed: int = 0) -> None:
        super().__init__()
        self.limit = target.weight_code_max
        digits, self.top, self.offset = target.encoding.digits, target.top_level, target.encoding.offset
        self.digits = digits[: max(len(digits) - voted, 0)]
        self.rate = fault_rate
        total = target.faults.sa0_rate + target.faults.sa1_rate
        self.sa1 = target.faults.sa1_rate / total if total else 0.5
        self.generator = torch.Generator().manual_seed(seed)

    def forward(self, weight: Tensor) -> Tensor:
        """weight: [outputs, inputs]. Returns the same shape."""
        with torch.no_grad():
            scale = (weight.abs().amax(dim=1, keepdim=True) / self.limit).clamp_min(1e-30)
            codes = (weight / scale).round_()
            if self.rate and self.training:
                self._stick(codes.view(-1))
            error = codes.mul_(scale).sub_(weight)
        return weight + error

    def _stick(self, codes: Tensor) -> None:
        for digit in self.digits:
            hits = int(torch.poisson(torch.tensor(float(self.rate * codes.numel())), generator=self.generator))
            at = torch.randint(codes.numel(), (hits,), generator=self.generator)
            held = codes[at]
            level = (held.long() + self.offset) // digit & self.top
            stuck = (torch.rand(hits, generator=self.generator) < self.sa1).long() * self.top
            codes[at] = held + (stuck - level) * digit
