"""One-shot pruning: lines cost what brute force says, and what is left takes over the work of those that go."""

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_models import changed_target

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from rcompile.pipeline import silent  # noqa: E402
from rcompile.train.budget import Budget, Group, Removal  # noqa: E402
from rcompile.train.curvature import RIDGE, gather, remove_inputs  # noqa: E402
from rcompile.train.model import encoder_layers, find_groups, head_linears  # noqa: E402
from rcompile.train.oneshot import prune_once  # noqa: E402
from rcompile.train.refit import refit  # noqa: E402

TARGET = changed_target("ideal128x128", crossbar={"rows": 8, "cols": 32, "active_rows": 8})


def classifier(family: str, **changes: int) -> object:
    torch.manual_seed(0)
    sizes = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = getattr(transformers, f"{family}Config")(**sizes, intermediate_size=32, initializer_range=0.3, **changes)
    return getattr(transformers, f"{family}ForSequenceClassification")(config).eval()


class Sentences:
    """A corpus of random sentences, some with padding."""

    def __init__(self, count: int, padding: int = 2) -> None:
        ids = np.random.default_rng(0).integers(4, 40, (count, 8))
        self.feeds = []
        for i in range(0, count, 16):
            feed = {"input_ids": torch.from_numpy(np.pad(ids[i : i + 16], ((0, 0), (0, padding)), constant_values=1))}
            self.feeds.append({**feed, "attention_mask": (torch.arange(8 + padding) < 8).long().expand(16, -1)})

    def in_order(self, size: int) -> list[np.ndarray]:
        return [np.array([i]) for i in range(len(self.feeds))]

    def batch(self, rows: list[int]) -> tuple[dict[str, torch.Tensor], None]:
        return self.feeds[rows[0]], None


