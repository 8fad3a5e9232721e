"""What is published for chips whose stuck cells are known, and ours step by step: same chips, same model, no training.

    python benchmarks/rivals.py --data GLUE_DIR

Weights are what the cells of the demo's pruned model hold, the rest of the model is computed in fp32: what is compared
is how weights are written. No scheme takes more crossbars than the dense model. Writes docs/results/rivals.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import onnxruntime as ort

from rcompile import compile_model
from rcompile.bundle.reader import Bundle
from rcompile.hardware.encoding import Encoding
from rcompile.hardware.faults import stuck_cells
from rcompile.hardware.target import Target
from rcompile.hardware.target_file import load_target
from rcompile.layout.compact import compact
from rcompile.layout.place import plain, plain_crossbars
from rcompile.layout.quantize import quantize
from rcompile.layout.steps import Planned, plan
from rcompile.onnx_in.linears import Linear, find_linears
from rcompile.onnx_in.moments import input_moments
from rcompile.onnx_in.read import read_model
from rcompile.protection.digits import Lines, choose_digits, lines_of, most_bitlines
from rcompile.protection.for_die import TRIED_CROSSBARS, KnownDie, on_chip, program_for_die, row_blocks_of
from rcompile.protection.nearest import FREE, Block, Descent
from rcompile.protection.reachable import Reachable
from runtime import Die
from runtime.scoring.glue import TASKS, of_split
from runtime.scoring.question import Question

F64 = npt.NDArray[np.float64]
SA1_SHARE = 9.04 / (9.04 + 1.75)  # Chen et al. 2014
RATES = (0.01, 0.03, 0.1079, 0.2, 0.3, 0.4)
FIRST_SEED, DIES, SAMPLES = 1000, 3, 256
TARGET = "reram128x128"
TASK = TASKS["sst2"]


@dataclass(frozen=True, eq=False)
class Layer:
    """A linear, the moments of its inputs that compensation knows, and those that it is judged by: [K, K]."""

    linear: Linear
    known: npt.NDArray[np.float32]
    judge: npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Chip:
    """A chip of as many crossbars as the dense model takes, and the digits that are best on it."""

    target: Target
    crossbars: npt.NDArray[np.int32]
    faults: npt.NDArray[np.uint8]
    redundant: Encoding

    def known(self, encoding: Encoding) -> KnownDie:
        """As the compiler knows it."""
        return KnownDie("", self.crossbars, self.faults, encoding)


# The weight codes that the cells hold, f64 [K, N], of a planned layer on a chip.
Held = Callable[[Planned, KnownDie, Layer], F64]


def unaware(planned: Planned, die: KnownDie, layer: Layer) -> F64:
    """The levels of a sound chip, on this one."""

    def read(d: Descent, levels: npt.NDArray[np.uint8], wanted: npt.NDArray[np.int16]) -> F64:
        sums = np.tensordot(np.array(d.digits, np.float64), np.where(d.free, levels, d.block.stuck), axes=1)
        return sums - (d.block.codes - wanted)  # which is the offset

    return _by_row_block(planned, die, read)


def closest(planned: Planned, die: KnownDie, layer: Layer) -> F64:
    """Every weight the nearest value that its cells hold (closest value mapping: Fault-Free, IEEE TC 2023; with digits
    doubled R2C2, arXiv 2508.15685).
    """
    return _by_row_block(planned, die, lambda d, levels, wanted: wanted - d.missed)


def with_signs(planned: Planned, die: KnownDie, layer: Layer) -> F64:
    """And the outputs of a row block negated where that is nearer (sign flips, arXiv 2512.18459)."""

    def nearer(d: Descent, levels: npt.NDArray[np.uint8], wanted: npt.NDArray[np.int16]) -> F64:
        offset = np.int16(planned.placement.encoding.offset)
        other = Descent(replace(d.block, codes=offset - wanted), d.digits, d.reachable)
        missed = np.where((other.missed**2).sum(axis=0) < (d.missed**2).sum(axis=0), -other.missed, d.missed)
        return (wanted - missed).astype(np.float64)

    return _by_row_block(planned, die, nearer)


def with_inversion(planned: Planned, die: KnownDie, layer: Layer) -> F64:
    """Every bitline upright or inverted, by coordinate descent (bit flips, arXiv 2512.18459)."""

    def descended(d: Descent, levels: npt.NDArray[np.uint8], wanted: npt.NDArray[np.int16]) -> F64:
        d.descend()
        return (wanted - d.missed).astype(np.float64)

    return _by_row_block(planned, die, descended)


def ours(planned: Planned, die: KnownDie, layer: Layer) -> F64:
    """As the compiler does it, the cleanest lines for what matters."""
    return program_for_die(on_chip(planned, die), die, load_target(TARGET)).codes.astype(np.float64)


def compensated(planned: Planned, die: KnownDie, layer: Layer) -> F64:
    """And with --compensate."""
    return program_for_die(on_chip(planned, die), die, load_target(TARGET), layer.known).codes.astype(np.float64)


@dataclass(frozen=True)
class Scheme:
    """copies: of the model, on crossbars of their own, their weights averaged."""

    name: str
    held: Held
    digits: str = "own"  # own, doubled, redundant
    copies: int = 1


SCHEMES = (
    Scheme("unaware", unaware),
    Scheme("average of two copies, unaware (Nat. Commun. 2025)", unaware, copies=2),
    Scheme("closest value (IEEE TC 2023)", closest),
    Scheme("closest value, sign flips (arXiv 2512.18459)", with_signs),
    Scheme("closest value, bit flips (arXiv 2512.18459)", with_inversion),
    Scheme("closest value, digits doubled (R2C2, arXiv 2508.15685)", closest, "doubled"),
    Scheme("ours: redundant digits", closest, "redundant"),
    Scheme("ours: and inversion", with_inversion, "redundant"),
    Scheme("ours: and order", ours, "redundant"),
    Scheme("ours: and compensation", compensated, "redundant"),
)


def _by_row_block(planned: Planned, die: KnownDie, hold: Callable[..., F64]) -> F64:
    """Fill in the codes, row block by row block. hold(descent, levels of a sound chip, wanted codes)."""
    encoding, top = planned.placement.encoding, load_target(TARGET).top_level
    reachable, of_code = Reachable(encoding, top), encoding.levels(top)
    faults = die.faults_of(planned.placement.crossbar).transpose(0, 2, 1)
    held = np.zeros(planned.quantized.codes.shape)
    for block in row_blocks_of(planned.placement):
        lines = np.ix_(block.inputs, block.outputs)
        wanted = planned.quantized.codes[lines].astype(np.int16)
        cells = stuck_cells(faults[block.tile, block.col][:, :, block.wordlines], top, FREE)
        stuck = np.ascontiguousarray(cells.transpose(0, 2, 1))
        descent = Descent(Block(wanted + np.int16(encoding.offset), stuck), encoding.digits, reachable)
        held[lines] = hold(descent, of_code[wanted.astype(np.uint8)].transpose(2, 0, 1), wanted)
    return held


def main(model: Path, data: Path, limit: int | None, dies: int, rates: Sequence[float], samples: int, out: Path) -> None:  # fmt: skip
    graph = read_model(model)
    linears = find_linears(graph).linears
    with tempfile.TemporaryDirectory() as folder:
        compile_model(model, TARGET, Path(folder) / "bundle")
        texts = of_split(TASK, "train").load(data, 2 * samples).texts
        moments = [_moments(graph, model, linears, texts[half::2], Path(folder)) for half in (0, 1)]
        layers = [Layer(x, *(m[x.name] for m in moments)) for x in linears]
        bundle = Bundle.open(Path(folder) / "bundle")
        session = _session(graph, linears, {})
        question = Question(TASK, TASK.load(data, limit), bundle, session)
        what = {
            "fp32": question.score(session).points,
            "sentences": len(question.labels),
            "dies": dies,
            "samples": samples,
        }
        rows = [
            row
            for rate in rates
            for seed in range(FIRST_SEED, FIRST_SEED + dies)
            for row in _on_chip(graph, layers, question, rate, seed)
        ]
    out.write_text(json.dumps({"what": what, "rows": rows}, indent=1) + "\n")


def _moments(graph: ir.Model, model: Path, linears: Sequence[Linear], texts: Sequence[object], folder: Path) -> dict[str, npt.NDArray[np.float32]]:  # fmt: skip
    samples = folder / "samples.txt"
    samples.write_text("\n".join(map(str, texts)) + "\n")
    return input_moments(graph, model, linears, samples)


def _on_chip(graph: ir.Model, layers: Sequence[Layer], question: Question, rate: float, seed: int) -> list[dict[str, object]]:  # fmt: skip
    target, rows = load_target(TARGET), []
    chip = _chip(layers, Die(seed, rate * (1 - SA1_SHARE), rate * SA1_SHARE), target)
    for scheme in SCHEMES:
        weights, errors = {}, []
        for layer, held, scale in _held(layers, chip, scheme):
            wanted = layer.linear.weight.read().dequantized().astype(np.float64)
            weights[layer.linear.name] = (held * scale).astype(np.float32)
            lost = held * scale - wanted
            errors.append([_energy(lost, None) / _energy(wanted, None), _energy(lost, layer.judge) / _energy(wanted, layer.judge)])  # fmt: skip
        of_weights, of_outputs = np.sqrt(np.mean(errors, axis=0))
        score = question.score(_session(graph, [x.linear for x in layers], weights)).points
        rows.append({"scheme": scheme.name, "rate": rate, "die": seed, "weights": round(of_weights, 5), "outputs": round(of_outputs, 5), "score": round(score, 4)})  # fmt: skip
        print(f"{100 * rate:g} %, die {seed}, {scheme.name}: weights {of_weights:.4f}, outputs {of_outputs:.4f}, {score:.2f}", flush=True)  # fmt: skip
    return rows


def _chip(layers: Sequence[Layer], die: Die, target: Target) -> Chip:
    lines: list[Lines] = []
    dense = 0
    for layer in layers:
        quantized = quantize(layer.linear, target)
        lines.append(lines_of(quantized, compact(quantized), target))
        dense += plain_crossbars(layer.linear.inputs, layer.linear.outputs, target)
    twice = 2 * sum(x.crossbars(target.bitlines_per_output, target) for x in lines)  # more in a small test alone
    crossbars = np.arange(max(dense, twice), dtype=np.int32)
    faults = die.faults("", crossbars, target)
    some = faults[:: max(1, dense // TRIED_CROSSBARS)]
    return Chip(target, crossbars, faults, choose_digits(lines, most_bitlines(lines, dense, target), some, target))


def _held(layers: Sequence[Layer], chip: Chip, scheme: Scheme) -> list[tuple[Layer, F64, npt.NDArray[np.float32]]]:
    """Codes and scales of every layer, the mean over the copies."""
    own = chip.target.encoding
    doubled = Encoding(digits=own.digits * 2, offset=sum(own.digits) * chip.target.top_level)
    encoding = {"own": own, "doubled": doubled, "redundant": chip.redundant}[scheme.digits]
    found, first = [], 0
    for layer in layers:
        copies = []
        for _ in range(scheme.copies):
            planned = plan(layer.linear, plain(layer.linear.outputs, encoding), encoding, chip.target, first)
            first += planned.placement.tiles
            copies.append(scheme.held(planned, chip.known(encoding), layer))
        found.append((layer, np.mean(copies, axis=0), planned.quantized.weight_scale))
    return found


def _energy(weights: F64, moments: npt.NDArray[np.float32] | None) -> float:
    """Of the weights, or of the outputs for inputs with these moments."""
    return float((weights**2).sum() if moments is None else (weights * (moments @ weights)).sum())  # fmt: skip


def _session(graph: ir.Model, linears: Sequence[Linear], weights: dict[str, npt.NDArray[np.float32]]) -> ort.InferenceSession:  # fmt: skip
    """The model with these weights in place of its own."""
    model = graph.clone()
    by_name = {node.name: node for node in model.graph}
    for linear in linears:
        if linear.name not in weights:
            continue
        tensor = ir.Tensor(weights[linear.name], name=f"rivals/{linear.name}")
        value = ir.Value(
            name=tensor.name, shape=tensor.shape, type=ir.TensorType(ir.DataType.FLOAT), const_value=tensor
        )
        model.graph.register_initializer(value)
        for use in linear.uses:
            _replace(by_name[use.name], value, None if use.tail else use.bias)
    return ort.InferenceSession(ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"])


def _replace(node: ir.Node, weight: ir.Value, bias: npt.NDArray[np.generic] | None) -> None:
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    product = ir.node("MatMul", [node.inputs[0], weight], name=f"rivals/{node.name}")
    graph.insert_before(node, product)
    last = product
    if bias is not None:
        tensor = ir.Tensor(np.asarray(bias, np.float32), name=f"rivals/{node.name}/bias")
        added = ir.Value(name=tensor.name, shape=tensor.shape, type=ir.TensorType(ir.DataType.FLOAT), const_value=tensor)  # fmt: skip
        graph.register_initializer(added)
        last = ir.node("Add", [product.outputs[0], added], name=f"rivals/{node.name}/Add")
        graph.insert_before(node, last)
    ir.convenience.replace_all_uses_with(node.outputs[0], last.outputs[0], replace_graph_outputs=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=Path("docs/demo/sst2-minilm.onnx"))
    parser.add_argument("--data", type=Path, required=True, help="folder of GLUE data")
    parser.add_argument("--limit", type=int, help="sentences")
    parser.add_argument("--dies", type=int, default=DIES)
    parser.add_argument("--rates", type=float, nargs="+", default=list(RATES))
    parser.add_argument(
        "--samples",
        type=int,
        default=SAMPLES,
        help="sentences that compensation knows, and as many that it is judged by",
    )
    parser.add_argument("--out", type=Path, default=Path("docs/results/rivals.json"))
    main(**vars(parser.parse_args()))
