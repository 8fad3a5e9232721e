"""The native sources stand in floors: what a file includes lies on its own floor or on one below, and never leads back
to it.
"""

import re
from graphlib import TopologicalSorter
from pathlib import Path

NATIVE = Path(__file__).parents[1] / "runtime" / "native"
FLOORS = ("base", "simd", "layer", "die", "product", "ort")  # from the ground up
SOURCES = {
    str(file.relative_to(NATIVE)): file.read_text() for file in NATIVE.rglob("*") if file.suffix in (".h", ".cc")
}
INCLUDES = {name: re.findall(r'^\s*#\s*include\s*"(.*)"', text, re.MULTILINE) for name, text in SOURCES.items()}


def floor(name: str) -> int:
    return FLOORS.index(name.split("/")[0])


def test_every_source_is_on_a_floor() -> None:
    assert {name.split("/")[0] for name in SOURCES} == set(FLOORS)


def test_includes_are_written_from_the_root() -> None:
    assert not [(name, used) for name, all_used in INCLUDES.items() for used in all_used if used not in SOURCES]


def test_no_include_points_upwards() -> None:
    assert not [(name, used) for name, all_used in INCLUDES.items() for used in all_used if floor(used) > floor(name)]


def test_no_headers_include_in_a_circle() -> None:
    TopologicalSorter(INCLUDES).prepare()
