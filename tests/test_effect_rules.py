"""Effects in target files and on the command line: what turns on, and what is refused, by key."""

import pytest
from small_models import changed_target

from rcompile.errors import BadInputError, UsageError
from rcompile.hardware.changes import with_effects
from rcompile.hardware.describe import describe, described_effects
from rcompile.hardware.effects.clusters import Clusters
from rcompile.hardware.effects.drift import Drift
from rcompile.hardware.effects.endurance import Endurance
from rcompile.hardware.effects.lines import Lines
from rcompile.hardware.effects.table import EFFECT_TYPES, Effects
from rcompile.hardware.effects.variation import Variation, WriteVerify
from rcompile.hardware.target_file import load_target, parse_target, targets_folder
from runtime.die.measured import MeasuredDie
from runtime.die.virtual import Die

GOOD = (targets_folder() / "reram128x128.toml").read_text()
REAL = load_target("reram128x128")


@pytest.mark.parametrize("name", EFFECT_TYPES)
def test_every_effect_has_a_meaning_a_source_and_units(name: str) -> None:
    (effect,) = (e for e in described_effects() if e.name == name)
    assert effect.meaning and effect.source
    assert all(key.meaning and key.unit for key in effect.keys)


def test_targets_ship_without_effects() -> None:
    assert REAL.effects == Effects()
    assert REAL.effects.names == []


def test_effects_turn_on_change_and_turn_off() -> None:
    target = with_effects(REAL, ["drift", "variation.sigma=[0.1, 0.2, 0.3, 0.4]", "variation.distribution=lognormal"])
    assert target.effects.drift == Drift()
    assert target.effects.variation is not None and target.effects.variation.sigma == (0.1, 0.2, 0.3, 0.4)
    assert target.effects.names == ["variation", "drift"]
    assert with_effects(target, ["drift.nu=0.1"]).effects.drift == Drift(nu=0.1)
    assert with_effects(target, ["none", "wires"]).effects.names == ["wires"]
    assert target.sha256 != REAL.sha256


def test_a_target_file_may_turn_effects_on() -> None:
    target = parse_target(GOOD + "\n[effects.drift]\nnu = 0.02\n\n[effects.read_noise]\n", "my.toml")
    assert target.effects.drift == Drift(nu=0.02)
    assert "effects.drift.nu" in {row.key for row in describe(target)}
    assert type(target).model_validate_json(target.model_dump_json()) == target


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        (["drft"], "drft"),
        (["drift.nu"], "drift.nu"),
        (["drift=3"], "drift=3"),
        (["drift.exponent=3"], "drift.exponent"),
        (["drift.nu=7"], "drift.nu"),
        (["drift.nu=nan"], "drift.nu"),
        (["drift.time_second=0.5"], "drift.time_second"),
        (["variation.sigma=[0.1]"], "variation.sigma"),
        (["variation.sigma=-0.1"], "variation.sigma"),
        (["variation.sigma=0"], "variation"),
        (["variation.distribution=lognormal", "variation.sigma=3"], "variation.sigma"),
        (["drift.nu_sigma=1", "drift.time_second=1e12"], "drift.nu_sigma"),
        (["drift.reference_second=1e-300"], "drift.reference_second"),
        (["endurance.characteristic_cycles=1e-300"], "endurance.characteristic_cycles"),
        (["endurance.characteristic_cycles=inf"], "endurance.characteristic_cycles"),
        (["temperature.coefficient_per_kelvin=1e300"], "temperature.coefficient_per_kelvin"),
        (["variation.sigma=much"], "variation.sigma"),
        (["variation.distribution=cauchy"], "variation.distribution"),
        (["write_verify"], "write_verify"),
        (["variation.distribution=lognormal", "write_verify"], "write_verify"),
        (["drift.time_second=10", "retention.time_second=20"], "retention.time_second"),
        (["temperature.kelvin=2000"], "temperature.kelvin"),
        (["temperature.coefficient_per_kelvin=-0.5"], "temperature.coefficient_per_kelvin"),
        (["temperature.coefficient_per_kelvin=[1, 2, 3]"], "temperature.coefficient_per_kelvin"),
        (["wires.bitline_segment_ohm=-1"], "wires.bitline_segment_ohm"),
        (["soft_errors"], "soft_errors"),
        (["soft_errors.embedding_rate=1.5"], "soft_errors.embedding_rate"),
        (["soft_errors.adc_code_rate=0.1", "soft_errors.adc_code_bit=8"], "soft_errors.adc_code_bit"),
        (["soft_errors.activation_rate=0.1", "soft_errors.activation_bit=8"], "soft_errors.activation_bit"),
        (["lines.wordline_rate=0", "lines.bitline_rate=0"], "lines"),
        (["clusters.side_cells=0"], "clusters.side_cells"),
        (["endurance.characteristic_cycles=0"], "endurance.characteristic_cycles"),
        (["stuck_between.rate=2"], "stuck_between.rate"),
    ],
)
def test_what_means_nothing_is_refused_by_key(changes: list[str], key: str) -> None:
    with pytest.raises(UsageError, match=rf"  effects.{key.replace('.', '[.]')}: "):
        with_effects(REAL, changes)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ("adc_error", "adc_error"),
        ("read_noise.converter_sigma_levels=1", "read_noise.converter_sigma_levels"),
        ("soft_errors.adc_code_rate=0.1", "soft_errors.adc_code_rate"),
    ],
)
def test_an_ideal_converter_contradicts_its_errors(change: str, key: str) -> None:
    with pytest.raises(UsageError, match=f"{key}: an ideal converter"):
        with_effects(load_target("ideal128x128"), [change])


