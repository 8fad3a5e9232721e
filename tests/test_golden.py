"""Agreement with independent simulators: cases with their outputs, made elsewhere (tests/golden/README.md).

Cases that bind our hardware model go through `runtime.product.reference`. Cases whose rule is stated but is not ours
(`compare` is "definition") go through that rule here, written with the parts of ours that it shares; each difference is
one line of `RULES`.
"""

import itertools
import json
import os
from pathlib import Path

import numpy as np
import pytest

from rcompile.hardware.physics import Physics
from rcompile.hardware.target import Adc, Cell, Crossbar, Inputs, Target, Weights
from rcompile.layout.normal_form import Placement, Tiles
from runtime.die.cells import with_wires
from runtime.die.layers import LayerOnDie
from runtime.die.wires import effective_conductance
from runtime.product.reference import Scaling, converted, input_planes, leakage, linear, matmul_codes, quantize_inputs

FOLDER = Path(os.environ.get("RCOMPILE_GOLDEN_DIR") or Path(__file__).parent / "golden")
CASES = json.loads((FOLDER / "index.json").read_text())["cases"]
PRODUCTS = [c for c in CASES if c["kind"] != "irdrop" and c["compare"] != "definition"]
STATED = [c for c in CASES if c["compare"] == "definition"]
WIRES = [c for c in CASES if c["kind"] == "irdrop"]
# How each simulator's rule departs from docs/hardware.md.
RULES = {
    "offset_ties_half_even": "reads halfway between two codes go to the even one; ours, to the upper one",
    "finite_onoff_adc": "leakage is subtracted as a real number at the end; ours, rounded after each read",
    "signmagnitude_saturating": "a read drives positive and negative inputs at once into a signed converter; ours, in two phases",
    "analog_subtraction": "the currents of a differential pair are subtracted before one signed converter; ours has two converters",
    "acs_analog_subtraction": "as analog_subtraction",
    "range_granular": "ties to even, and a step that is no whole level",
    "range_max": "ties to even, and a step of its own for each group of rows",
    "irdrop_mvm": "reads are exact solutions of the wired array; ours, first order in the wires. Ties to even",
}


def load(case: dict) -> dict[str, np.ndarray]:
    with np.load(FOLDER / case["file"], allow_pickle=False) as stored:
        return dict(stored)


def hardware(case: dict, cols: int) -> Target:
    """The case's hardware, with all bitlines in one wide crossbar (only row tiling changes numbers)."""
    top = 2 ** case["weight"]["cell_bits"] - 1
    # Unsigned inputs of B bits are two's complement of B + 1 bits whose top plane is empty.
    unsigned = case["input"]["code"] == "unsigned"
    adc = case["adc"]
    signed_adc = adc is not None and adc["min_code"] < 0
    hrs_levels = case["cell"].get("hrs_levels") or 0.0
    return Target.model_construct(
        crossbar=Crossbar.model_construct(
            rows=case["array"]["rows"], cols=cols, active_rows=case["array"]["active_rows"]
        ),
        cell=Cell.model_construct(
            bits=case["weight"]["cell_bits"], g_hrs_siemens=hrs_levels, g_lrs_siemens=hrs_levels + top
        ),
        weights=Weights.model_construct(bits=case["weight"]["bits"], encoding=case["weight"]["encoding"]),
        input=Inputs.model_construct(
            bits=case["input"]["bits"] + unsigned,
            coding="twos_complement" if unsigned else case["input"]["code"],
            dac_bits=1,
        ),
        adc=Adc.model_construct(
            bits=0 if adc is None else adc["bits"] - signed_adc, step_levels=1.0 if adc is None else adc["step_levels"]
        ),
    )


def held(arrays: dict) -> np.ndarray:
    """[P, S, K, N] what the cells hold: whole levels, or analog ones."""
    return arrays["analog_level"].astype(np.float64) if "analog_level" in arrays else arrays["levels"]


