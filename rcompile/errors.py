"""Errors that reach a user. Each message says what, where and the way out; each class has a stable exit code, and a
kind for `--json`.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

MOST_NAMES = 20  # in one message; a model has a hundred layers


class RcompileError(Exception):
    """Base of every error that a user can cause or mend."""

    exit_code = 3
    kind = "bad_input"


class UsageError(RcompileError):
    """The command or call asks for something that does not fit together, or by a name that nothing has."""

    exit_code = 2
    kind = "usage"


class BadInputError(RcompileError):
    """A file or value that was given cannot be used."""

    exit_code = 3
    kind = "bad_input"


class UnsupportedError(RcompileError):
    """The input is sound, but this tool or target cannot do it."""

    exit_code = 4
    kind = "unsupported"


class Interrupted(RcompileError):
    """The user stopped a command (Ctrl-C); the message says what is left of it."""

    exit_code = 130
    kind = "interrupted"


def no_such(what: str, name: str, known: Iterable[str], otherwise: str = "") -> UsageError:
    """The error for a name that nothing has: the nearest name, all of them if they are not too many, and what else
    could be given.
    """
    names = list(known)
    near = get_close_matches(name, names, n=1)
    guess = f"; did you mean {near[0]}?" if near else "."
    names = names if len(names) <= MOST_NAMES else [*names[:2], "...", names[-1]]
    return UsageError(f"no such {what} '{name}'{guess} {what.capitalize()}s: {', '.join(names)}{otherwise}.")