def test_one_bit_cells_have_no_level_between() -> None:
    with pytest.raises(UsageError, match="cells of one bit"):
        with_effects(load_target("reram64x64-slc"), ["stuck_between"])


def test_numbers_and_none_as_people_write_them() -> None:
    target = with_effects(REAL, ["drift.nu=.1", "soft_errors.bias_rate=1e-3", "soft_errors.number_bit=none"])
    assert target.effects.drift == Drift(nu=0.1)
    assert target.effects.soft_errors is not None and target.effects.soft_errors.number_bit is None


@pytest.mark.parametrize(
    ("effects", "key"),
    [
        (Effects(write_verify=WriteVerify()), "write_verify"),
        (Effects(variation=Variation(sigma=(0.1, 0.2))), "variation.sigma"),
        (Effects(clusters=Clusters()), "clusters"),
    ],
)
def test_a_die_of_the_library_is_checked_as_one_of_the_command_line(effects: Effects, key: str) -> None:
    with pytest.raises(UsageError, match=rf"{key}: "):
        Die(1, effects=effects).physics(REAL)


def test_what_measured_dies_know_better_is_refused() -> None:
    with pytest.raises(UsageError, match="turn off endurance, lines"):
        MeasuredDie({}, effects=Effects(lines=Lines(), endurance=Endurance()))


def test_every_error_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        with_effects(
            REAL,
            [
                "drft",
                "drift.nu=7",
                "variation.sigma=[1]",
                "write_verify.tolerance=2",
                "lines.bitline_rate=0",
                "lines.wordline_rate=0",
            ],
        )
    text = str(caught.value)
    assert all(
        f"\n  effects.{key}: " in text
        for key in ("drft", "drift.nu", "variation.sigma", "write_verify.tolerance", "lines")
    )
    assert "rcompile targets effects" in text


def test_a_target_file_names_the_line_of_an_effect() -> None:
    source = GOOD + "\n[effects.drift]\ntime_second = 1e5\nnu = 7.0\n\n[effects.write_verify]\n"
    with pytest.raises(BadInputError) as caught:
        parse_target(source, "my.toml")
    lines = source.splitlines()
    assert f"my.toml:{lines.index('nu = 7.0') + 1}: effects.drift.nu: " in str(caught.value)
    with pytest.raises(
        BadInputError, match=rf"my.toml:{lines.index('[effects.write_verify]') + 1}: effects.write_verify"
    ):
        parse_target(source.replace("nu = 7.0", "nu = 0.7"), "my.toml")


def test_a_full_scale_stands_for_the_step() -> None:
    lines = [line for line in GOOD.splitlines() if not line.startswith('"adc.step_levels"')]
    source = "\n".join(lines).replace("step_levels = 1.0", "full_scale_levels = 510")
    assert parse_target(source, "my.toml").adc.step_levels == 2.0
    with pytest.raises(BadInputError, match=r"adc\.full_scale_levels"):
        parse_target(source.replace("full_scale_levels = 510", "full_scale_levels = 510\nstep_levels = 1.0"), "my.toml")


def test_an_ideal_converter_has_no_step() -> None:
    ideal = (targets_folder() / "ideal128x128.toml").read_text().replace("step_levels = 1.0", "step_levels = 2.0")
    with pytest.raises(BadInputError, match=r"adc\.step_levels: an ideal converter"):
        parse_target(ideal, "my.toml")
    assert changed_target("ideal128x128").adc.step_levels == 1
