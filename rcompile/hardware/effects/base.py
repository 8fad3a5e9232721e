"""What every effect is: a section that is off unless a target or the user turns it on, and what it does to a die's numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field

from rcompile.hardware.physics import Physics
from rcompile.hardware.section import Section

if TYPE_CHECKING:
    from rcompile.hardware.target import Target

Rate = Annotated[float, Field(ge=0, le=1)]
# A constraint between keys returns the offending keys with their values; its docstring is the user's message.
Offending = dict[str, object]
Constraint = Callable[["Target"], Offending]


class Effect(Section):
    """One effect. source: where its default values come from. does_something: keys of which one at least must not be 0, if there are any."""

    source: ClassVar[str]
    does_something: ClassVar[tuple[str, ...]] = ()

    def act(self, die: Physics, target: Target) -> Physics:
        """A die with this effect. Effects act in the order of `Effects`; `target.effects` has the others."""
        raise NotImplementedError

    @property
    def is_idle(self) -> bool:
        """Every number that would do something is 0."""
        return bool(self.does_something) and not any(largest(getattr(self, k)) for k in self.does_something)


def _one_or_one_a_level(given: object) -> object:
    numbers = list(given) if isinstance(given, list | tuple) else [given]
    if not numbers or any(
        isinstance(n, bool) or not isinstance(n, int | float) or not math.isfinite(n) for n in numbers
    ):
        raise ValueError("give one number, or a list with one number a level")
    return tuple(numbers) if isinstance(given, list | tuple) else given


def within(low: float, high: float) -> AfterValidator:
    """Bounds of one number, or of each in a list."""

    def check(given: float | tuple[float, ...]) -> float | tuple[float, ...]:
        if not all(low <= n <= high for n in (given if isinstance(given, tuple) else (given,))):
            raise ValueError(f"give numbers in {low:g} .. {high:g}")
        return given

    return AfterValidator(check)


PerLevel = Annotated[float | tuple[float, ...], BeforeValidator(_one_or_one_a_level)]


def largest(value: float | tuple[float, ...]) -> float:
    """The number, or the largest in a list."""
    return max(value, default=0.0) if isinstance(value, tuple) else value


def one_a_level(target: Target, key: str, value: object) -> Offending:
    """The key, if its value is a list of another length than the target has levels."""
    return {key: value} if isinstance(value, tuple) and len(value) != target.top_level + 1 else {}
