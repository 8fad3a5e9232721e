"""What effects mean for the cells and the converters of a die: closed forms, from a target's physics to a few numbers by level.

docs/hardware.md, "Effects", is the prose. The result, `Devices`, is all that the reference and the native kernels know of physics.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from rcompile.errors import UsageError
from rcompile.hardware.effect_rules import check_effects
from rcompile.hardware.effects import Drift, Effects, Endurance, Retention, Temperature, Variation
from rcompile.hardware.target import Target

F64 = npt.NDArray[np.float64]
BOLTZMANN_ELECTRONVOLT_PER_KELVIN = 8.617333262e-5


@dataclass(frozen=True, eq=False)
class CellTables:
    """Conductance of the cells programmed to each level, in levels and with leakage: a level-0 cell's mean is `target.hrs_levels`.

    base + max(mean + sigma * z, 0) * exp(spread * z'), all float64 [levels]. reach: erf(k / sqrt(2)), z being cut off at k; 1 if it is not.
    """

    base: F64

    mean: F64
    sigma: F64
    reach: F64
    spread: F64


def ideal_cells(target: Target) -> CellTables:
    """Cells that hold their level exactly."""
    levels = np.arange(target.top_level + 1, dtype=np.float64)
    zero = np.zeros_like(levels)
    return CellTables(zero, levels + target.hrs_levels, zero, np.ones_like(levels), zero)


def programmed(cells: CellTables, variation: Variation, tolerance: float | None, target: Target) -> CellTables:
    """Normal: sigma in shares of the range, cut off at the tolerance of write-verify, if any. Lognormal: sigma of the logarithm."""
    sigma = np.broadcast_to(np.asarray(variation.sigma, np.float64), cells.mean.shape)
    if variation.distribution == "lognormal":
        return replace(cells, spread=np.hypot(cells.spread, sigma))
    reach = np.ones(len(sigma))
    if tolerance is not None:
        reach = np.array([math.erf(tolerance / s / math.sqrt(2)) if s else 1.0 for s in sigma.tolist()])
    return replace(cells, sigma=sigma * target.top_level, reach=reach)


def drifted(cells: CellTables, drift: Drift) -> CellTables:
    """G(t) = G(t0) * (t / t0)^-nu: a factor, and with normal nu a lognormal one (its logarithm is -nu * ln(t / t0))."""
    log_time = math.log(drift.time_second / drift.reference_second)
    factor = math.exp(-drift.nu * log_time)
    spread = np.hypot(cells.spread, drift.nu_sigma * log_time)
    return replace(_scaled(cells, factor), spread=spread)


def relaxed(cells: CellTables, retention: Retention, kelvin: float, hrs_levels: float) -> CellTables:
    """What a cell conducts above HRS is multiplied by exp(-(t / tau)^shape), tau = characteristic * exp(Ea / k * (1 / T - 1 / Tref))."""
    slowdown = 1 / kelvin - 1 / retention.reference_kelvin
    exponent = retention.activation_electronvolt / BOLTZMANN_ELECTRONVOLT_PER_KELVIN * slowdown
    log_ratio = math.log(retention.time_second / retention.characteristic_second) - exponent
    kept = math.exp(-math.exp(min(retention.shape * log_ratio, 50.0)))
    scaled = _scaled(cells, kept)
    return replace(scaled, base=scaled.base + hrs_levels * (1 - kept))


def heated(cells: CellTables, temperature: Temperature) -> CellTables:
    """G(T) = G(Tref) * (1 + coefficient * (T - Tref))."""
    rise = temperature.kelvin - temperature.reference_kelvin
    return _scaled(cells, 1 + np.asarray(temperature.coefficient_per_kelvin, np.float64) * rise)


def _scaled(cells: CellTables, factor: float | F64) -> CellTables:
    return replace(cells, base=cells.base * factor, mean=cells.mean * factor, sigma=cells.sigma * factor)


def cell_tables(effects: Effects, target: Target) -> CellTables | None:
    """What programming, time and temperature make of the levels; None if they leave them alone."""
    acting = (effects.variation, effects.drift, effects.retention, effects.temperature, effects.wires)
    if all(effect is None for effect in acting):
        return None
    cells = ideal_cells(target)
    if effects.variation:
        tolerance = effects.write_verify.tolerance if effects.write_verify else None
        cells = programmed(cells, effects.variation, tolerance, target)
    if effects.drift:
        cells = drifted(cells, effects.drift)
    if effects.retention:
        kelvin = effects.temperature.kelvin if effects.temperature else effects.retention.reference_kelvin
        cells = relaxed(cells, effects.retention, kelvin, target.hrs_levels)
    if effects.temperature:
        cells = heated(cells, effects.temperature)
    return cells


def worn_share(endurance: Endurance) -> float:
    """Share of cells that writing has worn out: 1 - exp(-(n / characteristic)^shape) (Weibull)."""
    return -math.expm1(-((endurance.write_cycles / endurance.characteristic_cycles) ** endurance.shape))


def cluster_scale(total_rate: float, alpha: int) -> float:
    """The factor on a block's density (gamma, shape alpha, mean 1) with which the mean share of stuck cells is `total_rate`, although no
    block can have more than all of its cells stuck: E[min(scale * density, 1 / total_rate)] = 1.
    """
    if not 0 < total_rate < 1:
        return 1.0

    def mean(scale: float) -> float:
        cap = 1 / total_rate
        bound = alpha * cap / scale
        return scale * _erlang_cdf(alpha + 1, bound) + cap * (1 - _erlang_cdf(alpha, bound))

    return _increasing_root(lambda log_scale: mean(math.exp(log_scale)) - 1, 0.0, 50.0)


def _erlang_cdf(shape: int, x: float) -> float:
    """P(a sum of `shape` standard exponentials <= x)."""
    term, total = 1.0, 1.0
    for i in range(1, shape):
        term *= x / i
        total += term
    return 1 - math.exp(-x) * total if x < 700 else 1.0


def _increasing_root(f: Callable[[float], float], low: float, high: float) -> float:
    """exp of where f crosses 0, by bisection."""
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if f(middle) < 0 else (low, middle)
    return math.exp(low)


@dataclass(frozen=True)
class Devices:
    """A die's physics in numbers, everything in levels. The names are those of the provider's die option (docs/runtime.md).

    base, mean, sigma, reach, spread: `CellTables` in float32, empty if cells hold their levels exactly. wordline_drop, bitline_drop: share of the read
    voltage that a current of one level loses over one segment. bits that flip: -1 for any.
    """

    sa0: float = 0.0
    sa1: float = 0.0
    between: float = 0.0
    cluster_side: int = 0
    cluster_alpha: int = 1
    cluster_scale: float = 1.0
    wordline: float = 0.0
    bitline: float = 0.0
    crossbar: float = 0.0
    base: tuple[float, ...] = ()
    mean: tuple[float, ...] = ()
    sigma: tuple[float, ...] = ()
    reach: tuple[float, ...] = ()
    spread: tuple[float, ...] = ()
    wordline_drop: float = 0.0
    bitline_drop: float = 0.0
    gain: float = 0.0
    gain_sigma: float = 0.0
    offset: float = 0.0
    offset_sigma: float = 0.0
    cell_noise: float = 0.0
    noise: float = 0.0
    code_flip: float = 0.0
    code_flip_bit: int = -1
    activation_flip: float = 0.0
    activation_flip_bit: int = -1

    @property
    def has_noise(self) -> bool:
        """Every read is another draw."""
        return self.noise > 0 or self.cell_noise > 0

    @property
    def reads_differ(self) -> bool:
        """A read is not what the sum of the cells' levels and the target's converter make it."""
        converters = (self.gain, self.gain_sigma, self.offset, self.offset_sigma, self.code_flip)
        return self.has_noise or any(converters)

    def text(self) -> str:
        """The part of the provider's die option that differs from an ideal die: `key=value`, lists joined by colons."""
        parts = []
        for field in fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                shown = ":".join(map(repr, value)) if isinstance(value, tuple) else repr(value)
                parts.append(f"{field.name}={shown}")
        return ",".join(parts)


def devices(effects: Effects, target: Target, sa0: float = 0.0, sa1: float = 0.0) -> Devices:
    """The numbers of a die with these fault rates and effects on this target. Raises UsageError for effects that contradict it."""
    check_effects(effects, target)
    worn = worn_share(effects.endurance) if effects.endurance else 0.0
    wear1 = worn * effects.endurance.sa1_share if effects.endurance else 0.0
    # A cell that is stuck already cannot wear out.
    healthy = 1 - sa0 - sa1
    sa0, sa1 = sa0 + healthy * (worn - wear1), sa1 + healthy * wear1
    between = effects.stuck_between.rate * (1 - sa0 - sa1) if effects.stuck_between else 0.0
    found = Devices(sa0, sa1, between)
    if effects.clusters:
        if not sa0 + sa1 + between:
            raise UsageError(
                "clusters: there are no stuck cells to cluster: give fault rates (--sa0, --sa1), or effects that stick cells."
            )
        scale = cluster_scale(sa0 + sa1 + between, effects.clusters.alpha)
        found = replace(found, cluster_side=effects.clusters.side_cells, cluster_alpha=effects.clusters.alpha, cluster_scale=scale)  # fmt: skip
    if effects.lines:
        lines = effects.lines
        found = replace(found, wordline=lines.wordline_rate, bitline=lines.bitline_rate, crossbar=lines.crossbar_rate)
    return _reading(_analog(found, effects, target), effects, target)


def _analog(found: Devices, effects: Effects, target: Target) -> Devices:
    cells = cell_tables(effects, target)
    if cells is None:
        return found
    tables = (cells.base, cells.mean, cells.sigma, cells.reach, cells.spread)
    base, mean, sigma, reach, spread = (_rounded(table) for table in tables)
    found = replace(found, base=base if any(base) else (), mean=mean, sigma=sigma, reach=reach, spread=spread)
    if effects.wires:
        level_siemens = (target.cell.g_lrs_siemens - target.cell.g_hrs_siemens) / target.top_level
        wordline, bitline = effects.wires.wordline_segment_ohm, effects.wires.bitline_segment_ohm
        found = replace(found, wordline_drop=wordline * level_siemens, bitline_drop=bitline * level_siemens)
    return found


def _rounded(table: F64) -> tuple[float, ...]:
    return tuple(table.astype(np.float32).tolist())


def _reading(found: Devices, effects: Effects, target: Target) -> Devices:
    if effects.adc_error:
        adc = effects.adc_error
        found = replace(found, gain=adc.gain_error, gain_sigma=adc.gain_error_sigma, offset=adc.offset_levels, offset_sigma=adc.offset_sigma_levels)  # fmt: skip
    if effects.read_noise:
        noise = effects.read_noise
        found = replace(found, cell_noise=noise.cell_sigma * target.top_level, noise=noise.converter_sigma_levels)
    if effects.soft_errors:
        soft = effects.soft_errors
        code_bit = -1 if soft.adc_code_bit is None else soft.adc_code_bit
        activation_bit = -1 if soft.activation_bit is None else soft.activation_bit
        found = replace(found, code_flip=soft.adc_code_rate, code_flip_bit=code_bit, activation_flip=soft.activation_rate, activation_flip_bit=activation_bit)  # fmt: skip
    return found
