"""A BERT-family sequence classifier with gates on its matrices."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812  # torch's own name for it
from safetensors import SafetensorError
from torch import Tensor, nn

from rcompile.errors import BadInputError, UnsupportedError
from rcompile.train.budget import Group, Masks
from rcompile.train.data import Corpus
from rcompile.train.export import is_classifier, loading, tokenizer_file

RECORD = "training.json"
# Where the families keep the matrices of a layer: BERT and those that copy it, and MPNet.
_FEED_FORWARD = {"up": "intermediate.dense", "down": "output.dense"}
LAYOUTS = (
    {
        "query": "attention.self.query",
        "key": "attention.self.key",
        "value": "attention.self.value",
        "attention_output": "attention.output.dense",
        **_FEED_FORWARD,
    },
    {
        "query": "attention.attn.q",
        "key": "attention.attn.k",
        "value": "attention.attn.v",
        "attention_output": "attention.attn.o",
        **_FEED_FORWARD,
    },
)


class GatedLinear(nn.Module):
    """A linear layer whose rows (inputs) and columns (outputs) carry gates, and whose weights may be read through a
    quantizer.

    rows: [inputs] or None. cols: [outputs] or None; the bias is not gated. weight: [outputs, inputs], as torch keeps
    it.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias
        self.rows: Tensor | None = None
        self.cols: Tensor | None = None
        self.read: nn.Module | None = None

    def forward(self, x: Tensor) -> Tensor:
        """x: [..., inputs]. Returns [..., outputs]."""
        weight = self.weight if self.read is None else self.read(self.weight)
        y = F.linear(x if self.rows is None else x * self.rows, weight)
        y = y if self.cols is None else y * self.cols
        return y if self.bias is None else y + self.bias


