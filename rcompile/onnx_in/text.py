"""Sentences to model inputs, with the tokenizer.json that lies beside a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rcompile.errors import BadInputError

TOKENIZER = "tokenizer.json"  # beside a model, and in a bundle
MAX_TOKENS = 128  # the usual length for GLUE
INPUT_NAMES = ("input_ids", "attention_mask", "token_type_ids")
PAD_TOKENS = ("[PAD]", "<pad>")  # of BERT, of RoBERTa
Texts = Sequence[str] | Sequence[tuple[str, str]] | Sequence[list[str]]  # a list is a text in words
Feeds = dict[str, npt.NDArray[np.generic]]


class Batch(NamedTuple):
    """Texts that a model takes at once. rows: their indices. feeds: the inputs, each [batch, tokens]. encodings: what
    the tokenizer says of each text, a `tokenizers.Encoding`, as long as the batch.
    """

    rows: list[int]
    feeds: Feeds
    encodings: list[Any]


@dataclass(frozen=True)
class ModelInput:
    """One input of a session: name, ONNX Runtime's name of the element type, and dimensions (None where free)."""

    name: str
    element: str
    shape: tuple[int | None, ...]

    @property
    def dtype(self) -> type[np.generic]:
        """The NumPy type of an integer input."""
        return np.int32 if self.element == "tensor(int32)" else np.int64


def session_inputs(session: Any) -> list[ModelInput]:
    """The inputs of an onnxruntime.InferenceSession."""
    return [
        ModelInput(i.name, i.type, tuple(d if isinstance(d, int) else None for d in i.shape))
        for i in session.get_inputs()
    ]


def read_texts(path: Path) -> Texts:
    """A text a line, or two parted by a tab. Raises BadInputError for a file that cannot be read or holds none."""
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(
            f"cannot read samples '{path}': {error}. Give a UTF-8 text file, a sentence a line; for a model, .npz will do as well."
        ) from None
    lines = [line for line in content.split("\n") if line.strip()]
    if not lines:
        raise BadInputError(f"'{path}' holds no text. Give a few hundred sentences of the model's kind, one a line.")
    tabs = ["\t" in line for line in lines]
    if not any(tabs):
        return lines
    if not all(tabs):
        raise BadInputError(
            f"'{path}' parts some texts in two by a tab and others not, as '{lines[tabs.index(False)][:40]}'."
        )
    return [(first, second) for first, second in (line.split("\t", 1) for line in lines)]


class TextEncoder:
    """Turns sentences, pairs of sentences, or sentences in words into the inputs of a BERT-family session."""

    def __init__(self, tokenizer: Path, inputs: Sequence[ModelInput], max_tokens: int = MAX_TOKENS) -> None:
        """max_tokens: of a text, where the model fixes no width; longer ones are cut.

        Raises BadInputError for a tokenizer that cannot be read or a model whose inputs are not a BERT's.
        """
        from tokenizers import Tokenizer

        if not tokenizer.is_file():
            raise BadInputError(
                f"no tokenizer at '{tokenizer}'. Put the model's tokenizer.json beside the ONNX file and compile again."
            )
        try:
            self._tokenizer = Tokenizer.from_file(str(tokenizer))
        except Exception as error:  # the library raises bare Exception
            raise BadInputError(f"'{tokenizer}' is not a tokenizer.json of the tokenizers library: {error}.") from None
        known = set(INPUT_NAMES)
        strange = [i.name for i in inputs if i.name not in known]
        if strange:
            raise BadInputError(
                f"the model wants inputs {', '.join(strange)}; text evaluation knows {', '.join(sorted(known))}."
            )
        self._inputs = list(inputs)
        width = next((i.shape[1] for i in inputs if len(i.shape) == 2 and i.shape[1] is not None), None)
        self._batch = next((i.shape[0] for i in inputs if len(i.shape) == 2 and i.shape[0] is not None), None)
        self._tokenizer.enable_truncation(width or max_tokens)
        pad = next((i for t in PAD_TOKENS if (i := self._tokenizer.token_to_id(t)) is not None), 0)
        self._tokenizer.enable_padding(length=width, pad_id=pad)

    def lengths(self, texts: Texts) -> list[int]:
        """Tokens of each text."""
        return [sum(e.attention_mask) for e in self._encoded(texts)]

    def batches(self, texts: Texts, order: Sequence[int], size: int) -> Iterator[Batch]:
        """The texts in this order, `size` at a time or as many as the model fixes.

        A batch that is short of a fixed size is filled up with repeats of its last text; its rows and encodings are
        those of the first texts.
        """
        size = self._batch or size
        for start in range(0, len(order), size):
            rows = list(order[start : start + size])
            filled = rows + rows[-1:] * ((self._batch or len(rows)) - len(rows))
            encoded = self._encoded([texts[i] for i in filled])  # type: ignore[arg-type]
            yield Batch(rows, self._fed(encoded), encoded[: len(rows)])

    def feeds(self, texts: Texts) -> Feeds:
        """The inputs for one batch; each [batch, tokens], padded to the longest."""
        return self._fed(self._encoded(texts))

    def _encoded(self, texts: Texts) -> list[Any]:
        in_words = len(texts) > 0 and isinstance(texts[0], list)
        return self._tokenizer.encode_batch(list(texts), is_pretokenized=in_words)

    def _fed(self, encoded: Sequence[Any]) -> Feeds:
        columns = {
            "input_ids": [e.ids for e in encoded],
            "attention_mask": [e.attention_mask for e in encoded],
            "token_type_ids": [e.type_ids for e in encoded],
        }
        return {i.name: np.asarray(columns[i.name], i.dtype) for i in self._inputs}
