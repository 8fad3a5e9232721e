"""Bundles of one linear on any hardware, and what the reference makes of them on a die: shared by the tests of the
kernels.
"""

import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
from hypothesis import strategies as st
from small_models import changed_target, linear_model

import runtime
from rcompile.bundle.emit import Findings, Job, write_bundle
from rcompile.bundle.reader import Bundle
from rcompile.hardware.encoding import Encoding
from rcompile.hardware.target import Target
from rcompile.layout.compact import compact
from rcompile.layout.encode import encode
from rcompile.layout.normal_form import Placement, Tiles
from rcompile.layout.place import place, plain
from rcompile.layout.quantize import quantize
from rcompile.layout.steps import Encoded, Planned
from rcompile.onnx_in.linears import find_linears
from rcompile.onnx_in.read import read_model
from rcompile.options import CompileOptions
from rcompile.protection.for_die import KnownDie, program_for_die
from rcompile.protection.protect import Protection
from rcompile.vocabulary import Combiner
from runtime.die.layers import LayerOnDie, on_die
from runtime.product import reference

CPU_FLAGS = Path("/proc/cpuinfo").read_text() if platform.machine() == "x86_64" else ""
PATHS = (
    ["portable"]
    + ["avx2"] * ("avx2" in CPU_FLAGS)
    + ["avx512"] * ("avx512_vnni" in CPU_FLAGS)
    + ["avx512vbmi"] * ("avx512_vnni" in CPU_FLAGS and "avx512vbmi" in CPU_FLAGS.split())
)
COMBINERS: tuple[Combiner, ...] = get_args(Combiner)


@st.composite
def targets(draw: st.DrawFn) -> Target:
    """Hardware of every kind that the model knows."""
    encoding = draw(st.sampled_from(["offset", "differential"]))
    rows, bits = draw(st.sampled_from([1, 7, 16, 64, 128, 130])), draw(st.integers(1, 4))
    top = 2**bits - 1
    dac_bits = draw(st.sampled_from([1, 1, 2, 3, 4]))
    ideal = draw(st.booleans())
    return changed_target(
        "ideal128x128",
        crossbar={"rows": rows, "cols": draw(st.sampled_from([16, 33, 64])), "active_rows": draw(st.integers(1, rows))},
        cell={"bits": bits, "g_lrs_siemens": 1e-4, "g_hrs_siemens": draw(st.sampled_from([0.0, 1e-6, 1.3e-5]))},
        weights={
            "bits": draw(st.integers(2, 8)),
            "encoding": encoding,
            "column_inversion": draw(st.booleans()),
        },
        input={
            "bits": draw(st.integers(max(2, dac_bits), 8)),
            "dac_bits": dac_bits,
            "coding": draw(st.sampled_from(["twos_complement", "sign_magnitude", "offset"])),
        },
        adc={
            "bits": 0 if ideal else draw(st.integers(1, (rows * top * (2**dac_bits - 1)).bit_length() + 1)),
            "step_levels": 1.0 if ideal else draw(st.sampled_from([1.0, 1.0, 1.0, 2.0, 1.5, 0.7])),
        },
        faults={"sa0_rate": draw(st.sampled_from([0.0, 0.1])), "sa1_rate": 0.05},  # which end a self-test prefers
    )


MAPS = ("bitline_output", "bitline_digit", "bitline_replica")


def shuffled(placement: Placement, rng: np.random.Generator) -> Placement:
    """The same weights elsewhere: wordlines and bitlines of each row block permuted."""
    wordlines, maps = placement.wordline_input.copy(), [getattr(placement, name).copy() for name in MAPS]
    for block in placement.row_blocks():
        wordlines[block] = wordlines[block][:, rng.permutation(wordlines.shape[1])]
        # Across the row block's tiles, so that digits of one output may part; but replicas stay in one tile.
        parts = (
            [slice(t, t + 1) for t in range(block.start, block.stop)] if placement.bitline_replica.any() else [block]
        )
        for part in parts:
            order = rng.permutation(maps[0][part].size)
            for a in maps:
                a[part] = a[part].reshape(-1)[order].reshape(a[part].shape)
    return replace(placement, wordline_input=wordlines, **dict(zip(MAPS, maps, strict=True)))


