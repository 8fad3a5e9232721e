"""Targets and effects key by key: value, unit, meaning, source."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel

from rcompile.hardware.effects.table import EFFECT_TYPES
from rcompile.hardware.section import Section
from rcompile.hardware.target import Target

SECTIONS = tuple(
    n
    for n, f in Target.model_fields.items()
    if isinstance(f.annotation, type) and issubclass(f.annotation, Section) and n != "effects"
)


class TargetKey(BaseModel):
    """One row of `rcompile targets show`."""

    key: str
    value: object
    unit: str
    meaning: str
    source: str


def describe(target: Target) -> list[TargetKey]:
    """Every hardware key with value, unit, meaning and source; of the effects, those that are on."""
    rows = []
    for section in SECTIONS:
        rows += describe_section(getattr(target, section), section, target.sources)
    for name in target.effects.names:
        effect = getattr(target.effects, name)
        rows += describe_section(effect, f"effects.{name}", target.sources, effect.source)
    return rows


def known_keys() -> list[str]:
    """Every dotted key that a target file may have, effects and their sections included."""
    sections: dict[str, type[Section]] = {n: Target.model_fields[n].annotation for n in SECTIONS}  # type: ignore[misc]
    sections |= {f"effects.{name}": kind for name, kind in EFFECT_TYPES.items()}
    return [*sections, *(f"{name}.{field}" for name, kind in sections.items() for field in kind.model_fields)]


def describe_section(
    part: Section, name: str, sources: Mapping[str, str], of_defaults: str = "default"
) -> list[TargetKey]:
    """A row for each key of a section. of_defaults: the source of a key that has its default."""
    values = part.model_dump(mode="json")
    rows = []
    for field, info in type(part).model_fields.items():
        extra, dotted = info.json_schema_extra, f"{name}.{field}"
        unit = str(extra["unit"]) if isinstance(extra, dict) else ""
        unchanged = not info.is_required() and getattr(part, field) == info.default
        source = sources.get(dotted, of_defaults if unchanged else "")
        rows.append(
            TargetKey(key=dotted, value=values[field], unit=unit, meaning=info.description or "", source=source)
        )
    return rows


class DescribedEffect(BaseModel):
    """One effect in `rcompile targets effects`: what it is, where its default values come from, and its keys."""

    name: str
    meaning: str
    source: str
    keys: list[TargetKey]


def described_effects() -> list[DescribedEffect]:
    """Every effect with its default values."""
    return [
        DescribedEffect(
            name=name,
            meaning=(kind.__doc__ or "").split("\n")[0],
            source=kind.source,
            keys=describe_section(kind(), name, {}, ""),
        )
        for name, kind in EFFECT_TYPES.items()
    ]
