"""How much `bench.py` measures: models, layers, and for how long."""

from __future__ import annotations

from dataclasses import dataclass

from shapes import BERT_1B, BERT_BASE, MINILM, Shape


@dataclass(frozen=True)
class Scale:
    """small, base, large: models. divisor: of single layers' sizes. budget_s: seconds for what is called in turn."""

    small: Shape = MINILM
    base: Shape = BERT_BASE
    large: Shape = BERT_1B
    tokens: int = 128
    divisor: int = 1
    budget_s: float = 6.0
    repeats: int = 3
    dies: int = 10
    sentences: int = 872


FULL = Scale()
# Whether everything runs, not how fast: seconds.
SMALL = Scale(
    small=Shape("small", 1, 16, 2, 32, vocabulary=50),
    base=Shape("base", 1, 32, 2, 64, vocabulary=50),
    large=Shape("large", 2, 32, 2, 64, vocabulary=50, external_data=True),
    tokens=8,
    divisor=24,
    budget_s=0.0,
    repeats=1,
    dies=1,
    sentences=40,
)
