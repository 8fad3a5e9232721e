"""Each effect against a closed form, scipy's distributions or an independent computation."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import constants, stats
from scipy.special import erfinv, ndtri
from small_models import changed_target

from rcompile.hardware.changes import with_effects
from rcompile.hardware.effects.clusters import cluster_scale
from rcompile.hardware.faults import Fault
from rcompile.hardware.physics import CellTables, Physics, physics_of
from rcompile.hardware.target import Target
from runtime.die.cells import actual_levels, analog_levels, read_back, with_wires
from runtime.die.faults import fault_map
from runtime.die.flips import bit_flips
from runtime.die.randomness import Purpose, crossbar_key, exponential, logarithm, normal, words
from runtime.die.reads import Reading, Where, reading_of
from runtime.die.wires import effective_conductance

IDEAL = changed_target("ideal128x128")
REAL = changed_target("reram128x128")
BOLTZMANN = constants.value("Boltzmann constant in eV/K")


def on(target: Target, *changes: str) -> Physics:
    return physics_of(with_effects(target, changes))


def tables(target: Target, *changes: str) -> CellTables:
    found = on(target, *changes).cells
    assert found is not None
    return found


def cells(target: Target, *changes: str, level: int = 2, seed: int = 1, side: int = 600) -> np.ndarray:
    """Conductances in levels, leakage included, of many cells programmed to one level."""
    levels = np.full((side, side), level, np.uint8)
    held = analog_levels(tables(target, *changes), seed, 0, levels, target.hrs_levels)
    return held + target.hrs_levels


def test_normal_numbers_are_normal() -> None:
    word = words(crossbar_key(7, Purpose.PROGRAMMING, 3), np.arange(1_000_000))
    z = normal(word)
    np.testing.assert_allclose(z, ndtri(((word >> 8) + 0.5) / 2**24), atol=2e-6)
    assert stats.kstest(z, "norm").pvalue > 1e-3


@given(st.floats(2.0**-100, 2.0**100, width=32), st.floats(-80, 80, width=32))
def test_logarithm_and_exponential(y: float, v: float) -> None:
    one = np.array([y], np.float32), np.array([v], np.float32)
    assert abs(float(logarithm(one[0])[0]) - math.log(y)) <= 3e-7 * max(1, abs(math.log(y)))
    assert abs(float(exponential(one[1])[0]) / math.exp(v) - 1) <= 4e-7


@pytest.mark.parametrize("level", range(4))
def test_normal_variation_has_its_sigma(level: int) -> None:
    sigma = (0.01, 0.02, 0.03, 0.04)
    drawn = cells(REAL, f"variation.sigma={list(sigma)}", level=level)
    expected = sigma[level] * REAL.top_level
    assert abs(drawn.mean() - level - REAL.hrs_levels) < 5 * expected / 600 + 1 / 2048
    assert abs(drawn.std() / expected - 1) < 0.01
    assert stats.kstest((drawn - drawn.mean())[::7, ::7].ravel() / expected, "norm").pvalue > 1e-4


def test_lognormal_variation_is_of_the_logarithm() -> None:
    drawn = np.log(cells(REAL, 'variation.distribution="lognormal"', "variation.sigma=0.3"))
    assert abs(np.median(drawn) - math.log(2 + REAL.hrs_levels)) < 0.003
    assert abs(drawn.std() / 0.3 - 1) < 0.01


def test_write_verify_cuts_the_deviation_off() -> None:
    drawn = cells(IDEAL, "variation.sigma=0.1", "write_verify.tolerance=0.05") - 2
    assert np.abs(drawn).max() <= 0.05 * 3 + 1 / 2048
    cut = stats.truncnorm(-0.5, 0.5, scale=0.3)
    assert abs(drawn.std() / cut.std() - 1) < 0.01
    assert stats.kstest(drawn[::7, ::7].ravel(), cut.cdf).pvalue > 1e-4


def test_drift_is_a_power_law() -> None:
    one, later = (cells(REAL, "drift.nu=0.05", f"drift.time_second={t}").mean() for t in (1.0, 1e5))
    assert later / one == pytest.approx(1e5**-0.05, abs=1e-3)
    spread = np.log(cells(REAL, "drift.nu=0.05", "drift.nu_sigma=0.02", "drift.time_second=1e5"))
    assert spread.mean() == pytest.approx(math.log(2 + REAL.hrs_levels) - 0.05 * math.log(1e5), abs=0.003)
    assert spread.std() == pytest.approx(0.02 * math.log(1e5), rel=0.01)


def test_retention_decays_to_hrs_and_follows_arrhenius() -> None:
    h = REAL.hrs_levels
    at_tau = cells(REAL, "retention.time_second=1e4", "retention.characteristic_second=1e4").mean() - h
    assert at_tau == pytest.approx(2 * math.exp(-1), abs=1e-3)
    # At 300 K a time longer by the Arrhenius factor loses as much.
    slower = math.exp(1.2 / BOLTZMANN * (1 / 300 - 1 / 358.15))
    cool = ("temperature.kelvin=300", "temperature.coefficient_per_kelvin=0", f"retention.time_second={1e4 * slower!r}")
    assert cells(REAL, *cool, "retention.characteristic_second=1e4").mean() - h == pytest.approx(at_tau, abs=1e-3)
    stretched = cells(REAL, "retention.time_second=1e6", "retention.characteristic_second=1e4", "retention.shape=0.2")
    assert stretched.mean() - h == pytest.approx(2 * math.exp(-(100**0.2)), abs=1e-3)


def test_relaxed_cells_are_at_hrs_whatever_they_were() -> None:
    gone = ("retention.time_second=1e12", "retention.characteristic_second=1.0", "drift.time_second=1e12")
    drawn = cells(REAL, "variation.distribution=lognormal", "variation.sigma=0.5", *gone, "drift.nu=0")
    np.testing.assert_allclose(drawn, REAL.hrs_levels, atol=1e-3)


def test_temperature_changes_each_level_by_its_coefficient() -> None:
    change = ("temperature.kelvin=350", "temperature.coefficient_per_kelvin=[0.004, 0, 0, -0.002]")
    assert cells(REAL, *change, level=0).mean() == pytest.approx(REAL.hrs_levels * 1.2, abs=1e-3)
    assert cells(REAL, *change, level=3).mean() == pytest.approx((3 + REAL.hrs_levels) * 0.9, abs=1e-3)


def test_stuck_cells_do_not_vary() -> None:
    physics = on(REAL, "variation.sigma=0.2", "drift.nu=0.1")
    levels = np.ones((8, 8), np.uint8)
    faults = np.tile(np.array([0, 1, 2, Fault.STUCK_AT + 2], np.uint8), (8, 2))
    (held,) = actual_levels(physics, 0, np.zeros(1, np.int32), levels[None], faults[None], REAL)
    np.testing.assert_array_equal(held[:, [1, 2, 3, 5, 6, 7]], np.tile([0, 3, 2], (8, 2)))
    assert (held[:, [0, 4]] != 1).all()


def seen_through_wires(target: Target, levels: np.ndarray, wordline_ohm: float, bitline_ohm: float) -> np.ndarray:
    wired = on(target, f"wires.wordline_segment_ohm={wordline_ohm}", f"wires.bitline_segment_ohm={bitline_ohm}")
    return with_wires(levels.astype(np.float64), wired, target.hrs_levels) + target.hrs_levels


def test_one_wired_cell_is_a_voltage_divider() -> None:
    step = (REAL.cell.g_lrs_siemens - REAL.cell.g_hrs_siemens) / 3
    g = (3 + REAL.hrs_levels) * step
    seen = seen_through_wires(REAL, np.array([[3]]), 20.0, 50.0)[0, 0]
    assert seen * step == pytest.approx(1 / (1 / g + 70), rel=1e-3)


@pytest.mark.parametrize(
    ("rows", "cols", "wordline", "bitline"), [(32, 32, 0.5, 0.5), (64, 16, 0.0, 0.5), (16, 64, 0.5, 0.0), (64, 64, 0.1, 0.3)]
)  # fmt: skip
def test_wires_are_near_the_exact_solution(rows: int, cols: int, wordline: float, bitline: float) -> None:
    """The error of a bitline's current is at most a tenth of what the wires take."""
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 4, (rows, cols))
    step = (REAL.cell.g_lrs_siemens - REAL.cell.g_hrs_siemens) / 3
    ideal = (levels + REAL.hrs_levels) * step
    exact = effective_conductance(ideal, wordline, bitline)
    fast = seen_through_wires(REAL, levels, wordline, bitline) * step
    drive = rng.integers(0, 2, (50, rows))
    loss = np.abs(drive @ (ideal - exact)).max()
    assert loss > 0.02 * np.abs(drive @ ideal).max()
    assert np.abs(drive @ (fast - exact)).max() < 0.1 * loss


