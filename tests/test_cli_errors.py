"""What the command line says to what it cannot do: the nearest name, the command that was meant, one exit code, one
JSON document.
"""

import json
from pathlib import Path

import pytest
from command_line import BAD_INPUT, OK, USAGE, run

from rcompile.errors import no_such


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a bundle, a Hugging Face directory and a directory of nothing."""
    monkeypatch.chdir(tmp_path)
    for folder, file in (("made", "manifest.json"), ("bert", "config.json"), ("nothing", None)):
        (tmp_path / folder).mkdir()
        if file:
            (tmp_path / folder / file).write_text("{}")
    (tmp_path / "weights.bin").write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("evalute b.bundle", USAGE, "no such command 'evalute'; did you mean evaluate?"),
        ("chek b.bundle", USAGE, "no such command 'chek'; did you mean check?"),
        ("bert-base --target reram128x128", USAGE, "help; or the file of a model to compile"),
        ("targets lst", USAGE, "no such command 'lst'; did you mean list?"),
        ("help evalute", USAGE, "no such command 'evalute'; did you mean evaluate?"),
        ("lost.onnx --target reram128x128", BAD_INPUT, "no such ONNX file: 'lost.onnx'"),
        ("models/lost --target reram128x128", BAD_INPUT, "no such ONNX file: 'models/lost'"),
        ("weights.bin --target reram128x128", BAD_INPUT, "'weights.bin' holds no ONNX graph"),
        ("--target reram128x128 lost.onnx", BAD_INPUT, "no such ONNX file: 'lost.onnx'"),
        ("--tarket reram128x128 lost.onnx", USAGE, "'--target'"),
        ("--verison", USAGE, "'--version'"),
        ("lost.onnx", USAGE, "Targets: ideal128x128, reram128x128"),
        ("made", BAD_INPUT, "'made' is a bundle, compiled already: `rcompile inspect made`"),
        ("compile made --target reram128x128", BAD_INPUT, "`rcompile evaluate made --task TASK` scores it"),
        ("bert", BAD_INPUT, "'bert' is a Hugging Face directory: `rcompile export bert -o bert.onnx`"),
        ("nothing", BAD_INPUT, "'nothing' is a directory; give an ONNX file"),
        (
            "inspect bert.onnx",
            BAD_INPUT,
            "compile it first, `rcompile bert.onnx --target NAME`, then give 'bert.bundle'",
        ),
        ("check bert.onnx", BAD_INPUT, "'bert.onnx' is a model, not a bundle"),
        ("diff bert.onnx made", BAD_INPUT, "'bert.onnx' is a model, not a bundle"),
        ("evaluate bert.onnx --task sst2", BAD_INPUT, "'bert.onnx' is a model, not a bundle"),
        ("inspect weights.bin", BAD_INPUT, "'weights.bin' is a file; a bundle is the directory"),
    ],
)
def test_what_was_meant(arguments: str, code: int, message: str, here: Path) -> None:
    result = run(*arguments.split())
    assert (result.exit_code, message in result.stderr) == (code, True), result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        "{model} --target nope",
        "{model} --target reram128x128 --combiner nope",
        "{model} --target reram128x128 --protect nope",
        "{model} --target reram128x128 --stop-after nope",
        "{model} --target reram128x128 --keep-on-host nope",
        "{model} --target reram128x128 --only up --only nope",
        "evaluate {bundle} --task nope",
        "evaluate {bundle} --task sst2 --combiner nope",
        "evaluate {bundle} --task sst2 --effect nope",
        "inspect {bundle} --tile nope:0",
        "inspect {bundle} --tile up:9",
        "inspect {bundle} --tile up",
        "export name -o x.onnx --exporter nope",
        "targets show nope",
        "targets check nope",
        "train name --task nope --target reram128x128 -o x",
        "nope",
    ],
)
def test_names_that_nothing_has_are_usage_errors(arguments: str, bundle: Path, classifier_onnx: Path) -> None:
    result = run(*arguments.format(model=classifier_onnx, bundle=bundle).split())
    assert result.exit_code == USAGE, result.output
    wrong = "up:9" if "up:9" in arguments else "up" if "up" in arguments else "nope"
    assert wrong.partition(":")[0] in result.stderr


def test_help_is_a_command() -> None:
    for command in ((), ("evaluate",), ("targets", "check")):
        asked = run("help", *command)
        assert (asked.exit_code, asked.stdout) == (OK, run(*command, "--help").stdout)


@pytest.mark.parametrize(
    ("arguments", "kind", "code"),
    [
        ("made --json", "bad_input", BAD_INPUT),
        ("check nothing --json", "bad_input", BAD_INPUT),
        ("evaluate nothing --json", "usage", USAGE),  # click's own: --task is missing
        ("evaluate nothing --json --task imdb", "usage", USAGE),
        ("inspect --nope --json made", "usage", USAGE),
        ("--nope --json", "usage", USAGE),
        ("targets check nope --json", "usage", USAGE),
        ("targets check weights.toml --json", "bad_input", BAD_INPUT),
        ("evalute --json", "usage", USAGE),
    ],
)
def test_an_error_is_one_json_document(arguments: str, kind: str, code: int, here: Path) -> None:
    """On stdout, for programs; stderr says the same to people."""
    result = run(*arguments.split())
    error = json.loads(result.stdout)["error"]
    assert (error["kind"], error["exit_code"], result.exit_code) == (kind, code, code)
    assert error["message"] in result.stderr


def test_bugs_are_told_from_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rcompile.hardware.target_file.load_target", lambda name: 1 // 0)
    result = run("targets", "check", "reram128x128", "--json")
    assert result.exit_code == 70
    assert json.loads(result.stdout)["error"]["kind"] == "internal"
    assert "internal error: ZeroDivisionError" in result.stderr


def test_a_message_does_not_list_a_hundred_layers() -> None:
    names = [f"layer.{i}" for i in range(100)]
    error = no_such("layer", "layr.7", names, "; `rcompile inspect b` lists them")
    wanted = "no such layer 'layr.7'; did you mean layer.7? Layers: layer.0, layer.1, ..., layer.99; `rcompile inspect b` lists them."
    assert str(error) == wanted
