"""One layer against ONNX Runtime's int8 product: every read through the ADC, on 1 thread and on 2, and collapsed."""

from __future__ import annotations

from pathlib import Path

from layers import READ_BY_READ, layer_of
from scale import Scale
from timing import FAULTY, show, side_by_side

import runtime


def bench_layer(folder: Path, scale: Scale) -> dict[str, float]:
    layer = layer_of(folder, scale)
    bundle, gemm = layer.bundle(), layer.int8_gemm()
    one, two = (layer.session(bundle, threads, provider_options=READ_BY_READ) for threads in (1, 2))
    # The two threads first: they spin for a while after their work, which must not be beside the product.
    turns = side_by_side(two, one, gemm, budget_s=scale.budget_s)
    collapsed = side_by_side(layer.session(bundle), gemm, budget_s=scale.budget_s)
    scaling = turns.ratio(1, 0)

    faulty = runtime.load(bundle, runtime.Die(1, **FAULTY), threads=1)
    (report,) = faulty.report()
    share = report.collapsed / report.bitlines

    rows = [
        ("every read through the ADC, 1 thread", turns.ms(1), turns.ms(2), turns.ratio(1, 2)),
        ("every read through the ADC, 2 threads", turns.ms(0), turns.ms(2), turns.ratio(0, 2)),
        ("collapsed, 1 thread", collapsed.ms(0), collapsed.ms(1), collapsed.ratio()),
    ]
    show(f"One layer, {layer.size}", ("session", "ms", "MatMulInteger, 1 thread, ms", "ratio"), rows)
    print(
        f"2 threads are {scaling:.2f} times as fast as 1. At 1 % stuck, {100 * share:.4g} % of the bitlines collapse.\n"
    )
    return {
        "bit_serial_over_int8_gemm": turns.ratio(1, 2),
        "bit_serial_2_threads_over_int8_gemm": turns.ratio(0, 2),
        "bit_serial_speedup_2_threads": scaling,
        "collapsed_over_int8_gemm": collapsed.ratio(),
        "share_collapsed_at_1pct": share,
    }
