"""Accuracy against the share of stuck cells: what the demo measures, as a table and as a figure."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rcompile.vocabulary import Scheme

# What each scheme is, in words, and its colour.
LOOKS: dict[str, tuple[str, str]] = {
    "none": ("no protection", "tab:red"),
    "paper": ("largest digit three times, majority of each cell (published)", "tab:orange"),
    "auto": ("copies where a prediction says that they help most", "tab:blue"),
}


@dataclass(frozen=True)
class Scored:
    """One scheme. scores: points of each die, by share of stuck cells. source, int8: in ONNX Runtime; None if not
    scored.
    """

    crossbars: int
    crossbars_dense: int
    examples: int
    source: float | None
    int8: float | None
    clean: float
    scores: Sequence[Sequence[float]]


@dataclass(frozen=True)
class Accuracy:
    """What was measured. shares: of all cells that are stuck."""

    data: str
    target: str
    shares: Sequence[float]
    schemes: Mapping[Scheme, Scored]


def markdown(found: Accuracy) -> str:
    """The table: accuracy by scheme and share of stuck cells."""
    plain = found.schemes["none"]
    dies = len(plain.scores[0])
    lines = [
        f"{found.data}, {plain.examples} sentences, accuracy in points on `{found.target}` (mean of {dies} dies, least to most). "
        f"ONNX Runtime: fp32 {plain.source:.1f}, int8 {plain.int8:.1f}. The dense model takes {plain.crossbars_dense:,} crossbars.",
        "",
        "| protection | crossbars | clean | " + " | ".join(f"{100 * s:g} % stuck" for s in found.shares) + " |",
        "|---|---:|---:|" + "---:|" * len(found.shares),
    ]
    for scheme, scored in found.schemes.items():
        cells = [f"{statistics.mean(s):.1f} ({min(s):.1f} to {max(s):.1f})" for s in scored.scores]
        lines.append(f"| {scheme} | {scored.crossbars:,} | {scored.clean:.1f} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def draw(measured: Path, out: Path) -> None:
    """The figure of an accuracy.json. It says the digest of the file that it shows."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    matplotlib.rcParams["svg.hashsalt"] = "rcompile"
    data = json.loads(measured.read_text())
    percent = [100 * share for share in data["shares"]]
    figure, axes = pyplot.subplots(figsize=(7.2, 4.2), layout="constrained")
    for scheme, scored in data["schemes"].items():
        words, colour = LOOKS[scheme]
        used = f"{100 * scored['crossbars'] / scored['crossbars_dense']:.0f} % of the dense model's crossbars"
        scores = scored["scores"]
        axes.plot(percent, [statistics.mean(s) for s in scores], "o-", color=colour, label=f"{words}: {used}")
        lows, highs = [min(s) for s in scores], [max(s) for s in scores]
        axes.fill_between(percent, lows, highs, color=colour, alpha=0.2, linewidth=0)
    axes.axhline(
        data["schemes"]["none"]["source"], color="black", linestyle=":", linewidth=1, label="the ONNX model, fp32"
    )
    axes.axhline(50, color="grey", linestyle="--", linewidth=1, label="chance")
    axes.set(
        xscale="log",
        xlabel="cells stuck, % (9.04 of SA1 to 1.75 of SA0)",
        ylabel=f"accuracy on {data['data'].lower()}, points",
        ylim=(22, 84),
    )
    axes.set_xticks(percent, [f"{p:g}" for p in percent])
    axes.minorticks_off()
    axes.legend(frameon=False, loc="lower left", fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    digest = hashlib.sha256(measured.read_bytes()).hexdigest()[:12]
    figure.savefig(out, metadata={"Date": None, "Description": f"sha256 of the data: {measured.name} {digest}"})
    pyplot.close(figure)
