"""Speed and memory, as ratios measured side by side in one run.

    make bench

Pairs are timed in turn, A B A B ..., and the ratio is the median of the pairwise ratios: it holds when a shared machine's speed drifts.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from shapes import BERT_BASE, MINILM, Shape, write_bert

TARGET = "reram128x128"
FAULTY = {"sa0": 0.01 * 1.75 / 10.79, "sa1": 0.01 * 9.04 / 10.79}


def seconds(run: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def side_by_side(
    ours: Callable[[], object], theirs: Callable[[], object], budget_s: float = 6.0
) -> tuple[float, float, float]:
    """Median seconds of each, and the median of the pairwise ratios ours / theirs."""
    seconds(ours), seconds(theirs)
    pairs, start = [], time.perf_counter()
    while len(pairs) < 5 or (time.perf_counter() - start < budget_s and len(pairs) < 200):
        pairs.append((seconds(ours), seconds(theirs)))
    medians = [statistics.median(side) for side in zip(*pairs, strict=True)]
    return medians[0], medians[1], statistics.median(a / b for a, b in pairs)


def in_subprocess(code: str, *arguments: str) -> dict[str, float]:
    """Run Python code that prints JSON, in a process of its own, so that peak memory is its own."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


COMPILE = """
import json, re, sys, time
from rcompile.pipeline import compile_model
import safetensors.numpy, onnx_ir.passes.common
start = time.perf_counter()
compile_model(sys.argv[1], sys.argv[2], sys.argv[3])
spent = time.perf_counter() - start
# Not getrusage: its maximum survives exec, and would be that of the parent.
peak = int(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1]) * 1024
print(json.dumps({"seconds": spent, "peak_bytes": peak}))
"""


def bench_compile(shape: Shape, folder: Path) -> dict[str, float]:
    """Compile in a fresh process: seconds after imports, and peak memory against the ONNX file."""
    model = write_bert(shape, folder / f"{shape.name}.onnx")
    runs = []
    for i in range(3):
        runs.append(in_subprocess(COMPILE, str(model), TARGET, str(folder / f"{shape.name}.bundle{i or ''}")))
    peak = max(r["peak_bytes"] for r in runs)
    size = model.stat().st_size
    spent = statistics.median(r["seconds"] for r in runs)
    print(f"compile {shape.name:10} {spent:6.2f} s, peak {peak / 2**30:.2f} GiB, {peak / size:.2f}x the ONNX file")
    return {"seconds": spent, "peak_gib": peak / 2**30, "peak_over_file": peak / size}


def bench_session(folder: Path, shape: Shape) -> dict[str, float]:
    """End to end against the same model dynamically quantized by ONNX Runtime itself."""
    import runtime
    from runtime.baseline import int8_session

    ratios = {}
    for threads in (1, 2):
        theirs = int8_session(folder / f"{shape.name}.onnx", threads)
        ours = runtime.load(folder / f"{shape.name}.bundle", threads=threads)
        for batch in (1, 32):
            ids = np.random.default_rng(0).integers(0, shape.vocabulary, (batch, 128))
            feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
            for name, die in (("clean", None), ("1 % stuck", runtime.Die(1, **FAULTY))):
                ours.set_die(die)
                a, b, ratio = side_by_side(lambda: ours.run(None, feeds), lambda: theirs.run(None, feeds))  # noqa: B023
                ratios[f"{shape.name}, {threads} threads, batch {batch}, {name}"] = ratio
                print(
                    f"session {shape.name}, {threads} threads, batch {batch:2}, {name:9}  {1e3 * a:8.2f} ms / int8 {1e3 * b:8.2f} ms = {ratio:.2f}"
                )
    return ratios


def bench_die(folder: Path, shape: Shape) -> float:
    """A new die under a live session."""
    import runtime

    session = runtime.load(folder / f"{shape.name}.bundle")
    spent = statistics.median(seconds(lambda i=i: session.set_die(runtime.Die(i, **FAULTY))) for i in range(5))
    print(f"new die {shape.name}: {spent:.3f} s")
    return spent


