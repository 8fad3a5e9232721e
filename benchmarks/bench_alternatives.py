"""Our session against what a user would pick instead: the same layer on one thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort
from alternatives import Call, aihwkit_layer, numpy_loop, torch_loop
from layers import READ_BY_READ, Run, layer_of
from scale import Scale
from timing import FAULTY, Turns, seconds, show, side_by_side

import runtime
from rcompile.bundle.reader import Bundle
from runtime.die.layers import on_die
from runtime.ort.baseline import int8_session
from runtime.ort.session import quiet_options

# A call that takes longer is timed once.
SLOW_S = 3.0


def bench_alternatives(folder: Path, scale: Scale) -> dict[str, object]:
    """Each in turn with our session that takes every read through the ADC. What models the die must give its bits."""
    layer, die = layer_of(folder, scale), runtime.Die(1, **FAULTY)
    bundle = Bundle.open(layer.bundle())
    target, compiled = bundle.manifest.target, bundle.layer(bundle.manifest.layers[0])
    held = on_die(die, compiled, target)
    fp32 = ort.InferenceSession(str(layer.float_model()), quiet_options(1), providers=["CPUExecutionProvider"])

    def on_x(call: Call) -> Run:
        return lambda: call(layer.x)

    ours = layer.session(bundle.folder, die=die, provider_options=READ_BY_READ)
    # What it is, whether it gives the die's numbers, and how to make a call of it.
    others: list[tuple[str, bool, Callable[[], Run]]] = [
        ("our session, every read", True, lambda: ours),
        ("our session, collapsed", True, lambda: layer.session(bundle.folder, die=die)),
        ("ONNX Runtime, dynamic int8", False, lambda: layer.run_of(int8_session(layer.float_model(), 1))),
        ("ONNX Runtime, fp32", False, lambda: layer.run_of(fp32)),
        ("aihwkit, one analog pass", False, lambda: on_x(aihwkit_layer(layer.weight))),
        ("PyTorch, every read", True, lambda: on_x(torch_loop(compiled, held, target))),
        ("NumPy (runtime/product/reference.py), every read", True, lambda: on_x(numpy_loop(compiled, held, target))),
    ]
    y, found = ours(), {}
    rows: list[tuple[object, ...]] = []
    for name, same, make in others:
        try:
            call = make()
        except ModuleNotFoundError as error:
            rows.append((name, "yes" if same else "no", "not installed", f"({error.name})"))
            continue
        turns = _compare(name, call, ours, y if same else None, scale.budget_s / 2)
        found[name] = {"ms": turns.ms(), "over_bit_serial": turns.ratio(), "same_numbers": same}
        rows.append((name, "yes" if same else "no", turns.ms(), turns.ratio()))
    title = f"What else there is: one layer, {layer.size}, 1 % stuck, 1 thread, against our session with every read through the ADC"
    show(title, ("", "the die's numbers", "ms", "ratio"), rows, right=2)
    return {"alternatives": found}


def _compare(name: str, theirs: Run, ours: Run, expected: np.ndarray | None, budget_s: float) -> Turns:
    """theirs / ours. expected: what theirs must give."""
    start = time.perf_counter()
    y = theirs()
    spent = time.perf_counter() - start
    if expected is not None and not np.array_equal(y, expected):
        raise SystemExit(
            f"'{name}' and our session differ in {np.mean(y != expected):.2%} of the outputs: one of them has a bug."
        )
    if spent > SLOW_S:
        return Turns([(spent, seconds(ours))])
    return side_by_side(theirs, ours, budget_s=budget_s)
