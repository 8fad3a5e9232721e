"""TOML files that people write: what is wrong in them has a line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

from rcompile.errors import BadInputError


def read_toml(path: Path, what: str) -> tuple[str, dict[str, Any]]:
    """The text of a file, and what it says. what: the kind of file, for messages. Raises BadInputError."""
    try:
        source = path.read_text(encoding="utf-8")
        return source, tomllib.loads(source)
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"cannot read {what} '{path}': {error}.") from None
    except tomllib.TOMLDecodeError as error:
        raise BadInputError(f"{what} '{path}' is not valid TOML: {error}.") from None


def refusal(what: str, problems: Iterable[str]) -> BadInputError:
    """The error that tells all problems of a file at once."""
    lines = list(dict.fromkeys(problems))
    count = "an error" if len(lines) == 1 else f"{len(lines)} errors"
    return BadInputError(f"{what} has {count}:\n" + "\n".join(f"  {line}" for line in lines))


def problem_of(error: Any, known: Iterable[str]) -> str:
    """What pydantic found, in words. known: the keys that there are."""
    if error["type"] == "extra_forbidden":
        return f"there is no such key; there are {', '.join(known)}"
    return str(error["msg"]).removeprefix("Value error, ")


def tables_of(source: str, name: str) -> list[tuple[int, str]]:
    """Every `[[name]]` of TOML text: the number of its line, and the text from there to the next."""
    lines = source.splitlines()
    starts = [n for n, line in enumerate(lines) if re.match(rf"\s*\[\[\s*{re.escape(name)}\s*\]\]", line)]
    return [(start + 1, "\n".join(lines[start:end])) for start, end in pairwise([*starts, len(lines)])]


def line_of(source: str, key: str) -> int:
    """Line of a dotted key in TOML text, of its section where the key is missing, else 1."""
    current, section_line = "", 1
    for number, line in enumerate(source.splitlines(), 1):
        if header := re.match(r"\s*\[([^\[\]]+)\]", line):
            current = header[1].strip().strip('"')
            if f"{key}.".startswith(f"{current}."):
                section_line = number
        elif (assigned := re.match(r"\s*([\w.\"-]+)\s*=", line)) and key == (
            f"{current}." if current else ""
        ) + assigned[1].strip('"'):
            return number
    return section_line
