"""Soft errors in embeddings and biases: as many numbers as asked for, one bit in each, and what a session makes of
them.
"""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_models import save_model

import runtime
from rcompile import compile_model
from rcompile.bundle.reader import Bundle
from rcompile.errors import UsageError
from rcompile.hardware.effects.table import Effects, SoftErrors
from rcompile.onnx_in.read import OWN_PREFIX
from runtime.ort.soft_errors import NumberErrors, flipped, flipped_numbers, number_errors, saturated

FEEDS = {"input_ids": np.arange(24).reshape(2, 12), "attention_mask": np.ones((2, 12), np.int64)}


@pytest.fixture
def bundle(classifier_onnx: Path, tmp_path: Path) -> Bundle:
    compile_model(classifier_onnx, "ideal128x128", tmp_path / "b")
    return Bundle.open(tmp_path / "b")


def die(seed: int = 1, **soft: float | int) -> runtime.Die:
    return runtime.Die(seed, effects=Effects(soft_errors=SoftErrors(**soft)))


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_the_share_asked_for_has_one_flipped_bit(dtype: type) -> None:
    numbers = np.random.default_rng(0).normal(0, 1, (400, 500)).astype(dtype)
    bits = 8 * numbers.itemsize
    hit = flipped(numbers, "table", 0.02, NumberErrors(3, 0.02, 0, None)).view(f"u{numbers.itemsize}")
    difference = hit ^ numbers.view(f"u{numbers.itemsize}")
    assert (difference != 0).mean() == pytest.approx(0.02, rel=0.1)
    assert all(int(d).bit_count() == 1 for d in difference[difference != 0])
    assert len(np.unique(difference)) == bits + 1
    top = flipped(numbers, "table", 0.02, NumberErrors(3, 0.02, 0, bits - 1))
    np.testing.assert_array_equal(np.abs(top), np.abs(numbers))
    assert (np.signbit(top) != np.signbit(numbers)).mean() == pytest.approx(0.02, rel=0.1)


def test_a_session_computes_with_flipped_numbers(bundle: Bundle, classifier_onnx: Path, tmp_path: Path) -> None:
    """As the source model with the same tables written into its file, compiled and run without errors."""
    wrong = die(embedding_rate=0.2, bias_rate=0.5, number_bit=30 - 8)
    errors = number_errors(wrong)
    assert errors is not None
    changed = flipped_numbers(bundle, errors)
    # Crossbars call a bias rcompile/LAYER/bias.0, the source model LAYER.bias.
    in_source = {name.removeprefix(OWN_PREFIX).replace("/bias.0", ".bias"): array for name, array in changed.items()}
    assert in_source.keys() == {"embeddings.weight", "up.bias", "down.bias", "head.bias"}
    model = onnx.load(classifier_onnx)
    for tensor in model.graph.initializer:
        if tensor.name in in_source:
            assert not np.array_equal(numpy_helper.to_array(tensor), in_source[tensor.name])
            tensor.CopyFrom(numpy_helper.from_array(np.array(in_source[tensor.name]), tensor.name))
    onnx.save(model, tmp_path / "wrong.onnx")
    compile_model(tmp_path / "wrong.onnx", "ideal128x128", tmp_path / "w")
    (expected,) = runtime.load(tmp_path / "w").run(None, FEEDS)
    (found,) = runtime.load(bundle, wrong).run(None, FEEDS)
    np.testing.assert_array_equal(found, expected)
    assert not np.array_equal(found, runtime.load(bundle).run(None, FEEDS)[0])


def test_a_live_session_keeps_its_numbers(bundle: Bundle) -> None:
    session = runtime.load(bundle)
    with pytest.raises(UsageError, match="when a session is loaded"):
        session.set_die(die(embedding_rate=0.1))
    session.set_die(die(activation_rate=0.1))
    wrong = runtime.load(bundle, die(embedding_rate=0.1))
    assert wrong.accepts(die(embedding_rate=0.1))
    assert not wrong.accepts(None)
    assert not wrong.accepts(die(2, embedding_rate=0.1))


def test_a_bit_that_numbers_have_not_is_refused(bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="number_bit is 16, but"):
        flipped(np.zeros(8, np.float16), "table", 0.5, NumberErrors(0, 0.5, 0, 16))


def test_a_bias_that_is_no_number_saturates() -> None:
    largest = np.finfo(np.float32).max
    biases = np.array([np.nan, -np.nan, np.inf, -np.inf, 1.5, -0.0, largest, np.float32(1e-45)], np.float32)
    found = saturated(biases)
    expected = np.array([largest, -largest, largest, -largest, *biases[4:]], np.float32)
    np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32))


def test_a_die_with_wrong_exponents_loads_and_runs(tmp_path: Path) -> None:
    """Bit 30 of a bias between 1 and 2 is Inf, or NaN."""
    constants = {"w": np.eye(32, 64, dtype=np.float32), "b": np.linspace(1, 1.9, 64, dtype=np.float32)}
    nodes = [helper.make_node("MatMul", ["x", "w"], ["p"]), helper.make_node("Add", ["p", "b"], ["y"])]
    shapes = ({"x": (TensorProto.FLOAT, ["n", 32])}, {"y": (TensorProto.FLOAT, ["n", 64])})
    compile_model(save_model(tmp_path / "m.onnx", nodes, constants, *shapes), "ideal128x128", tmp_path / "b")
    x = np.zeros((1, 32), np.float32)
    for seed in range(8):
        (y,) = runtime.load(tmp_path / "b", die(seed, bias_rate=0.5, number_bit=30)).run(None, {"x": x})
        flipped_ones = y[0] == np.finfo(np.float32).max
        assert 16 < flipped_ones.sum() < 48
        np.testing.assert_array_equal(y[0][~flipped_ones], constants["b"][~flipped_ones])
