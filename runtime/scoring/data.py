"""Tables of examples: from csv, tsv, jsonl and parquet files, from the hub, and from where GLUE lies."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rcompile.errors import BadInputError, UsageError
from rcompile.onnx_in.text import Texts
from runtime.scoring.hub import offline_unless_reachable

DATA_VARIABLE = "RCOMPILE_GLUE"
HUB_DATASET = "nyu-mll/glue"
HUB, GLUE = "hub:", "glue:"
Columns = dict[str, list[Any]]


@dataclass(frozen=True)
class Table:
    """Columns of examples, and where they came from. task: whose, for messages."""

    columns: Columns
    origin: str
    task: str

    def get(self, *names: str) -> list[list[Any]]:
        """Columns by name. Raises BadInputError for names that are missing, or for a table of no example."""
        missing = [name for name in names if name not in self.columns]
        if missing and self.columns:
            raise BadInputError(
                f"{self.origin} has no column {', '.join(missing)}; it has {', '.join(self.columns)}. Task {self.task} needs {' and '.join(names)}."
            )
        if missing or not self.columns[names[0]]:
            raise BadInputError(f"{self.origin} holds no example.")
        return [self.columns[name] for name in names]

    def texts(self, *names: str) -> Texts:
        """One column of texts, or pairs of two. Raises BadInputError for what is no text."""
        columns = self.get(*names)
        for name, column in zip(names, columns, strict=True):
            for row, value in enumerate(column):
                if not isinstance(value, str):
                    raise self.wrong(row, f"{name} is {value!r:.60}, no text")
        return columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))

    def numbers(self, name: str) -> npt.NDArray[np.float64]:
        """A column of numbers: [examples]. Raises BadInputError for what is none."""
        (column,) = self.get(name)
        return np.array([self._number(row, name, value) for row, value in enumerate(column)])

    def _number(self, row: int, name: str, value: object) -> float:
        try:
            number = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            number = np.nan
        if not np.isfinite(number):
            raise self.wrong(row, f"{name} is {value!r:.60}, no number")
        return number

    def words(self, name: str) -> list[list[str]]:
        """A column of lists of words, or of words parted by spaces. Raises BadInputError for what is neither."""
        (column,) = self.get(name)
        found = [value.split() if isinstance(value, str) else value for value in column]
        for row, value in enumerate(found):
            if not isinstance(value, list) or not value or not all(isinstance(word, str) for word in value):
                raise self.wrong(row, f"{name} is {value!r:.60}, no list of words")
        return found

    def wrong(self, row: int, message: str) -> BadInputError:
        """The error for one example."""
        return BadInputError(f"{self.origin}: example {row}: {message}.")


def read_table(task: str, where: str, data: str | Path | None, limit: int | None) -> Table:
    """The first `limit` examples of a task. where: a file, `hub:[OWNER/]NAME[/CONFIG]:SPLIT`, or `glue:TASK:SPLIT`.
    data: another file, or, of GLUE, the folder of all tasks.

    Raises BadInputError for data that are missing or wrong, UsageError for a limit below 1.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"limit is {limit}; give a positive number of examples.")
    if where.startswith(GLUE):
        name, _, split = where.removeprefix(GLUE).partition(":")
        columns, origin = _glue(name, split, data)
    elif where.startswith(HUB) and data is None:
        columns, origin = _hub(where.removeprefix(HUB))
    else:
        columns, origin = _read(Path(data or where))
    return Table({name: values[:limit] for name, values in columns.items()}, origin, task)