def test_read_noise_has_the_variance_asked_for() -> None:
    found = on(REAL, "read_noise.cell_sigma=0.05", "read_noise.converter_sigma_levels=0.8")
    reading = reading_of(found, 3, np.arange(2, dtype=np.int32), 128)
    assert isinstance(reading, Reading)
    for driven in (0, 16, 100):
        popcount = np.full((400, 1), driven)
        noise = reading.noise_levels(Where(list(range(400)), 2, 8, 0, 1, np.arange(128)), popcount)
        expected = math.sqrt(0.8**2 + driven * (0.05 * 3) ** 2)
        assert noise.std() == pytest.approx(expected, rel=0.02)
        assert abs(noise.mean()) < 5 * expected / math.sqrt(noise.size)
        assert abs(np.corrcoef(noise[0], noise[1])[0, 1]) < 0.4


def test_converters_differ_as_asked() -> None:
    asked = ("offset_levels=0.7", "offset_sigma_levels=0.5", "gain_error=-0.1", "gain_error_sigma=0.02")
    reading = reading_of(on(REAL, *(f"adc_error.{a}" for a in asked)), 3, np.arange(10, 110, dtype=np.int32), 128)
    assert isinstance(reading, Reading)
    for drawn, mean, sigma in ((reading.offset, 0.7, 0.5), (reading.gain, 0.9, 0.02)):
        assert stats.kstest((drawn.ravel() - mean) / sigma, "norm").pvalue > 1e-4


