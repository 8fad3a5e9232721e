"""How effects enter a read: plain loops over units, planes, rows and bitlines, with deviations chosen here, against the
reference.
"""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_models import changed_target

from rcompile.hardware.encoding import Encoding, differential_encoding, offset_encoding
from rcompile.hardware.physics import Physics
from rcompile.hardware.target import Target
from rcompile.layout.normal_form import Placement, Tiles
from runtime.die.flips import flipped_activations
from runtime.die.reads import Reading, Where, reading_of
from runtime.product.reference import matmul_codes

ROWS, COLS, INPUTS, OUTPUTS = 6, 16, 11, 3


class Chosen:
    """Reads that deviate by numbers chosen per plane, unit, tile and bitline."""

    def __init__(self, seed: int, tiles: int, planes: int, units: int, noisy: bool, flips: bool) -> None:
        rng = np.random.default_rng(seed)
        self.gain, self.offset = rng.uniform(0.7, 1.4, (tiles, COLS)), rng.normal(0, 1, (tiles, COLS))
        self.noise = rng.integers(-3000, 3000, (planes, units, tiles, COLS)) / 1024
        self.flip = rng.integers(0, 3, (planes, units, tiles, COLS))
        self.physics = SimpleNamespace(has_noise=noisy, code_flip=float(flips))

    def noise_levels(self, where: Where, population: np.ndarray) -> np.ndarray:
        return np.tile(self.noise[where.plane, where.unit, where.tile, where.cols], (len(where.digests), 1))

    def flipped(self, codes: np.ndarray, where: Where, adc_bits: int) -> np.ndarray:
        return codes.astype(int) ^ self.flip[where.plane, where.unit, where.tile, where.cols]


def layer(rng: np.random.Generator, encoding: Encoding, target: Target) -> Tiles:
    """Three outputs over two row blocks, inverted or not, at any levels."""
    features = np.full((2, ROWS), -1, np.int32)
    features.reshape(-1)[:INPUTS] = rng.permutation(INPUTS)
    bitlines = [(n, d) for n in range(OUTPUTS) for d in range(len(encoding.digits))]
    output, digits = np.full((2, COLS), -1, np.int32), np.zeros((2, COLS), np.uint8)
    for j, (n, d) in enumerate(bitlines):
        output[:, j], digits[:, j] = n, d
    crossbars = np.arange(2, dtype=np.int32)
    place = Placement(encoding, crossbars, features, output, digits, np.zeros((2, COLS), np.uint8))
    levels = rng.integers(0, target.top_level + 1, (2, ROWS, COLS)).astype(np.uint8)
    return Tiles(place, levels, rng.integers(0, 2, (2, COLS)).astype(np.uint8))


def planes_of(code: int, target: Target) -> list[tuple[int, int]]:
    """(pulse, weight) of each plane of one input code: a pulse is what a DAC of dac_bits makes of as many bits, least
    significant first.
    """
    bits, together = target.input.bits, target.input.dac_bits

    def pulses(number: int, width: int, sign: int) -> list[tuple[int, int]]:
        text = format(number, f"0{width}b")[::-1]
        return [(int(text[at : at + together][::-1], 2), sign * 2**at) for at in range(0, width, together)]

    if target.input.coding == "sign_magnitude":
        return pulses(max(code, 0), bits - 1, 1) + pulses(max(-code, 0), bits - 1, -1)
    if target.input.coding == "offset":
        return pulses(code + 2 ** (bits - 1), bits, 1)
    return [*pulses(code % 2 ** (bits - 1), bits - 1, 1), (int(code < 0), -(2 ** (bits - 1)))]


