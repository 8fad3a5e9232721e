"""What all kinds of tasks share: a frozen table of keys, as a task file holds it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo

from rcompile.onnx_in.text import MAX_TOKENS
from runtime.scoring.data import GLUE, HUB


def _beside(where: str, info: ValidationInfo) -> str:
    """A path from where the task file lies."""
    if info.context is None or where.startswith((HUB, GLUE)):
        return where
    return str(Path(info.context["folder"]) / where)


def _label(given: object) -> object:
    """A label as text: data files hold numbers as words, or as numbers."""
    return label_text(given) if isinstance(given, int | str) and not isinstance(given, bool) else given


def label_text(value: object) -> str:
    """How a label is compared: 1, 1.0 and "1" are one."""
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def _distinct(labels: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(labels)) < len(labels):
        raise ValueError("a label is there twice")
    return labels


DataPath = Annotated[str, AfterValidator(_beside)]
Columns = Annotated[tuple[str, ...], Field(strict=False, min_length=1, max_length=2)]
Labels = Annotated[
    tuple[Annotated[str, BeforeValidator(_label)], ...], Field(strict=False, min_length=2), AfterValidator(_distinct)
]
Positive = Annotated[int, Field(ge=1)]


class Kind(BaseModel):
    """Keys of every kind. data: a file, or a split on the hub. max_tokens: longer texts are cut."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    data: DataPath
    max_tokens: Positive = MAX_TOKENS