def bench_layer(folder: Path) -> dict[str, float]:
    """One layer, 128 x 768 x 3072, one thread: every read through the 8-bit ADC, against ONNX Runtime's int8 product alone."""
    import onnxruntime as ort
    from onnx import TensorProto, helper, numpy_helper, save

    import runtime
    from rcompile import compile_model

    rng = np.random.default_rng(0)
    weight = rng.standard_normal((768, 3072)).astype(np.float32)
    x = (TensorProto.FLOAT, [128, 768])

    def write(name: str, nodes: list[Any], constants: dict[str, np.ndarray], element: int, result: int) -> Path:
        inputs = [helper.make_tensor_value_info("x", element, x[1])]
        outputs = [helper.make_tensor_value_info("y", result, [128, 3072])]
        tensors = [numpy_helper.from_array(a, n) for n, a in constants.items()]
        graph = helper.make_graph(nodes, name, inputs, outputs, tensors)
        save(
            helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / f"{name}.onnx"
        )
        return folder / f"{name}.onnx"

    product = helper.make_node("MatMul", ["x", "w"], ["y"])
    compile_model(
        write("layer", [product], {"w": weight}, TensorProto.FLOAT, TensorProto.FLOAT), TARGET, folder / "layer.bundle"
    )
    integer = helper.make_node("MatMulInteger", ["x", "w"], ["y"])
    codes = rng.integers(-127, 128, (768, 3072)).astype(np.int8)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    gemm = ort.InferenceSession(
        str(write("gemm", [integer], {"w": codes}, TensorProto.UINT8, TensorProto.INT32)), options
    )
    serial = runtime.load(folder / "layer.bundle", threads=1, provider_options={"force_bit_serial": "1"})
    collapsed = runtime.load(folder / "layer.bundle", threads=1)
    values, bytes_ = (
        rng.standard_normal((128, 768)).astype(np.float32),
        rng.integers(0, 256, (128, 768)).astype(np.uint8),
    )
    found = {}
    for name, session in (("bit_serial", serial), ("collapsed", collapsed)):
        a, b, ratio = side_by_side(lambda: session.run(None, {"x": values}), lambda: gemm.run(None, {"x": bytes_}))  # noqa: B023
        print(f"layer 128x768x3072, {name:10} {1e3 * a:6.2f} ms / MatMulInteger {1e3 * b:6.2f} ms = {ratio:.1f}")
        found[name] = ratio
    collapsed.set_die(runtime.Die(1, **FAULTY))
    (row,) = collapsed.report()
    found["share_collapsed_at_1pct"] = row.collapsed / row.bitlines
    print(f"bitlines that collapse at 1 % stuck: {100 * row.collapsed / row.bitlines:.2f} %")
    return found


def main(out: Path) -> None:
    help_s = statistics.median(
        seconds(
            lambda: subprocess.run(
                [Path(sys.executable).parent / "rcompile", "--help"], stdout=subprocess.DEVNULL, check=True
            )
        )
        for _ in range(5)
    )
    print(f"rcompile --help: {help_s:.2f} s")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        compiles = {shape.name: bench_compile(shape, folder) for shape in (MINILM, BERT_BASE)}
        layer = bench_layer(folder)
        sessions = bench_session(folder, MINILM)
        new_die = bench_die(folder, BERT_BASE)
    result = {
        "help_s": help_s,
        "compile": compiles,
        "compile_bert_base_s": compiles["BERT-base"]["seconds"],
        "compile_bert_base_peak_gib": compiles["BERT-base"]["peak_gib"],
        "bit_serial_over_int8_gemm": layer["bit_serial"],
        "collapsed_over_int8_gemm": layer["collapsed"],
        "share_collapsed_at_1pct": layer["share_collapsed_at_1pct"],
        "session_over_ort_int8": sessions,
        "new_die_bert_base_s": new_die,
        "bench_peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 2**30,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n")
    print(f"saved as {out}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"))
    main(parser.parse_args().out)
