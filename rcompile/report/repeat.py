"""Repeat: the commands that make a bundle, and a score, once more. They are run in the campaign's folder."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from rcompile.campaigns.store import BUNDLES
from rcompile.report.lines import Scored, ScoredDie

OF_DENSE = "CROSSBARS"  # where no bundle says how many crossbars the dense model takes


def bundle_folder(run: Scored) -> str:
    """Where the bundle of a run lies, as seen from the campaign's folder."""
    return f"{BUNDLES}/{run.source_sha256[:32]}" if run.compiled else run.model


def compile_command(run: Scored) -> str:
    """The command that makes a bundle again; empty for one that was given."""
    if not run.compiled:
        return ""
    made = [f"--protect={run.protect}", "--no-source"]
    made += ["--die-map", "chip.npz", "-o", "die.bundle"] if run.for_one_die else ["-o", bundle_folder(run)]
    return shlex.join(["rcompile", "compile", run.model, *_hardware(run), *made])


def evaluate_command(run: Scored, crossbars: Mapping[tuple[str, str], int]) -> str:
    """The command that scores a run's die again, and before it those that make the chip and the bundle where it was
    compiled for it alone. crossbars: of the dense model, by model and target. Empty where no command does: `rcompile
    die` takes no changes of a target.
    """
    die = run.die
    assert die is not None
    scored = ["--task", run.task, *_option("--limit", run.limit), *_option("--combiner", run.combiner)]
    if not run.for_one_die:
        asked = ["--fault-map", die.map] if die.map else ["--die", str(die.seed), *_faults(die)]
        return shlex.join(["rcompile", "evaluate", bundle_folder(run), *scored, *asked])
    if run.changes:
        return ""
    chip = ["--crossbars", str(crossbars.get((run.model, run.target), OF_DENSE)), "--seed", str(die.seed)]
    first = [] if die.map else [shlex.join(["rcompile", "die", "--target", run.target, *chip, *_faults(die), "-o", "chip.npz"])]  # fmt: skip
    score = shlex.join(["rcompile", "evaluate", "die.bundle", *scored, "--fault-map", "chip.npz"])
    return " && ".join([*first, compile_command(run), score])


def _hardware(run: Scored) -> list[str]:
    return ["--target", run.target, *(f"--set={change}" for change in run.changes)]


def _faults(die: ScoredDie) -> list[str]:
    """Rates and effects, those of the target off."""
    keys = [f"{name}.{key}={value}" for name, effect in die.effects.items() for key, value in effect.items()]
    changes = ["none", *die.effects, *keys]
    return ["--sa0", repr(die.sa0), "--sa1", repr(die.sa1), *(f"--effect={change}" for change in changes)]


def _option(name: str, value: Any) -> list[str]:
    return [] if value is None else [name, str(value)]
