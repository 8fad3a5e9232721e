"""The demo: compile a real, pruned BERT unprotected and protected, and score it in ONNX Runtime on clean and on faulty
crossbars.

    make demo

Needs neither torch nor transformers nor GLUE: the model and 400 labelled sentences are in this folder. With GLUE at
hand (--data DIR, or RCOMPILE_GLUE) it scores the 872 validation sentences of SST-2 instead. Writes accuracy.json,
accuracy.md, accuracy.svg, and the bundles none, paper and auto.
"""

from __future__ import annotations

import argparse
import os
import statistics
from pathlib import Path

from rcompile import RcompileError, compile_model
from rcompile.bundle.manifest import LedgerRow
from rcompile.cli.show import to_json
from rcompile.options import CompileOptions
from rcompile.vocabulary import Scheme
from runtime import Die, evaluate
from runtime.scoring.evaluation import Evaluation

HERE = Path(__file__).resolve().parent
TARGET = "reram128x128-ou16"
# Chen et al. (2014) found 9.04 % SA1 and 1.75 % SA0; the demo keeps their ratio.
SA1_SHARE = 9.04 / (9.04 + 1.75)
FAULT_SHARES = (0.001, 0.01, 0.03)
SEEDS = (1, 2, 3)


# What replicas are allocated for; the images are the same on every die.
GUARDED_SHARE = 0.02
SCHEMES: tuple[Scheme, ...] = ("none", "paper", "auto")


def dies(share: float) -> list[Die]:
    """Dies on which this share of all cells is stuck."""
    return [Die(seed, sa0=share * (1 - SA1_SHARE), sa1=share * SA1_SHARE) for seed in SEEDS]


def compile_all(out: Path) -> dict[Scheme, LedgerRow]:
    """The three bundles; their ledgers' totals."""
    totals = {}
    for scheme in SCHEMES:
        (die,) = dies(GUARDED_SHARE)[:1]
        options = CompileOptions() if scheme == "none" else CompileOptions(protect=scheme, sa0=die.sa0, sa1=die.sa1)
        compiled = compile_model(HERE / "sst2-minilm.onnx", TARGET, out / scheme, options, force=True)
        assert compiled.manifest is not None
        totals[scheme] = compiled.manifest.total()
    return totals


def by_share(result: Evaluation) -> list[list[float]]:
    """The scores of the dies at each share of stuck cells."""
    scores = [die.score for die in result.dies]
    return [scores[i : i + len(SEEDS)] for i in range(0, len(scores), len(SEEDS))]


def markdown(results: dict[Scheme, Evaluation], totals: dict[Scheme, LedgerRow], name: str) -> str:
    """The table: accuracy by scheme and share of stuck cells."""
    plain = results["none"]
    lines = [
        f"{name}, {plain.examples} sentences, accuracy in points (mean of {len(SEEDS)} dies, least to most). "
        f"ONNX Runtime: fp32 {plain.source:.1f}, int8 {plain.int8:.1f}. The dense model takes {totals['none'].crossbars_dense:,} crossbars.",
        "",
        "| protection | crossbars | clean | " + " | ".join(f"{100 * share:g} % stuck" for share in FAULT_SHARES) + " |",
        "|---|---:|---:|" + "---:|" * len(FAULT_SHARES),
    ]
    for scheme, result in results.items():
        cells = [f"{statistics.mean(s):.1f} ({min(s):.1f} to {max(s):.1f})" for s in by_share(result)]
        lines.append(f"| {scheme} | {totals[scheme].crossbars:,} | {result.clean:.1f} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def plot(results: dict[Scheme, Evaluation], totals: dict[Scheme, LedgerRow], path: Path) -> None:
    """Accuracy against the share of stuck cells."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    matplotlib.rcParams["svg.hashsalt"] = "rcompile"
    figure, axes = pyplot.subplots(figsize=(6.4, 3.8), layout="constrained")
    percent = [100 * share for share in FAULT_SHARES]
    for (scheme, result), color in zip(results.items(), ("tab:red", "tab:orange", "tab:blue"), strict=True):
        groups, used = by_share(result), totals[scheme].crossbars / totals[scheme].crossbars_dense
        label = f"{scheme}: {100 * used:.0f} % of the dense model's crossbars"
        axes.plot(percent, [statistics.mean(g) for g in groups], "o-", color=color, label=label)
        axes.fill_between(
            percent, [min(g) for g in groups], [max(g) for g in groups], color=color, alpha=0.2, linewidth=0
        )
    axes.axhline(results["none"].clean, color="grey", linestyle=":", label="no faults")
    axes.set(xscale="log", xlabel="cells stuck, % (SA1 : SA0 = 9.04 : 1.75)", ylabel="accuracy, points", ylim=(45, 95))
    axes.set_xticks(percent, [f"{p:g}" for p in percent])
    axes.minorticks_off()
    axes.legend(frameon=False, loc="lower left")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def main(out: Path, data: Path | None, limit: int | None) -> None:
    out.mkdir(parents=True, exist_ok=True)
    totals = compile_all(out)
    print(f"compiled into {', '.join(str(out / scheme) for scheme in SCHEMES)}\n", flush=True)
    name, folder = ("SST-2", data) if data else ("Our sentences", HERE)
    chosen = [die for share in FAULT_SHARES for die in dies(share)]
    results = {s: evaluate(out / s, "sst2", data=folder, dies=chosen, int8=s == "none", limit=limit) for s in SCHEMES}
    text = markdown(results, totals, name)
    print(text)
    (out / "accuracy.md").write_text(text)
    (out / "accuracy.json").write_text(to_json(results) + "\n")
    plot(results, totals, out / "accuracy.svg")
    print(f"saved as {out / 'accuracy.md'}, .json and .svg")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/demo"))
    glue = os.environ.get("RCOMPILE_GLUE")
    parser.add_argument("--data", type=Path, default=Path(glue) if glue else None, help="folder of GLUE data")
    parser.add_argument("--limit", type=int, help="sentences; all if not given")
    arguments = parser.parse_args()
    try:
        main(arguments.out, arguments.data, arguments.limit)
    except RcompileError as error:
        raise SystemExit(f"error: {error}") from None
