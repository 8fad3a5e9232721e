"""Flipped bits in the digital parts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from rcompile.hardware.effects.base import Constraint, Effect, Offending, Rate
from rcompile.hardware.physics import Physics
from rcompile.hardware.section import key

if TYPE_CHECKING:
    from rcompile.hardware.target import Target


class SoftErrors(Effect):
    """Bit flips in the digital parts, and in the codes that the converters give."""

    source = (
        "rates are for campaigns. Gao et al., IEEE TDMR 2024, doi 10.1109/TDMR.2024.3478753, study text embeddings so"
    )
    does_something = ("embedding_rate", "bias_rate", "activation_rate", "adc_code_rate")
    embedding_rate: Annotated[Rate, key("numbers of the embedding tables with one flipped bit")] = 0.0
    bias_rate: Annotated[Rate, key("biases with one flipped bit")] = 0.0
    number_bit: Annotated[
        int | None, key("the bit that flips in them, 0 the lowest of float32; none: any of the 32", ge=0, le=31)
    ] = None
    activation_rate: Annotated[Rate, key("input codes with one flipped bit, drawn by seed and row of inputs")] = 0.0
    activation_bit: Annotated[
        int | None, key("the bit that flips in an input code, 0 the lowest; none: any", ge=0, le=7)
    ] = None
    adc_code_rate: Annotated[Rate, key("ADC codes with one flipped bit, drawn by seed, row of inputs and read")] = 0.0
    adc_code_bit: Annotated[int | None, key("the bit that flips in a code, 0 the lowest; none: any", ge=0, le=15)] = (
        None
    )

    def act(self, die: Physics, target: Target) -> Physics:
        """Activations and codes; embeddings and biases are not a die's, and flip when a session is loaded."""
        return replace(
            die,
            code_flip=self.adc_code_rate,
            code_flip_bit=-1 if self.adc_code_bit is None else self.adc_code_bit,
            activation_flip=self.activation_rate,
            activation_flip_bit=-1 if self.activation_bit is None else self.activation_bit,
        )


def ideal_converters_have_no_codes(target: Target) -> Offending:
    """an ideal converter (adc.bits = 0) has no errors and no codes to flip: leave this out, or give adc.bits."""
    soft = target.effects.soft_errors
    if target.adc.bits or soft is None or not soft.adc_code_rate:
        return {}
    return {"effects.soft_errors.adc_code_rate": soft.adc_code_rate}


def flipped_bits_exist(target: Target) -> Offending:
    """a bit that flips must be one of the word: below adc.bits in a code, below input.bits in an activation."""
    soft = target.effects.soft_errors
    found: Offending = {}
    if soft and soft.adc_code_bit is not None and soft.adc_code_bit >= target.adc.bits:
        found["effects.soft_errors.adc_code_bit"] = soft.adc_code_bit
    if soft and soft.activation_bit is not None and soft.activation_bit >= target.input.bits:
        found["effects.soft_errors.activation_bit"] = soft.activation_bit
    return found


CONSTRAINTS: tuple[Constraint, ...] = (ideal_converters_have_no_codes, flipped_bits_exist)