def by_hand(codes: list[int], cells: np.ndarray, tiles: Tiles, target: Target, chosen: Chosen) -> list[float]:
    """One row of y_int, by docs/hardware.md read literally."""
    place, y = tiles.placement, [0.0] * OUTPUTS
    shift = 2 ** (target.input.bits - 1) if target.input.coding == "offset" else 0
    active, top, h = target.crossbar.active_rows, target.top_level, target.hrs_levels
    for t in range(2):
        for j in np.flatnonzero(place.bitline_output[t] >= 0):
            weight = place.encoding.digits[place.bitline_digit[t, j]]
            for u in range(-(-ROWS // active)):
                unit = [r for r in range(u * active, min((u + 1) * active, ROWS)) if place.wordline_input[t, r] >= 0]
                driven = [planes_of(codes[place.wordline_input[t, r]], target) for r in unit]
                for p in range(len(driven[0]) if unit else 0):
                    pulse = {r: planes[p][0] for r, planes in zip(unit, driven, strict=True)}
                    population = sum(pulse.values())
                    leak = round(h * population * 2**20) / 2**20
                    current = sum(x * float(cells[t, r, j]) for r, x in pulse.items()) + leak
                    current = current * chosen.gain[t, j] + chosen.offset[t, j]
                    if chosen.physics.has_noise:
                        current += chosen.noise[p, u, t, j]
                    code = math.floor(current / target.adc.step_levels + 0.5)
                    code = min(max(code, 0), 2**target.adc.bits - 1)
                    if chosen.physics.code_flip:
                        code ^= int(chosen.flip[p, u, t, j])
                    read = target.adc.step_levels * code - math.floor(leak + 0.5)
                    value = top * population - read if tiles.bitline_inverted[t, j] else read
                    y[place.bitline_output[t, j]] += weight * driven[0][p][1] * value
        total = sum(codes[k] + shift for k in place.wordline_input[t] if k >= 0)
        y = [v - place.encoding.offset * total for v in y]
        for j in np.flatnonzero(place.bitline_output[t] >= 0):
            meant = [
                top - int(v) if tiles.bitline_inverted[t, j] else int(v)
                for v in tiles.levels[t, place.wordline_input[t] >= 0, j]
            ]
            y[place.bitline_output[t, j]] -= shift * place.encoding.digits[place.bitline_digit[t, j]] * sum(meant)
        y = [v + shift * place.encoding.offset * int((place.wordline_input[t] >= 0).sum()) for v in y]
    return y


@given(
    st.integers(0, 999),
    st.sampled_from([offset_encoding(5, 2), differential_encoding(5, 2), Encoding(digits=(16, 4, -16, 1, 16), offset=9)]),
    st.sampled_from(["twos_complement", "sign_magnitude", "offset"]),
    st.sampled_from([1, 2, 3, 4]),
    st.sampled_from([1, 4, 6]),
    st.sampled_from([1.0, 1.5]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)  # fmt: skip
def test_the_reference_reads_as_plain_loops_do(
    seed, encoding, coding, dac_bits, active, step, analog, noisy, flips
) -> None:
    target = changed_target(
        "ideal128x128",
        crossbar={"rows": ROWS, "cols": COLS, "active_rows": active},
        cell={"g_lrs_siemens": 1e-4, "g_hrs_siemens": 1.3e-5},
        input={"bits": 4, "coding": coding, "dac_bits": dac_bits},
        adc={"bits": 4, "step_levels": step},
    )
    rng = np.random.default_rng(seed)
    tiles = layer(rng, encoding, target)
    cells = tiles.levels + rng.integers(-900, 900, tiles.levels.shape) / 1024 if analog else tiles.levels
    chosen = Chosen(seed, 2, 8, 6, noisy, flips)
    codes = rng.integers(-7, 8, (2, INPUTS))
    found = matmul_codes(codes, cells, tiles, target, OUTPUTS, reading=chosen)  # type: ignore[arg-type]
    for row, y in zip(codes.tolist(), found, strict=True):
        np.testing.assert_allclose(y, by_hand(row, cells, tiles, target, chosen), rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize(
    ("bit", "codes", "expected"),
    [
        (0, [5, -5, 0, -127], [4, -6, 1, -127]),
        (7, [0, 5, -1, -127], [-127, -123, 127, 1]),
        (6, [64, -1, 0], [0, -65, 64]),
    ],
)
def test_flipped_activations(bit: int, codes: list[int], expected: list[int]) -> None:
    """One bit of two's complement; -128 cannot be driven."""
    always = Physics(activation_flip=1.0, activation_flip_bit=bit)
    assert flipped_activations(np.array([codes]), always, 3, 0, 8).tolist() == [expected]


def test_draws_belong_to_their_read_and_their_row() -> None:
    """Another plane, unit, tile or row is another draw; the same row draws the same wherever it is in a batch."""
    reading = reading_of(Physics(noise=1.0, code_flip=0.5), 3, np.arange(5, 9, dtype=np.int32), 32)
    assert isinstance(reading, Reading)
    cols, pop = np.arange(32), np.ones((2, 1), np.int64)

    def noise(digests: list[int], plane: int, unit: int, tile: int) -> np.ndarray:
        return reading.noise_levels(Where(digests, plane, 8, unit, tile, cols), pop)[-1]

    draws = [noise([1, 7], *where) for where in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))] + [noise([1, 8], 0, 0, 0)]
    for i, a in enumerate(draws):
        assert all(abs(np.corrcoef(a, b)[0, 1]) < 0.6 and not np.array_equal(a, b) for b in draws[:i])
    np.testing.assert_array_equal(noise([9, 7], 0, 0, 0), draws[0])


def test_flipped_codes_differ_by_one_bit() -> None:
    reading = reading_of(Physics(code_flip=0.25), 3, np.array([5], np.int32), 512)
    assert isinstance(reading, Reading)
    codes = np.random.default_rng(0).integers(0, 64, (50, 512)).astype(np.float64)
    changed = reading.flipped(codes, Where(list(range(50)), 2, 8, 0, 0, np.arange(512)), 6).astype(int) ^ codes.astype(
        int
    )
    assert np.isin(changed, [0, *(1 << np.arange(6))]).all()
    assert (changed != 0).mean() == pytest.approx(0.25, abs=0.02)