def test_endurance_is_weibull() -> None:
    for cycles in (1.0, 1e4, 1e6, 5e6):
        found = on(REAL, f"endurance.write_cycles={cycles}", "endurance.sa1_share=0.25")
        worn = stats.weibull_min.cdf(cycles, 2.0, scale=1e6)
        assert found.sa0 + found.sa1 == pytest.approx(worn, abs=1e-12)
        assert found.sa1 == pytest.approx(worn / 4, abs=1e-12)


@pytest.mark.parametrize(("rate", "alpha"), [(0.001, 1), (0.02, 1), (0.02, 4), (0.7, 1)])
def test_clusters_keep_the_mean_and_widen_the_counts(rate: float, alpha: int) -> None:
    """Counts of blocks: negative binomial, variance m + m^2 / alpha, less what one cell's two states take."""
    side = 16
    scale = cluster_scale(rate, alpha)
    found = Physics(sa0=rate / 4, sa1=3 * rate / 4, cluster_side=side, cluster_alpha=alpha, cluster_scale=scale)
    maps = np.stack([fault_map(found, 5, tile, 128, 128, 3) for tile in range(60)])
    stuck = (maps != Fault.GOOD).reshape(60, 8, side, 8, side).sum(axis=(2, 4)).ravel()
    mean = rate * side * side
    assert stuck.mean() == pytest.approx(mean, rel=5 * math.sqrt((1 / alpha + 1 / mean) / stuck.size))
    if rate < 0.1:
        assert stuck.var() == pytest.approx(mean + mean**2 / alpha, rel=0.2)
    assert (maps == Fault.SA1).sum() == pytest.approx(3 * (maps == Fault.SA0).sum(), rel=0.1)


@pytest.mark.parametrize(("rate", "alpha"), list(itertools.product((0.01, 0.3, 0.9), (1, 3))))
def test_cluster_scale_undoes_the_bound(rate: float, alpha: int) -> None:
    density = np.random.default_rng(0).gamma(alpha, 1 / alpha, 2_000_000)
    assert np.minimum(cluster_scale(rate, alpha) * density, 1 / rate).mean() == pytest.approx(1, abs=0.01)


def test_broken_lines_break_whole_lines() -> None:
    found = on(REAL, "lines.wordline_rate=0.1", "lines.bitline_rate=0.05", "lines.crossbar_rate=0.2")
    maps = np.stack([fault_map(found, 1, tile, 128, 128, 3) for tile in range(200)]) == Fault.SA0
    whole = maps.all(axis=(1, 2))
    assert whole.mean() == pytest.approx(0.2, abs=5 * math.sqrt(0.16 / 200))
    rows, cols = maps[~whole].all(axis=2), maps[~whole].all(axis=1)
    assert rows.mean() == pytest.approx(0.1, abs=0.01)
    assert cols.mean() == pytest.approx(0.05, abs=0.01)
    np.testing.assert_array_equal(maps[~whole], rows[:, :, None] | cols[:, None, :])


def test_cells_stick_at_every_level_between() -> None:
    target = changed_target("ideal128x128", cell={"bits": 3})
    found = on(target, "stuck_between.rate=0.06")
    maps = np.stack([fault_map(found, 1, tile, 128, 128, 7) for tile in range(60)])
    for level in range(1, 7):
        assert (maps == Fault.STUCK_AT + level).mean() == pytest.approx(0.01, rel=0.05)
    assert np.isin(maps, [0, *(Fault.STUCK_AT + np.arange(1, 7))]).all()


def test_flips_hit_one_bit_at_the_rate_asked_for() -> None:
    index = np.arange(1_000_000)
    any_bit = bit_flips(crossbar_key(1, Purpose.ACTIVATION, 0), index, 0.01, -1, 8)
    assert np.isin(any_bit, [0, *(1 << np.arange(8))]).all()
    assert (any_bit != 0).mean() == pytest.approx(0.01, rel=0.05)
    for bit in range(8):
        assert (any_bit == 1 << bit).mean() == pytest.approx(0.01 / 8, rel=0.15)
    assert set(bit_flips(crossbar_key(1, Purpose.ACTIVATION, 0), index, 0.01, 5, 8).tolist()) == {0, 32}


def test_read_back_finds_the_nearest_level() -> None:
    assert read_back(np.array([-0.4, 0.49, 0.5, 2.51, 7.0]), 3).tolist() == [0, 0, 1, 3, 3]


def test_reach_is_the_error_function() -> None:
    """x = erf(z / sqrt 2): cut off at k sigma, the largest z is k."""
    for k in (0.5, 1.0, 3.0):
        z = normal(np.array([0xFFFFFFFF], np.uint32), math.erf(k / math.sqrt(2)))[0]
        assert z == pytest.approx(math.sqrt(2) * erfinv(math.erf(k / math.sqrt(2)) * (1 - 2.0**-24)), rel=1e-5)
