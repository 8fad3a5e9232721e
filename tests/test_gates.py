"""Gates keep to the budget of crossbars, and reads in training are those of crossbars."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_models import changed_target

torch = pytest.importorskip("torch")

from rcompile.train.budget import Budget, Group  # noqa: E402
from rcompile.train.crossbar_aware import CrossbarRead  # noqa: E402
from rcompile.train.gates import Gates  # noqa: E402

TARGET = changed_target("ideal128x128", crossbar={"rows": 8, "cols": 32, "active_rows": 8})


def two_matrices(inner: int) -> tuple[dict[str, tuple[int, int]], list[Group]]:
    shapes = {"up": (16, inner), "down": (inner, 16)}
    groups = [Group("inner", inner, ("down",), ("up",)), Group("in", 16, ("up",)), Group("out", 16, (), ("down",))]
    return shapes, groups


@given(st.integers(16, 64), st.floats(0.5, 0.95), st.sampled_from([1.0, 0.3, 0.1]), st.integers(0, 99))
def test_gates_take_exactly_the_budget_and_choices_at_most(
    inner: int, keep: float, temperature: float, seed: int
) -> None:
    shapes, groups = two_matrices(inner)
    budget = Budget.of(shapes, groups, TARGET)
    gates = Gates(budget)
    with torch.no_grad():
        gates.scores.copy_(torch.randn(len(gates.scores), generator=torch.Generator().manual_seed(seed)))
    opened = gates(keep, temperature)
    cells = opened["in"].sum() * opened["inner"].sum() + opened["inner"].sum() * opened["out"].sum()
    assert float(cells.detach()) == pytest.approx(keep * 2 * 16 * inner, rel=1e-3)
    masks = budget.choose(gates.worth(keep), keep)
    counts = {g: int(m.sum()) for g, m in masks.items()}
    assert budget.crossbars(counts) <= keep * budget.crossbars({})
    for g, mask in masks.items():  # the lines that are kept are the worthiest
        worth = gates.worth(keep)[g]
        assert mask.all() or worth[mask].min() >= worth[~mask].max()


def test_the_price_charges_a_line_for_its_cells() -> None:
    """The gradient through the price: raising all scores alike changes nothing, as the price rises with them."""
    shapes, groups = two_matrices(32)
    gates = Gates(Budget.of(shapes, groups, TARGET))
    with torch.no_grad():
        gates.scores.copy_(torch.randn(len(gates.scores), generator=torch.Generator().manual_seed(1)))
    opened = gates(0.5, 0.5)
    (opened["inner"] * torch.linspace(0, 1, 32)).sum().backward()
    assert float(gates.scores.grad.sum()) == pytest.approx(0, abs=1e-4)
    assert float(gates.scores.grad.abs().max()) > 1e-3


def test_counting_follows_the_geometry() -> None:
    """16 inputs are two row blocks of 8: dropping 7 frees nothing, dropping 8 half."""
    budget = Budget.of({"m": (16, 8)}, [Group("rows", 16, ("m",))], TARGET)
    assert [budget.crossbars({"rows": n}) for n in (16, 9, 8)] == [2, 2, 1]


def test_crossbar_read_rounds_to_codes_and_sticks_cells() -> None:
    weight = torch.randn(8, 64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    read = CrossbarRead(TARGET)
    seen = read(weight)
    scale = weight.abs().amax(dim=1, keepdim=True) / 127
    torch.testing.assert_close(seen, (weight / scale).round() * scale)
    seen.sum().backward()
    assert torch.equal(weight.grad, torch.ones_like(weight))
    faulty = CrossbarRead(TARGET, fault_rate=0.2, voted=2, seed=1).train()(weight)
    moved = ((faulty - seen) / scale).round().abs()
    assert 0 < float((moved > 0).float().mean()) < 0.6
    assert float(moved.detach().max()) <= 15  # the two lower slices only
