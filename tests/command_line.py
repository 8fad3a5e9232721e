"""The command line as tests run it."""

from pathlib import Path

from click.testing import CliRunner, Result

from rcompile.cli.main import main

OK, FAILED, USAGE, BAD_INPUT, UNSUPPORTED = 0, 1, 2, 3, 4


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments], prog_name="rcompile")


def compile_to(out: Path, model: Path, *more: object) -> Result:
    return run(model, "--target", "reram128x128", "-o", out, *more)


def left_behind(folder: Path) -> list[str]:
    """What a compile puts beside its output while it runs."""
    marks = (".partial-", ".previous-", ".lock")
    return sorted(p.name for p in folder.iterdir() if p.name.startswith(".") and any(m in p.name for m in marks))
