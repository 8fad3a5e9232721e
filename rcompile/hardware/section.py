"""The parts that target files are made of: frozen sections of keys that carry their unit and their meaning."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


def key(description: str, unit: str = "1", *, node_attribute: str | None = None, **limits: Any) -> Any:
    """A key's meaning, unit and limits, for `Annotated`; and the attribute of a crossbar node that carries it, if the
    provider must know it.
    """
    extra: dict[str, Any] = {"unit": unit} | ({"node_attribute": node_attribute} if node_attribute else {})
    return Field(description=description, json_schema_extra=extra, **limits)


class Section(BaseModel):
    """A table of a target file. Strict: unknown keys and values of another type are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @property
    def node_attributes(self) -> dict[str, int | str]:
        """The keys that crossbar nodes carry, by attribute. ONNX floats are 32-bit: numbers that are float64 travel as
        decimals.
        """
        carried: dict[str, int | str] = {}
        for field, info in type(self).model_fields.items():
            extra, value = info.json_schema_extra, getattr(self, field)
            if isinstance(extra, dict) and "node_attribute" in extra:
                carried[str(extra["node_attribute"])] = repr(value) if isinstance(value, float) else value
        return carried
