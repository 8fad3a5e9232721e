"""Target files: find, parse and validate them, with every error at once."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from rcompile.errors import BadInputError, UsageError
from rcompile.hardware.effect_rules import EFFECT_CONSTRAINTS, Offending, effect_types, toml_value
from rcompile.hardware.target import Target, describe

# Constraints between keys. The docstring is the user's message; the value returned, if any, is what offends.


def operation_unit_fits(target: Target) -> Offending:
    """active_rows must not exceed rows: an operation unit is a group of one crossbar's wordlines."""
    active = target.crossbar.active_rows
    return {"crossbar.active_rows": active} if active > target.crossbar.rows else {}


def one_output_fits(target: Target) -> Offending:
    """cols must hold all bitlines of one output (slices x polarities): widen the crossbar, use more bits a cell or fewer weight bits."""
    cols = target.crossbar.cols
    return {"crossbar.cols": cols} if cols < target.bitlines_per_output else {}


def digits_fit_codes(target: Target) -> Offending:
    """dac_bits must not exceed the bits of an input code: a cycle drives one digit of it."""
    dac_bits = target.input.dac_bits
    return {"input.dac_bits": dac_bits} if dac_bits > target.input.bits else {}


def lrs_conducts_more(target: Target) -> Offending:
    """g_lrs_siemens must exceed g_hrs_siemens: LRS is the low-resistance state."""
    g_lrs = target.cell.g_lrs_siemens
    return {"cell.g_lrs_siemens": g_lrs} if g_lrs <= target.cell.g_hrs_siemens else {}


def leakage_is_small(target: Target) -> Offending:
    """a level-0 cell must leak at most 4096 levels, top * g_hrs / (g_lrs - g_hrs): widen the gap between the two conductances."""
    cell = target.cell
    return (
        {"cell.g_hrs_siemens": cell.g_hrs_siemens}
        if cell.g_lrs_siemens > cell.g_hrs_siemens and target.hrs_levels > 4096
        else {}
    )


def fault_rates_are_shares(target: Target) -> Offending:
    """sa0_rate + sa1_rate must not exceed 1: a cell is stuck one way."""
    faults = target.faults
    return {"faults.sa1_rate": faults.sa1_rate} if faults.sa0_rate + faults.sa1_rate > 1 else {}


def ideal_converters_have_no_step(target: Target) -> Offending:
    """an ideal converter (adc.bits = 0) gives the sum itself: step_levels must be 1."""
    adc = target.adc
    return {"adc.step_levels": adc.step_levels} if adc.bits == 0 and adc.step_levels != 1 else {}


def sources_name_keys(target: Target) -> Offending:
    """a source must name a key of this target, written section.key."""
    known = {row.key for row in describe(target)}
    return {f"sources.{key}": text for key, text in target.sources.items() if key not in known}


CONSTRAINTS: tuple[Callable[[Target], Offending], ...] = (
    operation_unit_fits,
    one_output_fits,
    digits_fit_codes,
    lrs_conducts_more,
    leakage_is_small,
    fault_rates_are_shares,
    ideal_converters_have_no_step,
    sources_name_keys,
    *EFFECT_CONSTRAINTS,
)


def targets_folder() -> Path:
    """The folder of the targets that ship: in the package once installed, beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "targets"
    return installed if installed.is_dir() else package.parent / "targets"


def target_names() -> list[str]:
    """Names of the targets that ship."""
    return sorted(p.stem for p in targets_folder().glob("*.toml"))


def load_target(name_or_path: str | Path, changes: Sequence[str] = ()) -> Target:
    """The target of that name, or of that TOML file. changes: `section.key=VALUE`, each in place of what the file says.

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
    return parse_target(source, str(path), changes)


def parse_target(source: str, where: str, changes: Sequence[str] = ()) -> Target:
    """A target from TOML text, changed by `section.key=VALUE`; `where` names the text in messages."""
    try:
        data = tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        raise BadInputError(f"target '{where}' is not valid TOML: {error}.") from None
    changed = _change(data, changes)
    errors: list[tuple[str, str]] = []
    try:
        target = Target.model_validate(data)
    except ValidationError as error:
        errors = [(".".join(map(str, e["loc"])), _message(e)) for e in error.errors()]
        target = _sound_part(data)
    for constraint in CONSTRAINTS:
        # A constraint on a key that is wrong by itself has nothing to say.
        with suppress(AttributeError):
            errors += [
                (key, f"{constraint.__doc__} (got {_short(value)})") for key, value in constraint(target).items()
            ]
    _raise_all(where, source, changed, errors)
    return target


def _change(data: dict[str, Any], changes: Sequence[str]) -> set[str]:
    """Put changes into a target's data; a changed key has no source any more. Returns the keys. Raises UsageError."""
    keys = set()
    for change in changes:
        path, given, text = change.partition("=")
        *sections, key = path.split(".")
        if not given or not sections or not all((*sections, key)):
            raise UsageError(f"'{change}' changes no key of a target; give section.key=VALUE, such as adc.bits=7.")
        part = data
        for section in sections:
            part = part.setdefault(section, {})
            if not isinstance(part, dict):
                raise UsageError(f"'{change}': {section} is no section of a target.")
        part[key] = toml_value(text)
        data.get("sources", {}).pop(path, None)
        keys.add(path)
    return keys


def _sound_part(data: dict[str, Any]) -> Target:
    """The sections that are valid by themselves."""
    sections: dict[str, Any] = {}
    for name, field in Target.model_fields.items():
        with suppress(ValidationError, KeyError):
            sections[name] = TypeAdapter(field.rebuild_annotation()).validate_python(data[name])
    return Target.model_construct(**sections)


def _message(error: Any) -> str:
    if error["type"] == "extra_forbidden" and error["loc"][0] == "effects" and len(error["loc"]) == 2:
        return f"there is no such effect; there are {', '.join(effect_types())}"
    return f"{error['msg']} (got {_short(error['input'])})"


def _short(value: object) -> str:
    return "nothing" if isinstance(value, dict) else repr(value)[:60]


def _raise_all(where: str, source: str, changed: set[str], errors: list[tuple[str, str]]) -> None:
    places = ["as changed" if key in changed else f"{where}:{_line_of(source, key)}" for key, _ in errors]
    lines = [f"  {place}: {key}: {message}" for place, (key, message) in zip(places, errors, strict=True)]
    if lines:
        count = "an error" if len(lines) == 1 else f"{len(lines)} errors"
        raise BadInputError(
            f"target '{where}' has {count}:\n"
            + "\n".join(lines)
            + "\nSee `rcompile targets show reram128x128` for every key with its unit, `rcompile targets effects` for those of effects."
        )


def _line_of(source: str, key: str) -> int:
    """Line of a dotted key, of its section where the key is missing, else 1."""
    current, section_line = "", 1
    for number, line in enumerate(source.splitlines(), 1):
        if header := re.match(r"\s*\[([^\[\]]+)\]", line):
            current = header[1].strip().strip('"')
            if f"{key}.".startswith(f"{current}."):
                section_line = number
        elif (assigned := re.match(r"\s*([\w.\"-]+)\s*=", line)) and key == (
            f"{current}." if current else ""
        ) + assigned[1].strip('"'):
            return number
    return section_line
