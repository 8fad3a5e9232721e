"""Digits for a known die: the list of signed powers of two that leaves the weights least wrong, tried on a few of them
with cells of the chip. docs/protection.md, "Redundant digits", says why lists repeat digits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rcompile.hardware.encoding import LARGEST_OFFSET, LARGEST_SUM, Encoding
from rcompile.hardware.faults import stuck_cells
from rcompile.hardware.target import Target
from rcompile.layout.compact import UsedLines
from rcompile.layout.normal_form import I8, I16, U8
from rcompile.layout.place import crossbars
from rcompile.layout.quantize import QuantizedLinear
from rcompile.protection.nearest import FREE, Block, squared_errors
from rcompile.protection.reachable import Reachable

# More bitlines an output gain little, and the table of what they reach grows.
MOST_BITLINES = 16
# Outputs that lists are tried on; and the best of them again.
TRIED, TRIED_AGAIN, FINALISTS = 48, 256, 6


@dataclass(frozen=True, eq=False)
class Lines:
    """What is to be known of a layer before digits are chosen. codes: int8 [<= rows, <= TRIED], of its first row block,
    of some outputs.
    """

    used: UsedLines
    codes: I8

    def crossbars(self, bitlines: int, target: Target) -> int:
        """How many the layer takes with so many bitlines an output."""
        return crossbars(len(self.used.inputs), np.full(len(self.used.outputs), bitlines), target)


def lines_of(linear: QuantizedLinear, used: UsedLines, target: Target) -> Lines:
    """Take down what `choose_digits` needs, so that the codes can be let go."""
    some = used.outputs[:: max(1, len(used.outputs) // TRIED)][:TRIED]
    return Lines(used, linear.codes[np.ix_(used.inputs[: target.crossbar.rows], some)])


def most_bitlines(layers: Sequence[Lines], budget: int, target: Target) -> int:
    """The most bitlines that every output can have within so many crossbars; at least those of the target's own
    digits.
    """
    wider = range(min(MOST_BITLINES, target.crossbar.cols), target.bitlines_per_output, -1)
    fitting = (b for b in wider if sum(layer.crossbars(b, target) for layer in layers) <= budget)
    return next(fitting, target.bitlines_per_output)


def choose_digits(layers: Sequence[Lines], bitlines: int, faults: U8, target: Target) -> Encoding:
    """The list of so many digits that leaves the tried weights least wrong on a chip, faults u8 [crossbars, rows, cols]
    of `Fault`; the target's own if none is better.

    Steps of one digit to the next power of two, each the first that is better: from the best list of two digits
    repeated, and from the target's own magnitudes in turn. The best that were seen are tried again, on more outputs.
    """
    trial = _Trial(_some_codes(layers, TRIED), faults, bitlines, target)
    size = -(-bitlines // 2) if target.subtracts else bitlines
    own = target.encoding.magnitudes[::-1]
    repeated = ((m,) * i + (n,) * (size - i) for m in trial.magnitudes for n in trial.magnitudes for i in range(size))
    starts = [min(repeated, key=trial.error, default=()), tuple(own[i % len(own)] for i in range(size))]
    for start in starts:
        if trial.error(start) < np.inf:
            trial.climb(start)
    again = _Trial(_some_codes(layers, TRIED_AGAIN), faults, bitlines, target)
    return min([target.encoding, *trial.best(FINALISTS)], key=again.error_of)


class _Trial:
    """Lists of digits, tried on some weights and some cells of a chip. A list is told by its positive digits; where
    shift-add subtracts, it is those and the same ones negated, the last one aside if the number is odd; else half of
    what they reach is the offset.
    """

    def __init__(self, codes: I16, faults: U8, bitlines: int, target: Target) -> None:
        self.codes, self.bitlines, self.target = codes, bitlines, target
        self.magnitudes = sorted(digit for digit in target.digits_apply if digit > 0)
        self.faults = faults
        self._cells: dict[int, U8] = {}
        self._errors: dict[tuple[int, ...], float] = {}

    def list_of(self, positive: tuple[int, ...]) -> Encoding | None:
        """The list; None for one that adds up to more than sums hold."""
        negative = tuple(-d for d in positive[: self.bitlines - len(positive)])
        offset = 0 if negative else min(self.target.top_level * sum(positive) // 2, LARGEST_OFFSET)
        fits = sum(positive) - sum(negative) <= LARGEST_SUM
        return Encoding(digits=(*positive, *negative), offset=offset) if fits else None

    def error(self, positive: tuple[int, ...]) -> float:
        """Mean over the outputs of their relative squared error; infinite for no list that shift-add can apply."""
        positive = tuple(sorted(positive, reverse=True))
        if positive not in self._errors:
            encoding = self.list_of(positive) if positive and set(positive) <= set(self.magnitudes) else None
            self._errors[positive] = self.error_of(encoding) if encoding else np.inf
        return self._errors[positive]

    def error_of(self, encoding: Encoding) -> float:
        """As `error`, of a list in full."""
        length, (rows, outputs) = len(encoding.digits), self.codes.shape
        if length not in self._cells:
            self._cells[length] = _cells(self.faults, (length, rows, outputs), self.target)
        rank = np.argsort(np.argsort([-abs(d) for d in encoding.digits], kind="stable"))
        block = Block(self.codes + np.int16(encoding.offset), self._cells[length][rank])
        reachable = Reachable(encoding, self.target.top_level)
        missed = squared_errors(block, encoding.digits, reachable, self.target.weights.column_inversion)
        return float((missed / np.maximum((self.codes.astype(np.int64) ** 2).sum(axis=0), 1)).mean())

    def best(self, count: int) -> list[Encoding]:
        """The best lists that have been tried, at most so many."""
        found = sorted((error, positive) for positive, error in self._errors.items() if error < np.inf)[:count]
        return [encoding for _, positive in found if (encoding := self.list_of(positive))]

    def climb(self, positive: tuple[int, ...]) -> None:
        """Try lists step by step, until no step makes one better."""
        positive = tuple(sorted(positive, reverse=True))
        while better := next((n for n in self._steps(positive) if self.error(n) < self.error(positive)), None):
            positive = better

    def _steps(self, positive: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        for i, digit in enumerate(positive):
            at = self.magnitudes.index(digit)
            for other in self.magnitudes[max(at - 1, 0) : at + 2]:
                changed = tuple(sorted((*positive[:i], other, *positive[i + 1 :]), reverse=True))
                if other != digit and (i == 0 or positive[i - 1] != digit):
                    yield changed


def _some_codes(layers: Sequence[Lines], count: int) -> I16:
    """Some outputs of the layers that fill a row block, or come nearest to it: i16 [k, <= count]."""
    most = max(len(layer.codes) for layer in layers)
    full = [layer.codes for layer in layers if len(layer.codes) == most]
    each = -(-count // len(full))
    some = np.concatenate([codes[:, :each] for codes in full], axis=1)
    return some[:, :: max(1, some.shape[1] // count)][:, :count].astype(np.int16)


def _cells(faults: U8, shape: tuple[int, int, int], target: Target) -> U8:
    """Cells of crossbars all over a chip as what `Block` says is stuck: u8 [bitlines, k, n], the cleanest bitlines of
    each crossbar first, as `cleanest_first` gives them to the largest digits.
    """
    bitlines, rows, outputs = shape
    stuck = np.count_nonzero(faults[:, :rows], axis=1)
    each = target.crossbar.cols // bitlines
    order = np.argsort(stuck, axis=1, kind="stable")[:, : each * bitlines]
    sorted_cells = np.take_along_axis(faults[:, :rows], order[:, None, :], axis=2)
    by_rank = sorted_cells.reshape(-1, rows, bitlines, each).transpose(2, 1, 3, 0).reshape(bitlines, rows, -1)
    taken = np.arange(outputs) * max(1, by_rank.shape[2] // outputs) % by_rank.shape[2]
    return stuck_cells(by_rank[:, :, taken], target.top_level, FREE)
