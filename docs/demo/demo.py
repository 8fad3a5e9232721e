"""The demo: compile a real BERT, and score it in ONNX Runtime on clean and on faulty crossbars.

    make demo

Needs neither torch nor transformers nor GLUE: the model and 400 labelled sentences are in this folder. With GLUE at hand (--data DIR, or
RCOMPILE_GLUE) it scores the 872 validation sentences of SST-2 as well. Writes accuracy.json, accuracy.md and accuracy.svg.
"""

from __future__ import annotations

import argparse
import os
import statistics
from pathlib import Path

from rcompile import RcompileError, compile_model
from rcompile.show import to_json
from runtime import Die, evaluate
from runtime.evaluation import Evaluation

HERE = Path(__file__).resolve().parent
TARGET = "reram128x128"
# Chen et al. (2014) found 9.04 % SA1 and 1.75 % SA0; the demo keeps their ratio.
SA1_SHARE = 9.04 / (9.04 + 1.75)
FAULT_SHARES = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03)
SEEDS = (1, 2, 3)


def dies(share: float) -> list[Die]:
    """Dies on which this share of all cells is stuck."""
    return [Die(seed, sa0=share * (1 - SA1_SHARE), sa1=share * SA1_SHARE) for seed in SEEDS]


def rows(result: Evaluation) -> list[tuple[str, str]]:
    """The table: what ran, and its score."""
    table = [
        ("ONNX Runtime, fp32", f"{result.source:.1f}"),
        ("ONNX Runtime, int8", f"{result.int8:.1f}"),
        ("crossbars, clean", f"{result.clean:.1f}"),
    ]
    for i, share in enumerate(FAULT_SHARES):
        scores = [die.score for die in result.dies[i * len(SEEDS) : (i + 1) * len(SEEDS)]]
        table.append(
            (
                f"crossbars, {100 * share:g} % of cells stuck",
                f"{statistics.mean(scores):.1f} ({min(scores):.1f} to {max(scores):.1f})",
            )
        )
    return table


def markdown(result: Evaluation, name: str) -> str:
    """The table as Markdown."""
    lines = [f"| {name}, {result.examples} sentences, accuracy | points |", "|---|---|"]
    return "\n".join(lines + [f"| {what} | {score} |" for what, score in rows(result)]) + "\n"


def plot(results: dict[str, Evaluation], path: Path) -> None:
    """Accuracy against the share of stuck cells."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    matplotlib.rcParams["svg.hashsalt"] = "rcompile"
    figure, axes = pyplot.subplots(figsize=(6.4, 3.8), layout="constrained")
    for (name, result), color in zip(results.items(), ("tab:blue", "tab:orange"), strict=False):
        groups = [
            [d.score for d in result.dies[i * len(SEEDS) : (i + 1) * len(SEEDS)]] for i in range(len(FAULT_SHARES))
        ]
        percent = [100 * share for share in FAULT_SHARES]
        axes.plot(percent, [statistics.mean(g) for g in groups], "o-", color=color, label=f"{name}, faulty")
        axes.fill_between(
            percent, [min(g) for g in groups], [max(g) for g in groups], color=color, alpha=0.2, linewidth=0
        )
        axes.axhline(result.clean, color=color, linestyle=":", label=f"{name}, clean")
    axes.set(xscale="log", xlabel="cells stuck, % (SA1 : SA0 = 9.04 : 1.75)", ylabel="accuracy, points", ylim=(45, 95))
    axes.set_xticks(percent, [f"{p:g}" for p in percent])
    axes.minorticks_off()
    axes.legend(frameon=False, loc="lower left")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def main(out: Path, data: Path | None) -> None:
    out.mkdir(parents=True, exist_ok=True)
    compiled = compile_model(HERE / "sst2-minilm.onnx", TARGET, out / "none", force=True)
    assert compiled.manifest is not None
    total = compiled.manifest.total()
    print(
        f"compiled {len(compiled.layers)} linears onto {total.crossbars:,} crossbars ({total.cells_used:,} cells): {out / 'none'}\n"
    )
    chosen = [die for share in FAULT_SHARES for die in dies(share)]
    results: dict[str, Evaluation] = {}
    for name, folder in ({"our sentences": HERE} | ({"SST-2": data} if data else {})).items():
        results[name] = evaluate(out / "none", "sst2", data=folder, dies=chosen, int8=True)
        print(markdown(results[name], name), flush=True)
        (out / "accuracy.md").write_text("\n".join(markdown(result, n) for n, result in results.items()))
        (out / "accuracy.json").write_text(to_json(results) + "\n")
        plot(results, out / "accuracy.svg")
    print(f"saved as {out / 'accuracy.md'}, .json and .svg")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/demo"))
    glue = os.environ.get("RCOMPILE_GLUE")
    parser.add_argument("--data", type=Path, default=Path(glue) if glue else None, help="folder of GLUE data")
    arguments = parser.parse_args()
    try:
        main(arguments.out, arguments.data)
    except RcompileError as error:
        raise SystemExit(f"error: {error}") from None
