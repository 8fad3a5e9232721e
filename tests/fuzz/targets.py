"""Changed target files, and changes of targets as the command line takes them."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path

from messages import TEXTS, flip

from rcompile.hardware.changes import with_changes, with_effects
from rcompile.hardware.describe import known_keys
from rcompile.hardware.effects.table import EFFECT_TYPES
from rcompile.hardware.target_file import load_target

SHIPPED = Path(__file__).resolve().parents[2] / "targets"
VALUES = ("0", "-1", "1", "2", "8", "9", "1e308", "-0.0", "nan", "inf", "true", '""', '"offset"', '"none"', "[]", "[1, 4]", '["static"]', "{}", "99999999999999999999", "0x10", "1979-05-27", "'x'", "{ a = 1 }")  # fmt: skip


def target_files(folder: Path) -> Callable[[random.Random], None]:
    """What loads one changed target."""
    seeds = [path.read_text() for path in sorted(SHIPPED.glob("*.toml"))]
    path = folder / "t.toml"

    def attempt(rng: random.Random) -> None:
        lines = rng.choice(seeds).splitlines()
        for _ in range(rng.randrange(1, 4)):
            _change_line(lines, rng)
        data = "\n".join(lines).encode()
        path.write_bytes(flip(data, rng, 1) if rng.random() < 0.2 else data)
        load_target(path)

    return attempt


def _change_line(lines: list[str], rng: random.Random) -> None:
    at = rng.randrange(len(lines))
    match rng.randrange(5):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, rng.choice(lines))
        case 2:
            lines.insert(at, rng.choice(("[effects.drift]", "[effects]", "[cell]", "[[cell]]", "new = 1", "a.b.c = 2")))
        case _:
            lines[at] = re.sub(r"= .*", lambda _: "= " + rng.choice(VALUES), lines[at])


def settings(folder: Path) -> Callable[[random.Random], None]:
    """What changes a target as `--set` and `--effect` ask."""
    targets = [load_target(path) for path in sorted(SHIPPED.glob("*.toml"))]
    keys = known_keys()

    def attempt(rng: random.Random) -> None:
        effects = rng.random() < 0.4
        named = [k.removeprefix("effects.") for k in keys if k.startswith("effects.")] if effects else keys
        changes = [_change(rng, [*named, *EFFECT_TYPES] if effects else named) for _ in range(rng.choice((1, 1, 2)))]
        (with_effects if effects else with_changes)(rng.choice(targets), changes)

    return attempt


def _change(rng: random.Random, keys: list[str]) -> str:
    value = rng.choice((str(rng.randrange(10)), str(rng.random() / 10), rng.choice(VALUES), rng.choice(TEXTS)))
    text = f"{rng.choice(keys)}={value}" if rng.random() < 0.8 else rng.choice(keys)
    return flip(text.encode(), rng, 1).decode(errors="replace") if rng.random() < 0.2 else text
