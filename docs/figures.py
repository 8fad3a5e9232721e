"""The pictures of the README: one tile's conductance map, and accuracy against the share of stuck cells.

Same input, same bytes. Each says of which data it is; the numbers of the demo go to docs/results/demo.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("svg")

import numpy as np
from matplotlib import pyplot

from rcompile.bundle.reader import Bundle
from rcompile.canonical import file_sha256
from rcompile.hardware.target import Target
from rcompile.layout.normal_form import Tiles
from runtime.die.faults import Fault, apply_faults, fault_map
from runtime.die.virtual import Die

LAYER, TILE = "bert.encoder.layer.0.intermediate.dense", 0
DIE = Die(seed=1, sa0=0.00175, sa1=0.00904)


def conductance_map(tiles: Tiles, target: Target, path: Path, data: str) -> None:
    """The programmed tile, and the same tile on a die with about 1 % of its cells stuck. data: what it says of them."""
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
    figure.savefig(path, metadata={"Date": None, "Description": data})
    pyplot.close(figure)


def numbers(demo: Path, model_sha256: str) -> str:
    """The scores of the demo, in JSON."""
    found = json.loads((demo / "accuracy.json").read_text())
    plain = found["none"]
    schemes = {
        name: {
            "clean": scheme["clean"],
            "dies": [{"seed": d["seed"], "stuck": d["sa0"] + d["sa1"], "score": d["score"]} for d in scheme["dies"]],
        }
        for name, scheme in found.items()
    }
    common = {key: plain[key] for key in ("task", "metric", "examples", "target", "source", "int8")}
    return json.dumps({**common, "model_sha256": model_sha256, "schemes": schemes}, indent=1) + "\n"


def with_data(svg: str, data: str) -> str:
    """A figure that says of which data it is."""
    return svg.replace("<dc:format>", f"<dc:description>{data}</dc:description>\n    <dc:format>", 1)


def shown(name: str, sha256: str) -> str:
    """What a figure says of a file."""
    return f"sha256 of the data: {name} {sha256[:12]}"


def main(demo: Path, out: Path, results: Path) -> None:
    matplotlib.rcParams["svg.hashsalt"] = "rcompile"
    out.mkdir(parents=True, exist_ok=True)
    bundle = Bundle.open(demo / "none")
    entry = bundle.manifest.layer(LAYER)
    source = bundle.manifest.source
    data = shown(source.name, source.sha256)
    conductance_map(bundle.layer(entry).tiles, bundle.manifest.target, out / "tile.svg", data)
    results.mkdir(parents=True, exist_ok=True)
    (results / "demo.json").write_text(numbers(demo, source.sha256))
    data = shown("demo.json", file_sha256(results / "demo.json"))
    (out / "accuracy.svg").write_text(with_data((demo / "accuracy.svg").read_text(), data))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demo", type=Path, default=Path("build/demo"))
    parser.add_argument("--out", type=Path, default=Path("docs/figures"))
    parser.add_argument("--results", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    main(arguments.demo, arguments.out, arguments.results)
