"""The predicted error of a bundle, made of its images: the weights are decoded, their scales are stored.

The compiler surveys weights before it gives up digits, so that where any are, the survey is not in the images.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rcompile.bundle.ledger import Copies
from rcompile.bundle.reader import Layer
from rcompile.hardware.encoding import Encoding
from rcompile.hardware.target import Target
from rcompile.layout.compact import UsedLines
from rcompile.layout.normal_form import U8, BlockCodes
from rcompile.protection.allocate import COPIES, Survey, predict_errors, predicted_error
from rcompile.protection.protect import survey_codes
from rcompile.vocabulary import Combiner


def survey_decoded(layer: Layer, blocks: Sequence[BlockCodes], lines: UsedLines, target: Target) -> Survey | None:
    """The survey of a layer; None unless it is written in the target's digits, every used output over every used
    input.
    """
    shape = len(lines.inputs), len(lines.outputs)
    if layer.entry.encoding != target.encoding or shape[0] * shape[1] > sum(block.codes.size for block in blocks):
        return None
    codes = np.zeros(shape, np.int8)
    for block in blocks:
        rows, cols = np.isin(block.inputs, lines.inputs), np.isin(block.outputs, lines.outputs)
        at = np.searchsorted(lines.inputs, block.inputs[rows]), np.searchsorted(lines.outputs, block.outputs[cols])
        codes[np.ix_(*at)] = block.codes[np.ix_(rows, cols)]
    entry = layer.entry
    return survey_codes(entry.name, (entry.inputs, entry.outputs), lines, codes, layer.weight_scale, target)


def predict(
    layers: Sequence[tuple[Survey | None, Copies]], combiner: Combiner, target: Target, rates: tuple[float, float]
) -> float | None:
    """The predicted error of layers with these copies; None where the images do not say it."""
    surveys, replicas = [], {}
    for survey, copies in layers:
        if survey is None or (of_layer := _by_magnitude(copies, target.encoding, survey.outputs)) is None:
            return None
        surveys.append(survey)
        replicas[survey.name] = of_layer
    return predicted_error(surveys, replicas, predict_errors(surveys, combiner, target, *rates)) if surveys else None


def _by_magnitude(copies: Copies, encoding: Encoding, outputs: int) -> U8 | None:
    """u8 [N, magnitudes]; None where digits are given up, or copied otherwise than `protect` does."""
    first = [next(i for i, d in enumerate(encoding.digits) if abs(d) == m) for m in encoding.magnitudes]
    per_magnitude = np.ones((outputs, len(first)), np.uint8)
    per_magnitude[copies.outputs] = copies.counts[:, first]
    alike = (encoding.by_digit(per_magnitude)[copies.outputs] == copies.counts).all()
    return per_magnitude if alike and copies.counts.min() > 0 and copies.counts.max() <= max(COPIES) else None
