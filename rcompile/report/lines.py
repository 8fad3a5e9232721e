"""Lines: what a report takes from the results of a campaign, checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rcompile.campaigns.store import RESULTS, read_lines
from rcompile.errors import BadInputError
from rcompile.vocabulary import Combiner, Scheme

Share = Annotated[float, Field(ge=0, le=1)]


class ScoredDie(BaseModel):
    """A virtual die, or a measured one: its map has a name."""

    model_config = ConfigDict(frozen=True)

    seed: int = 0
    sa0: Share = 0.0
    sa1: Share = 0.0
    effects: dict[str, dict[str, Any]] = {}
    map: str | None = None
    map_sha256: str | None = None

    @property
    def name(self) -> str:
        """The map, or `seed 3`."""
        return self.map or f"seed {self.seed}"


class Scored(BaseModel):
    """A run of a campaign. die: None without faults. score: in points."""

    model_config = ConfigDict(frozen=True)

    model: str
    source_sha256: str
    target: str
    changes: tuple[str, ...]
    protect: Scheme
    combiner: Combiner | None
    task: str
    data_sha256: str
    limit: int | None
    version: str
    metric: str
    examples: int
    score: float = Field(allow_inf_nan=False)
    die: ScoredDie | None

    @property
    def hardware(self) -> str:
        """The target and what was changed of it."""
        return " ".join([self.target, *self.changes])

    @property
    def compiled(self) -> bool:
        """Whether the campaign compiled it; else it was given as a bundle."""
        return self.model.endswith(".onnx")

    @property
    def for_one_die(self) -> bool:
        """Whether it was compiled for each die anew."""
        return self.compiled and self.protect == "die"


@dataclass(frozen=True)
class Results:
    """All runs, in the order of what they are. cut: whether a stop has cut the last line, which is left out."""

    runs: tuple[Scored, ...]
    cut: bool


def read_results(folder: Path) -> Results:
    """The results of a campaign's folder. Raises BadInputError for a folder that is none, holds no run, or a line that
    is none.
    """
    path = folder / RESULTS
    if not path.is_file():
        what = f"holds no {RESULTS}" if folder.is_dir() else "is no folder"
        raise BadInputError(f"'{folder}' {what}. Give the folder of a campaign: `rcompile campaign STUDY.toml -o {folder}` fills one.")  # fmt: skip
    found = read_lines(folder)
    if not found:
        raise BadInputError(f"'{path}' holds no finished run. The campaign's command goes on with it.")
    runs = [_run(path, number, line) for number, line in enumerate(found, 1)]
    whole = path.read_bytes().endswith(b"\n")
    return Results(tuple(sorted(runs, key=lambda run: run.model_dump_json())), not whole)


def _run(path: Path, number: int, line: dict[str, Any]) -> Scored:
    try:
        return Scored.model_validate(line)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BadInputError(f"'{path}', line {number} is no result of a campaign: {where}: {first['msg']}. Remove the line; the campaign's command computes it again.") from None  # fmt: skip
