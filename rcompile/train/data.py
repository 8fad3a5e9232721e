"""Training texts as batches of like length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rcompile.onnx_in.text import ModelInput, TextEncoder, Texts

MAX_HELD_OUT = 256


@dataclass(frozen=True, eq=False)
class Corpus:
    """Texts with their labels, their lengths in tokens, and how to encode them. labels: i64 classes or f32 values."""

    encoder: TextEncoder
    texts: Texts
    labels: Tensor
    lengths: npt.NDArray[np.int64]

    def batch(self, rows: Sequence[int]) -> tuple[dict[str, Tensor], Tensor]:
        """The model inputs of these texts and their labels."""
        feeds = self.encoder.feeds([self.texts[i] for i in rows])  # type: ignore[arg-type]
        return {k: torch.from_numpy(v) for k, v in feeds.items()}, self.labels[list(rows)]

    def epoch(self, rows: npt.NDArray[np.int64], size: int, seed: int) -> list[npt.NDArray[np.int64]]:
        """These rows once, shuffled, in batches of like length."""
        rng = np.random.default_rng(seed)
        order = rows[np.argsort(self.lengths[rows] + rng.uniform(0, 4, len(rows)), kind="stable")]
        batches = [order[i : i + size] for i in range(0, len(order), size)]
        return [batches[i] for i in rng.permutation(len(batches))]

    def in_order(self, size: int) -> list[npt.NDArray[np.int64]]:
        """All rows once, shortest texts first."""
        order = np.argsort(self.lengths, kind="stable")
        return [order[i : i + size] for i in range(0, len(order), size)]

    def split(self, seed: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Rows to train on and rows to stop by: a twentieth, at most MAX_HELD_OUT."""
        order = np.random.default_rng(seed).permutation(len(self.texts))
        held = max(1, min(MAX_HELD_OUT, len(order) // 20))
        return order[held:], order[:held]


def read_corpus(texts: Texts, labels: Tensor, tokenizer: Path, inputs: Sequence[str]) -> Corpus:
    """Raises BadInputError for a tokenizer that cannot be read."""
    encoder = TextEncoder(tokenizer, [ModelInput(n, "tensor(int64)", (None, None)) for n in inputs])
    return Corpus(encoder, texts, labels, np.array(encoder.lengths(texts)))