def copied(placement: Placement, rng: np.random.Generator) -> Placement:
    """The same weights on more bitlines: each digit of each output gets replicas beside it, and the tiles are filled
    anew.
    """
    cols = placement.bitline_output.shape[1]
    wordlines, bitlines = [], []
    for block in placement.row_blocks():
        tiles = [np.empty((0, len(MAPS)), np.int32)]
        held = np.stack([getattr(placement, name)[block].reshape(-1) for name in MAPS], axis=1)
        for one in held[held[:, 0] >= 0]:
            group = np.tile(one, (rng.choice([1, 1, 2, 3, 4, 5, 15]), 1))
            group[:, 2] = np.arange(len(group))
            if len(tiles[-1]) + len(group) > cols:
                tiles.append(group)
            else:
                tiles[-1] = np.concatenate([tiles[-1], group])
        for tile in tiles:
            unused = np.tile(np.array([-1, 0, 0], np.int32), (cols - len(tile), 1))
            wordlines.append(placement.wordline_input[block.start])
            bitlines.append(np.concatenate([tile, unused]))
    dtypes = [getattr(placement, name).dtype for name in MAPS]
    maps = [a.astype(dtype) for a, dtype in zip(np.stack(bitlines).transpose(2, 0, 1), dtypes, strict=True)]
    crossbars = np.arange(len(wordlines), dtype=np.int32)
    changed = dict(zip(MAPS, maps, strict=True))
    return replace(placement, crossbar=crossbars, wordline_input=np.stack(wordlines), **changed)


def redundant(rng: np.random.Generator) -> Encoding:
    """Any list of digits that fits the narrowest crossbar of `targets`."""
    while True:
        count = rng.integers(1, 13)
        digits = rng.choice([-1, 1, 1], count) << rng.integers(0, 8, count)
        if np.abs(digits).sum() <= 255:
            return Encoding(digits=tuple(digits.tolist()), offset=int(rng.integers(0, 256)))


@contextmanager
def compiled(
    target: Target,
    inputs: int,
    outputs: int,
    seed: int,
    shuffle: bool = False,
    input_scale: float | None = None,
    prune: bool = False,
    combiner: Combiner | None = None,
    edit: Callable[[Tiles], None] = lambda tiles: None,
    pack_cells: bool = False,
    bias: bool = True,
    stuck_share: float | None = None,
) -> Iterator[Bundle]:
    """A bundle of one linear, its placement shuffled or plain, on any crossbars; with replicas if there is a combiner.
    Odd seeds write weights in digits that no target names, and give some of them up.

    stuck_share: of the cells of a chip that is known, as `chip_of` draws it; then no digit is given up.
    """
    folder = Path(tempfile.mkdtemp())
    try:
        model = linear_model(folder / "linear.onnx", inputs, outputs, seed, bias)
        graph = read_model(model)
        (linear,) = find_linears(graph).linears
        quantized = quantize(linear, target)
        rng = np.random.default_rng(seed)
        if prune:
            quantized.codes[rng.random(inputs) < 0.3] = 0
            quantized.codes[:, rng.random(outputs) < 0.3] = 0
        lines = compact(quantized)
        encoding = redundant(rng) if seed % 2 else target.encoding
        replicas = plain(outputs, encoding)
        if seed % 2 and stuck_share is None:
            replicas[rng.random(replicas.shape) < 0.2] = 0
            replicas[replicas.sum(axis=1) == 0, 0] = 1
        placement = place(lines, replicas, encoding, target)
        if combiner is not None:
            placement = copied(placement, rng)
        if shuffle:
            placement = shuffled(placement, rng)
        placement = replace(placement, crossbar=rng.permutation(1 << 20)[: placement.tiles].astype(np.int32))
        encoded, die = programmed(Planned(linear, quantized, lines, placement), target, stuck_share, seed)
        edit(encoded.tiles)
        (folder / "tiles").mkdir()
        scales = {} if input_scale is None else {use.name: input_scale for use in linear.uses}
        job = Job(model, target, CompileOptions(keep_source=False, pack_cells=pack_cells), "dynamic", None)
        write_bundle(folder, job, graph, [encoded], Findings(scales, Protection(combiner or "none", {}), (), die))
        yield Bundle.open(folder)
    finally:
        shutil.rmtree(folder)


