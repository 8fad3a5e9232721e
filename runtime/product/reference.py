"""The hardware model in NumPy, written to be read: the judge of the native kernels. docs/hardware.md is its prose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rcompile.hardware.target import Target
from rcompile.layout.normal_form import F32, I64, U8, Tiles, decode
from rcompile.vocabulary import Combiner
from runtime.die.cells import F64, on_grid
from runtime.die.layers import LayerOnDie
from runtime.die.randomness import row_digests
from runtime.die.reads import Reading, Where
from runtime.die.votes import operation_units, resolve, tickets_of


@dataclass(frozen=True, eq=False)
class Planes:
    """Input planes of one product, one a DAC cycle. pulses: u8 [P, M, K], of dac_bits bits. weight: int64 [P]."""

    pulses: U8
    weight: I64

    @property
    def driven(self) -> I64:
        """The codes that the planes add up to: int64 [M, K]."""
        return np.tensordot(self.weight, self.pulses.astype(np.int64), axes=1)


def quantize_inputs(x: F32, target: Target, input_scale: float | None) -> tuple[I64, F32]:
    """Input codes int64 [M, K] and the scale of each row float32 [M]; rows with NaN or Inf get code 0 and scale NaN."""
    qmax = np.float32((1 << (target.input.bits - 1)) - 1)
    finite = np.asarray(np.isfinite(x).all(axis=1))
    x = np.where(finite[:, None], x, np.float32(0))
    if input_scale is None:
        scale = np.maximum(np.abs(x).max(axis=1, initial=0) / qmax, np.finfo(np.float32).tiny)
    else:
        scale = np.full(len(x), input_scale, np.float32)
    codes = np.clip(np.rint(x / scale[:, None]), -qmax, qmax)
    return codes.astype(np.int64), np.where(finite, scale, np.float32(np.nan)).astype(np.float32)


def input_planes(codes: I64, target: Target) -> Planes:
    """What drives the wordlines, cycle by cycle, for codes int64 [M, K]."""
    bits, coding = target.input.bits, target.input.coding
    if coding == "offset":
        return _pulse_planes(codes + (1 << (bits - 1)), bits, target)
    if coding == "sign_magnitude":
        positive = _pulse_planes(np.maximum(codes, 0), bits - 1, target)
        negative = _pulse_planes(np.maximum(-codes, 0), bits - 1, target)
        pulses = np.concatenate([positive.pulses, negative.pulses])
        return Planes(pulses, np.concatenate([positive.weight, -negative.weight]))
    low = _pulse_planes(codes & ((1 << (bits - 1)) - 1), bits - 1, target)
    sign = (codes < 0).astype(np.uint8)
    return Planes(np.concatenate([low.pulses, sign[None]]), np.append(low.weight, -(1 << (bits - 1))))


def _pulse_planes(codes: I64, bits: int, target: Target) -> Planes:
    """The pulses of codes int64 [M, K] below 2^bits, dac_bits bits each, the least significant first; the last one may
    be short.
    """
    shifts = np.arange(0, bits, target.input.dac_bits)
    return Planes(((codes[None] >> shifts[:, None, None]) & target.top_pulse).astype(np.uint8), 1 << shifts)


def leakage(population: I64, target: Target) -> F64:
    """Leakage in levels, on a grid of 2^-20, of reads whose pulses add up to `population`: float64, same shape."""
    return np.rint(target.hrs_levels * population * 2.0**20) / 2.0**20


def adc_codes(level_sum: I64 | F64, population: I64, target: Target) -> I64:
    """The code of each read by the target's converter. level_sum: [..., bitlines], population: [..., 1]."""
    return converted(level_sum + leakage(population, target), target).astype(np.int64)


def converted(current: F64, target: Target) -> F64:
    """Codes of currents in levels; an ideal converter gives the current itself. float64, same shape."""
    if not target.adc.bits:
        return current
    return np.clip(np.floor(current / target.adc.step_levels + 0.5), 0, (1 << target.adc.bits) - 1)


def matmul_codes(
    codes: I64,
    levels: U8 | F64,
    tiles: Tiles,
    target: Target,
    outputs: int,
    combiner: Combiner = "none",
    reading: Reading | None = None,
) -> F64:
    """y_int, float64 [M, outputs], of input codes int64 [M, K]; integers for whole levels and an integer ADC step.

    levels: [T, rows, cols], what the cells really hold, u8 or analog in levels: `tiles.levels` on a clean die. reading:
    None for ideal reads.
    """
    planes = input_planes(codes, target)
    driven, digests = planes.driven, row_digests(codes)
    code_sum, digital = np.zeros((2, len(codes), outputs))
    place, top = tiles.placement, target.top_level
    digits = np.array(place.encoding.digits, np.int64)
    levels = resolve(levels, place, target, combiner)
    for t in range(place.tiles):
        for members in place.vote_groups(t):
            tickets = tickets_of(combiner, members.shape[1])
            first = members[:, 0]
            output, inverted = place.bitline_output[t, first], tiles.bitline_inverted[t, first] == 1
            weight = digits[place.bitline_digit[t, first]] / tickets
            for unit, wordlines in enumerate(operation_units(place, t, target)):
                if not wordlines.size:
                    continue
                pulses = planes.pulses[:, :, place.wordline_input[t, wordlines]].astype(np.int64)
                population = pulses.sum(axis=2)[:, :, None]
                read = _Read(pulses, population, levels[t, wordlines], t, unit, digests)
                reads = _voted_reads(read, members, target, combiner, reading)
                correction = -tickets * digital_leakage(population, target)
                signed = np.where(inverted, -reads, reads)
                extra = np.where(inverted, tickets * top * population - correction, correction)
                np.add.at(code_sum.T, output, (np.tensordot(planes.weight, signed, axes=1) * weight).T)
                np.add.at(digital.T, output, (np.tensordot(planes.weight, extra, axes=1) * weight).T)
        last = (place.bitline_digit[t] == len(digits) - 1) & (place.bitline_replica[t] == 0)
        carries = place.bitline_output[t, last & (place.bitline_output[t] >= 0)]
        features = place.wordline_input[t][place.wordline_input[t] >= 0]
        np.subtract.at(digital.T, carries, driven[:, features].sum(axis=1) * place.encoding.offset)
    if target.input.coding == "offset":
        digital -= decode(tiles, target, codes.shape[1], outputs).sum(axis=0, dtype=np.int64) << (target.input.bits - 1)
    return target.adc.step_levels * code_sum + digital


