"""The parts that target files are made of: frozen sections of keys that carry their unit and their meaning."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


def key(description: str, unit: str = "1", **limits: Any) -> Any:
    """A key's meaning, unit and limits, for `Annotated`."""
    return Field(description=description, json_schema_extra={"unit": unit}, **limits)


class Section(BaseModel):
    """A table of a target file. Strict: unknown keys and values of another type are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
