"""Errors that reach a user. Each message says what, where and the way out; each class has a stable exit code."""

from __future__ import annotations


class RcompileError(Exception):
    """Base of every error that a user can cause or mend."""

    exit_code = 3


class UsageError(RcompileError):
    """The command or call asks for something that does not fit together."""

    exit_code = 2


class BadInputError(RcompileError):
    """A file or value that was given cannot be used."""

    exit_code = 3


class UnsupportedError(RcompileError):
    """The input is sound, but this tool or target cannot do it."""

    exit_code = 4