def digital_leakage(population: I64, target: Target) -> F64:
    """What is subtracted after a read for the leakage of driven rows: whole levels, or all of it after an ideal
    converter.
    """
    leak = leakage(population, target)
    return np.floor(leak + 0.5) if target.adc.bits else leak


@dataclass(frozen=True, eq=False)
class _Read:
    """One operation unit of one tile, all planes. pulses: [P, M, wordlines]. population: [P, M, 1]. levels: [wordlines,
    cols]. digests: of the M rows.
    """

    pulses: I64
    population: I64
    levels: U8 | F64
    tile: int
    unit: int
    digests: list[int]

    def codes(self, cols: I64, target: Target, reading: Reading | None) -> F64:
        """Codes of some bitlines: [P, M, bitlines]."""
        current = self.pulses @ self.levels[:, cols].astype(np.float64) + leakage(self.population, target)
        if reading is None:
            return converted(current, target)
        current = current * reading.gain[self.tile, cols] + reading.offset[self.tile, cols]
        planes = len(self.pulses)
        codes = np.empty_like(current)
        for p in range(planes):
            where = Where(self.digests, p, planes, self.unit, self.tile, cols)
            noise = reading.noise_levels(where, self.population[p]) if reading.physics.has_noise else 0.0
            codes[p] = converted(current[p] + noise, target)
            if reading.physics.code_flip:
                codes[p] = reading.flipped(codes[p], where, target.adc.bits)
        return codes


def _voted_reads(read: _Read, members: I64, target: Target, combiner: Combiner, reading: Reading | None) -> F64:
    """The code of each vote group in one operation unit, of its tickets the sum: [P, M, groups]. members: [groups,
    R].
    """
    if combiner not in ("median", "mean"):
        tickets = members.T[: tickets_of(combiner, members.shape[1])]
        return np.sum([read.codes(ticket, target, reading) for ticket in tickets], axis=0)
    replicas = [read.codes(r, target, reading) for r in members.T]
    if combiner == "median":
        return np.sort(replicas, axis=0)[(len(replicas) - 1) // 2]
    mean = np.sum(replicas, axis=0) / len(replicas)
    if target.adc.bits:
        return np.floor(mean + 0.5)
    # The leakage is taken away again, so that replicas that read alike give what each of them gives.
    leak = leakage(read.population, target)
    return on_grid(mean - leak) + leak


@dataclass(frozen=True, eq=False)
class Scaling:
    """The digital part of one node. weight, bias: float32 [N]. input: the calibrated scale of its input; None: one
    scale a row.
    """

    weight: F32
    bias: F32
    input: float | None = None


def linear(
    x: F32, layer: LayerOnDie, tiles: Tiles, scaling: Scaling, target: Target, combiner: Combiner = "none"
) -> F32:
    """float32 [..., N] = x float32 [..., K] times the matrix that a die holds, plus the bias."""
    outputs = len(scaling.weight)
    codes, scale = quantize_inputs(x.reshape(-1, x.shape[-1]), target, scaling.input)
    codes = layer.struck(codes, target.input.bits)
    y_int = matmul_codes(codes, layer.levels, tiles, target, outputs, combiner, layer.reading)
    with np.errstate(over="ignore", invalid="ignore"):
        y = y_int.astype(np.float32) * (scale[:, None] * scaling.weight) + scaling.bias
    return y.reshape(*x.shape[:-1], outputs)


def collapsible(
    levels: U8 | F64, tiles: Tiles, target: Target, combiner: Combiner = "none", reading: Reading | None = None
) -> npt.NDArray[np.bool_]:
    """bool [T, cols]: bitlines, replica 0 of each group, that fold into an integer matrix: their reads are linear in
    the pulses, whatever the input. So no read can clip, in any operation unit, none is rounded, and no vote is to be
    taken.
    """
    place, full_scale = tiles.placement, (1 << target.adc.bits) - 1
    proven = np.zeros(place.bitline_output.shape, np.bool_)
    levels = resolve(levels, place, target, combiner)
    rounded = target.adc.bits and (target.adc.step_levels != 1 or levels.dtype != np.uint8)
    if rounded or reading is not None:
        return proven
    for t in range(place.tiles):
        driven = (place.wordline_input[t] >= 0)[:, None, None]
        for members in place.vote_groups(t):
            votes = combiner in ("median", "mean")
            read = members if votes else members[:, : tickets_of(combiner, members.shape[1])]
            replicas = levels[t][:, read] * driven
            alike = (replicas == replicas[:, :, :1]).all(axis=(0, 2)) | (not votes)
            for unit in operation_units(place, t, target):
                worst = target.top_pulse * replicas[unit].sum(axis=0, dtype=np.float64).max(axis=1)
                offset = np.floor(leakage(np.array(target.top_pulse * len(unit)), target) + 0.5)
                alike &= (worst + offset <= full_scale) | (target.adc.bits == 0)
            proven[t, members[:, 0]] = alike
    return proven
