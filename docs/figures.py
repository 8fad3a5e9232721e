"""The pictures of the README: one tile's conductance map, and accuracy against the share of stuck cells. Same input,
same bytes.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import matplotlib

matplotlib.use("svg")

import numpy as np
from matplotlib import pyplot

from rcompile.bundle.reader import Bundle
from rcompile.hardware.target import Target
from rcompile.layout.normal_form import Tiles
from runtime.die.faults import Fault, apply_faults, fault_map
from runtime.die.virtual import Die

LAYER, TILE = "bert.encoder.layer.0.intermediate.dense", 0
DIE = Die(seed=1, sa0=0.00175, sa1=0.00904)


def conductance_map(tiles: Tiles, target: Target, path: Path) -> None:
    """The programmed tile, and the same tile on a die with about 1 % of its cells stuck."""
    levels = tiles.levels[TILE]
    rows, cols = levels.shape
    crossbar = int(tiles.placement.crossbar[TILE])
    faults = fault_map(DIE.physics(target), DIE.seed, crossbar, rows, cols, target.top_level)
    figure, axes = pyplot.subplots(1, 2, figsize=(9.2, 4.8), layout="constrained", sharey=True)
    siemens = np.array([target.conductance_siemens(level) for level in range(target.top_level + 1)])
    for panel, shown, title in (
        (axes[0], levels, "programmed"),
        (axes[1], apply_faults(levels, faults, target.top_level), "on die 1"),
    ):
        image = panel.imshow(
            1e6 * siemens[shown], cmap="viridis", interpolation="nearest", vmin=1e6 * siemens[0], vmax=1e6 * siemens[-1]
        )
        panel.set(title=title, xlabel="bitline: 32 outputs of slice 0, 1, 2, 3")
        panel.set_xticks([0, 32, 64, 96])
        panel.set_yticks([0, 32, 64, 96])
    for fault, color, marker in ((Fault.SA1, "tab:red", "s"), (Fault.SA0, "white", "o")):
        wordline, bitline = np.nonzero(faults == fault)
        axes[1].scatter(
            bitline,
            wordline,
            s=9,
            facecolors="none",
            edgecolors=color,
            marker=marker,
            linewidths=0.8,
            label=f"{fault.name}: {len(bitline)} cells",
        )
    axes[0].set_ylabel("wordline")
    figure.legend(loc="outside lower center", ncols=2, frameon=True, facecolor="lightgrey", fontsize=8)
    figure.colorbar(image, ax=axes, label="conductance, uS", shrink=0.85)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def main(demo: Path, out: Path) -> None:
    matplotlib.rcParams["svg.hashsalt"] = "rcompile"
    out.mkdir(parents=True, exist_ok=True)
    bundle = Bundle.open(demo / "none")
    entry = bundle.manifest.layer(LAYER)
    conductance_map(bundle.layer(entry).tiles, bundle.manifest.target, out / "tile.svg")
    shutil.copyfile(demo / "accuracy.svg", out / "accuracy.svg")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demo", type=Path, default=Path("build/demo"))
    parser.add_argument("--out", type=Path, default=Path("docs/figures"))
    arguments = parser.parse_args()
    main(arguments.demo, arguments.out)
