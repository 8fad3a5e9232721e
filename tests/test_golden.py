"""Agreement with independent simulators: cases with their outputs, made elsewhere (tests/golden/README.md)."""

import itertools
import json
import os
from pathlib import Path

import numpy as np
import pytest

from rcompile.form import Placement, Tiles
from rcompile.target import Adc, Cell, Crossbar, Inputs, Target, Weights
from runtime.reference import adc_codes, bit_planes, matmul_codes, quantize_inputs

FOLDER = Path(os.environ.get("RCOMPILE_GOLDEN_DIR") or Path(__file__).parent / "golden")
CASES = json.loads((FOLDER / "index.json").read_text())["cases"]
# Analog levels, wires and other simulators' own rules are not in the integer model.
COVERED = [
    c
    for c in CASES
    if (c["compare"] == "exact" and not c["cell"]["analog_levels"]) or c["kind"] in ("float_end_to_end",)
]


def hardware(case: dict, cols: int) -> Target:
    """The case's hardware, with all bitlines in one wide crossbar (only row tiling changes numbers)."""
    top = 2 ** case["weight"]["cell_bits"] - 1
    # Unsigned inputs of B bits are two's complement of B + 1 bits whose top plane is empty.
    unsigned = case["input"]["code"] == "unsigned"
    adc = case["adc"]
    signed_adc = adc is not None and adc["min_code"] < 0
    return Target.model_construct(
        crossbar=Crossbar.model_construct(
            rows=case["array"]["rows"], cols=cols, active_rows=case["array"]["active_rows"]
        ),
        cell=Cell.model_construct(
            bits=case["weight"]["cell_bits"],
            g_hrs_siemens=case["cell"]["hrs_levels"],
            g_lrs_siemens=case["cell"]["hrs_levels"] + top,
        ),
        weights=Weights.model_construct(bits=case["weight"]["bits"], encoding=case["weight"]["encoding"]),
        input=Inputs.model_construct(
            bits=case["input"]["bits"] + unsigned,
            coding="twos_complement" if unsigned else case["input"]["code"],
        ),
        adc=Adc.model_construct(
            bits=0 if adc is None else adc["bits"] - signed_adc, step_levels=1.0 if adc is None else adc["step_levels"]
        ),
    )


def normal_form(case: dict, levels: np.ndarray) -> Tiles:
    """levels [P, S, K, N] as tiles of all P * S * N bitlines."""
    polarities, slices, inputs, outputs = levels.shape
    rows = case["array"]["rows"]
    blocks = -(-inputs // rows)
    padded = np.zeros((blocks * rows, polarities, slices, outputs), np.uint8)
    padded[:inputs] = levels.transpose(2, 0, 1, 3)
    features = np.arange(blocks * rows, dtype=np.int32)
    features[inputs:] = -1
    p, s, n = (a.reshape(-1) for a in np.indices((polarities, slices, outputs)))

    def each(bitlines: np.ndarray) -> np.ndarray:
        return np.tile(bitlines, (blocks, 1))

    zeros = np.zeros((blocks, p.size), np.uint8)
    placement = Placement(
        features.reshape(blocks, rows),
        each(n.astype(np.int32)),
        each(s.astype(np.uint8)),
        each((1 - 2 * p).astype(np.int8)),
        zeros,
    )
    return Tiles(placement, padded.reshape(blocks, rows, -1), zeros)


@pytest.mark.parametrize("case", COVERED, ids=lambda c: c["name"])
def test_reference_agrees(case: dict) -> None:
    with np.load(FOLDER / case["file"], allow_pickle=False) as stored:
        arrays = dict(stored)
    levels = arrays["levels"]
    tiles = normal_form(case, levels)
    target = hardware(case, tiles.levels.shape[2])
    if "x_float" in arrays:
        codes, _ = quantize_inputs(arrays["x_float"].astype(np.float32), target, float(arrays["s_x"]))
        np.testing.assert_array_equal(codes, arrays["x"])
    y = matmul_codes(arrays["x"].astype(np.int64), tiles.levels, tiles, target, levels.shape[2], levels.shape[3])
    if "y_int" in arrays:
        np.testing.assert_array_equal(y, arrays["y_int"])
    else:
        np.testing.assert_allclose(y, arrays["y"], rtol=0, atol=1e-9 * np.abs(arrays["y"]).max())
    if "codes" in case["compare_arrays"]:
        np.testing.assert_array_equal(every_code(arrays, levels, target), arrays["codes"])


def every_code(arrays: dict, levels: np.ndarray, target: Target) -> np.ndarray:
    """codes [M, B, T, P, S, N] of the groups of rows that are digitised together."""
    bits = bit_planes(arrays["x"].astype(np.int64), target).bits.astype(np.int64)[: arrays["codes"].shape[1]]
    bounds = arrays["read_bounds"]
    groups = []
    for first, last in itertools.pairwise(bounds):
        sums = np.einsum("bmk,pskn->mbpsn", bits[:, :, first:last], levels[:, :, first:last].astype(np.int64))
        popcount = bits[:, :, first:last].sum(axis=2).T[:, :, None, None, None]
        groups.append(adc_codes(sums, popcount, target))
    return np.stack(groups, axis=2)


def test_most_cases_are_covered() -> None:
    assert len(COVERED) >= 25 or "RCOMPILE_GOLDEN_DIR" in os.environ
