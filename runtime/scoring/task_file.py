"""Tasks by name, from TOML files, with every error at once, and from Python."""

from __future__ import annotations

import importlib
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rcompile.errors import BadInputError, no_such
from rcompile.toml_file import line_of
from runtime.scoring.glue import DEMO, TASKS
from runtime.scoring.task import Task
from runtime.scoring.tasks.answers import Questions
from runtime.scoring.tasks.classification import Classification, Regression
from runtime.scoring.tasks.fidelity import Fidelity
from runtime.scoring.tasks.kind import Kind
from runtime.scoring.tasks.retrieval import Retrieval
from runtime.scoring.tasks.similarity import Similarity
from runtime.scoring.tasks.tokens import Tokens

KINDS: dict[str, type[Kind]] = {
    "classification": Classification,
    "regression": Regression,
    "tokens": Tokens,
    "answers": Questions,
    "similarity": Similarity,
    "retrieval": Retrieval,
    "fidelity": Fidelity,
}
NAMED: Mapping[str, Task] = {**TASKS, DEMO.name: DEMO}
SEE = "See docs/tasks.md for every kind with its keys."


def find_task(given: str) -> Task:
    """The task of that name, of that TOML file, or the object of `module:object`, found from the working directory too.

    Raises BadInputError with every error of a file at once, each with file, line and key; UsageError for a name that no
    task has.
    """
    if given in NAMED:
        return NAMED[given]
    if given.endswith(".toml"):
        path = Path(given)
        try:
            source = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadInputError(f"cannot read task file '{path}': {error}.") from None
        return parse_task(source, path)
    if re.fullmatch(r"[\w.]+:[\w.]+", given):
        return _imported(*given.split(":"))
    raise no_such("task", given, NAMED, "; or give the path of a .toml file, or module:object")


def parse_task(source: str, path: Path) -> Task:
    """A task from TOML text. path: where it lies, which its data are beside. Raises BadInputError."""
    try:
        data = tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        raise BadInputError(f"task '{path}' is not valid TOML: {error}.") from None
    name, kind = path.name.removesuffix(".toml").removesuffix(".task"), data.pop("kind", None)
    if kind not in KINDS:
        said = f"there is no such kind: {kind}" if kind else "a task needs a kind"
        raise _wrong(path, source, [("kind", f"{said}{_nearest(str(kind), KINDS)}")])
    try:
        task = KINDS[kind].model_validate({"name": name, **data}, context={"folder": path.parent})
    except ValidationError as errors:
        found = [_problem(error, KINDS[kind]) for error in errors.errors() if not _follows(error)]
        raise _wrong(path, source, found) from None
    assert isinstance(task, Task)
    return task


def _wrong(path: Path, source: str, problems: list[tuple[str, str]]) -> BadInputError:
    placed = sorted((line_of(source, key.split(".")[0]), key, message) for key, message in problems)
    lines = [f"  {path}:{line}: {key}: {message}" for line, key, message in placed]
    count = "an error" if len(lines) == 1 else f"{len(lines)} errors"
    return BadInputError(f"task '{path}' has {count}:\n" + "\n".join(lines) + f"\n{SEE}")


def _problem(error: Any, kind: type[Kind]) -> tuple[str, str]:
    """The key, and what pydantic found, for people."""
    key, given = ".".join(map(str, error["loc"])), error["input"]
    if error["type"] == "extra_forbidden":
        keys = list(kind.model_fields) if len(error["loc"]) == 1 else ["name", "average"]
        return key, f"there is no such key{_nearest(str(error['loc'][-1]), keys)}"
    if error["type"] == "literal_error":
        words = re.findall(r"'([^']*)'", error["ctx"]["expected"])
        return key, f"there is no such {error['loc'][-1]}: {given}{_nearest(str(given), words)}"
    if error["type"] == "missing":
        return key, "is missing"
    return key, f"{error['msg'].removeprefix('Value error, ')} (got {given!r:.60})"


def _follows(error: Any) -> bool:
    """Whether a list is too short only because some of it is wrong."""
    return error["type"] == "too_short" and len(error["input"]) >= error["ctx"]["min_length"]


def _nearest(name: str, known: Iterable[str]) -> str:
    names = list(known)
    near = get_close_matches(name, names, n=1, cutoff=0.4)
    return (f"; did you mean {near[0]}? There are " if near else "; there are ") + ", ".join(names)


def _imported(module: str, name: str) -> Task:
    sys.path.append("")  # the working directory
    try:
        found: object = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise BadInputError(f"cannot load task '{module}:{name}': {error}.") from None
    finally:
        sys.path.remove("")
    if not isinstance(found, Task):
        members = [m for m in ("name", "metric", "outputs", "load", "answers", "scores") if not hasattr(found, m)]
        raise BadInputError(f"'{module}:{name}' is no task: it has no {', '.join(members)} (docs/tasks.md).")
    return found
