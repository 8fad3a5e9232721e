"""Virtual dies: the rates that were asked for, no overlap, subsets, and one fate a cell."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcompile.errors import UsageError
from rcompile.hardware.faults import Fault
from rcompile.hardware.physics import Physics
from runtime.die.dies import Die
from runtime.die.faults import fault_map


def shares(faults: np.ndarray) -> tuple[float, float]:
    return float((faults == Fault.SA0).mean()), float((faults == Fault.SA1).mean())


@pytest.mark.parametrize(("sa0", "sa1"), [(0.0175, 0.0904), (0.0904, 0.0175), (0.0, 0.05), (0.05, 0.0), (0.001, 0.001)])
def test_the_rates_asked_for_are_the_rates_drawn(sa0: float, sa1: float) -> None:
    """Within five standard deviations over 3.3 million cells, each way: neither swapped nor split."""
    faults = np.stack([fault_map(Physics(sa0, sa1), 3, tile, 128, 128, 3) for tile in range(200)])
    for drawn, asked in zip(shares(faults), (sa0, sa1), strict=True):
        assert abs(drawn - asked) <= 5 * np.sqrt(asked * (1 - asked) / faults.size)


@given(
    st.integers(0, 2**64 - 1),
    st.integers(0, 50_000),
    st.floats(0, 0.5),
    st.floats(0, 0.5),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_faults_at_a_lower_rate_are_a_subset(
    seed: int, tile: int, sa0: float, sa1: float, less0: float, less1: float
) -> None:
    few, many = (fault_map(Physics(a, b), seed, tile, 16, 24, 3) for a, b in ((sa0 * less0, sa1 * less1), (sa0, sa1)))
    assert (many[few != Fault.GOOD] == few[few != Fault.GOOD]).all()


def test_extreme_rates() -> None:
    assert (fault_map(Physics(1.0, 0.0), 1, 0, 8, 8, 3) == Fault.SA0).all()
    assert (fault_map(Physics(0.0, 1.0), 1, 0, 8, 8, 3) == Fault.SA1).all()
    assert (fault_map(Physics(0.5, 0.5), 1, 0, 64, 64, 3) != Fault.GOOD).all()
    assert (fault_map(Physics(), 1, 0, 8, 8, 3) == Fault.GOOD).all()


def test_tiles_and_seeds_are_independent() -> None:
    """Pairs of tiles, and of seeds, agree on as many faults as chance has it."""
    rate, cells = 0.1, 128 * 128
    maps = [
        fault_map(Physics(0.0, rate), seed, tile, 128, 128, 3) != 0 for seed in (0, 1, 2) for tile in (0, 1, 7, 1000)
    ]
    expected, spread = rate * rate * cells, np.sqrt(rate * rate * cells)
    for i, a in enumerate(maps):
        for b in maps[:i]:
            assert abs(int((a & b).sum()) - expected) < 6 * spread


def test_a_known_die() -> None:
    """The hash is part of the format: dies of published results must stay the same."""
    faults = fault_map(Physics(0.01, 0.05), 42, 123, 128, 128, 3)
    assert [int((faults == f).sum()) for f in Fault] == [15419, 164, 801, 0]
    assert np.argwhere(faults != 0)[:3].tolist() == [[0, 3], [0, 20], [0, 37]]


@pytest.mark.parametrize("rates", [(-0.1, 0.0), (0.0, 1.1), (0.6, 0.6), (float("nan"), 0.0)])
def test_rates_that_are_no_shares_are_refused(rates: tuple[float, float]) -> None:
    with pytest.raises(UsageError, match="shares of all cells"):
        Die(0, *rates)
