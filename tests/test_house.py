"""The house is in order: no file that wants splitting, no function that does."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("rcompile", "runtime", "tests", "benchmarks", "docs")
MODULE_OF = {"protobuf": "google"}  # of a distribution whose module has another name
PLUGIN = ROOT / "rcompile" / "regression" / "plugin.py"
MOST_LINES, MOST_FUNCTION_LINES = 300, 50
SOURCES = sorted(p for f in FOLDERS for kind in ("*.py", "*.h", "*.cc") for p in (ROOT / f).rglob(kind))


def test_there_is_something_to_measure() -> None:
    assert len(SOURCES) > 150


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= MOST_LINES
    if path.suffix != ".py":
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < MOST_FUNCTION_LINES, node.name  # type: ignore[operator]


def test_every_shipped_python_file_is_in_a_package() -> None:
    """A folder without __init__.py would be left out of the wheel, or shadow another."""
    folders = {
        p.parent for p in SOURCES if p.suffix == ".py" and p.relative_to(ROOT).parts[0] in ("rcompile", "runtime")
    }
    assert not [folder for folder in folders if not (folder / "__init__.py").is_file()]


def test_what_is_imported_at_once_is_declared() -> None:
    """An extra, or a package of another's, may be missing where rcompile alone is installed. Only training, an extra
    itself, imports more; and pytest loads its plugin.
    """
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = [re.split(r"[><=]", name)[0] for name in declared]
    known = {MODULE_OF.get(name, name) for name in names} | {"rcompile", "runtime"} | set(sys.stdlib_module_names)
    imported = {}
    for path in SOURCES:
        place = path.relative_to(ROOT).parts
        if path.suffix != ".py" or place[0] not in ("rcompile", "runtime") or place[:2] == ("rcompile", "train"):
            continue
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0]: path for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported[str(node.module).split(".")[0]] = path
    assert imported.pop("pytest", PLUGIN) == PLUGIN
    assert not {name: str(path) for name, path in imported.items() if name not in known}
