"""Write the generated parts of docs/: the manifest's JSON Schema and the help page. A test checks that they are up to date."""

import argparse
from pathlib import Path

from click.testing import CliRunner

from rcompile.bundle.manifest import manifest_schema
from rcompile.cli.main import main

HERE = Path(__file__).resolve().parent
COMMANDS = (
    (), ("compile",), ("evaluate",), ("inspect",), ("check",), ("diff",), ("export",), ("train",), ("prune",), ("targets",),
    ("targets", "list"), ("targets", "show"), ("targets", "check"), ("targets", "effects"),
)  # fmt: skip


def help_page() -> str:
    """The help of every command, as Markdown."""
    parts = ["# Command line\n"]
    for command in COMMANDS:
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
