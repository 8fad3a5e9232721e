"""Study: the file that says what a campaign is to find out. docs/campaigns.md is the prose."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from rcompile.errors import BadInputError
from rcompile.toml_file import line_of, problem_of, read_toml, refusal
from rcompile.vocabulary import Combiner, Scheme

Share = Annotated[float, Field(ge=0, le=1)]
Paths = tuple[Path, ...]


def listed(value: object) -> object:
    """For pydantic: one thing where several may stand."""
    return value if isinstance(value, list | tuple) else (value,)


def seeds(value: object) -> object:
    """For pydantic: `"1-20"`, `"1-3,7"`, or numbers."""
    if not isinstance(value, str):
        return listed(value)
    found: list[int] = []
    for part in value.split(","):
        first, _, last = part.strip().partition("-")
        if not (first.isdecimal() and (last or first).isdecimal()) or int(last or first) < int(first):
            raise ValueError(f"'{part}' is no seed and no range such as 1-20")
        found.extend(range(int(first), int(last or first) + 1))
    return tuple(found)


class Study(BaseModel):
    """A grid: every bundle, and every model for every target with every change and protection, is scored on every task
    with every combiner, clean and on every die; a virtual die is one of every seed, every share of stuck cells and
    every list of effects. Paths are as seen from the file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bundles: Annotated[Paths, BeforeValidator(listed)] = Field((), description="bundles to score")
    models: Annotated[Paths, BeforeValidator(listed)] = Field((), description="ONNX models to compile, and to score")
    targets: Annotated[tuple[str, ...], BeforeValidator(listed)] = Field(
        (), description="targets to compile models for: names or TOML files"
    )
    changes: tuple[tuple[str, ...], ...] = Field(
        ((),), description="changes of the targets, each a list such as ['adc.bits=7']"
    )
    protect: Annotated[tuple[Scheme, ...], BeforeValidator(listed)] = Field(
        ("none",), description="how models are protected; `die` compiles for each die"
    )
    combiners: Annotated[tuple[Combiner | None, ...], BeforeValidator(listed)] = Field(
        (None,), description="how replicas are combined; none is named: as compiled"
    )
    tasks: Annotated[tuple[str, ...], BeforeValidator(listed)] = Field(description="tasks to score on")
    data: Path | None = Field(None, description="folder of the tasks' data; else $RCOMPILE_GLUE, else the hub")
    limit: int | None = Field(None, ge=1, description="only the first examples of each task")
    stuck: Annotated[tuple[Share, ...], BeforeValidator(listed)] = Field(
        (), description="shares of stuck cells, SA0 and SA1 in the proportion of the target's"
    )
    rates: tuple[tuple[Share, Share], ...] = Field((), description="shares of cells stuck at SA0 and SA1, in pairs")
    effects: tuple[tuple[str, ...], ...] = Field(
        ((),), description="effects of the dies, each a list as --effect takes them"
    )
    dies: Annotated[tuple[int, ...], BeforeValidator(seeds)] = Field((), description="seeds of the virtual dies")
    maps: Annotated[Paths, BeforeValidator(listed)] = Field((), description="measured dies: maps of stuck cells")

    @model_validator(mode="after")
    def _has_something_to_do(self) -> Self:
        if not self.bundles and not self.models:
            raise ValueError("name bundles, or models and targets")
        if bool(self.models) != bool(self.targets):
            raise ValueError("models are compiled for targets: name both, or neither")
        drawn = bool(self.stuck or self.rates or any(self.effects))
        if bool(self.dies) != drawn:
            raise ValueError("virtual dies have seeds (dies) and something that ails them (stuck, rates or effects): name both, or neither")  # fmt: skip
        if "die" in self.protect and not (self.stuck or self.rates or self.maps):
            raise ValueError("protect = 'die' compiles for known stuck cells: name stuck, rates or maps")
        return self


def read_study(path: Path) -> Study:
    """The study of a TOML file, its paths made absolute. Raises BadInputError with every error at once, each with its
    line.
    """
    source, data = read_toml(path, "study")
    return _checked(data, str(path), path.parent, source)


def study_of(data: dict[str, Any], folder: Path = Path()) -> Study:
    """The study of a mapping, as `read_study` reads it from a file in that folder. Raises BadInputError with every
    error at once.
    """
    return _checked(data, "study", folder, "")


def _checked(data: dict[str, Any], where: str, folder: Path, source: str) -> Study:
    try:
        study = Study.model_validate(data)
    except ValidationError as error:
        raise _refusal(where, source, [_problem(e) for e in error.errors()]) from None
    study = study.model_copy(
        update={
            "bundles": _found_from(folder, study.bundles),
            "models": _found_from(folder, study.models),
            "maps": _found_from(folder, study.maps),
            "data": study.data and (folder / study.data).resolve(),
            "targets": tuple(str((folder / t).resolve()) if t.endswith(".toml") else t for t in study.targets),
        }
    )
    named = (("bundles", study.bundles), ("models", study.models), ("maps", study.maps))
    missing = [(key, f"there is no '{path}'") for key, paths in named for path in paths if not path.exists()]
    if missing:
        raise _refusal(where, source, missing)
    return study


def _found_from(folder: Path, paths: Sequence[Path]) -> Paths:
    return tuple((folder / path).resolve() for path in paths)


def _problem(error: Any) -> tuple[str, str]:
    """Key and message of what pydantic found."""
    return str(error["loc"][0]) if error["loc"] else "", problem_of(error, Study.model_fields)


def _refusal(where: str, source: str, problems: Sequence[tuple[str, str]]) -> BadInputError:
    lines = (f"{where}:{line_of(source, key)}: {f'{key}: ' if key else ''}{message}" for key, message in problems)
    return refusal("the study", lines)
