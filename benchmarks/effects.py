"""What each effect costs: a pruned MiniLM-L6 on SST-2, unprotected, on dies that have one effect each.

    python benchmarks/effects.py --data GLUE_DIR

Resumable: every score is a line of docs/results/effects.jsonl as soon as it is known, and is not computed again. Writes docs/effects.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

from rcompile import compile_model
from rcompile.bundle.reader import Bundle
from rcompile.hardware.effect_rules import with_effects
from runtime import Die
from runtime.scoring.evaluation import evaluate

MODEL = Path("docs/demo/sst2-minilm.onnx")
TARGET = "reram128x128"
SEEDS = (1, 2, 3)
SA1_SHARE = 9.04 / (9.04 + 1.75)  # Chen et al. 2014
STUCK = 0.001
# What the table calls it, the rate of stuck cells beside it, and the options.
CASES: tuple[tuple[str, float, tuple[str, ...]], ...] = (
    ("none", 0.0, ()),
    *((f"variation, {100 * s:g} % of the range", 0.0, (f"variation.sigma={s}",)) for s in (0.005, 0.01, 0.02, 0.05)),
    ("the same, 5 %, verified within 2 %", 0.0, ("variation.sigma=0.05", "write_verify")),
    *((f"variation, lognormal {s:g}", 0.0, ("variation.distribution=lognormal", f"variation.sigma={s}")) for s in (0.03, 0.1)),
    *((f"drift, {n}", 0.0, (f"drift.time_second={t}",)) for n, t in (("a day", 86400.0), ("a year", 3.2e7))),
    ("drift, a year, nu from cell to cell 0.002", 0.0, ("drift.time_second=3.2e7", "drift.nu_sigma=0.002")),
    *((f"retention, {n} at 85 C", 0.0, (f"retention.time_second={t}",)) for n, t in (("a month", 2.6e6), ("a year", 3.2e7))),
    ("temperature, 85 C at -0.1 % a kelvin", 0.0, ("temperature",)),
    *((f"wires, {r:g} ohm a segment", 0.0, (f"wires.wordline_segment_ohm={r}", f"wires.bitline_segment_ohm={r}")) for r in (0.03, 0.1, 0.73)),
    *((f"read noise, {100 * s:g} % of the range a cell", 0.0, (f"read_noise.cell_sigma={s}",)) for s in (0.0022, 0.01, 0.05)),
    *((f"read noise, converter {s:g} levels", 0.0, ("read_noise.cell_sigma=0", f"read_noise.converter_sigma_levels={s}")) for s in (0.5, 2.0)),
    ("converters, offset 0.5 levels, gain 1 %", 0.0, ("adc_error",)),
    ("converters, offset 2 levels", 0.0, ("adc_error.offset_sigma_levels=2.0", "adc_error.gain_error_sigma=0")),
    ("stuck cells, 0.1 %", STUCK, ()),
    ("stuck cells, 0.1 %, in clusters", STUCK, ("clusters",)),
    ("stuck cells, 0.1 %, at levels between", 0.0, (f"stuck_between.rate={STUCK}",)),
    ("wordlines and bitlines, 0.1 % broken", 0.0, ("lines",)),
    *((f"wear, {c:.0e} writes", 0.0, (f"endurance.write_cycles={c}",)) for c in (1e4, 1e5)),
    *((f"embeddings, {r:g} with a flipped bit", 0.0, (f"soft_errors.embedding_rate={r}",)) for r in (1e-4, 1e-3, 1e-2)),
    *((f"biases, {r:g} with a flipped bit", 0.0, (f"soft_errors.bias_rate={r}",)) for r in (1e-3, 1e-2)),
    *((f"activations, {r:g} with a flipped bit", 0.0, (f"soft_errors.activation_rate={r}",)) for r in (1e-3, 1e-2)),
    *((f"ADC codes, {r:g} with a flipped bit", 0.0, (f"soft_errors.adc_code_rate={r}",)) for r in (1e-4, 1e-3)),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of GLUE data; without it, the demo's own sentences")
    parser.add_argument("--limit", type=int, default=300)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--lines", type=Path, default=Path("docs/results/effects.jsonl"))
    parser.add_argument("--page", type=Path, default=Path("docs/effects.md"))
    parser.add_argument("--build", type=Path, default=Path("build/effects"))
    args = parser.parse_args()
    compile_model(MODEL, TARGET, args.build, force=True)
    bundle = Bundle.open(args.build)
    known = [json.loads(line) for line in args.lines.read_text().splitlines()] if args.lines.exists() else []
    for name, rate, changes in CASES:
        if any(line["case"] == case(rate, changes, args) for line in known):
            continue
        known.append(measure(bundle, rate, changes, args))
        with args.lines.open("a") as lines:
            lines.write(json.dumps(known[-1]) + "\n")
        print(f"{name}: {known[-1]['scores']}", flush=True)
    args.page.write_text(page(known, args), encoding="utf-8")


def case(rate: float, changes: tuple[str, ...], args: argparse.Namespace) -> list[Any]:
    """What tells a line from others."""
    return [rate, list(changes), args.limit, args.data is not None]


def measure(bundle: Bundle, rate: float, changes: tuple[str, ...], args: argparse.Namespace) -> dict[str, Any]:
    """The scores of three dies, one where nothing is drawn."""
    effects = with_effects(bundle.manifest.target, changes).effects
    dies = [Die(seed, rate * (1 - SA1_SHARE), rate * SA1_SHARE, effects) for seed in SEEDS]
    start = time.perf_counter()
    found = evaluate(bundle, "sst2", data=args.data or MODEL.parent, dies=dies, limit=args.limit, threads=args.threads)
    spent = time.perf_counter() - start
    return {
        "case": case(rate, changes, args),
        "examples": found.examples,
        "glue": args.data is not None,
        "source": found.source,
        "clean": found.clean,
        "scores": [die.score for die in found.dies],
        "collapsed": statistics.mean(die.collapsed for die in found.dies),
        "seconds": round(spent, 1),
    }


def page(lines: list[dict[str, Any]], args: argparse.Namespace) -> str:
    """docs/effects.md."""
    of_case = {json.dumps(line["case"]): line for line in lines}
    first = of_case[json.dumps(case(0.0, (), args))]
    data = "SST-2's validation sentences" if first["glue"] else "our own sentences (docs/demo)"
    text = [
        "# What each effect costs",
        "",
        f"The demo's MiniLM-L6, fine-tuned on SST-2 and pruned to half, unprotected on `{TARGET}`: accuracy in points on the first {first['examples']} of {data},",
        f"one effect at a time, mean of {len(SEEDS)} dies (least to most). The source scores {first['source']:.1f}, clean crossbars {first['clean']:.1f}. A score of 300 sentences is",
        "uncertain by about 2 points. *Collapsed*: bitlines whose reads fold into the integer product. The numbers, and their sources, are those of",
        "`rcompile targets effects` except where the options say otherwise; docs/hardware.md defines each effect. Made by `python benchmarks/effects.py`.",
        "",
        "| effect | options of `rcompile evaluate` | score | collapsed |",
        "|---|---|---:|---:|",
    ]
    for name, rate, changes in CASES:
        line = of_case[json.dumps(case(rate, changes, args))]
        options = [f"--effect {change}" for change in changes]
        if rate:
            options.insert(0, f"--sa0 {rate * (1 - SA1_SHARE):.3g} --sa1 {rate * SA1_SHARE:.3g}")
        scores = line["scores"]
        spread = f" ({min(scores):.1f} to {max(scores):.1f})" if len(set(scores)) > 1 else ""
        shown = " ".join(options) and f"`{' '.join(options)}`"
        text.append(f"| {name} | {shown} | {statistics.mean(scores):.1f}{spread} | {100 * line['collapsed']:.4g} % |")
    return "\n".join(text) + "\n"


if __name__ == "__main__":
    main()
