"""Where a key of a TOML file stands, for messages."""

from __future__ import annotations

import re


def line_of(source: str, key: str) -> int:
    """Line of a dotted key, of its section where the key is missing, else 1."""
    current, section_line = "", 1
    for number, line in enumerate(source.splitlines(), 1):
        if header := re.match(r"\s*\[([^\[\]]+)\]", line):
            current = header[1].strip().strip('"')
            if f"{key}.".startswith(f"{current}."):
                section_line = number
        elif (assigned := re.match(r"\s*([\w.\"-]+)\s*=", line)) and key == (
            f"{current}." if current else ""
        ) + assigned[1].strip('"'):
            return number
    return section_line
