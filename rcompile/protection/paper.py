"""The published recipe (Li et al., arXiv 2401.11664): three copies of the largest digit, the lowest one given up where
they do not fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rcompile.errors import UnsupportedError
from rcompile.hardware.target import Target
from rcompile.layout.normal_form import U8
from rcompile.protection.allocate import LayerErrors, Survey, crossbars_of, may_give_up


def published(
    layers: Sequence[Survey], errors: Mapping[str, LayerErrors], budget: int, target: Target
) -> dict[str, U8]:
    """u8 [N, magnitudes] by layer, alike for all outputs. Raises UnsupportedError for a target whose bitlines do not
    hold an output so.
    """
    encoding = target.encoding
    tripled = np.ones(len(encoding.magnitudes), np.uint8)
    tripled[-1] = 3
    embedded = tripled.copy()
    embedded[0] = 0
    recipes = [tripled, embedded] if may_give_up(1, target) else [tripled]
    recipes = [r for r in recipes if encoding.bitlines(r) <= target.crossbar.cols]
    if not recipes:
        raise UnsupportedError(
            f"the {target.crossbar.cols} bitlines of target '{target.name}' do not hold an output with three copies of its largest digit: widen crossbar.cols, or --protect auto."
        )
    choices = [{layer.name: np.tile(recipe, (layer.outputs, 1)) for layer in layers} for recipe in recipes]
    fitting = (c for c in choices if sum(crossbars_of(x, c[x.name], target) for x in layers) <= budget)
    return next(fitting, choices[0])
