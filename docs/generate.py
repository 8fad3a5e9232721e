"""Write the generated parts of docs/: the manifest's JSON Schema and the help page. A test checks that they are up to
date.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import click
from click.testing import CliRunner

from rcompile.bundle.manifest import manifest_schema
from rcompile.cli.main import main

HERE = Path(__file__).resolve().parent
TASKS = "\nWhat `--task` of `rcompile evaluate` takes, and how to write your own: [tasks](tasks.md)."
COMPLETION = """
The shell completes commands, options, tasks, effects, the targets that ship, keys of `--set`, and bundles, once it is told so; in

- bash, `~/.bashrc`: `eval "$(_RCOMPILE_COMPLETE=bash_source rcompile)"`
- zsh, `~/.zshrc`: `eval "$(_RCOMPILE_COMPLETE=zsh_source rcompile)"`
- fish, `~/.config/fish/completions/rcompile.fish`: `_RCOMPILE_COMPLETE=fish_source rcompile | source`
"""


def _commands(group: click.Group) -> Iterator[tuple[str, ...]]:
    """Every command below a group, in the order of its help."""
    for name, command in group.commands.items():
        if name != "help":
            yield (name,)
        if isinstance(command, click.Group):
            yield from ((name, *below) for below in _commands(command))


def help_page() -> str:
    """The help of every command, as Markdown."""
    parts = ["# Command line", TASKS, COMPLETION]
    for command in [(), *_commands(main)]:
        name = " ".join(("rcompile", *command))
        text = CliRunner().invoke(main, [*command, "--help"], prog_name="rcompile", terminal_width=100).output
        parts.append(f"## {name}\n\n```\n{text.rstrip()}\n```\n")
    return "\n".join(parts)


def generated() -> dict[str, str]:
    """The generated files by name."""
    return {"manifest.schema.json": manifest_schema(), "cli.md": help_page()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE)
    out = parser.parse_args().out
    for file, content in generated().items():
        (out / file).write_text(content, encoding="utf-8")
