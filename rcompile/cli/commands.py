"""How commands are found, and how each ends: one message, one exit code, and with --json one document."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

from rcompile.errors import Interrupted, RcompileError, no_such

FAILED = 1
INTERNAL_ERROR = 70
DEFAULT = "compile"


@dataclass(frozen=True)
class Failure:
    """Why a command ended, as `--json` prints it. kind: usage, bad_input, unsupported, interrupted or internal."""

    kind: str
    message: str
    exit_code: int

    @staticmethod
    def of(error: Exception) -> Failure:
        """What the user reads of an error, and the exit code."""
        if isinstance(error, click.Abort) and isinstance(error.__cause__, KeyboardInterrupt):  # outside of a command
            error = Interrupted("nothing is half-written")
        if isinstance(error, click.ClickException):
            return Failure("usage", error.format_message(), error.exit_code)
        if isinstance(error, RcompileError):
            return Failure(error.kind, str(error), error.exit_code)
        if isinstance(error, MemoryError):
            details = f": {error}" if str(error) else ""
            return Failure(RcompileError.kind, f"there is not enough memory{details}.", RcompileError.exit_code)
        if isinstance(error, OSError):
            return Failure(RcompileError.kind, str(error), RcompileError.exit_code)
        bug = "This is a bug: report it with the output of `rcompile --debug ...`."
        return Failure("internal", f"{type(error).__name__}: {error}. {bug}", INTERNAL_ERROR)


class Group(click.Group):
    """Commands; a name that none has is answered with the nearest. otherwise: what else could be given."""

    otherwise = ""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first argument names."""
        if args[0] not in self.commands and not ctx.resilient_parsing:
            raise no_such("command", args[0], self.list_commands(ctx), self.otherwise)
        return super().resolve_command(ctx, args)


class Commands(Group):
    """All commands: `compile` need not be named before a model, and --debug may stand in any place."""

    otherwise = "; or the file of a model to compile, such as model.onnx"
    ignore_unknown_options = True  # an option before the model is one of `compile`

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order in which they were added: that of work."""
        return list(self.commands)

    def main(self, args: Sequence[str] | None = None, *rest: Any, **named: Any) -> NoReturn:
        """Run the command line."""
        given = list(sys.argv[1:] if args is None else args)
        named["standalone_mode"] = False
        try:
            sys.exit(super().main([a for a in given if a != "--debug"], *rest, **named))
        except Exception as error:
            if "--debug" in given and not isinstance(error, click.ClickException):
                raise
            failure = Failure.of(error)
            _say(error, failure)
            if "--json" in given:
                click.echo(json.dumps({"error": asdict(failure)}, indent=2, ensure_ascii=False))
            sys.exit(failure.exit_code)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted("nothing was left behind") from None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first argument names, or `compile` for what looks like a model."""
        first = args[0].partition("=")[0]
        if first.startswith("--"):
            known = [name for command in (self, self.commands[DEFAULT]) for p in command.params for name in p.opts]
            if first not in known and not ctx.resilient_parsing:
                raise click.NoSuchOption(first, possibilities=known, ctx=ctx)
        if args[0] not in self.commands and _looks_like_a_model(args[0]):
            args = [DEFAULT, *args]
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Commands, or a model's file: bash takes what comes first only where no command fits."""
        return [CompletionItem(incomplete, type="file"), *super().shell_complete(ctx, incomplete)]


def _looks_like_a_model(argument: str) -> bool:
    return argument.startswith("-") or argument.endswith(".onnx") or "/" in argument or Path(argument).exists()


def _say(error: Exception, failure: Failure) -> None:
    if isinstance(error, click.ClickException):
        error.show()
        return
    before = {"interrupted": "interrupted; ", "internal": "internal error: "}.get(failure.kind, "error: ")
    click.echo(before + failure.message, err=True)