def programmed(
    planned: Planned, target: Target, stuck_share: float | None, seed: int
) -> tuple[Encoded, KnownDie | None]:
    """The levels of a layer, for any die or, on crossbars of a small chip in any order, for one that is known."""
    placement = planned.placement
    if stuck_share is None:
        return Encoded(planned, encode(planned.quantized, placement, target)), None
    crossbar = np.random.default_rng(seed).permutation(placement.tiles + 3)[: placement.tiles].astype(np.int32)
    chip = chip_of(target, placement.tiles, stuck_share, seed)
    die = KnownDie("0" * 64, np.arange(len(chip), dtype=np.int32), chip, placement.encoding)
    on_chip = replace(planned, placement=replace(placement, crossbar=crossbar))
    return program_for_die(on_chip, die, target), die


def chip_of(target: Target, tiles: int, stuck_share: float, seed: int) -> np.ndarray:
    """A chip with so many crossbars, and three to spare, its cells stuck at any level: u8 [crossbars, rows, cols]."""
    rng = np.random.default_rng((seed, 1))
    shape = (tiles + 3, target.crossbar.rows, target.crossbar.cols)
    values = [1, 2, 2, 2, *range(16, 17 + target.top_level)]
    return np.where(rng.random(shape) < stuck_share, rng.choice(values, shape), 0).astype(np.uint8)


def layer_on(bundle: Bundle, die: runtime.Die | runtime.MeasuredDie | None) -> LayerOnDie:
    (entry,) = bundle.manifest.layers
    return on_die(die, bundle.layer(entry), bundle.manifest.target)


def expected(
    bundle: Bundle,
    x: np.ndarray,
    die: runtime.Die | runtime.MeasuredDie | None,
    input_scale: float | None = None,
    combiner: Combiner | None = None,
) -> np.ndarray:
    (entry,) = bundle.manifest.layers
    layer, manifest = bundle.layer(entry), bundle.manifest
    bias = layer.biases[entry.nodes[0].bias]
    scaling = reference.Scaling(layer.weight_scale, bias, input_scale)
    return reference.linear(
        x, on_die(die, layer, manifest.target), layer.tiles, scaling, manifest.target, combiner or manifest.combiner
    )


def measured(bundle: Bundle, seed: int) -> runtime.MeasuredDie:
    """A die with some bitlines much worse than others, as no virtual die has."""
    (entry,) = bundle.manifest.layers
    rng = np.random.default_rng(seed)
    shape = (entry.tiles, bundle.manifest.target.crossbar.rows, bundle.manifest.target.crossbar.cols)
    stuck = rng.random(shape) < rng.choice([0, 0, 0.05, 0.5], (shape[0], 1, shape[2]))
    return runtime.MeasuredDie({entry.name: np.where(stuck, rng.choice([1, 2], shape), 0).astype(np.uint8)})


DIES = st.one_of(
    st.none(),
    st.builds(
        runtime.Die,
        st.integers(0, 2**64 - 1),
        st.sampled_from([0.0, 0.001, 0.2]),
        st.sampled_from([0.0, 0.001, 0.01, 0.3]),
    ),
)
