"""The command line: compile, targets, help; what they print, and their exit codes."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from command_line import OK, UNSUPPORTED, USAGE, compile_to, run
from onnx import numpy_helper
from small_models import linear_model


def test_compile_is_the_default_command(linear_onnx: Path, tmp_path: Path) -> None:
    result = compile_to(tmp_path / "out", linear_onnx)
    assert result.exit_code == OK, result.output
    assert "1 linears, 960 weights on 1 crossbars" in result.output
    assert run("compile", linear_onnx, "--target", "reram128x128", "-o", tmp_path / "again").exit_code == OK


def test_the_default_output_lies_in_the_working_directory(
    linear_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert run(linear_onnx, "--target", "reram128x128").exit_code == OK
    assert [p.name for p in Path().iterdir()] == ["linear.bundle"]


def test_json_of_a_compile(classifier_onnx: Path, tmp_path: Path) -> None:
    report = json.loads(compile_to(tmp_path / "out", classifier_onnx, "--json").stdout)
    assert [layer["name"] for layer in report["layers"]] == ["up", "down", "head"]
    assert report["ledger"]["total"]["crossbars"] == report["crossbars"] == 4 + 1 + 1


@pytest.mark.parametrize(
    ("options", "stage"),
    [
        (["--dry-run"], "encode"),
        *((["--stop-after", s], s) for s in ("read", "find", "quantize", "compact", "tile", "encode")),
    ],
)
def test_nothing_is_written_before_emit(options: list[str], stage: str, classifier_onnx: Path, tmp_path: Path) -> None:
    before = sorted(p.name for p in tmp_path.iterdir())
    report = json.loads(compile_to(tmp_path / "out", classifier_onnx, "--json", *options).stdout)
    assert report["stage"] == stage
    assert report["bundle"] is None
    assert bool(report["crossbars"]) == (stage in ("tile", "encode"))
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_layers_can_stay_on_the_host(classifier_onnx: Path, tmp_path: Path) -> None:
    report = json.loads(compile_to(tmp_path / "out", classifier_onnx, "--json", "--keep-on-host", "hea*").stdout)
    assert [layer["name"] for layer in report["layers"]] == ["up", "down"]
    assert [u["reason"] for u in report["unmapped"]] == ["kept on the host as asked"]
    wrong = compile_to(tmp_path / "other", classifier_onnx, "--keep-on-host", "tail*")
    assert (wrong.exit_code, "matches no layer. Layers: up, down, head" in wrong.output) == (USAGE, True)
    assert compile_to(tmp_path / "other", classifier_onnx, "--keep-on-host", "*").exit_code == UNSUPPORTED


@pytest.mark.parametrize(
    ("options", "mapped"),
    [
        (("--only", "up"), ["up"]),
        (("--only", "head", "--only", "u?"), ["up", "head"]),
        (("--only", "*", "--keep-on-host", "d*"), ["up", "head"]),
        (("--only", "[ud]*", "--keep-on-host", "up"), ["down"]),
    ],
)
def test_a_part_of_a_model_is_mapped(
    options: tuple[str, ...], mapped: list[str], classifier_onnx: Path, tmp_path: Path
) -> None:
    report = json.loads(compile_to(tmp_path / "out", classifier_onnx, "--json", *options).stdout)
    assert [layer["name"] for layer in report["layers"]] == mapped
    assert len(report["unmapped"]) == 3 - len(mapped)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["options"]["only"] == [glob for option, glob in itertools.pairwise(options) if option == "--only"]
    assert [row["layer"] for row in manifest["ledger"]] == mapped
    assert run("check", tmp_path / "out").exit_code == OK


def test_only_what_is_left_alone_is_refused(classifier_onnx: Path, tmp_path: Path) -> None:
    wrong = compile_to(tmp_path / "out", classifier_onnx, "--only", "tail*")
    assert (wrong.exit_code, "--only 'tail*' matches no layer. Layers: up, down, head" in wrong.output) == (USAGE, True)
    none = compile_to(tmp_path / "out", classifier_onnx, "--only", "up", "--keep-on-host", "u*")
    assert (none.exit_code, "no linear layer to map" in none.output) == (UNSUPPORTED, True)
    assert not (tmp_path / "out").exists()


def test_static_scales_from_sentences_and_arrays(classifier_onnx: Path, tmp_path: Path) -> None:
    (tmp_path / "samples.txt").write_text("w1 w2 w3\nw4 w5\n")
    assert compile_to(tmp_path / "a", classifier_onnx, "--calibrate", tmp_path / "samples.txt").exit_code == OK
    manifest = json.loads((tmp_path / "a" / "manifest.json").read_text())
    assert manifest["input_scale"] == "static"
    assert all(layer["nodes"][0]["input_scale"] > 0 for layer in manifest["layers"])
    table = numpy_helper.to_array(onnx.load(classifier_onnx).graph.initializer[0])
    # Words w1 .. w5 are tokens 5 .. 9; the first layer's input is their embedding, padding (token 0) included.
    assert manifest["layers"][0]["nodes"][0]["input_scale"] == pytest.approx(
        np.abs(table[[0, 5, 6, 7, 8, 9]]).max() / 127
    )
    ids = np.array([[5, 6, 7]])
    np.savez(tmp_path / "samples.npz", input_ids=ids, attention_mask=np.ones_like(ids))
    assert compile_to(tmp_path / "b", classifier_onnx, "--calibrate", tmp_path / "samples.npz").exit_code == OK
    scale = json.loads((tmp_path / "b" / "manifest.json").read_text())["layers"][0]["nodes"][0]["input_scale"]
    assert scale == pytest.approx(np.abs(table[5:8]).max() / 127)


def test_calibration_of_a_model_whose_linear_reads_an_input(linear_onnx: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.full((1, 2, 40), -2.54, np.float32))
    assert compile_to(tmp_path / "out", linear_onnx, "--calibrate", tmp_path / "x.npz").exit_code == OK
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["layers"][0]["nodes"][0]["input_scale"] == pytest.approx(0.02)


def test_names_that_look_like_markup(tmp_path: Path) -> None:
    model = onnx.load(linear_model(tmp_path / "m.onnx"))
    model.graph.node[0].name = "attn[/b]/MatMul"
    model.graph.initializer[0].name = model.graph.node[0].input[1] = "w[red]"
    onnx.save(model, tmp_path / "m.onnx")
    result = compile_to(tmp_path / "[b]x", tmp_path / "m.onnx", "-v")
    assert result.exit_code == OK, result.output
    assert "[b]x" in result.output


def test_dry_run_and_stop_after_exclude_each_other(linear_onnx: Path, tmp_path: Path) -> None:
    assert compile_to(tmp_path / "out", linear_onnx, "--dry-run", "--stop-after", "emit").exit_code == USAGE
    assert not (tmp_path / "out").exists()


def test_targets() -> None:
    assert "reram64x64-slc" in run("targets", "list").stdout
    assert "g_lrs_siemens" in run("targets", "show", "reram128x128").stdout
    assert json.loads(run("targets", "show", "reram128x128", "--json").stdout)["crossbar"]["rows"] == 128
    assert run("targets", "check", "reram128x128").exit_code == OK


def test_unknown_options(linear_onnx: Path, tmp_path: Path) -> None:
    assert run(linear_onnx).exit_code == USAGE
    assert run(linear_onnx, "--target", "reram128x128", "--nope").exit_code == USAGE
    (tmp_path / "static.toml").write_text(
        json_to_toml(run("targets", "show", "reram128x128", "--json").stdout, scales='["static"]')
    )
    result = run(linear_onnx, "--target", tmp_path / "static.toml", "-o", tmp_path / "out")
    assert (result.exit_code, "--calibrate" in result.output) == (UNSUPPORTED, True)


def json_to_toml(text: str, scales: str) -> str:
    data = json.loads(text)
    lines = [f'name = "static"\ndescription = "{data["description"]}"']
    for section in ("crossbar", "cell", "weights", "input", "adc", "faults"):
        lines.append(f"[{section}]")
        for key, value in data[section].items():
            lines.append(f"{key} = {scales if key == 'scales' else json.dumps(value)}")
    return "\n".join(lines)


def test_help_imports_nothing_heavy() -> None:
    code = "import sys\nfrom rcompile.cli.main import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass\nprint([m for m in ('numpy', 'onnx', 'onnxruntime', 'pydantic', 'torch', 'rich') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("[]"), done.stdout
    assert "evaluate" in done.stdout


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    arguments = ("compile", tmp_path / "none.onnx", "--target", "reram128x128")
    for result in (run("--debug", *arguments), run(*arguments, "--debug"), run(*arguments[1:], "--debug")):
        assert result.exception is not None
        assert not isinstance(result.exception, SystemExit)


def test_effects_are_listed() -> None:
    text = run("targets", "effects").stdout
    assert all(name in text for name in ("variation.sigma", "source: ", "drift.time_second"))
    assert {e["name"] for e in json.loads(run("targets", "effects", "--json").stdout)} >= {"wires", "soft_errors"}


def test_a_target_is_changed_by_key(classifier_onnx: Path, tmp_path: Path) -> None:
    run(classifier_onnx, "--target", "reram128x128", "--set", "adc.bits=7", "-o", tmp_path / "seven")
    assert json.loads((tmp_path / "seven" / "manifest.json").read_text())["target"]["adc"]["bits"] == 7
    refused = run(classifier_onnx, "--target", "reram128x128", "--set", "adc.bitz=7", "-o", tmp_path / "no")
    assert refused.exit_code == USAGE
    assert "as changed: adc.bitz" in refused.stderr and "did you mean adc.bits?" in refused.stderr
    assert not (tmp_path / "no").exists()


def test_the_version_names_the_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rcompile import version

    monkeypatch.setattr(version, "COMMIT", tmp_path / "commit.txt")
    (tmp_path / "commit.txt").write_text("g0123456789ab")  # as a wheel has it
    version.full_version.cache_clear()
    assert run("--version").stdout == f"rcompile {version.__version__}+g0123456789ab\n"
    version.full_version.cache_clear()


def test_the_version_leaves_the_checkout_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A git that is killed while it refreshes the index would leave a lock there."""
    from rcompile import version

    (tmp_path / "package").mkdir()
    (tmp_path / "file").write_text("same")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e@example.org"]
    for command in (["init", "-q"], ["add", "file"], ["commit", "-q", "-m", "all"]):
        subprocess.run([*git, *command], check=True)
    os.utime(tmp_path / "file", (1, 1))  # the index is out of date
    before = (tmp_path / ".git" / "index").read_bytes()
    monkeypatch.setattr(version, "COMMIT", tmp_path / "none")
    monkeypatch.setattr(version, "PACKAGE", tmp_path / "package")
    assert version.full_version.__wrapped__().startswith(f"{version.__version__}+g")
    assert (tmp_path / ".git" / "index").read_bytes() == before


def test_a_missing_tokenizer_is_said_at_compile(classifier_onnx: Path, tmp_path: Path) -> None:
    said = "no tokenizer.json beside the model: `rcompile evaluate` will not be able to read text"
    assert said not in compile_to(tmp_path / "with", classifier_onnx).stdout
    assert json.loads(compile_to(tmp_path / "a", classifier_onnx, "--json").stdout)["tokenizer"] == "tokenizer.json"
    (tmp_path / "tokenizer.json").unlink()
    assert said in compile_to(tmp_path / "without", classifier_onnx).stdout
    assert json.loads(compile_to(tmp_path / "b", classifier_onnx, "--json").stdout)["tokenizer"] is None


def test_a_valid_target_as_json() -> None:
    report = json.loads(run("targets", "check", "reram128x128", "--json").stdout)
    assert report == {
        "name": "reram128x128",
        "valid": True,
        "encoding": {"digits": [1, 4, 16, 64], "offset": 128},
        "bitlines_per_output": 4,
        "leaked_levels": pytest.approx(3 / 14),
    }