class LineVariance:
    """How the variation of a linear's outputs over tokens divides among its rows and columns, gathered while it
    runs.
    """

    def __init__(self, linear: GatedLinear) -> None:
        self.linear, self.tokens = linear, 0
        outputs, inputs = linear.weight.shape
        self.x, self.y = torch.zeros(2, inputs), torch.zeros(2, outputs)
        self.hook = linear.register_forward_hook(self._see)

    def _see(self, linear: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        for sums, values in ((self.x, inputs[0]), (self.y, output)):
            flat = values.reshape(-1, values.shape[-1])
            sums += torch.stack([flat.sum(0), flat.square().sum(0)])
        self.tokens += len(flat)

    def _variance(self, sums: Tensor) -> Tensor:
        return (sums[1] / self.tokens - (sums[0] / self.tokens).square()).clamp_min(0)

    def of_cols(self) -> Tensor:
        """Share of each output in the sum of their standard deviations: [outputs]. Ends the gathering."""
        self.hook.remove()
        spread = self._variance(self.y).sqrt()
        return spread / spread.sum()

    def of_rows(self) -> Tensor:
        """Share of an output's variance that each input brings, mean over the outputs: [inputs]. Ends the gathering."""
        self.hook.remove()
        return self._variance(self.x) * (
            self.linear.weight.square() / self._variance(self.y).clamp_min(1e-12)[:, None]
        ).mean(0)


@torch.no_grad()
def line_importance(
    model: Any,
    linears: dict[str, GatedLinear],
    groups: list[Group],
    corpus: Corpus,
    batches: Sequence[npt.NDArray[np.int64]],
    progress: Callable[[str, int, int], None],
) -> dict[str, Tensor]:
    """First estimate of what each line is worth: the share of its matrix's output variation that goes with it. [size]
    by group.
    """
    variances = {name: LineVariance(linear) for name, linear in linears.items()}
    for i, rows in enumerate(batches, 1):
        model(**corpus.batch(rows.tolist())[0])
        progress("weighing lines", i, len(batches))
    of_rows = {name: v.of_rows() for name, v in variances.items()}
    of_cols = {name: v.of_cols() for name, v in variances.items()}
    return {
        g.name: torch.stack([of_rows[m] for m in g.rows_of] or [of_cols[m] for m in g.cols_of]).mean(0) for g in groups
    }


def load_classifier(source: str, labels: int | None, *, new_head: bool) -> Any:
    """A Hugging Face sequence classifier; labels: None for as many as it has. Raises BadInputError for a model that
    cannot be read, has no head, or one of another size.
    """
    import transformers

    with loading(source):
        config = transformers.AutoConfig.from_pretrained(source)
        headed, has_labels = is_classifier(config), config.num_labels
    if not headed and not new_head:
        raise BadInputError(
            f"'{source}' has no classification head to distil from. Fine-tune it first (--keep 1 --new-head), or give a fine-tuned model."
        )
    labels = has_labels if labels is None else labels
    if not new_head and has_labels != labels:
        raise BadInputError(
            f"'{source}' has {has_labels} labels, the task has {labels}. Give a model of this task, or --keep 1 --new-head for a fresh head."
        )
    changed: dict[str, Any] = {}
    if new_head:
        kind = "regression" if labels == 1 else "single_label_classification"
        changed = {"num_labels": labels, "ignore_mismatched_sizes": True, "problem_type": kind}
    with loading(source):
        return transformers.AutoModelForSequenceClassification.from_pretrained(source, dtype=torch.float32, **changed)


@dataclass(frozen=True)
class Layer:
    """A layer of an encoder, and its matrices by the names of LAYOUTS."""

    module: Any
    parts: dict[str, nn.Linear]


def encoder_layers(model: Any) -> list[Layer]:
    """The layers of a BERT-family encoder. Raises UnsupportedError for another family."""
    modules = getattr(getattr(model.base_model, "encoder", None), "layer", None) or ()
    for layout in LAYOUTS:
        found = [dict(module.named_modules()) for module in modules]
        if found and all(isinstance(inside.get(path), nn.Linear) for inside in found for path in layout.values()):
            return [Layer(inside[""], {part: inside[path] for part, path in layout.items()}) for inside in found]
    raise UnsupportedError(
        f"{type(model).__name__} is no encoder of BERT's shape (BERT, RoBERTa, ELECTRA, XLM-R, MPNet); prune it elsewhere and compile the result."
    )


def head_linears(model: Any) -> list[str]:
    """The linears after the encoder's layers, by module path, in the order in which they run."""
    names = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    return names[1 + max(i for i, name in enumerate(names) if ".layer." in name) :]


def find_groups(model: Any) -> tuple[dict[str, tuple[int, int]], list[Group]]:
    """(inputs, outputs) of every linear by module path, and the lines that are pruned together."""
    paths = {module: name for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    shapes = {name: (module.in_features, module.out_features) for module, name in paths.items()}
    groups: list[Group] = []
    coupled_rows, coupled_cols = set[str](), set[str]()

    def couple(kind: str, at: str, size: int, rows_of: list[Any], cols_of: list[Any]) -> None:
        rows, cols = tuple(paths[m] for m in rows_of), tuple(paths[m] for m in cols_of)
        groups.append(Group(f"{at}.{kind}", size, rows, cols))
        coupled_rows.update(rows)
        coupled_cols.update(cols)

    for i, layer in enumerate(encoder_layers(model)):
        part = layer.parts
        couple("query_key", f"layer.{i}", part["query"].out_features, [], [part["query"], part["key"]])
        couple("value", f"layer.{i}", part["value"].out_features, [part["attention_output"]], [part["value"]])
        couple("neuron", f"layer.{i}", part["up"].out_features, [part["down"]], [part["up"]])
    head = head_linears(model)
    for name, (inputs, outputs) in shapes.items():
        inside = ".layer." in name  # what comes before the layers is left alone
        if name not in coupled_rows and (inside or name == head[0]):
            groups.append(Group(f"{name}.rows", inputs, rows_of=(name,)))
        if name not in coupled_cols and inside:
            groups.append(Group(f"{name}.cols", outputs, cols_of=(name,)))
    return shapes, groups


def gate_linears(model: Any) -> dict[str, GatedLinear]:
    """Replace every linear by one with gates; by module path."""
    gated = {}
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear):
            parent, _, leaf = name.rpartition(".")
            gated[name] = GatedLinear(module)
            setattr(model.get_submodule(parent), leaf, gated[name])
    return gated


def set_gates(linears: dict[str, GatedLinear], groups: list[Group], gates: dict[str, Tensor]) -> None:
    """Put the gates of each group on its rows and columns."""
    for group in groups:
        for name in group.rows_of:
            linears[name].rows = gates[group.name]
        for name in group.cols_of:
            linears[name].cols = gates[group.name]


@torch.no_grad()
def cut(linears: dict[str, GatedLinear], groups: list[Group], masks: Masks) -> None:
    """Close the gates for good: FFN neurons that are dropped leave the matrices, other dropped lines become constant
    zero gates.

    Half of the arithmetic of a step is gone with the neurons; `restore` brings back the shape.
    """
    for group in groups:
        mask = torch.from_numpy(masks[group.name])
        if not group.name.endswith(".neuron"):
            set_gates(linears, [group], {group.name: mask.float()})
            # What is dropped must not set the scale of the codes.
            for name in group.rows_of:
                linears[name].weight *= mask
            for name in group.cols_of:
                linears[name].weight *= mask[:, None]
            continue
        (down,), (up,) = group.rows_of, group.cols_of
        linears[up].weight = nn.Parameter(linears[up].weight[mask].contiguous())
        linears[up].bias = nn.Parameter(linears[up].bias[mask].contiguous())
        linears[down].weight = nn.Parameter(linears[down].weight[:, mask].contiguous())
        linears[up].cols = linears[down].rows = None


@torch.no_grad()
def restore(
    linears: dict[str, GatedLinear], groups: list[Group], masks: Masks, state: dict[str, Tensor]
) -> dict[str, Tensor]:
    """The state of the dense architecture: pruned rows and columns are exact zeros."""
    state = {k: v.clone() for k, v in state.items()}
    for group in groups:
        mask = torch.from_numpy(masks[group.name])
        for name in group.cols_of:
            if group.name.endswith(".neuron"):
                for part in ("weight", "bias"):
                    kept = state[f"{name}.{part}"]
                    state[f"{name}.{part}"] = torch.zeros(len(mask), *kept.shape[1:]).index_copy(
                        0, mask.nonzero()[:, 0], kept
                    )
            else:
                state[f"{name}.weight"] *= mask[:, None]
        for name in group.rows_of:
            if group.name.endswith(".neuron"):
                kept = state[f"{name}.weight"]
                state[f"{name}.weight"] = torch.zeros(kept.shape[0], len(mask)).index_copy(
                    1, mask.nonzero()[:, 0], kept
                )
            else:
                state[f"{name}.weight"] *= mask
    return state


def save(model: Any, source: str, out: Path, record: dict[str, Any]) -> None:
    """Write a Hugging Face directory with the source's tokenizer, and `training.json`: how it was made. Raises
    BadInputError where the weights cannot be written.
    """
    try:
        model.save_pretrained(out)
    except SafetensorError as error:
        raise BadInputError(f"cannot write '{out}': {error}. Free space, or choose another -o.") from error
    shutil.copyfile(tokenizer_file(source), out / "tokenizer.json")
    for name in ("tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        if (Path(source) / name).is_file():
            shutil.copyfile(Path(source) / name, out / name)
    (out / RECORD).write_text(json.dumps(record, indent=1, sort_keys=True, default=_plain) + "\n")


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)
