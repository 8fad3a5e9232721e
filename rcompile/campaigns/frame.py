"""Frame: the lines of a campaign as a table, for those who go on in Python."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rcompile.campaigns.run import run_campaign
from rcompile.campaigns.store import Line
from rcompile.campaigns.study import read_study, study_of
from rcompile.errors import UsageError

if TYPE_CHECKING:
    from pandas import DataFrame


def campaign(study: str | Path | Mapping[str, Any], out: str | Path | None = None, **options: Any) -> DataFrame:
    """Run a study, a TOML file or the same as a mapping, and give its lines, a row each: what a die is and what was
    found of it in columns of their own (`die.seed`, `found.sa1`). out: the folder of the results, which is taken up
    again; without one they are kept in the table alone. options: as `run_campaign` takes them. Raises RcompileError.
    """
    asked = study_of(dict(study)) if isinstance(study, Mapping) else read_study(Path(study))
    if out is not None:
        return frame(run_campaign(asked, Path(out), **options).lines)
    with tempfile.TemporaryDirectory() as folder:
        return frame(run_campaign(asked, Path(folder) / "results", **options).lines)


def frame(lines: Sequence[Line]) -> DataFrame:
    """The lines of a campaign as a table. Raises UsageError without pandas."""
    try:
        import pandas as pd
    except ImportError:
        raise UsageError("a table of results needs pandas: pip install 'rcompile[campaign]'.") from None
    return pd.json_normalize(list(lines), max_level=1)
