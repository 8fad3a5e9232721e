"""Effects against their target: what contradicts, and how the command line turns effects on and off."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from rcompile.errors import UsageError
from rcompile.hardware.effects import Effect, Effects
from rcompile.hardware.target import Target, TargetKey, describe_section

# Of a lognormal factor: e^2 is beyond anything that still computes.
MOST_SPREAD = 2.0
# A constraint between keys returns the offending keys with their values; its docstring is the user's message.
Offending = dict[str, object]


def one_number_a_level(target: Target) -> Offending:
    """a list must have one number for each of the 2^cell.bits levels."""
    found: Offending = {}
    for name, key in (("variation", "sigma"), ("temperature", "coefficient_per_kelvin")):
        value = getattr(getattr(target.effects, name), key, None)
        if isinstance(value, tuple) and len(value) != target.top_level + 1:
            found[f"effects.{name}.{key}"] = value
    return found


def coefficient_keeps_conductance(target: Target) -> Offending:
    """the temperature must leave every conductance positive: 1 + coefficient * (kelvin - reference_kelvin) must exceed 0."""
    effect = target.effects.temperature
    if effect is None:
        return {}
    given = effect.coefficient_per_kelvin
    values = given if isinstance(given, tuple) else (given,)
    rise = effect.kelvin - effect.reference_kelvin
    return {} if all(1 + v * rise > 0 for v in values) else {"effects.temperature.coefficient_per_kelvin": given}


def verify_needs_normal_variation(target: Target) -> Offending:
    """write_verify cuts off a normal variation: turn on effects.variation with distribution = "normal" as well."""
    effects = target.effects
    if effects.write_verify is None or (effects.variation and effects.variation.distribution == "normal"):
        return {}
    return {"effects.write_verify": effects.write_verify.tolerance}


def drift_starts_at_reference(target: Target) -> Offending:
    """drift must be seen after its reference: time_second must not be below reference_second."""
    drift = target.effects.drift
    return (
        {"effects.drift.time_second": drift.time_second} if drift and drift.time_second < drift.reference_second else {}
    )


def one_age(target: Target) -> Offending:
    """drift and retention must be seen at one time: give both the same time_second."""
    drift, retention = target.effects.drift, target.effects.retention
    if drift is None or retention is None or drift.time_second == retention.time_second:
        return {}
    return {"effects.retention.time_second": retention.time_second}


def ideal_converters_do_not_err(target: Target) -> Offending:
    """an ideal converter (adc.bits = 0) has no errors and no codes to flip: leave this out, or give adc.bits."""
    effects = target.effects
    found: Offending = {}
    if target.adc.bits:
        return found
    if effects.adc_error:
        found["effects.adc_error"] = "on"
    if effects.read_noise and effects.read_noise.converter_sigma_levels:
        found["effects.read_noise.converter_sigma_levels"] = effects.read_noise.converter_sigma_levels
    if effects.soft_errors and effects.soft_errors.adc_code_rate:
        found["effects.soft_errors.adc_code_rate"] = effects.soft_errors.adc_code_rate
    return found


def flipped_bits_exist(target: Target) -> Offending:
    """a bit that flips must be one of the word: below adc.bits in a code, below input.bits in an activation."""
    soft = target.effects.soft_errors
    if soft is None:
        return {}
    found: Offending = {}
    if soft.adc_code_bit is not None and soft.adc_code_bit >= target.adc.bits:
        found["effects.soft_errors.adc_code_bit"] = soft.adc_code_bit
    if soft.activation_bit is not None and soft.activation_bit >= target.input.bits:
        found["effects.soft_errors.activation_bit"] = soft.activation_bit
    return found


def effects_do_something(target: Target) -> Offending:
    """an effect that is on must have a number that is not zero: give a rate or a deviation, or leave it out."""
    idle: dict[str, tuple[str, ...]] = {
        "soft_errors": ("embedding_rate", "bias_rate", "activation_rate", "adc_code_rate"),
        "read_noise": ("cell_sigma", "converter_sigma_levels"),
        "wires": ("wordline_segment_ohm", "bitline_segment_ohm"),
        "lines": ("wordline_rate", "bitline_rate", "crossbar_rate"),
        "adc_error": ("offset_levels", "offset_sigma_levels", "gain_error", "gain_error_sigma"),
        "variation": ("sigma",),
        "stuck_between": ("rate",),
        "endurance": ("write_cycles",),
    }
    found: Offending = {}
    for name, keys in idle.items():
        effect = getattr(target.effects, name)
        if effect is not None and not any(_largest(getattr(effect, k)) for k in keys):
            found[f"effects.{name}"] = ", ".join(keys) + ": 0"
    return found


def _largest(value: float | tuple[float, ...]) -> float:
    return max(value, default=0.0) if isinstance(value, tuple) else value


def levels_between_exist(target: Target) -> Offending:
    """cells of one bit have no level to be stuck at between HRS and LRS."""
    between = target.effects.stuck_between
    return {"effects.stuck_between.rate": between.rate} if between and target.cell.bits == 1 else {}


def spread_is_bounded(target: Target) -> Offending:
    """the logarithm of a conductance must not spread by more than 2: lower variation.sigma, or nu_sigma or the time of drift."""
    variation, drift = target.effects.variation, target.effects.drift
    lognormal = variation is not None and variation.distribution == "lognormal"
    given = variation.sigma if variation is not None and lognormal else 0.0
    sigma = max(given) if isinstance(given, tuple) else given
    log_time = math.log(drift.time_second / drift.reference_second) if drift else 0.0
    spread = math.hypot(sigma, drift.nu_sigma * log_time if drift else 0.0)
    if spread <= MOST_SPREAD:
        return {}
    return (
        {"effects.variation.sigma": given}
        if sigma > MOST_SPREAD
        else {"effects.drift.nu_sigma": drift and drift.nu_sigma}
    )


EFFECT_CONSTRAINTS: tuple[Callable[[Target], Offending], ...] = (
    one_number_a_level,
    coefficient_keeps_conductance,
    verify_needs_normal_variation,
    drift_starts_at_reference,
    one_age,
    ideal_converters_do_not_err,
    flipped_bits_exist,
    effects_do_something,
    levels_between_exist,
    spread_is_bounded,
)


def effect_types() -> dict[str, type[Effect]]:
    """The class of each effect, by name."""
    return {name: get_args(field.annotation)[0] for name, field in Effects.model_fields.items()}


def with_effects(target: Target, changes: Sequence[str]) -> Target:
    """A target with effects turned on, changed or all turned off, as `--effect` says.

    Each change is `NAME` (on, with the default values), `NAME.KEY=VALUE` (on, with this value) or `none` (all off so far). Raises
    UsageError with every error at once, each naming its key.
    """
    wanted: dict[str, Any] = target.effects.model_dump(mode="json")
    errors: list[str] = []
    for change in changes:
        path, given, text = change.partition("=")
        name, dot, field = path.partition(".")
        if change == "none":
            wanted = {}
        elif name not in effect_types():
            errors.append(f"{path}: there is no such effect; there are {', '.join(effect_types())}, and none")
        elif bool(dot) != bool(given):
            errors.append(f"{change}: give {name}, or {name}.KEY=VALUE with one of {', '.join(_keys(name))}")
        else:
            section = wanted.setdefault(name, {})
            if dot:
                section[field] = toml_value(text)
    return target.model_copy(update={"effects": _checked(target, wanted, errors)})


def check_effects(effects: Effects, target: Target) -> None:
    """Raises UsageError if effects contradict the target, naming each key."""
    changed = target.model_copy(update={"effects": effects})
    _raise_all(_contradictions(changed), target)


def _contradictions(target: Target) -> list[str]:
    return [
        f"{key.removeprefix('effects.')}: {constraint.__doc__} (got {value})"
        for constraint in EFFECT_CONSTRAINTS
        for key, value in constraint(target).items()
    ]


def _checked(target: Target, wanted: dict[str, Any], errors: list[str]) -> Effects:
    sound: dict[str, Any] = {}
    for name, keys in wanted.items():
        try:
            sound[name] = effect_types()[name].model_validate(keys)
        except ValidationError as error:
            for e in error.errors():
                unknown = f"; its keys are {', '.join(_keys(name))}" if e["type"] == "extra_forbidden" else ""
                label = ".".join([name, *map(str, e["loc"])])
                errors.append(f"{label}: {e['msg']} (got {str(e['input'])[:60]}){unknown}")
    effects = Effects.model_validate(sound)
    _raise_all([*errors, *_contradictions(target.model_copy(update={"effects": effects}))], target)
    return effects


def _raise_all(errors: list[str], target: Target) -> None:
    if errors:
        lines = "\n".join(f"  {e}" for e in dict.fromkeys(errors))
        raise UsageError(f"the effects do not fit target '{target.name}':\n{lines}\nSee `rcompile targets effects`.")


def _keys(name: str) -> list[str]:
    return list(effect_types()[name].model_fields) if name in effect_types() else []


def toml_value(text: str) -> object:
    """A TOML value, or a number as Python writes it, or none; another bare word is a string."""
    with suppress(tomllib.TOMLDecodeError):
        return tomllib.loads(f"v = {text}")["v"]
    with suppress(ValueError):
        return float(text)
    return None if text == "none" else text


class DescribedEffect(BaseModel):
    """One effect in `rcompile targets effects`: what it is, where its default values come from, and its keys."""

    name: str
    meaning: str
    source: str
    keys: list[TargetKey]


def described_effects() -> list[DescribedEffect]:
    """Every effect with its default values."""
    return [
        DescribedEffect(
            name=name,
            meaning=(kind.__doc__ or "").split("\n")[0],
            source=kind.source,
            keys=describe_section(kind(), name, {}),
        )
        for name, kind in effect_types().items()
    ]
