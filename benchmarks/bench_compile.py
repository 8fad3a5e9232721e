"""Compile, load, and change the die: seconds and memory, each in a process of its own."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

from scale import Scale
from shapes import Shape, write_bert
from timing import FAULTY, TARGET, in_subprocess, seconds, show

COMPILE = """
from rcompile.options import CompileOptions
from rcompile.pipeline import compile_model
import safetensors.numpy, onnx_ir.passes.common
start = time.perf_counter()
compile_model(*sys.argv[1:4], CompileOptions(pack_cells=bool(int(sys.argv[4]))))
print(json.dumps({"seconds": time.perf_counter() - start, "peak_gib": gib("VmHWM")}))
"""

LOAD = """
import runtime, runtime.ort.session
before, start = gib("VmRSS"), time.perf_counter()
session = runtime.load(sys.argv[1])
load_s, dies = time.perf_counter() - start, []
loaded, mapped, load_peak = gib("VmRSS"), gib("RssFile"), gib("VmHWM")
for seed in range(5):
    start = time.perf_counter()
    session.set_die(runtime.Die(seed, **json.loads(sys.argv[2])))
    dies.append(time.perf_counter() - start)
print(json.dumps({
    "imports_gib": before, "load_s": load_s, "session_gib": loaded, "mapped_gib": mapped, "load_peak_gib": load_peak,
    "new_die_s": sorted(dies)[2], "new_die_peak_gib": gib("VmHWM"),
}))
"""


COMPILED = {
    "million_weights": "mapped weights, million",
    "seconds": "s",
    "seconds_per_billion": "s a billion weights",
    "peak_gib": "peak GiB",
    "file_gib": "ONNX file, GiB",
}
LOADED = {
    "load_s": "load, s",
    "new_die_s": "new die, s",
    "imports_gib": "imports, GiB",
    "session_gib": "session, GiB",
    "mapped_gib": "of it mapped files, GiB",
    "load_peak_gib": "peak of load, GiB",
    "new_die_peak_gib": "peak of new die, GiB",
}


def bench_help(scale: Scale) -> dict[str, object]:
    """`rcompile --help`: the least that any command takes."""
    command = [sys.executable, "-c", "from rcompile.cli.main import main; main()", "--help"]
    runs = [
        seconds(lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True)) for _ in range(scale.repeats)
    ]
    print(f"rcompile --help: {statistics.median(runs):.2f} s\n")
    return {"help_s": statistics.median(runs)}


def bench_compile(folder: Path, scale: Scale) -> dict[str, object]:
    """Leaves <shape>.onnx and <shape>.bundle of the smaller shapes in the folder."""
    found = {shape.name: _compile(shape, folder, scale.repeats) for shape in (scale.small, scale.base)}
    found[packed(scale.base)] = _compile(scale.base, folder, scale.repeats, pack_cells=True)
    free, need = shutil.disk_usage(folder).free, large_bytes(scale.large)
    if free >= need:
        folder_of_large = folder / "large"
        folder_of_large.mkdir()
        found[scale.large.name] = _compile(scale.large, folder_of_large, runs=1)
        shutil.rmtree(folder_of_large)
    _show(f"Compile for {TARGET}", COMPILED, found)
    base = found[scale.base.name]
    result = {"compile": found, "compile_bert_base_s": base["seconds"], "compile_bert_base_peak_gib": base["peak_gib"]}
    if free >= need:
        return result | {"compile_1b_peak_gib": found[scale.large.name]["peak_gib"]}
    why = f"needs {need / 2**30:.0f} GiB of disk in '{folder.parent}', {free / 2**30:.0f} GiB are free"
    print(f"{scale.large.name} was skipped: it {why}. Set TMPDIR to a larger disk.\n")
    return result


def packed(shape: Shape) -> str:
    """The name of a shape's bundle with several cells in a byte."""
    return f"{shape.name}, packed cells"


def large_bytes(shape: Shape) -> int:
    """What a shape takes on disk: weights and their copy in the bundle, four cells a mapped weight, and some air."""
    return 8 * shape.weights + 4 * shape.mapped_weights + 2**31


def _compile(shape: Shape, folder: Path, runs: int, pack_cells: bool = False) -> dict[str, float]:
    """Median seconds after imports, most memory, and the size of the model; the first bundle stays."""
    model = write_bert(shape, folder / f"{shape.name}.onnx")
    name = packed(shape) if pack_cells else shape.name
    out = [folder / f"{name}.bundle{i or ''}" for i in range(runs)]
    done = [in_subprocess(COMPILE, model, TARGET, bundle, int(pack_cells)) for bundle in out]
    for bundle in out[1:]:
        shutil.rmtree(bundle)
    spent = statistics.median(d["seconds"] for d in done)
    return {
        "million_weights": shape.mapped_weights / 1e6,
        "seconds": spent,
        "seconds_per_billion": spent / shape.mapped_weights * 1e9,
        "peak_gib": max(d["peak_gib"] for d in done),
        "file_gib": sum(p.stat().st_size for p in folder.glob(f"{model.name}*")) / 2**30,
    }


def bench_load(folder: Path, scale: Scale) -> dict[str, object]:
    """Load a bundle and put five dies under the session."""
    names = (scale.small.name, scale.base.name, packed(scale.base))
    found = {name: in_subprocess(LOAD, folder / f"{name}.bundle", json.dumps(FAULTY)) for name in names}
    _show("Load, and a new die (1 % stuck) under the live session", LOADED, found)
    return {"load": found, "new_die_bert_base_s": found[scale.base.name]["new_die_s"]}


def _show(title: str, columns: dict[str, str], found: dict[str, dict[str, float]]) -> None:
    rows = [(name, *(row[key] for key in columns)) for name, row in found.items()]
    show(title, ("shape", *columns.values()), rows)
