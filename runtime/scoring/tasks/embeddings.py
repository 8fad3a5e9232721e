"""Embeddings of texts: their pooling, and cosines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.scoring.task import Outputs, output_of

Vectors = npt.NDArray[np.float64]
EMBEDDING = "sentence_embedding"  # as sentence-transformers and optimum call it


def pooled(task: str, encodings: Sequence[Any], outputs: Outputs) -> Vectors:
    """A vector of each text: [texts, width]. Tokens are averaged by the attention mask, if the model has not pooled
    them.
    """
    name = next(iter(outputs))
    needs = "an embedding of each text, or of each token"
    if outputs[name].ndim != 3:
        return output_of(task, outputs, name, (None, None), needs)
    mask = np.array([encoding.attention_mask for encoding in encodings], np.float64)
    tokens = output_of(task, outputs, name, (*mask.shape, None), needs)
    return (tokens * mask[:, :, None]).sum(axis=1) / np.maximum(mask.sum(axis=1), 1)[:, None]


def unit(vectors: Vectors) -> Vectors:
    """Of length 1; zeros stay."""
    lengths = np.sqrt((vectors**2).sum(axis=-1, keepdims=True))
    return vectors / np.where(lengths == 0, 1, lengths)
