"""What is asked of a compile beyond model and target; a manifest stores it as it is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from rcompile.errors import UsageError
from rcompile.vocabulary import Combiner, Scheme


class CompileOptions(BaseModel):
    """only, keep_on_host: which layers are mapped, by globs of their names; one that matches both stays on the CPU.
    protect: how to guard against stuck cells; the four after it are for that.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    only: tuple[str, ...] = Field(default=(), description="globs of the names of layers that are mapped; none: all")
    keep_on_host: tuple[str, ...] = Field(default=(), description="globs of the names of layers that stay on the CPU")
    keep_source: bool = Field(default=True, description="put the source model into the bundle, to compare with")
    pack_cells: bool = Field(default=False, description="several cells in a byte of the tile files")
    protect: Scheme | None = Field(
        default=None,
        description="how faults are guarded against; null is `die` with the map of a chip where the target has digit_shifts, else `none`",
    )
    combiner: Combiner | None = Field(
        default=None, description="how replicas are to be combined, null for the best predicted"
    )
    sa0: float | None = Field(
        default=None, description="the SA0 rate to guard against; null: what protection can carry, of the target's"
    )
    sa1: float | None = Field(default=None, description="the SA1 rate to guard against; null: as sa0")
    allow_extra_crossbars: bool = Field(default=False, description="let protection take more than the dense model")

    @property
    def copies(self) -> bool:
        """Whether replicas are to guard against the faults of any die."""
        return self.protect in ("paper", "auto")

    @property
    def chooses_rates(self) -> bool:
        """Whether protection finds the rates to guard against, for none are given."""
        return self.protect == "auto" and self.sa0 is None and self.sa1 is None

    def check(self) -> None:
        """Raises UsageError for what means nothing."""
        check_rates(self.sa0 or 0.0, self.sa1 or 0.0)
        asked = (self.combiner, self.sa0, self.sa1, self.allow_extra_crossbars or None)
        if not self.copies and any(a is not None for a in asked):
            raise UsageError("a combiner, fault rates and extra crossbars are for --protect paper or auto.")


UNCHANGED = CompileOptions()


def check_rates(sa0: float, sa1: float) -> None:
    """Raises UsageError for fault rates that are no shares of all cells."""
    if not (0 <= sa0 <= 1 and 0 <= sa1 <= 1 and sa0 + sa1 <= 1):
        raise UsageError(
            f"fault rates SA0 {sa0} and SA1 {sa1} must be shares of all cells: each in 0 .. 1, the sum at most 1."
        )
