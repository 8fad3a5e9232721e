"""Target files: find, parse and validate them, with every error at once."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rcompile.errors import BadInputError, UsageError, no_such
from rcompile.hardware.changes import SEE, check
from rcompile.hardware.shipped import target_names, targets_folder
from rcompile.hardware.target import Target
from rcompile.toml_file import line_of


def load_target(name_or_path: str | Path, changes: Sequence[str] = ()) -> Target:
    """The target of that name, or of that TOML file. changes: `section.key=VALUE`, each in place of what the file says.

    Raises BadInputError with every error at once, each with file, line and key; UsageError for a name that no target
    has.
    """
    text = str(name_or_path)
    if text in target_names():
        path = targets_folder() / f"{text}.toml"
    elif text.endswith(".toml") or "/" in text:
        path = Path(text)
    else:
        raise no_such("target", text, target_names(), "; or give the path of a .toml file")
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"cannot read target file '{path}': {error}.") from None
    return parse_target(source, str(path), changes)


def parse_target(source: str, where: str, changes: Sequence[str] = ()) -> Target:
    """A target from TOML text, changed as `with_changes` does; `where` names the text in messages.

    Raises UsageError if nothing but the changes is wrong, BadInputError otherwise.
    """
    try:
        data = tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        raise BadInputError(f"target '{where}' is not valid TOML: {error}.") from None
    checked = check(data, changes)
    if not checked.problems:
        return checked.target
    lines, from_file = [], False
    for problem in dict.fromkeys(checked.problems):
        asked = problem.key in changes or any(_is_of(problem.key, key, data) for key in checked.changed)
        from_file = from_file or not asked
        place = "as changed" if asked else f"{where}:{line_of(source, problem.key)}"
        lines.append(f"  {place}: {problem.key}: {problem.message}")
    count = "an error" if len(lines) == 1 else f"{len(lines)} errors"
    kind = BadInputError if from_file else UsageError
    raise kind(f"target '{where}' has {count}:\n" + "\n".join(lines) + f"\n{SEE}")


def _is_of(key: str, changed: str, data: Mapping[str, Any]) -> bool:
    """Whether what is wrong with a key came with a change: of the key, of what it lies in, or of something in a section
    that the file lacks.
    """
    return f"{key}.".startswith(f"{changed}.") or (changed.startswith(f"{key}.") and key.split(".")[0] not in data)