def moments(size: int, seed: int) -> torch.Tensor:
    samples = torch.randn(3 * size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return samples.T @ samples


def left_of(weight: torch.Tensor, inputs: torch.Tensor, outputs: torch.Tensor, gone: list[int]) -> float:
    """The change of the outputs without these inputs and with the best weights on the others."""
    stay = [i for i in range(len(inputs)) if i not in gone]
    moved = torch.linalg.lstsq(inputs[stay][:, stay], inputs[stay][:, gone] @ weight[:, gone].T).solution
    change = torch.zeros_like(weight)
    change[:, stay], change[:, gone] = moved.T, -weight[:, gone]
    return float(torch.trace(outputs @ change @ inputs @ change.T))


@given(st.integers(3, 9), st.integers(1, 5), st.integers(0, 99))
def test_the_cost_of_lines_is_what_brute_force_finds(inputs: int, outputs: int, seed: int) -> None:
    a, g = moments(inputs, seed), moments(outputs, seed + 1)
    weight = torch.randn(outputs, inputs, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = remove_inputs(weight, a, g)
    assert sorted(found.order) == list(range(inputs))
    ridged = a + RIDGE * a.diagonal().mean() * torch.eye(inputs, dtype=torch.float64)
    alone = [left_of(weight, ridged, g, [i]) for i in range(inputs)]
    assert alone[found.order[0]] == pytest.approx(min(alone), rel=1e-4)
    for k in range(1, inputs):
        assert found.cost[k] == pytest.approx(left_of(weight, ridged, g, found.order[:k].tolist()), rel=1e-4)


@given(st.integers(4, 12), st.integers(0, 99))
def test_a_redundant_input_costs_nothing_and_goes_first(inputs: int, seed: int) -> None:
    x = torch.randn(200, inputs, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x[:, 1] = x[:, 0] - x[:, 2]
    weight = torch.ones(3, inputs, dtype=torch.float64)
    found = remove_inputs(weight, x.T @ x, torch.eye(3, dtype=torch.float64))
    assert found.order[0] in (0, 1, 2)
    assert found.cost[1] < 0.01 * found.cost[-1]


@given(st.integers(16, 64), st.floats(0.5, 1), st.integers(0, 99))
def test_the_cheapest_lines_go_and_the_budget_holds(inner: int, keep: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shapes = {"up": (16, inner), "down": (inner, 16)}
    groups = [Group("inner", inner, ("down",), ("up",)), Group("in", 16, ("up",)), Group("out", 16, (), ("down",))]
    budget = Budget.of(shapes, groups, TARGET)
    cost = {g.name: np.concatenate([[0], np.cumsum(np.sort(rng.random(g.size)))]) for g in groups}
    known = {g.name: Removal(rng.permutation(g.size), cost[g.name]) for g in groups}
    masks = budget.cheapest(known, keep)
    assert budget.crossbars({g: int(m.sum()) for g, m in masks.items()}) <= keep * budget.crossbars({})
    for name, mask in masks.items():
        dropped = int((~mask).sum())
        assert set(known[name].order[:dropped]) == set(np.nonzero(~mask)[0])


def test_padding_weighs_nothing() -> None:
    model = classifier("Bert")
    seen = [gather(copy.deepcopy(model), (c := Sentences(32, n)), c.in_order(16), silent) for n in (0, 5)]
    for name, bare in seen[0].items():
        for kind in ("inputs", "outputs", "dropped"):
            torch.testing.assert_close(getattr(bare, kind), getattr(seen[1][name], kind), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("family", ["Bert", "MPNet"])
def test_copies_of_lines_go_without_a_trace(family: str) -> None:
    """Half of the neurons and of the value dimensions are copies of the others: without them the refitted model answers
    as the dense one does.
    """
    dense, sentences = classifier(family), Sentences(64)
    for layer in encoder_layers(dense):
        for part in ("up", "value"):
            for tensor in (layer.parts[part].weight, layer.parts[part].bias):
                tensor.data[1::2] = tensor.data[::2]
    _, groups = find_groups(dense)
    masks = {g.name: np.ones(g.size, np.bool_) for g in groups}
    for group in groups:
        if group.name.endswith((".neuron", ".value")):
            masks[group.name][::2] = False
    pruned = copy.deepcopy(dense)
    refit(pruned, dense, sentences.feeds, groups, masks, silent)
    for layer in encoder_layers(pruned):
        assert not layer.parts["up"].weight[::2].any()
        assert not layer.parts["down"].weight[:, ::2].any()
        assert not layer.parts["attention_output"].weight[:, ::2].any()
    cut = copy.deepcopy(dense)
    with torch.no_grad():  # the same zeros without the refit
        for plain, refitted in zip(cut.parameters(), pruned.parameters(), strict=True):
            plain *= refitted != 0
        truth, refitted, plain = (m(**Sentences(96).feeds[-1]).logits for m in (dense, pruned, cut))
    assert (refitted - truth).norm() < 0.05 * (plain - truth).norm()


def test_the_same_samples_give_the_same_weights_within_the_budget() -> None:
    shapes, groups = find_groups(classifier("MPNet"))
    budget = Budget.of(shapes, groups, TARGET)
    (one, masks), (two, _) = (prune_once(classifier("MPNet"), Sentences(32), budget, groups, 0.5, silent) for _ in "12")
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert budget.crossbars({g: int(m.sum()) for g, m in masks.items()}) <= 0.5 * budget.crossbars({})
    for group in groups:
        for name in group.rows_of:
            assert not one[f"{name}.weight"][:, ~masks[group.name]].any()
        for name in group.cols_of:
            assert not one[f"{name}.weight"][~masks[group.name]].any()


@pytest.mark.parametrize("family", ["Bert", "Roberta", "Electra", "MPNet"])
def test_every_family_has_its_groups(family: str) -> None:
    model = classifier(family, **({"embedding_size": 8} if family == "Electra" else {}))
    shapes, groups = find_groups(model)
    rows, cols = ({m for g in groups for m in getattr(g, lines)} for lines in ("rows_of", "cols_of"))
    inside = {name for name in shapes if ".layer." in name}
    assert len(inside) == 12
    assert cols == inside
    assert rows == {*inside, head_linears(model)[0]}
