"""Encodings: every one is a list of digits. docs/hardware.md, "Weights", is the prose."""

from __future__ import annotations

from functools import cache
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field

from rcompile.hardware.section import Section

U8 = npt.NDArray[np.uint8]
# What the sums of the native kernels hold.
MOST_DIGITS, LARGEST_DIGIT, LARGEST_SUM, LARGEST_OFFSET = 64, 128, 255, 255


def _signed_powers_of_two(digits: tuple[int, ...]) -> tuple[int, ...]:
    if wrong := [d for d in digits if d == 0 or abs(d) & (abs(d) - 1) or abs(d) > LARGEST_DIGIT]:
        raise ValueError(f"{wrong[0]} is no digit: give 1, 2, 4, .. {LARGEST_DIGIT}, or one of them negated")
    if sum(map(abs, digits)) > LARGEST_SUM:
        raise ValueError(f"the digits' magnitudes add up to {sum(map(abs, digits))}, more than {LARGEST_SUM}")
    return digits


class Encoding(Section):
    """A weight is the sum over its bitlines of digit * level, less the offset.

    digits: signed powers of two that shift-add applies, one a bitline of an output over one row block; the offset is
    subtracted digitally, with the bitline of the last digit.
    """

    digits: Annotated[
        tuple[int, ...], Field(min_length=1, max_length=MOST_DIGITS), AfterValidator(_signed_powers_of_two)
    ]
    offset: Annotated[int, Field(ge=0, le=LARGEST_OFFSET)] = 0

    def __str__(self) -> str:
        """`1, 4, 16, 64 less 128`."""
        return ", ".join(map(str, self.digits)) + (f" less {self.offset}" if self.offset else "")

    @property
    def magnitudes(self) -> tuple[int, ...]:
        """The magnitudes of the digits, each once, in rising order."""
        return tuple(sorted({abs(d) for d in self.digits}))

    def bitlines(self, per_magnitude: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
        """What holds for each magnitude [..., magnitudes], added up over the digits: i64 [...]."""
        counts = [sum(abs(d) == m for d in self.digits) for m in self.magnitudes]
        return per_magnitude.astype(np.int64) @ np.array(counts, np.int64)

    def by_digit(self, per_magnitude: U8) -> U8:
        """What holds for each magnitude, for each digit: u8 [..., digits] of u8 [..., magnitudes]."""
        return per_magnitude[..., [self.magnitudes.index(abs(d)) for d in self.digits]]

    def levels(self, top_level: int) -> U8:
        """The level of each digit's cell for every weight code: u8 [256, digits], by the code modulo 256.

        Greedily: the digits that have the sign of what is left of `code + offset`, from the largest to the smallest,
        take as many levels as they can. For offset and differential encoding that is the one way to write a code.
        """
        rest = np.arange(256, dtype=np.uint8).view(np.int8).astype(np.int64) + self.offset
        table = np.zeros((256, len(self.digits)), np.uint8)
        for i in sorted(range(len(self.digits)), key=lambda i: -abs(self.digits[i])):
            table[:, i] = np.clip(rest // self.digits[i], 0, top_level)
            rest -= self.digits[i] * table[:, i].astype(np.int64)
        return table


@cache
def offset_encoding(weight_bits: int, cell_bits: int) -> Encoding:
    """The digits of `q + 2^(weight_bits - 1)`, as many bits a digit as a cell has."""
    return Encoding(digits=_powers(weight_bits, cell_bits), offset=1 << (weight_bits - 1))


@cache
def differential_encoding(weight_bits: int, cell_bits: int) -> Encoding:
    """The digits of the magnitude of a positive code, then those of a negative one."""
    digits = _powers(weight_bits - 1, cell_bits)
    return Encoding(digits=(*digits, *(-d for d in digits)))


def _powers(bits: int, cell_bits: int) -> tuple[int, ...]:
    return tuple(1 << shift for shift in range(0, bits, cell_bits))