def _glue(task: str, split: str, data: str | Path | None) -> tuple[Columns, str]:
    """A split of a GLUE task, its labels as numbers: of a folder with `<task>/<split>*.parquet`, or `.tsv` with a
    header line; default: the folder that RCOMPILE_GLUE names; else of the hub.
    """
    folder = data or os.environ.get(DATA_VARIABLE)
    if not folder:
        way_out = f"give a folder with --data, or set {DATA_VARIABLE}"
        loaded = _load(HUB_DATASET, task, split, way_out)
        return {c: list(loaded[c]) for c in loaded.column_names}, f"{HUB_DATASET} {task} {split}"
    place = Path(folder) / task
    found = sorted(p for p in place.glob(f"{split}*") if p.suffix in (".parquet", ".tsv"))
    if not found:
        raise BadInputError(
            f"no data for {task}: '{place}' has no {split}*.parquet or .tsv. Give the folder of all tasks with --data."
        )
    return _read(found[0])


def _hub(where: str) -> tuple[Columns, str]:
    """A split of any data set, its labels by their names."""
    name, _, split = where.rpartition(":")
    owner, _, rest = name.partition("/")
    short, _, config = rest.partition("/")
    loaded = _load(f"{owner}/{short}" if short else owner, config, split, "give a file with --data")
    features = loaded.features
    return {c: [_named(v, features[c]) for v in loaded[c]] for c in loaded.column_names}, f"{name} {split}"


def _named(value: Any, feature: Any) -> Any:
    """A label, or a list of them, by name: the hub's numbers are in the data set's order, which may not be the
    model's.
    """
    if isinstance(value, list):
        return [_named(v, getattr(feature, "feature", None)) for v in value]
    names = getattr(feature, "names", None)
    return names[value] if names and isinstance(value, int) and 0 <= value < len(names) else value


def _load(name: str, config: str, split: str, way_out: str) -> Any:
    offline_unless_reachable()
    what = f"{name} {config}".rstrip()
    try:
        import datasets
    except ImportError:
        raise BadInputError(
            f"no data for {what}: {way_out}; or pip install 'rcompile[glue]' to load it from the hub."
        ) from None
    try:
        return datasets.load_dataset(name, *([config] if config else []), split=split)
    except Exception as error:  # datasets, huggingface_hub and the HTTP client each raise their own
        raise BadInputError(f"cannot load {what} from the hub ({type(error).__name__}): {way_out}.") from None


def _read(path: Path) -> tuple[Columns, str]:
    if path.suffix not in READERS:
        raise BadInputError(f"'{path}' is none of {', '.join(READERS)}, which data are read from.")
    try:
        return READERS[path.suffix](path), f"'{path}'"
    except ImportError:
        raise BadInputError(f"'{path}' needs pyarrow: pip install 'rcompile[glue]'.") from None
    except (OSError, ValueError, csv.Error) as error:
        raise BadInputError(f"cannot read '{path}': {error}.") from None


def _csv(path: Path) -> Columns:
    """With a header line; what is quoted may hold commas and line ends."""
    return _rows(path, delimiter=",")


def _tsv(path: Path) -> Columns:
    """With a header line; nothing is quoted, as in GLUE's own files."""
    return _rows(path, delimiter="\t", quoting=csv.QUOTE_NONE)


def _rows(path: Path, **form: Any) -> Columns:
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file, **form)
        header = next(lines, [])
        if not header:
            raise ValueError("it has no header line")
        rows = []
        for row in lines:
            if len(row) != len(header):
                raise BadInputError(
                    f"'{path}', line {lines.line_num}: {len(row)} columns, the header has {len(header)}."
                )
            rows.append(row)
    return {column: [row[i] for row in rows] for i, column in enumerate(header)}


def _jsonl(path: Path) -> Columns:
    """An object a line; a key that a line lacks is None there."""
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(f"line {number} is no JSON: {error}") from None
        if not isinstance(row, dict):
            raise ValueError(f"line {number} is no JSON object")
        rows.append(row)
    return {key: [row.get(key) for row in rows] for key in dict.fromkeys(k for row in rows for k in row)}


def _parquet(path: Path) -> Columns:
    import pyarrow.parquet

    columns: Columns = pyarrow.parquet.read_table(path).to_pydict()
    return columns


READERS: dict[str, Callable[[Path], Columns]] = {".csv": _csv, ".tsv": _tsv, ".jsonl": _jsonl, ".parquet": _parquet}
