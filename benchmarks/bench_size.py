"""What a layer costs as it grows, one thing at a time: a session against MatMulInteger of the same size and threads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from layers import READ_BY_READ, layer_of
from scale import Scale
from timing import TARGET, show, side_by_side, stuck

import runtime
from rcompile.options import CompileOptions
from rcompile.vocabulary import Combiner


@dataclass(frozen=True)
class Point:
    """A layer and how it is run. share: of cells that are stuck. combiner: of three copies of the top slice, if any."""

    rows: int = 128
    inputs: int = 768
    outputs: int = 768
    target: str = TARGET
    share: float = 0.0
    combiner: Combiner = "none"
    threads: int = 1


BASE = Point()
STUCK = replace(BASE, share=0.01)
MATRICES = ((384, 384), (768, 768), (768, 3072), (3072, 768))
TARGETS = ("reram256x256", TARGET, f"{TARGET}-ou16", "reram64x64-slc")
VOTES: tuple[Combiner, ...] = ("select", "mean", "median")
VARIED: dict[str, dict[str, Point]] = {
    "matrix": {f"{k} x {n}": replace(BASE, inputs=k, outputs=n) for k, n in MATRICES},
    "rows": {str(m): replace(BASE, rows=m) for m in (1, 8, 32, 128, 512)},
    "crossbars": {t: replace(BASE, target=t) for t in TARGETS},
    "stuck cells": {f"{100 * s:g} %": replace(BASE, share=s) for s in (0.0, 0.001, 0.01, 0.1)},
    "replicas": {"1": STUCK} | {f"3 of the top slice, {c}": replace(STUCK, combiner=c) for c in VOTES},
    "threads": {str(t): replace(BASE, threads=t) for t in (1, 2)},
}
COLUMNS = {
    "varied": "varied",
    "value": "",
    "tiles": "tiles",
    "gemm_ms": "MatMulInteger, ms",
    "session_ms": "session, ms",
    "session_over_int8_gemm": "ratio",
    "bit_serial_ms": "every read, ms",
    "bit_serial_over_int8_gemm": "ratio",
    "collapsed_percent": "bitlines collapsed, %",
}
# There are many points.
SHARE_OF_BUDGET = 1 / 12


def bench_size(folder: Path, scale: Scale) -> dict[str, object]:
    """Both ways to compute: as the session chooses (what cannot clip is collapsed), and every read through the ADC."""
    measure = cache(lambda point: _measure(folder, scale, point))
    found = [
        {"varied": varied, "value": value, **measure(point)}
        for varied, points in VARIED.items()
        for value, point in points.items()
    ]
    usual = f"{BASE.rows} rows x {BASE.inputs} x {BASE.outputs} on {TARGET}, no cell stuck, 1 thread"
    rows = [[row[key] for key in COLUMNS] for row in found]
    show(f"Cost against size: {usual}, where nothing else is said", list(COLUMNS.values()), rows, right=2)
    return {"cost_against_size": found}


def _measure(folder: Path, scale: Scale, point: Point) -> dict[str, float]:
    layer = layer_of(folder, scale, point.rows, point.inputs, point.outputs)
    # Nothing is pruned here, so replicas take more crossbars than the dense layer.
    options = CompileOptions()
    if point.combiner != "none":
        options = CompileOptions(protect="paper", combiner=point.combiner, allow_extra_crossbars=True)
    bundle = layer.bundle(point.target, options)
    die = runtime.Die(1, **stuck(point.share)) if point.share else None
    session = runtime.load(bundle, die, threads=point.threads)
    serial = layer.session(bundle, point.threads, die=die, provider_options=READ_BY_READ)
    gemm = layer.int8_gemm(point.threads)
    budget_s = scale.budget_s * SHARE_OF_BUDGET
    chosen = side_by_side(layer.run_of(session), gemm, budget_s=budget_s)
    every = side_by_side(serial, gemm, budget_s=budget_s)
    (report,) = session.report()
    return {
        "tiles": report.tiles,
        "gemm_ms": chosen.ms(1),
        "session_ms": chosen.ms(0),
        "session_over_int8_gemm": chosen.ratio(),
        "bit_serial_ms": every.ms(0),
        "bit_serial_over_int8_gemm": every.ratio(),
        "collapsed_percent": 100 * report.collapsed / report.bitlines,
    }
