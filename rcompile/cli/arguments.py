"""What arguments and options take, and what a shell offers to complete them with. Nothing here imports pydantic: a
shell waits for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from rcompile.errors import BadInputError
from rcompile.hardware.shipped import target_names, targets_folder
from rcompile.vocabulary import EffectName, ShippedTask, TaskName, words

MAX_DIES = 100_000


class _Model(click.Path):
    """An ONNX file; a directory is refused with the command that takes it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path."""
        path: Path = super().convert(value, param, ctx)  # type: ignore[assignment]  # as path_type says
        if (path / "manifest.json").is_file():
            raise BadInputError(
                f"'{path}' is a bundle, compiled already: `rcompile inspect {path}` shows it, `rcompile evaluate {path} --task TASK` scores it."
            )
        if (path / "config.json").is_file():
            raise BadInputError(
                f"'{path}' is a Hugging Face directory: `rcompile export {path} -o {path.name}.onnx` makes an ONNX file to compile."
            )
        if path.is_dir():
            raise BadInputError(f"'{path}' is a directory; give an ONNX file to compile.")
        return path


class _Directory(click.Path):
    """A directory, for completion; what is in it is checked by those who read it."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Directories."""
        return [CompletionItem(incomplete, type="dir")]


class _Seeds(click.ParamType):  # type: ignore[type-arg]  # generic in newer click only
    """Die seeds: 7, or 1,2,5, or 1-10, or any of them joined by commas."""

    name = "seeds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """The seeds, in the order given."""
        if isinstance(value, tuple):
            return value
        seeds: list[int] = []
        for part in value.split(","):
            first, dash, last = part.partition("-")
            if (
                not first.isdecimal()
                or (dash and not last.isdecimal())
                or int(last or first) - int(first) not in range(MAX_DIES)
            ):
                self.fail(f"'{part}' is no seed and no range of up to {MAX_DIES} seeds such as 1-10.", param, ctx)
            seeds.extend(range(int(first), int(last or first) + 1))
        return tuple(seeds)


class _Rate(click.ParamType):  # type: ignore[type-arg]
    """A share of all cells, or `target`: the target's own."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A number, or the word."""
        try:
            return value if value == "target" else float(value)
        except ValueError:
            self.fail(f"'{value}' is no share of all cells such as 0.01; `target` takes the target's own.", param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The word."""
        return _starting(["target"], incomplete)


class _Target(click.ParamType):  # type: ignore[type-arg]
    """The name of a target that ships, or a TOML file; `load_target` says if it is neither."""

    name = "target"

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """What the help says of it."""
        return "NAME|FILE"

    def get_missing_message(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """What there is, for those who gave none."""
        return f"Targets: {', '.join(target_names())}; or the path of a .toml file."

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Targets that ship, or a file."""
        return [CompletionItem(incomplete, type="file"), *_starting(target_names(), incomplete)]


class _Task(click.ParamType):  # type: ignore[type-arg]
    """A task by name, a TOML file, or an object in Python."""

    name = "task"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The task."""
        if ctx and ctx.resilient_parsing:  # a shell asks, and waits
            return value
        from runtime.scoring.task_file import find_task

        return find_task(value)

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """What the help says of it."""
        return "NAME|FILE|MODULE:OBJECT"

    def get_missing_message(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """What there is, for those who gave none."""
        return f"Tasks: {', '.join(words(ShippedTask))}; or the path of a .toml file, or module:object."

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Tasks by name, or a file."""
        return [CompletionItem(incomplete, type="file"), *_starting(words(ShippedTask), incomplete)]


def _starting(known: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(word) for word in known if word.startswith(incomplete)]


def effect_option(said: str) -> Any:
    """The option that turns effects on. said: what they do here."""
    return click.option(
        "--effect",
        "changes",
        multiple=True,
        metavar="NAME[.KEY=VALUE]",
        shell_complete=_complete_effect,
        help=f"{said} Repeatable.  [default: the target's]",
    )


def _complete_effect(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Effects by name."""
    return _starting([*words(EffectName), "none"], incomplete)


def complete_key(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Keys of the targets that ship."""
    import tomllib

    found = set()
    for path in targets_folder().glob("*.toml"):
        for section, keys in tomllib.loads(path.read_text(encoding="utf-8")).items():
            if isinstance(keys, dict) and section not in ("sources", "effects"):
                found |= {f"{section}.{key}=" for key in keys}
    return _starting(sorted(found), incomplete)


PATH = click.Path(path_type=Path)
MODEL = _Model(path_type=Path)
DIRECTORY = _Directory(path_type=Path)
TASK = _Task()
TASK_NAME = click.Choice(words(TaskName))
SEEDS = _Seeds()
RATE = _Rate()
TARGET = _Target()
