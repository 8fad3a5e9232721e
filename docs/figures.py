"""The pictures of the README: what rcompile does, a terminal, one tile, and accuracy against the share of stuck cells.
Same input, same bytes.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")

import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch
from rich.console import Console
from rich.text import Text

from rcompile import Bundle
from rcompile.hardware.faults import Fault, apply_faults
from rcompile.hardware.target import Target
from rcompile.layout.normal_form import Tiles
from runtime import Die
from runtime.die.faults import fault_map

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "demo"))
from accuracy import draw  # noqa: E402

LAYER, TILE = "bert.encoder.layer.0.intermediate.dense", 0
DIE = Die(seed=1, sa0=0.00175, sa1=0.00904)
# What the terminal shows; run beside the demo's model, as a reader would.
COMMANDS = (
    "rcompile sst2-minilm.onnx --target reram128x128-ou16 --protect auto -o sst2.bundle",
    "rcompile evaluate sst2.bundle --task sst2 --data . --limit {limit} --die 1-3 --sa0 0.00175 --sa1 0.00904",
    "rcompile check sst2.bundle",
)


def conductance_map(tiles: Tiles, target: Target, path: Path, model: str) -> None:
    """The programmed tile, and the same tile on a die with about 1 % of its cells stuck. model: file and digest."""
    levels = tiles.levels[TILE]
    rows, cols = levels.shape
    crossbar = int(tiles.placement.crossbar[TILE])
    faults = fault_map(DIE.physics(target), DIE.seed, crossbar, rows, cols, target.top_level)
    figure, axes = pyplot.subplots(1, 2, figsize=(9.2, 4.8), layout="constrained", sharey=True)
    siemens = np.array([target.conductance_siemens(level) for level in range(target.top_level + 1)])
    for panel, shown, title in (
        (axes[0], levels, "as programmed"),
        (axes[1], apply_faults(levels, faults, target.top_level), "on a die with about 1 % of its cells stuck"),
    ):
        image = panel.imshow(
            1e6 * siemens[shown], cmap="viridis", interpolation="nearest", vmin=1e6 * siemens[0], vmax=1e6 * siemens[-1]
        )
        digits = ", ".join(map(str, tiles.placement.encoding.digits))
        panel.set(title=title, xlabel=f"bitline: 32 outputs of each digit, {digits}")
        panel.set_xticks([0, 32, 64, 96])
        panel.set_yticks([0, 32, 64, 96])
    # A dark ring around a light one is seen on every colour.
    for fault, colour, marker in ((Fault.SA1, "red", "s"), (Fault.SA0, "white", "o")):
        wordline, bitline = np.nonzero(faults == fault)
        label = f"{fault.name}, stuck at {'LRS' if fault == Fault.SA1 else 'HRS'}: {len(bitline)} cells"
        axes[1].scatter(bitline, wordline, s=22, facecolors="none", edgecolors="black", marker=marker, linewidths=2.2)
        axes[1].scatter(
            bitline, wordline, s=22, facecolors="none", edgecolors=colour, marker=marker, linewidths=1.0, label=label
        )
    axes[0].set_ylabel("wordline")
    figure.legend(loc="outside lower center", ncols=2, frameon=True, facecolor="lightgrey", fontsize=8)
    figure.colorbar(image, ax=axes, label="conductance, uS", shrink=0.85)
    figure.savefig(path, metadata={"Date": None, "Description": f"sha256 of the data: {model}"})
    pyplot.close(figure)


def flow(path: Path) -> None:
    """What goes in, what is made of it, and what comes out."""
    figure, axes = pyplot.subplots(figsize=(9.2, 2.5), layout="constrained")
    axes.set(xlim=(0, 100), ylim=(0, 27))
    axes.axis("off")
    boxes = {
        "model": (1, 9.5, 13, "bert.onnx", "any export"),
        "tiles": (22, 9.5, 20, "tiles", "pruned, quantized, placed,\nprotected: zero extra space"),
        "bundle": (50, 9.5, 17, "bert.bundle/", "conductance images\nand a manifest"),
        "chip": (76, 17.5, 23, "chip", "a bench programs the images"),
        "emulator": (76, 1.5, 23, "emulator", "in ONNX Runtime: stuck cells,\nconverters, noise -> GLUE score"),
    }
    for x, y, width, title, text in boxes.values():
        _box(axes, x, y, width, title, text)
    for a, b, word in (
        ("model", "tiles", "compile"), ("tiles", "bundle", "emit"), ("bundle", "chip", ""), ("bundle", "emulator", "evaluate"),
    ):  # fmt: skip
        start, end = boxes[a], boxes[b]
        at = (start[0] + start[2] + 0.8, start[1] + 4), (end[0] - 0.8, end[1] + 4)
        axes.annotate("", at[1], at[0], arrowprops={"arrowstyle": "-|>", "color": "#333333", "linewidth": 1.3})
        level = at[0][1] == at[1][1]
        middle, height = (at[0][0] + at[1][0]) / 2, (at[0][1] + at[1][1]) / 2
        place = (middle, height + 1) if level else (middle - 1, height - 1.5)
        axes.text(*place, word, ha="center" if level else "right", fontsize=8)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _box(axes: Axes, x: float, y: float, width: float, title: str, text: str) -> None:
    axes.add_patch(
        FancyBboxPatch(
            (x, y), width, 8, boxstyle="round,pad=0.6", facecolor="#eaf1fb", edgecolor="#1f4e8c", linewidth=1.2
        )
    )
    axes.text(x + width / 2, y + 6.2, title, ha="center", va="center", fontsize=10, fontweight="bold", color="#12335e")
    axes.text(x + width / 2, y + 2.3, text, ha="center", va="center", fontsize=7.5, color="#222222")


def terminal(folder: Path, path: Path, limit: int) -> None:
    """Commands and what they print, run in a folder."""
    console = Console(record=True, width=124, file=(folder / "terminal.txt").open("w"), force_terminal=True)
    for command in (c.format(limit=limit) for c in COMMANDS):
        done = subprocess.run(command.split(), cwd=folder, capture_output=True, text=True, check=True)
        console.print(Text("$ ", style="bold green") + Text(command, style="bold"))
        console.print(Text(done.stdout.rstrip() + "\n"))
    path.write_text(console.export_svg(title="rcompile", unique_id="rcompile"))


def main(demo: Path, out: Path, results: Path, limit: int) -> None:
    matplotlib.rcParams["svg.hashsalt"] = "rcompile"
    out.mkdir(parents=True, exist_ok=True)
    bundle = Bundle.open(demo / "none")
    layer = bundle.layer(bundle.manifest.layer(LAYER))
    source = bundle.manifest.source
    conductance_map(layer.tiles, bundle.manifest.target, out / "tile.svg", f"{source.name} {source.sha256[:12]}")
    flow(out / "flow.svg")
    shutil.copyfile(demo / "accuracy.json", results)
    draw(results, out / "accuracy.svg")
    beside = demo / "terminal"
    shutil.copytree(HERE / "demo", beside, dirs_exist_ok=True)
    shutil.rmtree(beside / "sst2.bundle", ignore_errors=True)
    terminal(beside, out / "terminal.svg", limit)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demo", type=Path, default=Path("build/demo"))
    parser.add_argument("--out", type=Path, default=Path("docs/figures"))
    parser.add_argument(
        "--results", type=Path, default=Path("docs/results/demo.json"), help="where the demo's numbers go"
    )
    parser.add_argument("--limit", type=int, default=400, help="sentences that the terminal scores")
    arguments = parser.parse_args()
    main(arguments.demo, arguments.out, arguments.results, arguments.limit)
