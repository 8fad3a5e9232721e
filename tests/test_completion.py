"""What a shell offers, and that it need not wait for it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from rcompile.cli.main import main
from rcompile.hardware.describe import describe
from rcompile.hardware.effects.table import Effects
from rcompile.hardware.target_file import load_target, target_names
from rcompile.vocabulary import EffectName, words


def offered(line: str) -> tuple[set[str], set[str]]:
    """The words for the last word of a command line, and the kinds of path (file, dir)."""
    *before, incomplete = line.split(" ")
    items = ShellComplete(main, {}, "rcompile", "_RCOMPILE_COMPLETE").get_completions(before, incomplete)
    plain = {i.value for i in items if i.type == "plain"}
    return plain, {i.type for i in items} - {"plain"}


@pytest.mark.parametrize(
    ("line", "some", "paths"),
    [
        ("", {"compile", "evaluate", "targets", "help"}, {"file"}),
        ("ev", {"evaluate"}, {"file"}),
        ("bert.onnx --tar", {"--target"}, set()),
        (
            "bert.onnx --target reram128x128-",
            {f"reram128x128-{kind}" for kind in ("diff", "ou16", "storage")},
            {"file"},
        ),
        ("bert.onnx --set adc.", {"adc.bits=", "adc.step_levels="}, set()),
        ("evaluate --task s", {"sst2", "stsb"}, {"file"}),
        ("evaluate ", set(), {"dir"}),
        ("inspect b", set(), {"dir"}),
        ("diff a.bundle ", set(), {"dir"}),
        ("evaluate b.bundle --effect dr", {"drift"}, set()),
        ("evaluate b.bundle --sa0 t", {"target"}, set()),
        ("targets show ideal", {"ideal128x128"}, {"file"}),
        ("train bert --target ideal", {"ideal128x128"}, {"file"}),
    ],
)
def test_what_is_offered(line: str, some: set[str], paths: set[str]) -> None:
    plain, kinds = offered(line)
    assert some <= plain
    assert kinds == paths
    assert all(word.startswith(line.rpartition(" ")[2]) for word in plain)


def test_all_effects_and_keys_are_offered() -> None:
    assert words(EffectName) == tuple(Effects.model_fields)
    every = {f"{key.key}=" for name in target_names() for key in describe(load_target(name)) if key.value != []}
    assert every - {e for e in every if e.startswith("effects.")} == offered("bert.onnx --set ")[0]


@pytest.mark.parametrize(
    "line", ["rcompile bert.onnx --target re", "rcompile evaluate b --effect dr", "rcompile m.onnx --set a"]
)
def test_nothing_heavy_is_imported(line: str, tmp_path: Path) -> None:
    code = "import sys, atexit\nfrom rcompile.cli.main import main\natexit.register(lambda: print([m for m in ('numpy', 'onnx', 'pydantic', 'rich') if m in sys.modules]))\nmain(prog_name='rcompile')"
    asked = {"_RCOMPILE_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env={**os.environ, **asked}, capture_output=True, text=True, check=True)
    first, *_, last = done.stdout.split("\n")[:-1]
    assert (first[:6], last) == ("plain," if "--target" not in line else "file,r", "[]")