def normal_form(case: dict, levels: np.ndarray) -> tuple[Tiles, np.ndarray]:
    """levels [P, S, K, N] as tiles of all P * S * N bitlines; the cells' contents [T, rows, cols] beside them."""
    polarities, slices, inputs, outputs = levels.shape
    rows = case["array"]["rows"]
    blocks = -(-inputs // rows)
    padded = np.zeros((blocks * rows, polarities, slices, outputs), levels.dtype)
    padded[:inputs] = levels.transpose(2, 0, 1, 3)
    features = np.arange(blocks * rows, dtype=np.int32)
    features[inputs:] = -1
    p, s, n = (a.reshape(-1) for a in np.indices((polarities, slices, outputs)))

    def each(bitlines: np.ndarray) -> np.ndarray:
        return np.tile(bitlines, (blocks, 1))

    zeros = np.zeros((blocks, p.size), np.uint8)
    placement = Placement(
        hardware(case, p.size).encoding,
        np.arange(blocks, dtype=np.int32),
        features.reshape(blocks, rows),
        each(n.astype(np.int32)),
        each((p * slices + s).astype(np.uint8)),
        zeros,
    )
    cells = padded.reshape(blocks, rows, -1)
    return Tiles(placement, cells.astype(np.uint8), zeros), cells


@pytest.mark.parametrize("case", PRODUCTS, ids=lambda c: c["name"])
def test_the_hardware_model_agrees(case: dict) -> None:
    arrays = load(case)
    levels = held(arrays)
    tiles, cells = normal_form(case, levels)
    target = hardware(case, cells.shape[2])
    x, (inputs, outputs) = arrays["x"].astype(np.int64), levels.shape[2:]
    y = matmul_codes(x, cells, tiles, target, outputs)
    if "y_int" in arrays:
        np.testing.assert_array_equal(y, arrays["y_int"])
    else:
        np.testing.assert_allclose(y, arrays["y"], rtol=0, atol=1e-9 * np.abs(arrays["y"]).max())
    if "codes" in case["compare_arrays"]:
        popcount = np.einsum("bmk,tk->mbt", input_planes(x, target).pulses.astype(np.int64), groups(arrays, inputs))
        codes = converted(currents(case, arrays, target) + leakage(popcount[..., None, None, None], target), target)
        np.testing.assert_array_equal(codes[:, : arrays["codes"].shape[1]], arrays["codes"])
    if "y_float" in arrays:
        check_floats(arrays, tiles, cells, target)


def check_floats(arrays: dict, tiles: Tiles, cells: np.ndarray, target: Target) -> None:
    """From float inputs to float results, in float32 as the hardware does."""
    x_float, scale = arrays["x_float"].astype(np.float32), float(arrays["s_x"])
    codes, _ = quantize_inputs(x_float, target, scale)
    np.testing.assert_array_equal(codes, arrays["x"])
    np.testing.assert_array_equal(np.rint(arrays["w_float"] / arrays["s_w"]), arrays["w"])
    weight_scale, bias = arrays["s_w"].astype(np.float32), arrays["bias"].astype(np.float32)
    y = linear(x_float, LayerOnDie(cells), tiles, Scaling(weight_scale, bias, scale), target)
    np.testing.assert_allclose(y, arrays["y_float"], rtol=0, atol=1e-6 * np.abs(arrays["y_float"]).max())
    exact = arrays["y_int"] * (scale * arrays["s_w"]) + arrays["bias"]
    np.testing.assert_allclose(exact, arrays["y_float"], rtol=0, atol=1e-9 * np.abs(exact).max())


def groups(arrays: dict, inputs: int) -> np.ndarray:
    """int64 [T, K]: which features are digitised together."""
    bounds = arrays["read_bounds"]
    return np.stack([(np.arange(inputs) >= a) & (np.arange(inputs) < b) for a, b in itertools.pairwise(bounds)]).astype(
        np.int64
    )


def currents(case: dict, arrays: dict, target: Target, signed: bool = False) -> np.ndarray:
    """What each read sums up, in levels: float64 [M, B, T, P, S, N]. signed: positive and negative inputs in one
    read.
    """
    x = arrays["x"].astype(np.int64)
    if signed and target.input.coding == "sign_magnitude":
        magnitudes = input_planes(np.abs(x), target).pulses[: target.input.bits - 1]
        drive = magnitudes.astype(np.float64) * np.sign(x)
    else:
        drive = input_planes(x, target).pulses.astype(np.float64)
    levels = held(arrays).astype(np.float64)
    if "wires" in case:
        levels = through_wires(levels, case, target)
    in_group = groups(arrays, x.shape[1]).astype(np.float64)
    return np.einsum("bmk,tk,pskn->mbtpsn", drive, in_group, levels)


def through_wires(levels: np.ndarray, case: dict, target: Target) -> np.ndarray:
    """[P, S, K, N]: each slice's array as its wires let it be seen, exactly."""
    wires = case["wires"]
    level_siemens = 1 / (target.top_level * wires["r_lrs_ohm"])
    segments = wires["r_wordline_segment_ohm"], wires["r_bitline_segment_ohm"]
    arrays = levels.reshape(-1, *levels.shape[2:])
    seen = [effective_conductance(array * level_siemens, *segments) / level_siemens for array in arrays]
    return np.stack(seen).reshape(levels.shape)


@pytest.mark.parametrize("case", STATED, ids=lambda c: c["name"])
def test_a_stated_rule_agrees(case: dict) -> None:
    if case["kind"] not in RULES:
        pytest.skip(f"a rule that is not ours, and not known here: {case['kind']}")
    arrays = load(case)
    target = hardware(case, 1)
    reads = currents(case, arrays, target, signed=True)
    hrs_levels = case["cell"]["hrs_levels"]
    if hrs_levels:
        planes = input_planes(arrays["x"].astype(np.int64), target).pulses.astype(np.float64)
        driven = np.einsum("bmk,tk->mbt", planes, groups(arrays, planes.shape[2]))
        reads = reads + hrs_levels * driven[..., None, None, None]
    if case["kind"].endswith("analog_subtraction"):
        reads = reads[:, :, :, :1] - reads[:, :, :, 1:]
    if "reads" in case["compare_arrays"]:
        shown = reads[:, : arrays["reads"].shape[1]]
        np.testing.assert_allclose(shown, arrays["reads"], rtol=0, atol=case["tolerance"]["reads_abs_levels"])
    check_stated(case, arrays, target, reads)


def check_stated(case: dict, arrays: dict, target: Target, reads: np.ndarray) -> None:
    adc = case["adc"]
    step = adc["step_levels"]
    group_step = arrays["adc_step"][:, None, None, None] if "adc_step" in arrays else step
    codes = np.clip(np.rint(reads / group_step), adc["min_code"], adc["max_code"])
    if "codes" in case["compare_arrays"]:
        np.testing.assert_array_equal(codes[:, : arrays["codes"].shape[1]], arrays["codes"])
    x = arrays["x"].astype(np.int64)
    signed_reads = target.input.coding == "sign_magnitude"
    plane_weight = 1 << np.arange(target.input.bits - 1) if signed_reads else input_planes(x, target).weight
    slice_weight = 1 << (target.cell.bits * np.arange(codes.shape[4]))
    polarity = np.array([1, -1])[: codes.shape[3]]
    weights = np.einsum("b,p,s->bps", plane_weight, polarity, slice_weight)
    acc = np.einsum("mbtpsn,bps->mn", codes, weights)
    if "acc" in case["compare_arrays"]:
        np.testing.assert_array_equal(acc, arrays["acc"])
    y = np.einsum("mbtpsn,bps->mn", codes * group_step, weights)
    if target.weights.encoding == "offset":
        leaked = case["cell"]["hrs_levels"] * slice_weight.sum()
        y = y - (leaked + (1 << (target.weights.bits - 1))) * x.sum(axis=1, keepdims=True)
    wanted = arrays["y_int"] if "y_int" in arrays else arrays["y"]
    np.testing.assert_allclose(y, wanted, rtol=0, atol=case["tolerance"].get("y_rel_of_max", 0) * np.abs(wanted).max())


@pytest.mark.parametrize("case", WIRES, ids=lambda c: c["name"])
def test_the_exact_solution_of_wires_agrees(case: dict) -> None:
    arrays = load(case)
    segments = case["wires"]["r_wordline_segment_ohm"], case["wires"]["r_bitline_segment_ohm"]
    current = arrays["voltage_volt"] @ effective_conductance(arrays["conductance_siemens"], *segments)
    np.testing.assert_allclose(current, arrays["current_ampere"], rtol=case["tolerance"]["current_rel"], atol=0)


@pytest.mark.parametrize("case", WIRES, ids=lambda c: c["name"])
def test_the_first_order_model_of_wires_is_near(case: dict) -> None:
    """Its error, as a share of the largest current, is at most a tenth of the squared loss, and a grid's rounding."""
    arrays = load(case)
    siemens = arrays["conductance_siemens"]
    unit = siemens.max() / 15  # a level
    drops = [case["wires"][f"r_{line}_segment_ohm"] * unit for line in ("wordline", "bitline")]
    seen = with_wires(siemens / unit, Physics(wordline_drop=drops[0], bitline_drop=drops[1]), 0.0) * unit
    exact, ideal = arrays["current_ampere"], arrays["current_no_wire_ampere"]
    loss = np.abs(ideal - exact).max() / np.abs(ideal).max()
    error = np.abs(arrays["voltage_volt"] @ seen - exact).max() / np.abs(ideal).max()
    assert error < 0.1 * loss**2 + 1e-3


def test_every_shipped_case_is_compared() -> None:
    if "RCOMPILE_GOLDEN_DIR" not in os.environ:
        assert (len(PRODUCTS), len(STATED), len(WIRES)) == (32, 10, 9)
        assert {c["kind"] for c in STATED} == set(RULES)
