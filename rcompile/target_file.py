"""Target files: find, parse and validate them, with every error at once."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rcompile.errors import BadInputError
from rcompile.target import Target, describe

# Constraints between keys. The docstring is the user's message; the value returned, if any, is what offends.


def operation_unit_fits(target: Target) -> tuple[str, object] | None:
    """active_rows must not exceed rows: an operation unit is a group of one crossbar's wordlines."""
    return (
        ("crossbar.active_rows", target.crossbar.active_rows)
        if target.crossbar.active_rows > target.crossbar.rows
        else None
    )


def one_output_fits(target: Target) -> tuple[str, object] | None:
    """cols must hold all bitlines of one output (slices x polarities): widen the crossbar, use more bits a cell or fewer weight bits."""
    return ("crossbar.cols", target.crossbar.cols) if target.crossbar.cols < target.bitlines_per_output else None


def lrs_conducts_more(target: Target) -> tuple[str, object] | None:
    """g_lrs_siemens must exceed g_hrs_siemens: LRS is the low-resistance state."""
    return (
        ("cell.g_lrs_siemens", target.cell.g_lrs_siemens)
        if target.cell.g_lrs_siemens <= target.cell.g_hrs_siemens
        else None
    )


def leakage_is_small(target: Target) -> tuple[str, object] | None:
    """a level-0 cell must leak at most 4096 levels: top * g_hrs / (g_lrs - g_hrs). Widen the gap between g_hrs_siemens and g_lrs_siemens."""
    if target.cell.g_lrs_siemens <= target.cell.g_hrs_siemens or target.hrs_levels <= 4096:
        return None
    return "cell.g_hrs_siemens", target.cell.g_hrs_siemens


def fault_rates_are_shares(target: Target) -> tuple[str, object] | None:
    """sa0_rate + sa1_rate must not exceed 1: a cell is stuck one way."""
    total = target.faults.sa0_rate + target.faults.sa1_rate
    return ("faults.sa1_rate", target.faults.sa1_rate) if total > 1 else None


def sources_name_keys(target: Target) -> tuple[str, object] | None:
    """every key under [sources] must be a key of this target, written section.key."""
    unknown = [k for k in target.sources if k not in {row.key for row in describe(target)}]
    return ("sources", unknown[0]) if unknown else None


CONSTRAINTS: tuple[Callable[[Target], tuple[str, object] | None], ...] = (
    operation_unit_fits,
    one_output_fits,
    lrs_conducts_more,
    leakage_is_small,
    fault_rates_are_shares,
    sources_name_keys,
)


def targets_folder() -> Path:
    """The folder of the targets that ship: in the package once installed, beside it in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "targets"
    return installed if installed.is_dir() else package.parent / "targets"


def target_names() -> list[str]:
    """Names of the targets that ship."""
    return sorted(p.stem for p in targets_folder().glob("*.toml"))


def load_target(name_or_path: str | Path) -> Target:
    """The target of that name, or of that TOML file.

    Raises BadInputError with every error at once, each with file, line and key.
    """
    text = str(name_or_path)
    if text in target_names():
        path = targets_folder() / f"{text}.toml"
    elif text.endswith(".toml") or "/" in text:
        path = Path(text)
    else:
        raise BadInputError(
            f"unknown target '{text}'. Known: {', '.join(target_names())}; or give the path of a .toml file."
        )
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"cannot read target file '{path}': {error}.") from None
    return parse_target(source, str(path))


def parse_target(source: str, where: str) -> Target:
    """A target from TOML text; `where` names the text in messages."""
    try:
        data = tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        raise BadInputError(f"target '{where}' is not valid TOML: {error}.") from None
    try:
        target = Target.model_validate(data)
    except ValidationError as error:
        _raise_all(
            where,
            source,
            ((".".join(map(str, e["loc"])), f"{e['msg']} (got {_short(e['input'])})") for e in error.errors()),
        )
    broken = [(c.__doc__ or "", c(target)) for c in CONSTRAINTS]
    _raise_all(where, source, ((at[0], f"{message} (got {at[1]!r})") for message, at in broken if at is not None))
    return target


def _short(value: object) -> str:
    return "nothing" if isinstance(value, dict) else repr(value)[:60]


def _raise_all(where: str, source: str, errors: Iterator[tuple[str, str]]) -> Any:
    lines = [f"  {where}:{_line_of(source, key)}: {key}: {message}" for key, message in errors]
    if lines:
        count = "an error" if len(lines) == 1 else f"{len(lines)} errors"
        raise BadInputError(
            f"target '{where}' has {count}:\n"
            + "\n".join(lines)
            + "\nSee `rcompile targets show reram128x128` for every key with its unit."
        )


def _line_of(source: str, key: str) -> int:
    """Line of a dotted key, of its section where the key is missing, else 1."""
    section, _, name = key.rpartition(".")
    current, section_line = "", 1
    for number, line in enumerate(source.splitlines(), 1):
        if header := re.match(r"\s*\[([^\[\]]+)\]", line):
            current = header[1].strip().strip('"')
            if current in (section, key):
                section_line = number
        elif (
            (assigned := re.match(r"\s*([\w.\"-]+)\s*=", line))
            and current == section
            and assigned[1].strip('"') == name
        ):
            return number
    return section_line
