"""Encodings as lists of digits: what shipped targets compute is what it was, and any list computes as the sum it stands
for.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from small_models import changed_target, linear_model

import runtime
from rcompile import Bundle, CompileOptions, compile_model, load_target
from rcompile.hardware.changes import with_effects
from rcompile.hardware.encoding import Encoding, differential_encoding, offset_encoding
from rcompile.layout.normal_form import decode
from runtime.die.layers import on_die
from runtime.product.reference import Scaling, linear

# Of a layer of 200 inputs and 70 outputs, on every target that ships, under every scheme: weights, images and outputs
# as they were when encodings were slices and polarities.
DIGESTS = json.loads((Path(__file__).parent / "digests.json").read_text())
EFFECTS = {
    "none": (),
    "variation": ("variation",),
    "noise": ("read_noise", "adc_error"),
    "lines": ("lines", "clusters", "stuck_between"),
    "flips": ("soft_errors.activation_rate=0.01", "soft_errors.adc_code_rate=0.001"),
    "wires": ("wires.wordline_segment_ohm=0.05", "wires.bitline_segment_ohm=0.05"),
}


def digest(*arrays: np.ndarray) -> str:
    of = hashlib.sha256()
    for array in arrays:
        of.update(np.ascontiguousarray(array).tobytes())
    return of.hexdigest()[:16]


@pytest.mark.parametrize("case", DIGESTS)
def test_shipped_targets_compute_what_they_always_did(case: str, tmp_path: Path) -> None:
    name, protect = case.split()
    target, wanted = load_target(name), dict(DIGESTS[case])
    options = CompileOptions()
    if protect != "none":
        options = CompileOptions.model_validate({"protect": protect, "sa0": 0.002, "sa1": 0.01, "allow_extra_crossbars": True})  # fmt: skip
    compile_model(linear_model(tmp_path / "linear.onnx", 200, 70, seed=3), name, tmp_path / "bundle", options)
    bundle = Bundle.open(tmp_path / "bundle")
    layer = bundle.layer(bundle.manifest.layers[0])
    tiles, place = layer.tiles, layer.tiles.placement
    assert digest(decode(tiles, target, 200, 70)) == wanted.pop("weights")
    maps = (place.wordline_input, place.bitline_output, place.bitline_replica)
    assert digest(tiles.levels, *maps, tiles.bitline_inverted) == wanted.pop("image")
    x = np.random.default_rng(5).normal(0, 1, (1, 4, 200)).astype(np.float32)
    (bias,) = layer.biases.values()
    for effect, expected in wanted.items():
        die = runtime.Die(7, 0.01, 0.02, with_effects(target, EFFECTS[effect]).effects)
        on, combiner = on_die(die, layer, target), bundle.manifest.combiner
        y = linear(x, on, tiles, Scaling(layer.weight_scale, bias), target, combiner)
        assert digest(y) == expected, effect
        (native,) = runtime.load(bundle, die).run(None, {"x": x})
        assert digest(native) == expected, effect


@given(st.integers(2, 8), st.integers(1, 4), st.sampled_from([offset_encoding, differential_encoding]))
def test_the_levels_of_a_code_add_up_to_it(weight_bits: int, cell_bits: int, of) -> None:
    encoding, limit = of(weight_bits, cell_bits), (1 << weight_bits - 1) - 1
    codes = np.arange(-limit, limit + 1)
    levels = encoding.levels((1 << cell_bits) - 1)[codes.astype(np.int8).view(np.uint8)]
    np.testing.assert_array_equal(levels @ np.array(encoding.digits) - encoding.offset, codes)


DIGITS = st.lists(st.sampled_from([s << b for b in range(6) for s in (1, -1)]), min_size=1, max_size=10)


@given(DIGITS, st.integers(0, 255), st.integers(1, 4))
def test_redundant_digits_write_what_they_can_reach(digits: list[int], offset: int, cell_bits: int) -> None:
    """Greedy levels leave a code exact, or below what the digits of its sign reach together."""
    top = (1 << cell_bits) - 1
    try:
        encoding = Encoding(digits=tuple(digits), offset=offset)
    except ValidationError:
        assert sum(map(abs, digits)) > 255
        return
    codes = np.arange(-128, 128)
    held = encoding.levels(top)[codes.astype(np.int8).view(np.uint8)].astype(int) @ np.array(digits)
    wanted = codes + offset
    reach = {s: top * sum(abs(d) for d in digits if d * s > 0) for s in (1, -1)}
    assert (np.abs(held) <= np.abs(wanted)).all() and (held * wanted >= 0).all()
    if 1 in digits and -1 in digits:
        small = np.array([min(abs(w), reach[1 if w > 0 else -1]) for w in wanted])
        exact = np.abs(wanted) <= top
        np.testing.assert_array_equal(np.abs(held)[exact], small[exact])


@pytest.mark.parametrize(
    ("digits", "message"), [((3,), "3 is no digit"), ((0,), "0 is no digit"), ((256,), "256 is no digit"), ((), "at least 1"), ((128, 128), "add up to 256")]
)  # fmt: skip
def test_what_shift_add_cannot_apply_is_refused(digits: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Encoding(digits=digits)


def test_the_target_names_its_digits() -> None:
    assert str(load_target("reram128x128").encoding) == "1, 4, 16, 64 less 128"
    assert load_target("reram128x128-diff").encoding.digits == (1, 4, 16, 64, -1, -4, -16, -64)
    assert changed_target("ideal128x128", weights={"bits": 5}).encoding == Encoding(digits=(1, 4, 16), offset=16)
