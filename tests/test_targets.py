"""Target files: the shipped ones are complete, and a bad one reports every error at once."""

import math
import re

import pytest
from small_models import changed_target

from rcompile.errors import BadInputError, UsageError
from rcompile.hardware.constraints import CONSTRAINTS
from rcompile.hardware.describe import describe
from rcompile.hardware.target import Target
from rcompile.hardware.target_file import load_target, parse_target, target_names, targets_folder

GOOD = (targets_folder() / "reram128x128.toml").read_text()


def test_the_promised_targets_ship() -> None:
    assert target_names() == [
        "ideal128x128",
        "reram128x128",
        "reram128x128-diff",
        "reram128x128-ou16",
        "reram128x128-storage",
        "reram256x256",
        "reram64x64-slc",
    ]


@pytest.mark.parametrize("name", target_names())
def test_every_key_has_a_unit_and_a_source(name: str) -> None:
    target = load_target(name)
    assert target.name == name
    for row in describe(target):
        assert row.unit, row.key
        assert row.source, row.key
        assert row.meaning, row.key


@pytest.mark.parametrize("name", target_names())
def test_clean_reads_never_clip(name: str) -> None:
    """The largest read of a fault-free bitline, leakage included, is within the ADC's full scale on every shipped
    target.
    """
    target = load_target(name)
    rows = target.crossbar.active_rows
    largest = rows * target.top_level
    if target.weights.column_inversion:
        largest = min(largest, target.crossbar.rows * target.top_level // 2)
    leak = math.floor(target.hrs_levels * target.top_pulse * rows + 0.5)
    if target.adc.bits:
        assert target.top_pulse * largest + leak <= 2**target.adc.bits - 1


def test_conductance_spans_hrs_to_lrs() -> None:
    target = load_target("reram128x128")
    levels = [target.conductance_siemens(level) for level in range(4)]
    assert levels == pytest.approx([5e-5, 2.8333e-4, 5.1667e-4, 7.5e-4], rel=1e-4)
    assert target.hrs_levels == pytest.approx(3 * 5e-5 / 7e-4)


def errors_of(source: str) -> str:
    with pytest.raises(BadInputError) as caught:
        parse_target(source, "my.toml")
    return str(caught.value)


def test_every_error_at_once_with_key_and_line() -> None:
    source = (
        GOOD.replace("rows = 128", "rows = -4", 1)
        .replace("bits = 2", 'bits = "two"', 1)
        .replace("[adc]\nbits = 8", "[adc]\nbitz = 8")
    )
    text = errors_of(source)
    lines = source.splitlines()
    for key, line in (
        ("crossbar.rows", "rows = -4"),
        ("cell.bits", 'bits = "two"'),
        ("adc.bits", "[adc]"),
        ("adc.bitz", "bitz = 8"),
    ):
        assert f"my.toml:{lines.index(line) + 1}: {key}:" in text
    assert "4 errors" in text


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (("active_rows = 128", "active_rows = 129"), "crossbar.active_rows"),
        (("cols = 128", "cols = 3"), "crossbar.cols"),
        (("g_lrs_siemens = 7.5e-4", "g_lrs_siemens = 5.0e-5"), "cell.g_lrs_siemens"),
        (
            (
                '[input]\nbits = 8\ncoding = "twos_complement"\ndac_bits = 1',
                '[input]\nbits = 2\ncoding = "offset"\ndac_bits = 3',
            ),
            "input.dac_bits",
        ),
        (("sa0_rate = 0.0175", "sa0_rate = 0.95"), "faults.sa1_rate"),
        (("g_hrs_siemens = 5.0e-5", "g_hrs_siemens = 7.4999e-4"), "cell.g_hrs_siemens"),
        (('"adc.bits" = ', '"adc.bitz" = '), "sources.adc.bitz"),
    ],
)
def test_constraints_between_keys(change: tuple[str, str], key: str) -> None:
    text = errors_of(GOOD.replace(*change, 1))
    assert f"{key}: " in text
    assert "an error" in text


def test_constraints_speak_also_where_a_key_is_wrong_by_itself() -> None:
    source = GOOD.replace("rows = 128", "rows = -1", 1).replace("g_lrs_siemens = 7.5e-4", "g_lrs_siemens = 1.0e-5")
    text = errors_of(source)
    assert "crossbar.rows: " in text
    assert "cell.g_lrs_siemens: g_lrs_siemens must exceed" in text
    assert "2 errors" in text


def test_each_constraint_has_its_message_in_its_docstring() -> None:
    assert all(constraint.__doc__ for constraint in CONSTRAINTS)


def test_broken_toml_names_the_line() -> None:
    assert "line 3" in errors_of('name = "x"\n\nrows = = 3\n')


def test_unknown_names_list_the_known() -> None:
    with pytest.raises(UsageError, match=r"did you mean reram128x128\? Targets: ideal128x128, reram128x128"):
        load_target("reram1x1")


def test_a_path_is_a_target(tmp_path) -> None:
    (tmp_path / "mine.toml").write_text(GOOD.replace('"reram128x128"', '"mine"'))
    assert load_target(tmp_path / "mine.toml").name == "mine"


def test_digest_tells_targets_apart() -> None:
    assert changed_target("reram128x128").sha256 == load_target("reram128x128").sha256
    assert changed_target("reram128x128", adc={"bits": 7}).sha256 != load_target("reram128x128").sha256


def test_keys_can_be_changed_in_place() -> None:
    target = load_target("reram128x128", ["adc.bits=7", "crossbar.active_rows=16", "effects.drift.nu=0.02"])
    assert (target.adc.bits, target.crossbar.active_rows, target.effects.names) == (7, 16, ["drift"])
    assert {row.key: row.source for row in describe(target)}["adc.bits"] == ""
    assert target.sha256 != load_target("reram128x128").sha256


@pytest.mark.parametrize("change", ["adc.bits", "adc=3", ".bits=3", "name.x=3"])
def test_a_change_must_name_a_key(change: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"{change}: ")):
        load_target("reram128x128", [change])


def test_a_bad_change_is_named() -> None:
    with pytest.raises(
        UsageError,
        match=r"as changed: adc\.bitz: .*did you mean adc\.bits\?\n.*as changed: crossbar\.active_rows: active_rows must not",
    ):
        load_target("reram128x128", ["adc.bitz=7", "crossbar.active_rows=129"])


def test_sources_that_are_no_table_are_an_error_of_the_file() -> None:
    source = GOOD[: GOOD.index("[sources]")].replace("\n[", "\nsources = 3\n[", 1)
    with pytest.raises(BadInputError, match=r"my.toml:\d+: sources: "):
        parse_target(source, "my.toml", ["adc.bits=7"])


def test_a_rule_with_a_mistake_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only rules on sections that are wrong by themselves have nothing to say."""

    def misspelt(target: Target) -> dict[str, object]:
        """this rule looks at a key that does not exist."""
        return {"crossbar.rows": 1} if target.crossbar.row > 1 else {}  # type: ignore[attr-defined]

    monkeypatch.setattr("rcompile.hardware.changes.CONSTRAINTS", (misspelt,))
    with pytest.raises(AttributeError, match="row"):
        parse_target(GOOD, "my.toml")
    wrong = GOOD.replace("rows = 128", "rows = -1", 1)
    with pytest.raises(BadInputError, match=r"crossbar\.rows"):
        parse_target(wrong, "my.toml")
