"""Does the predicted error rank allocations as the measured one does? On a real model, over a spread of allocations.

    python benchmarks/ranking.py --data GLUE_DIR

Takes the demo's pruned model; writes docs/results/ranking.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

from rcompile.bundle.reader import Bundle
from rcompile.hardware.target_file import load_target
from rcompile.layout.compact import compact
from rcompile.layout.place import plain
from rcompile.layout.quantize import quantize
from rcompile.onnx_in.linears import find_linears
from rcompile.onnx_in.read import read_model
from rcompile.onnx_in.text import TextEncoder, Texts, session_inputs
from rcompile.options import CompileOptions
from rcompile.pipeline import compile_model
from rcompile.protection.allocate import predict_errors, predicted_error
from rcompile.protection.protect import Protection, protect, survey
from rcompile.vocabulary import COMBINER_NEEDS, Combiner
from runtime import Die, load
from runtime.scoring.glue import TASKS
from runtime.scoring.scorer import source_session

RATE, SA1_SHARE, DIES, EXAMPLES = 0.01, 9.04 / (9.04 + 1.75), 5, 64
SA0, SA1 = RATE * (1 - SA1_SHARE), RATE * SA1_SHARE
TARGETS: dict[Combiner, str] = {
    "none": "reram128x128",
    "cell": "reram128x128-storage",
    "select": "reram128x128",
    "subset": "reram128x128",
    "median": "reram128x128",
    "mean": "reram128x128",
}
TASK = "sst2"


def guards() -> list[tuple[str, CompileOptions]]:
    """A spread of allocations: none, and for each combiner the published one and what `auto` makes of different
    rates.
    """
    found = [("none", CompileOptions())]
    for combiner in COMBINER_NEEDS:
        found.append((f"paper, {combiner}", CompileOptions(protect="paper", combiner=combiner, sa0=SA0, sa1=SA1)))
        for rate in (0.0003, 0.001, 0.003, 0.03, 0.1):
            guard = CompileOptions(protect="auto", combiner=combiner, sa0=rate * (1 - SA1_SHARE), sa1=rate * SA1_SHARE)
            found.append((f"auto for {100 * rate:g} %, {combiner}", guard))
    return found


def main(model: Path, data: Path, out: Path) -> None:
    linears = find_linears(read_model(model)).linears
    base = load_target("reram128x128")
    known = []
    for linear in linears:
        quantized = quantize(linear, base)
        known.append(survey(quantized, compact(quantized), base))
    examples = TASKS[TASK].load(data, EXAMPLES)
    rows = []
    for name, guard in guards():
        combiner: Combiner = guard.combiner or "none"
        target = load_target(TARGETS[combiner])
        replicas = {k.name: plain(k.outputs, target.encoding) for k in known}
        chosen = protect(known, guard, target) if guard.copies else Protection("none", {})
        predicted = predicted_error(
            known, {**replicas, **chosen.replicas}, predict_errors(known, combiner, target, SA0, SA1)
        )
        with tempfile.TemporaryDirectory() as folder:
            compile_model(model, target, Path(folder) / "bundle", guard)
            measured = measure(Bundle.open(Path(folder) / "bundle"), examples.texts)
        measured_mean = float(np.mean(measured))
        rows.append(
            {"name": name, "combiner": combiner, "predicted": predicted, "measured": measured_mean, "dies": measured}
        )
        print(name, f"{predicted:.5f} {measured_mean:.5f}", flush=True)
    what = {"task": TASK, "rate": RATE, "dies": DIES, "examples": EXAMPLES}
    out.mkdir(parents=True, exist_ok=True)
    (out / "ranking.json").write_text(json.dumps({"what": what, "rows": rows}, indent=1, sort_keys=True) + "\n")


def measure(bundle: Bundle, texts: Texts) -> list[float]:
    """Relative squared error of the logits against the fp32 model, of each die."""
    source, session = source_session(bundle), load(bundle)
    assert bundle.manifest.source.tokenizer is not None
    feeds = TextEncoder(bundle.path(bundle.manifest.source.tokenizer), session_inputs(session)).feeds(texts)
    (true,) = source.run(["logits"], feeds)
    errors = []
    for seed in range(1, DIES + 1):
        session.set_die(Die(seed, SA0, SA1))
        (logits,) = session.run(["logits"], feeds)
        errors.append(float(((logits - true) ** 2).sum() / (true**2).sum()))
    return errors


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=Path("docs/demo/sst2-minilm.onnx"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    main(arguments.model, arguments.data, arguments.out)
