"""The table of effects: what a new one adds a line to. docs/hardware.md, "Effects", defines what each does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from pydantic import SerializerFunctionWrapHandler, model_serializer

from rcompile.hardware.effects.adc_error import CONSTRAINTS as ADC_ERROR_RULES
from rcompile.hardware.effects.adc_error import AdcError
from rcompile.hardware.effects.base import Constraint, Effect, Offending
from rcompile.hardware.effects.clusters import Clusters
from rcompile.hardware.effects.drift import CONSTRAINTS as DRIFT_RULES
from rcompile.hardware.effects.drift import Drift
from rcompile.hardware.effects.endurance import Endurance
from rcompile.hardware.effects.lines import Lines
from rcompile.hardware.effects.read_noise import CONSTRAINTS as READ_NOISE_RULES
from rcompile.hardware.effects.read_noise import ReadNoise
from rcompile.hardware.effects.retention import CONSTRAINTS as RETENTION_RULES
from rcompile.hardware.effects.retention import Retention
from rcompile.hardware.effects.soft_errors import CONSTRAINTS as SOFT_ERRORS_RULES
from rcompile.hardware.effects.soft_errors import SoftErrors
from rcompile.hardware.effects.stuck_between import CONSTRAINTS as STUCK_BETWEEN_RULES
from rcompile.hardware.effects.stuck_between import StuckBetween
from rcompile.hardware.effects.temperature import CONSTRAINTS as TEMPERATURE_RULES
from rcompile.hardware.effects.temperature import Temperature
from rcompile.hardware.effects.variation import CONSTRAINTS as VARIATION_RULES
from rcompile.hardware.effects.variation import Variation, WriteVerify
from rcompile.hardware.effects.wires import Wires
from rcompile.hardware.section import Section

if TYPE_CHECKING:
    from rcompile.hardware.target import Target


class Effects(Section):
    """The effects that are on, in the order in which they act; None is off."""

    endurance: Endurance | None = None
    stuck_between: StuckBetween | None = None
    clusters: Clusters | None = None
    lines: Lines | None = None
    variation: Variation | None = None
    write_verify: WriteVerify | None = None
    drift: Drift | None = None
    retention: Retention | None = None
    temperature: Temperature | None = None
    wires: Wires | None = None
    read_noise: ReadNoise | None = None
    adc_error: AdcError | None = None
    soft_errors: SoftErrors | None = None

    @model_serializer(mode="wrap")
    def _only_those_on(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in serialize(self).items() if value is not None}

    @property
    def names(self) -> list[str]:
        """The effects that are on."""
        return [name for name in type(self).model_fields if getattr(self, name) is not None]

    @property
    def on(self) -> list[Effect]:
        """The effects that are on, in the order in which they act."""
        return [getattr(self, name) for name in self.names]


EFFECT_TYPES: dict[str, type[Effect]] = {n: get_args(f.annotation)[0] for n, f in Effects.model_fields.items()}


def effects_do_something(target: Target) -> Offending:
    """an effect that is on must have a number that is not zero: give a rate or a deviation, or leave it out."""
    on = zip(target.effects.names, target.effects.on, strict=True)
    idle = {name: effect for name, effect in on if isinstance(effect, Effect) and effect.is_idle}
    return {f"effects.{name}": ", ".join(effect.does_something) + ": 0" for name, effect in idle.items()}


EFFECT_CONSTRAINTS: tuple[Constraint, ...] = (
    *STUCK_BETWEEN_RULES,
    *VARIATION_RULES,
    *DRIFT_RULES,
    *RETENTION_RULES,
    *TEMPERATURE_RULES,
    *READ_NOISE_RULES,
    *ADC_ERROR_RULES,
    *SOFT_ERRORS_RULES,
    effects_do_something,
)
