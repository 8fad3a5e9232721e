"""From a target's data to a target: the one place where keys are changed and where every error is collected.

`--set adc.bits=7`, `--effect drift.nu=0.1` (short for `--set effects.drift.nu=0.1`) and a target file all end here.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from rcompile.errors import UsageError
from rcompile.hardware.constraints import CONSTRAINTS
from rcompile.hardware.describe import known_keys
from rcompile.hardware.effects.base import Constraint
from rcompile.hardware.effects.table import EFFECT_CONSTRAINTS, EFFECT_TYPES, Effects
from rcompile.hardware.target import Target

SEE = "See `rcompile targets show reram128x128` for every key with its unit, `rcompile targets effects` for those of effects."


@dataclass(frozen=True)
class Problem:
    """What is wrong with a key, or with a change that names none."""

    key: str
    message: str


@dataclass(frozen=True)
class Checked:
    """A target, or every problem that its data have. changed: the keys that were not as its file says."""

    target: Target
    problems: tuple[Problem, ...]
    changed: frozenset[str]


def with_changes(target: Target, changes: Sequence[str]) -> Target:
    """A target with keys changed. Raises UsageError with every error at once, each naming its key.

    Each change is `section.key=VALUE`, `effects.NAME` (on, with its default values) or `effects.none` (all off so far).
    """
    checked = check(target.model_dump(mode="json"), changes)
    _refuse("changes", checked.problems, target)
    return checked.target


def with_effects(target: Target, changes: Sequence[str]) -> Target:
    """A target with effects turned on, changed or turned off, as `--effect` says: `NAME`, `NAME.KEY=VALUE` or
    `none`.
    """
    return with_changes(target, [f"effects.{change}" for change in changes])


def check(data: Mapping[str, Any], changes: Sequence[str] = ()) -> Checked:
    """A target of the data of a target file, with changes made to it."""
    made = deepcopy(dict(data))
    problems: list[Problem] = []
    changed = set()
    for text in changes:
        try:
            changed.add(_change(made, text))
        except ValueError as error:
            problems.append(Problem(text, str(error)))
    try:
        target = Target.model_validate(made)
    except ValidationError as error:
        problems += [_problem(e) for e in error.errors()]
        target = _sound_part(made)
    return Checked(target, (*problems, *contradictions(target)), frozenset(changed))


def _change(data: dict[str, Any], text: str) -> str:
    """Make one change to a target's data, and return its key; a changed key has no source any more. Raises
    ValueError.
    """
    path, given, value = text.partition("=")
    *sections, key = path.split(".")
    if path == "effects.none" and not given:
        data["effects"] = {}
        return "effects"
    if not given and sections == ["effects"] and key:
        sections, key = ["effects", key], ""
    elif not given or not sections or not all((*sections, key)) or (sections == ["effects"] and key in EFFECT_TYPES):
        raise ValueError("changes no key: give section.key=VALUE, such as adc.bits=7; effects.NAME turns an effect on")
    part = data
    for section in sections:
        part = part.setdefault(section, {})
        if not isinstance(part, dict):
            raise ValueError(f"{section} is no section of a target")
    if key:
        part[key] = toml_value(value)
        if isinstance(sources := data.get("sources"), dict):
            sources.pop(path, None)
    return path


def toml_value(text: str) -> object:
    """A TOML value, or a number as Python writes it, or none; another bare word is a string."""
    with suppress(tomllib.TOMLDecodeError):
        return tomllib.loads(f"v = {text}")["v"]
    with suppress(ValueError):
        return float(text)
    return None if text == "none" else text


def _problem(error: Any) -> Problem:
    """What pydantic found, for people."""
    key = ".".join(map(str, error["loc"]))
    if error["type"] != "extra_forbidden":
        return Problem(key, f"{error['msg']} (got {_short(error['input'])})")
    close = difflib.get_close_matches(key, known_keys(), n=1)
    meant = f": did you mean {close[0]}?" if close else ""
    if error["loc"][0] == "effects" and len(error["loc"]) == 2:
        return Problem(key, "there is no such effect" + (meant or f"; there are {', '.join(EFFECT_TYPES)}"))
    return Problem(key, "there is no such key" + (meant or f"; {_siblings(key)}"))


def _siblings(key: str) -> str:
    """The keys beside an unknown one, or all sections."""
    section = key.rpartition(".")[0]
    beside = [k for k in known_keys() if k.rpartition(".")[0] == section]
    return f"there are {', '.join(beside)}"


def _short(value: object) -> str:
    return "nothing" if isinstance(value, dict) else repr(value)[:60]


class _WrongByItselfError(Exception):
    """A rule between keys asked for a section that is not valid by itself."""


class _Wrong:
    """Stands for a section that is not valid by itself."""

    def __getattr__(self, name: str) -> object:
        raise _WrongByItselfError


def _sound_part(data: Mapping[str, Any]) -> Target:
    """The sections that are valid by themselves; rules that ask for others have nothing to say."""
    sections: dict[str, Any] = {}
    for name, field in Target.model_fields.items():
        try:
            sections[name] = TypeAdapter(field.rebuild_annotation()).validate_python(data[name])
        except KeyError:
            sections[name] = _Wrong() if field.is_required() else field.get_default(call_default_factory=True)
        except ValidationError:
            sections[name] = _sound_effects(data[name]) if name == "effects" else _Wrong()
    return Target.model_construct(**sections)


def _sound_effects(data: object) -> Any:
    """The effects that are valid by themselves."""
    if not isinstance(data, dict):
        return _Wrong()
    found: dict[str, Any] = {}
    for name, kind in EFFECT_TYPES.items():
        try:
            found[name] = kind.model_validate(data[name]) if name in data else None
        except ValidationError:
            found[name] = _Wrong()
    return Effects.model_construct(**found)


def contradictions(target: Target) -> tuple[Problem, ...]:
    """What the rules between keys find."""
    return _found_by(CONSTRAINTS, target)


def _found_by(rules: Sequence[Constraint], target: Target) -> tuple[Problem, ...]:
    found: list[Problem] = []
    for constraint in rules:
        with suppress(_WrongByItselfError):
            offending = constraint(target)
            found += [Problem(key, f"{constraint.__doc__} (got {_short(v)})") for key, v in offending.items()]
    return tuple(found)


def check_effects(target: Target) -> None:
    """Raises UsageError if a target's effects contradict the target, naming each key."""
    _refuse("effects", _found_by(EFFECT_CONSTRAINTS, target), target)


def _refuse(what: str, problems: Sequence[Problem], target: Target) -> None:
    if problems:
        lines = "\n".join(f"  {p.key}: {p.message}" for p in dict.fromkeys(problems))
        raise UsageError(f"the {what} do not fit target '{target.name}':\n{lines}\n{SEE}")
