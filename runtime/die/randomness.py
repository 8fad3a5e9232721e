"""Random numbers without state: any number of any cell or read in any order, the same here and in the native kernels.

docs/hardware.md, "Random numbers", is the prose. Every operation is exact in IEEE 754, or rounded once, in float32;
none is a library's function, whose last bit differs from machine to machine.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
F32 = npt.NDArray[np.float32]

_MASK = (1 << 64) - 1


class Purpose(IntEnum):
    """What a number is drawn for; draws for different purposes are independent."""

    STUCK = 0
    BETWEEN = 1
    PROGRAMMING = 2
    SPREAD = 3
    CLUSTER = 4
    WORDLINE = 5
    BITLINE = 6
    CROSSBAR = 7
    ADC_OFFSET = 8
    ADC_GAIN = 9
    READ_NOISE = 10
    CODE_FLIP = 11
    ACTIVATION = 12
    NUMBERS = 13


def mix64(z: int) -> int:
    """The finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def _mix32(x: U32) -> U32:
    """lowbias32, a bijection of 32-bit words with low bias (Wellons, 2018)."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def crossbar_key(seed: int, purpose: Purpose, crossbar: int) -> int:
    """The 64-bit key of a crossbar, by its number on the die."""
    of_purpose = seed if purpose == Purpose.STUCK else mix64((seed + 0xD1B54A32D192ED03 * purpose) & _MASK)
    return mix64(of_purpose ^ mix64((crossbar + 0x9E3779B97F4A7C15) & _MASK))


def row_keys(key: int, digests: list[int]) -> U64:
    """The keys of rows of inputs, by their digests, from a crossbar's key: uint64 [M, 1]."""
    keys = [mix64(key ^ mix64((digest + 0x9E3779B97F4A7C15) & _MASK)) for digest in digests]
    return np.array(keys, np.uint64)[:, None]


def row_digests(codes: npt.NDArray[np.int64]) -> list[int]:
    """A 64-bit digest of each row of input codes [M, K]: draws belong to the input, not to its place in a batch."""
    octets = np.zeros((len(codes), -(-codes.shape[1] // 8) * 8), np.int8)
    octets[:, : codes.shape[1]] = codes
    digests = []
    for row in octets.view("<u8").tolist():
        digest = 0
        for word in row:
            digest = mix64(((digest ^ word) + 0x9E3779B97F4A7C15) & _MASK)
        digests.append(digest)
    return digests


def words(key: int | U64, index: npt.NDArray[np.integer]) -> U32:
    """The 32-bit word at each index below 2^32: uint32, the shape of key and index broadcast."""
    keys = np.asarray(key, np.uint64)
    low, high = (keys & np.uint64(0xFFFFFFFF)).astype(np.uint32), (keys >> np.uint64(32)).astype(np.uint32)
    return _mix32(_mix32(index.astype(np.uint32) ^ low) ^ high)


def threshold(rate: float) -> int:
    """A word hits at `rate` if it is below this: floor(rate * 2^32)."""
    return int(rate * 2**32)


def logarithm(y: F32) -> F32:
    """Natural logarithm of normal positive float32, within 3e-7 of the largest of 1 and the result."""
    bits = y.view(np.int32)
    exponent = (bits - np.int32(0x3F3504F3)) >> np.int32(23)
    m = (bits - (exponent << np.int32(23))).view(np.float32)  # in [sqrt(1/2), sqrt(2))
    t = (m - np.float32(1)) / (m + np.float32(1))
    s = t * t
    p = _polynomial(s, (1 / 9, 1 / 7, 1 / 5, 1 / 3, 1.0))
    return np.multiply(exponent.astype(np.float32), np.float32(0.6931471805599453), dtype=np.float32) + (t + t) * p


def exponential(v: F32) -> F32:
    """exp(v) of float32 in -80 .. 80, within 3e-7 of the result."""
    n = (v * np.float32(1.4426950408889634) + np.float32(12582912)) - np.float32(12582912)
    r = (v - n * np.float32(0.693145751953125)) - n * np.float32(1.428606765330187e-06)
    p = _polynomial(r, (1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2, 1.0, 1.0))
    return p * ((n.astype(np.int32) + np.int32(127)) << np.int32(23)).view(np.float32)


# Giles, "Approximating the erfinv function", GPU Computing Gems Jade edition (2011), single precision; highest power
# first.
_CENTRE = (2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503, -0.00417768164, 0.246640727, 1.50140941)  # fmt: skip
_TAIL = (-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613, 0.00943887047, 1.00167406, 2.83297682)  # fmt: skip


def normal(word: U32, reach: F32 | float = 1.0) -> F32:
    """Standard normal numbers from words. reach: erf(k / sqrt(2)) cuts the distribution off at +-k (and renormalizes
    it).

    The 24 high bits make x = erf(z / sqrt(2)), evenly spaced in (-1, 1): |z| is at most 5.4.
    """
    odd = ((word >> np.uint32(8)).astype(np.int32) * np.int32(2) + np.int32(1 - (1 << 24))).astype(np.float32)
    x = odd * np.float32(2.0**-24) * np.asarray(reach, np.float32)
    w = -logarithm((np.float32(1) - x) * (np.float32(1) + x))
    centre = _polynomial(w - np.float32(2.5), _CENTRE)
    tail = _polynomial(np.sqrt(np.maximum(w, np.float32(0))) - np.float32(3), _TAIL)
    return np.where(w < np.float32(5), centre, tail) * x * np.float32(1.4142135623730951)


def _polynomial(x: F32, coefficients: tuple[float, ...]) -> F32:
    """By Horner's rule, highest power first; a product and a sum at a time, both rounded."""
    p = np.full_like(x, np.float32(coefficients[0]))
    for c in coefficients[1:]:
        p = p * x + np.float32(c)
    return p
