"""The documentation tells the truth."""

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest

from rcompile.bundle.host_graph import NODE_TENSORS
from rcompile.canonical import file_sha256
from rcompile.hardware.target_file import target_names
from rcompile.layout.normal_form import Placement

ROOT = Path(__file__).resolve().parent.parent


def generator():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["manifest.schema.json", "cli.md"])
def test_generated_pages_are_up_to_date(name: str) -> None:
    assert (ROOT / "docs" / name).read_text() == generator().generated()[name], "run `make docs`"


def test_the_format_page_names_every_tensor() -> None:
    text = (ROOT / "docs" / "bundle.md").read_text()
    for name in (*NODE_TENSORS, *Placement.__dataclass_fields__):
        assert f"`{name}`" in text


def test_the_readme_names_every_target_and_links_to_files_that_exist() -> None:
    text = (ROOT / "README.md").read_text()
    for name in target_names():
        assert f"`{name}`" in text
    for link in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text):
        if "://" not in link:
            assert (ROOT / link).exists(), link


def test_the_top_level_is_the_agreed_one() -> None:
    allowed = {
        "pyproject.toml",
        "README.md",
        "SECURITY.md",
        "rcompile",
        "runtime",
        "tests",
        "targets",
        "Makefile",
        "LICENSE",
        "CHANGELOG.md",
        "docs",
        "benchmarks",
        "build",
        "dist",
    }
    assert {
        p.name for p in ROOT.iterdir() if not p.name.startswith(".") and not p.name.endswith(".egg-info")
    } <= allowed


def test_the_readme_shows_the_demo_that_is_committed() -> None:
    """Its figure says the digest of its numbers, and its table is made of them."""
    measured = ROOT / "docs" / "results" / "demo.json"
    assert f"demo.json {file_sha256(measured)[:12]}<" in (ROOT / "docs" / "figures" / "accuracy.svg").read_text()
    data = json.loads(measured.read_text())
    text = (ROOT / "README.md").read_text()
    for scheme, scored in data["schemes"].items():
        cells = [f"{np.mean(s):.1f} ({min(s):.1f} to {max(s):.1f})" for s in scored["scores"]]
        assert f"| {scheme} | {scored['crossbars']:,} | {scored['clean']:.1f} | {' | '.join(cells)} |" in text


def test_import_linter_checks_both_packages() -> None:
    """Without root packages it checks nothing, and says so to nobody."""
    import tomllib

    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    assert linter["root_packages"] == ["rcompile", "runtime"]
    assert all(contract.get("exhaustive") for contract in linter["contracts"] if "containers" in contract)
