"""What `--protect auto` allocates for when no rates are given."""

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import run
from hypothesis import given
from hypothesis import strategies as st
from small_models import changed_target, tiny_classifier

from rcompile.bundle.reader import Bundle
from rcompile.hardware.target import Faults
from rcompile.hardware.target_file import load_target
from rcompile.options import CompileOptions
from rcompile.pipeline import compile_model
from rcompile.protection.carry import CLOSE, TOLERATED_ERROR, carried_share, rates_of
from rcompile.protection.protect import may_allocate_for

DEMO = Path(__file__).parents[1] / "docs" / "demo"


@given(st.floats(1e-6, 10), st.floats(0.5, 4))
def test_the_share_is_where_the_error_crosses_what_is_tolerated(factor: float, power: float) -> None:
    found = carried_share(lambda share: TOLERATED_ERROR * (share / 0.01) ** power * factor, 3e-4, 0.1)
    assert found == pytest.approx(np.clip(0.01 * factor ** (-1 / power), 3e-4, 0.1), rel=CLOSE)


def test_the_rates_have_the_proportion_of_the_targets() -> None:
    target = load_target("reram128x128")
    rates = rates_of(0.01, target.faults)
    assert sum(rates) == pytest.approx(0.01)
    assert rates[1] / rates[0] == pytest.approx(9.04 / 1.75)
    auto = CompileOptions(protect="auto")
    assert may_allocate_for(rates, auto, target)
    assert not may_allocate_for(rates, CompileOptions(protect="paper"), target)
    assert not may_allocate_for((0.005, 0.005), auto, target)
    assert not may_allocate_for(rates_of(0.2, target.faults), auto, target)
    assert not may_allocate_for(rates, CompileOptions(protect="auto", sa0=0.01), target)
    assert Faults(sa0_rate=0.0, sa1_rate=0.1).chosen(None, None) == (0.0, 0.1)


def test_the_plain_command_carries_what_it_predicts(tmp_path: Path) -> None:
    """A percent of stuck cells, dies that nothing was tuned to, the crossbars of the dense model."""
    bundle = tmp_path / "protected"
    said = run(DEMO / "sst2-minilm.onnx", "--target", "reram128x128", "--protect", "auto", "-o", bundle).output
    assert "predicted to carry 1.26% stuck cells" in " ".join(said.split())
    manifest = Bundle.open(bundle).manifest
    assert manifest.combiner == "subset"
    assert manifest.total().crossbars <= manifest.total().crossbars_dense
    asked = ("--task", "sst2", "--data", DEMO, "--die", "1000-1002", "--sa0", 0.00162, "--sa1", 0.00838, "--json")
    result = json.loads(run("evaluate", bundle, *asked).output)
    assert result["clean"] - np.mean([die["score"] for die in result["dies"]]) <= 1.5


def test_an_auto_compile_without_rates_takes_no_more_of_a_target_than_it_has(tmp_path: Path) -> None:
    target = changed_target("reram128x128", faults={"sa0_rate": 1e-5, "sa1_rate": 1e-5})
    compile_model(
        tiny_classifier(tmp_path / "m.onnx"),
        target,
        tmp_path / "b",
        CompileOptions(protect="auto", allow_extra_crossbars=True),
    )
    protection = Bundle.open(tmp_path / "b").manifest.protection
    assert protection is not None
    assert (protection.sa0, protection.sa1) == pytest.approx((1e-5, 1e-5))
