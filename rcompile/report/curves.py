"""Curves: the runs of a campaign, sorted into what is compared with what. A panel compares schemes on one task; the
mean over tasks is a task, too.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import Any

from rcompile.report.lines import Scored
from rcompile.vocabulary import Scheme, words

Words = tuple[str, ...]


@dataclass(frozen=True)
class Setting:
    """What all schemes of a panel share. model: empty for bundles, which are compared with each other. rest: limit,
    version and digest of the data.
    """

    model: str
    hardware: str
    task: str
    rest: Words


@dataclass(frozen=True)
class Way:
    """What is compared. scheme: of protection, and the bundle if one was given. effects: as JSON. sa1_share: of the
    stuck cells; -1: of maps.
    """

    scheme: str
    combiner: str
    effects: str
    sa1_share: float
    source: str

    @property
    def place(self) -> int:
        """That of its scheme among all."""
        return words(Scheme).index(self.scheme.partition(" ")[0])


@dataclass(frozen=True)
class Value:
    """One score. stuck: share of cells asked to be stuck, -1 of a measured map. runs: what it is the score, or the
    mean score, of.
    """

    setting: Setting
    way: Way
    stuck: float
    die: str
    score: float
    runs: tuple[Scored, ...]


Cleans = dict[Setting, dict[str, float]]


def values_of(runs: Sequence[Scored]) -> list[Value]:
    """The scores on dies."""
    return [_value(run) for run in runs if run.die]


def clean_scores(runs: Sequence[Scored]) -> Cleans:
    """Scores without faults by setting, and source and combiner; under "" that of the unprotected model, or the first:
    what is compiled for each die has none of its own.
    """
    found: dict[Setting, dict[str, float]] = defaultdict(dict)
    for run in sorted((r for r in runs if r.die is None), key=lambda r: (r.protect != "none", r.combiner or "")):
        found[_setting(run)].setdefault("", run.score)
        found[_setting(run)][_bundle(run.source_sha256, run.combiner)] = run.score
    return dict(found)


def clean_of(cleans: dict[str, float], way: Way) -> float | None:
    """The clean score that dies of one way are compared with."""
    return cleans.get(way.source + way.combiner, cleans.get(""))


def over_tasks(values: Sequence[Value]) -> list[Value]:
    """The mean over all tasks, die by die; of dies that have a score on all."""
    tasks = {value.setting.task for value in values}
    together: dict[tuple[Any, ...], list[Value]] = defaultdict(list)
    for value in values:
        together[_mean_setting(value.setting), value.way, value.stuck, value.die].append(value)
    means = []
    for (setting, *_), parts in together.items():
        if len(parts) == len(tasks):
            runs = tuple(run for part in parts for run in part.runs)
            means.append(replace(parts[0], setting=setting, score=mean(p.score for p in parts), runs=runs))
    return means


def clean_over_tasks(cleans: Cleans) -> Cleans:
    """The mean over all tasks of scores without faults; of those that are known on all."""
    tasks = {setting.task for setting in cleans}
    together: dict[Setting, list[dict[str, float]]] = defaultdict(list)
    for setting, found in cleans.items():
        together[_mean_setting(setting)].append(found)
    means = {}
    for setting, parts in together.items():
        if len(parts) == len(tasks):
            keys = set.intersection(*(set(part) for part in parts))
            means[setting] = {key: mean(part[key] for part in parts) for key in sorted(keys)}
    return means


def names_of(ways: Sequence[Way]) -> dict[Way, str]:
    """What distinguishes them, in words."""
    effects = [json.loads(way.effects) for way in ways]
    names = {}
    for way, own in zip(ways, effects, strict=True):
        said = [way.scheme]
        if len({w.combiner for w in ways}) > 1:
            said.append(f"voting by {way.combiner}" if way.combiner else "voting as compiled")
        if len({w.effects for w in ways}) > 1 and way.sa1_share >= 0:
            said.append(_effects(own, effects))
        if way.sa1_share < 0:
            said.append("measured dies")
        elif len({w.sa1_share for w in ways if w.sa1_share >= 0}) > 1:
            said.append(f"{100 * way.sa1_share:.3g} % of stuck cells SA1")
        names[way] = ", ".join(said)
    doubles = [name for name in names.values() if list(names.values()).count(name) > 1]
    return {way: f"{name}, {way.source[:8]}" if name in doubles else name for way, name in names.items()}


def _effects(own: dict[str, Any], others: Sequence[dict[str, Any]]) -> str:
    """Effects by name, with the keys in which studies differ."""
    said = []
    for name, keys in own.items():
        alike = [effects[name] for effects in others if name in effects]
        said += [" ".join([name, *(f"{k}={v}" for k, v in keys.items() if any(o.get(k) != v for o in alike))])]
    return " + ".join(said) or "no effects"


def _value(run: Scored) -> Value:
    die = run.die
    assert die is not None
    stuck = float(f"{die.sa0 + die.sa1:.9g}")
    share = -1.0 if die.map else float(f"{die.sa1 / stuck:.4f}") if stuck else 0.0
    scheme = run.protect if run.compiled else f"{run.protect} ({run.model})"
    way = Way(scheme, run.combiner or "", json.dumps(die.effects, sort_keys=True), share, run.source_sha256)
    return Value(_setting(run), way, -1.0 if die.map else stuck, die.map_sha256 or die.name, run.score, (run,))


def _setting(run: Scored) -> Setting:
    limit = f"{run.limit} sentences" if run.limit else "all sentences"
    return Setting(run.model if run.compiled else "", run.hardware, run.task, (limit, run.version, run.data_sha256[:8]))


def _mean_setting(of: Setting) -> Setting:
    return replace(of, task="mean of all tasks", rest=of.rest[:2])


def _bundle(source: str, combiner: str | None) -> str:
    return source + (combiner or "")
