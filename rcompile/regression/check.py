"""Check: what a `*.rcheck.toml` asks of a bundle, or of a model to compile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from rcompile.campaigns.study import Paths, Share, Study, listed, seeds, study_of
from rcompile.toml_file import line_of, problem_of, read_toml, refusal, tables_of

AUTO = "auto"


def _dies(value: object) -> object:
    return value if value == AUTO else seeds(value)


class Check(BaseModel):
    """One test: a bundle's scores on dies, and what they must be. Paths are as seen from the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, description="of the test")
    bundle: Path | None = Field(None, description="bundle to score")
    model: Path | None = Field(None, description="or an ONNX model to compile, and to score")
    target: str | None = Field(None, description="target to compile it for: a name or a TOML file")
    protect: Literal["none", "paper", "auto"] = Field("none", description="how it is protected")
    task: str = Field(description="task to score on")
    data: Path | None = Field(None, description="folder of the tasks' data; else $RCOMPILE_GLUE, else the hub")
    limit: int | None = Field(None, ge=1, description="only the first examples of the task")
    dies: Annotated[tuple[int, ...] | Literal["auto"], BeforeValidator(_dies)] = Field(
        (), description="seeds of the virtual dies; `auto`: from 1 on, until it is clear"
    )
    max_dies: int = Field(100, ge=1, description="of `auto`")
    stuck: Share | None = Field(None, description="share of stuck cells, SA0 and SA1 in the target's proportion")
    sa0: Share | None = Field(None, description="or the share of cells stuck at SA0")
    sa1: Share | None = Field(None, description="and at SA1")
    effects: tuple[str, ...] = Field((), description="effects of the dies, as --effect takes them")
    maps: Annotated[Paths, BeforeValidator(listed)] = Field((), description="measured dies: maps of stuck cells")
    max_loss_points: float | None = Field(None, description="most points that dies lose against the clean score")
    min_score: float | None = Field(None, description="least points that dies score")
    min_yield: float | None = Field(
        None, gt=0, le=1, description="share of dies that must each keep these limits; without it, their mean must"
    )
    baseline: Path | None = Field(None, description="scores of an earlier run, to be held against die by die")
    max_regression_points: float = Field(0.0, description="most points that dies lose on the mean against the baseline")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="of the intervals that decide")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if problems := [message for wrong, message in self._rules() if wrong]:
            raise ValueError("; ".join(problems))
        return self

    def _rules(self) -> Iterator[tuple[bool, str]]:
        """What must not be, and what is said of it."""
        given, limits = self.model_fields_set, (self.max_loss_points, self.min_score)
        named = tuple(value is not None for value in (self.bundle, self.model, self.target))
        ails = self.stuck is not None or self.rates is not None or bool(self.effects)
        yield named not in ((True, False, False), (False, True, True)), "name a bundle, or a model and a target"
        yield self.bundle is not None and "protect" in given, "a bundle is protected already: leave protect out"
        yield self.stuck is not None and self.rates is not None, "give stuck, or sa0 and sa1"
        yield bool(self.dies) != ails, "virtual dies have seeds (dies) and something that ails them (stuck, sa0, sa1 or effects): name both, or neither"  # fmt: skip
        yield bool(self.dies and self.maps), "give dies or maps: what is found of one says nothing of the other"
        yield len(set(self.dies)) < len(self.dies) and not self.auto, "a die is there twice"
        yield "max_dies" in given and not self.auto, "max_dies is for dies = 'auto'"
        yield limits == (None, None) and self.baseline is None, "name a criterion: max_loss_points, min_score, baseline"
        yield self.min_yield is not None and limits == (None, None), "min_yield needs max_loss_points or min_score: what a die must keep"  # fmt: skip
        yield self.min_yield == 1 and bool(self.dies), "no number of dies proves that all others pass: give a min_yield below 1"  # fmt: skip
        no_dies = not (self.dies or self.maps)
        yield no_dies and (self.max_loss_points, self.min_yield) != (None, None), "max_loss_points and min_yield need dies or maps"  # fmt: skip
        yield "max_regression_points" in given and self.baseline is None, "max_regression_points needs a baseline"
        yield self.auto and self.baseline is not None, "a baseline is of certain dies: give their seeds, not 'auto'"

    @property
    def auto(self) -> bool:
        """Whether dies are tried until it is clear."""
        return self.dies == AUTO

    @property
    def rates(self) -> tuple[float, float] | None:
        """SA0 and SA1; one that is not given is 0 where the other is."""
        return None if self.sa0 is None and self.sa1 is None else (self.sa0 or 0.0, self.sa1 or 0.0)

    def study(self, folder: Path) -> Study:
        """The same as a study, paths as seen from this folder. Raises BadInputError for files that are not there."""
        asked: dict[str, Any] = {
            "bundles": self.bundle,
            "models": self.model,
            "targets": self.target,
            "protect": self.protect,
            "tasks": self.task,
            "data": self.data,
            "limit": self.limit,
            "stuck": self.stuck,
            "rates": self.rates and (self.rates,),
            "effects": (self.effects,),
            "dies": tuple(range(1, self.max_dies + 1)) if self.auto else self.dies,
            "maps": self.maps,
        }
        return study_of({key: value for key, value in asked.items() if value is not None}, folder)


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    check: tuple[Check, ...] = ()


def read_checks(path: Path) -> list[tuple[int, Check]]:
    """The checks of a file, each with the line where it begins. Raises BadInputError with every error at once, each
    with its line.
    """
    source, data = read_toml(path, "checks")
    tables = tables_of(source, "check")
    try:
        checks = _File.model_validate(data).check
    except ValidationError as error:
        raise refusal(f"'{path}'", _problems(error, path.name, source, tables)) from None
    if not checks:
        raise refusal(f"'{path}'", [f"{path.name}:1: there is no [[check]]"])
    starts = [line for line, _ in tables] if len(tables) == len(checks) else [1] * len(checks)
    found = list(zip(starts, checks, strict=True))
    if twice := [
        f"{path.name}:{line}: {key}: an earlier check has '{value}' already"
        for number, (line, check) in enumerate(found)
        for key, value in (("name", check.name), ("baseline", check.baseline))
        if value is not None and value in [getattr(earlier, key) for earlier in checks[:number]]
    ]:
        raise refusal(f"'{path}'", twice)
    return found


def _problems(error: ValidationError, name: str, source: str, tables: list[tuple[int, str]]) -> list[str]:
    """What pydantic found, one thing a key, with lines, in their order."""
    found: dict[Any, tuple[int, str]] = {}
    for one in error.errors():
        table, number, key = (*one["loc"], "", "", "")[:3]
        if table == "check" and isinstance(number, int):
            start, text = tables[number] if number < len(tables) else (1, "")
            line, known = start + line_of(text, str(key)) - 1, Check.model_fields
        else:
            line, key, known = line_of(source, str(table)), table, _File.model_fields
        said = f"{name}:{line}: {f'{key}: ' if key else ''}{problem_of(one, known)}"
        found.setdefault((table, number, key), (line, said))
    return [said for _, said in sorted(found.values())]
