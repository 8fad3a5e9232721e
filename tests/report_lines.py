"""Results of campaigns as tests write them: the lines of a store, without a run."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rcompile.campaigns.store import RESULTS

CLEAN = 90.0
SA1 = 0.84  # of stuck cells


def line(share: float | None, score: float, **changes: Any) -> dict[str, Any]:
    """A run at a share of stuck cells; None: without faults."""
    given = {"seed": 1, "effects": {}, "protect": "none", "task": "sst2", **changes}
    die = None if share is None else {"seed": given["seed"], "sa0": share * (1 - SA1), "sa1": share * SA1, "effects": given["effects"]}  # fmt: skip
    source = f"{given['protect']:f<64}" if given["protect"] != "none" else "a" * 64
    about = {
        "changes": [], "combiner": None, "data_sha256": "d" * 64, "die": die, "examples": 872, "found": None, "limit": None,
        "metric": "accuracy", "metrics": {}, "model": "m.onnx", "score": score, "source_sha256": source,
        "target": "reram128x128", "version": "0.1.0",
    } | {key: value for key, value in given.items() if key not in ("seed", "effects")}  # fmt: skip
    return {**about, "key": hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:32]}


def study(
    costs: dict[str, float], shares: Sequence[float], dies: int, tasks: Sequence[str] = ("sst2",)
) -> list[dict[str, Any]]:
    """Runs of schemes that lose so many points per percent of stuck cells; dies lie a tenth of a point apart around."""
    found = []
    for task in tasks:
        for protect, cost in costs.items():
            if protect != "die":
                found.append(line(None, CLEAN, protect=protect, task=task))
            for share in shares:
                for seed in range(dies):
                    score = CLEAN - 100 * share * cost + (seed - (dies - 1) / 2) / 10
                    found.append(line(share, score, protect=protect, task=task, seed=seed))
    return found


def write(folder: Path, lines: Iterable[dict[str, Any]]) -> Path:
    """A campaign's folder that holds them."""
    folder.mkdir(exist_ok=True)
    (folder / RESULTS).write_text("".join(json.dumps(one, sort_keys=True) + "\n" for one in lines))
    return folder
