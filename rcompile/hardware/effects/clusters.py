"""Clusters of stuck cells."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from rcompile.errors import UsageError
from rcompile.hardware.effects.base import Effect
from rcompile.hardware.physics import Physics
from rcompile.hardware.section import key

if TYPE_CHECKING:
    from rcompile.hardware.target import Target


class Clusters(Effect):
    """Stuck cells come in clusters: the fault rates vary from block to block of a crossbar, their mean unchanged. Needs stuck cells."""

    source = "blocks of gamma-distributed fault density: Koren, Koren and Stapper, IEEE Trans. Computers 42 (1993); alpha 2 is usual for yield, the side is an assumption"
    side_cells: Annotated[int, key("side of a block", "cells", ge=1, le=4096)] = 16
    alpha: Annotated[int, key("cluster parameter; small: few dense clusters, large: no clusters", ge=1, le=64)] = 2

    def act(self, die: Physics, target: Target) -> Physics:
        """Raises UsageError where no cell is stuck."""
        if not die.stuck:
            raise UsageError(
                "clusters: there are no stuck cells to cluster: give fault rates (--sa0, --sa1), or effects that stick cells."
            )
        scale = cluster_scale(die.stuck, self.alpha)
        return replace(die, cluster_side=self.side_cells, cluster_alpha=self.alpha, cluster_scale=scale)


def cluster_scale(total_rate: float, alpha: int) -> float:
    """The factor on a block's density (gamma, shape alpha, mean 1) with which the mean share of stuck cells is `total_rate`, although no
    block can have more than all of its cells stuck: E[min(scale * density, 1 / total_rate)] = 1.
    """
    if not 0 < total_rate < 1:
        return 1.0

    def mean(scale: float) -> float:
        cap = 1 / total_rate
        bound = alpha * cap / scale
        return scale * _erlang_cdf(alpha + 1, bound) + cap * (1 - _erlang_cdf(alpha, bound))

    return _increasing_root(lambda log_scale: mean(math.exp(log_scale)) - 1, 0.0, 50.0)


def _erlang_cdf(shape: int, x: float) -> float:
    """P(a sum of `shape` standard exponentials <= x)."""
    term, total = 1.0, 1.0
    for i in range(1, shape):
        term *= x / i
        total += term
    return 1 - math.exp(-x) * total if x < 700 else 1.0


def _increasing_root(f: Callable[[float], float], low: float, high: float) -> float:
    """exp of where f crosses 0, by bisection."""
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if f(middle) < 0 else (low, middle)
    return math.exp(low)
