"""The command line: what it prints, its exit codes, and that nothing is lost or left behind."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper, numpy_helper
from small_models import linear_model, save_model, tiny_classifier, write_sentences

from rcompile.cli.main import main

OK, FAILED, USAGE, BAD_INPUT, UNSUPPORTED = 0, 1, 2, 3, 4


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def compile_to(out: Path, model: Path, *more: object) -> Result:
    return run(model, "--target", "reram128x128", "-o", out, *more)


def left_behind(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if "partial" in p.name or "previous" in p.name)


@pytest.fixture
def bundle(classifier_onnx: Path, tmp_path: Path) -> Path:
    assert compile_to(tmp_path / "bundle", classifier_onnx).exit_code == OK
    return tmp_path / "bundle"


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


def test_packed_cells(classifier_onnx: Path, bundle: Path, tmp_path: Path) -> None:
    assert compile_to(tmp_path / "packed", classifier_onnx, "--pack-cells").exit_code == OK
    assert run("check", tmp_path / "packed").exit_code == OK
    result = run("diff", bundle, tmp_path / "packed")
    assert (result.exit_code, result.output) == (OK, "the same cells\n")
    plain, packed = (run("inspect", b, "--tile", "up:1", "--json").stdout for b in (bundle, tmp_path / "packed"))
    assert plain == packed
    assert json.loads(run("inspect", bundle, "--json").stdout)["stored_bits"] == 8
    assert json.loads(run("inspect", tmp_path / "packed", "--json").stdout)["stored_bits"] == 2


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


def test_evaluate_prints_json(bundle: Path, tmp_path: Path) -> None:
    data = write_sentences(tmp_path / "glue")
    arguments = (
        "evaluate",
        bundle,
        "--task",
        "sst2",
        "--data",
        data,
        "--sa0",
        0.01,
        "--sa1",
        0.05,
        "--die",
        3,
        "--die",
        4,
    )
    report = json.loads(run(*arguments, "--json").stdout)
    assert [d["seed"] for d in report["dies"]] == [3, 4]
    for die in report["dies"]:  # the shares that are stuck, near those asked for
        assert (die["sa0"], die["sa1"]) == (pytest.approx(0.01, rel=0.1), pytest.approx(0.05, rel=0.05))
        assert (die["between"], die["effects"]) == (0, {})
        assert 0 < die["collapsed"] <= 1
    several = run(
        "evaluate", bundle, "--task", "sst2", "--data", data, "--die", "3,7-9", "--die", 1, "--sa1", 0.1, "--json"
    )
    assert [d["seed"] for d in json.loads(several.stdout)["dies"]] == [3, 7, 8, 9, 1]
    assert run("evaluate", bundle, "--task", "sst2", "--data", data, "--die", "9-7").exit_code == USAGE
    text = run(*arguments).stdout
    assert "source model" in text
    assert "2 dies: mean" in text


def test_the_rates_of_dies_are_asked_for(bundle: Path, tmp_path: Path) -> None:
    data = write_sentences(tmp_path / "glue")
    base = ("evaluate", bundle, "--task", "sst2", "--data", data, "--json")
    for unasked in ((), ("--effect", "none")):
        refused = run(*base, "--die", 1, *unasked)
        assert refused.exit_code == USAGE
        assert "--sa0 target --sa1 target, the 1.75 % and 9.04 % of 'reram128x128'" in refused.stderr
    (own,) = json.loads(run(*base, "--die", 1, "--sa0", "target", "--sa1", "target").stdout)["dies"]
    assert (own["sa0"], own["sa1"]) == (pytest.approx(0.0175, rel=0.1), pytest.approx(0.0904, rel=0.05))
    assert run(*base, "--sa0", "targets").exit_code == USAGE
    (one,) = json.loads(run(*base, "--sa1", 0.5).stdout)["dies"]
    assert (one["seed"], one["sa0"], one["sa1"]) == (0, 0.0, pytest.approx(0.5, rel=0.02))
    assert json.loads(run(*base).stdout)["dies"] == []


def test_inspect(bundle: Path) -> None:
    assert "up" in run("inspect", bundle).stdout
    tile = json.loads(run("inspect", bundle, "--tile", "up:1", "--json").stdout)
    assert (tile["bundle_tile"], len(tile["levels"]), len(tile["levels"][0])) == (1, 128, 128)
    assert tile["conductance_siemens"][-1] == pytest.approx(7.5e-4)
    assert "32 of 128 driven" in run("inspect", bundle, "--tile", "up:1").stdout


def test_check_finds_damage(bundle: Path) -> None:
    assert run("check", bundle).exit_code == OK
    path = bundle / "tiles" / "down.safetensors"
    data = bytearray(path.read_bytes())
    data[-100] ^= 4
    path.write_bytes(data)
    (bundle / "host.data").unlink(missing_ok=True)
    (bundle / "extra").write_text("")
    result = run("check", bundle)
    assert result.exit_code == FAILED
    for expected in (
        "'tiles/down.safetensors' does not have the manifest's SHA-256",
        "file 'host.data' is missing",
        "'extra' is not in",
    ):
        assert expected in result.output


def test_check_of_a_bundle_whose_name_looks_like_a_message(bundle: Path) -> None:
    """What is wrong is not cut out of a sentence that holds the name."""
    strange = bundle.rename(bundle.parent / "run 3: final. done")
    (strange / "host.data").unlink()
    result = run("check", strange)
    assert (result.exit_code, result.output) == (FAILED, "host.data: file 'host.data' is missing\n")


def test_check_decodes_the_images(bundle: Path) -> None:
    """A changed cell under a digest that was made to fit is still found."""
    from safetensors.numpy import load_file, save

    from rcompile.canonical import file_sha256

    path = bundle / "tiles" / "up.safetensors"
    tensors = {k: v.copy() for k, v in load_file(path).items()}
    tensors["levels"][0, 0, 0] ^= 1
    path.write_bytes(save(tensors))
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["files"]["tiles/up.safetensors"]["sha256"] = file_sha256(path)
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    result = run("check", bundle)
    assert result.exit_code == FAILED
    assert "layer up: the images do not decode to the quantized weights" in result.output


def test_check_compares_the_graph_with_the_manifest(bundle: Path) -> None:
    """A host graph whose nodes compute something else, under a digest that was made to fit."""
    from rcompile.canonical import file_sha256

    model = onnx.load(bundle / "model.onnx", load_external_data=False)
    node = next(n for n in model.graph.node if n.op_type == "CrossbarMatMul")
    next(a for a in node.attribute if a.name == "adc_bits").i = 2
    levels = next(t for t in model.graph.initializer if t.name == "rcompile/down/levels")
    next(e for e in levels.external_data if e.key == "offset").value = "0"
    onnx.save(model, bundle / "model.onnx")
    manifest = json.loads((bundle / "manifest.json").read_text())
    entry = manifest["files"]["model.onnx"]
    entry |= {"sha256": file_sha256(bundle / "model.onnx"), "bytes": (bundle / "model.onnx").stat().st_size}
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    result = run("check", bundle)
    assert result.exit_code == FAILED
    assert "has adc_bits = 2, not 8" in result.output
    assert "does not read the images of layer 'down'" in result.output


def test_images_are_verified_before_they_are_shown(bundle: Path) -> None:
    path = bundle / "tiles" / "up.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    for command in (("inspect", bundle, "--tile", "up:0"), ("diff", bundle, bundle)):
        result = run(*command)
        assert (result.exit_code, "SHA-256" in result.output) == (BAD_INPUT, True)


def garbage(path: Path) -> None:
    path.write_bytes(b"garbage" * 20)


@pytest.mark.parametrize("name", ["tiles/up.safetensors", "model.onnx"])
def test_check_survives_files_that_are_no_files_of_their_kind(name: str, bundle: Path) -> None:
    from rcompile.canonical import file_sha256

    garbage(bundle / name)
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["files"][name] = {"sha256": file_sha256(bundle / name), "bytes": 140}
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    result = run("check", bundle)
    assert result.exit_code == FAILED, result.output
    assert "not an ONNX model" in result.output or "not a safetensors file" in result.output


def test_calibration_samples_that_do_not_fit(classifier_onnx: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "floats.npz", input_ids=np.ones((1, 3)), attention_mask=np.ones((1, 3)))
    np.savez(tmp_path / "beyond.npz", input_ids=np.full((1, 3), 999), attention_mask=np.ones((1, 3), np.int64))
    np.savez(tmp_path / "lacking.npz", input_ids=np.ones((1, 3), np.int64))
    (tmp_path / "empty.txt").write_text("\n")
    for name in ("floats.npz", "beyond.npz", "lacking.npz", "empty.txt", "missing.txt"):
        result = compile_to(tmp_path / "out", classifier_onnx, "--calibrate", tmp_path / name)
        assert (result.exit_code, name in result.output) == (BAD_INPUT, True), result.output


def test_calibration_of_a_model_whose_linear_reads_an_input(linear_onnx: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.full((1, 2, 40), -2.54, np.float32))
    assert compile_to(tmp_path / "out", linear_onnx, "--calibrate", tmp_path / "x.npz").exit_code == OK
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["layers"][0]["nodes"][0]["input_scale"] == pytest.approx(0.02)


def test_a_tokenizer_of_another_model(tmp_path: Path) -> None:
    """Token ids beyond the embedding table."""
    (tmp_path / "big").mkdir()
    tiny_classifier(tmp_path / "big" / "m.onnx", vocabulary=400)
    model = tiny_classifier(tmp_path / "m.onnx", vocabulary=8)
    shutil.copy(tmp_path / "big" / "tokenizer.json", tmp_path / "tokenizer.json")
    compile_to(tmp_path / "bundle", model)
    result = run("evaluate", tmp_path / "bundle", "--task", "sst2", "--data", write_sentences(tmp_path / "glue"))
    assert (result.exit_code, "tokenizer.json of this model" in result.output) == (BAD_INPUT, True), result.output


def test_a_bundle_set_aside_by_a_killed_compile_comes_back(bundle: Path, linear_onnx: Path) -> None:
    """Killed between the two renames: the old bundle is the only copy."""
    gone = 2**22 + 1  # no process has this number
    bundle.rename(bundle.parent / f".bundle.previous-{gone}")
    result = compile_to(bundle, linear_onnx)
    assert result.exit_code == USAGE
    assert (bundle / "manifest.json").is_file()


def test_a_symbolic_link_is_left_alone(linear_onnx: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert compile_to(tmp_path / "link", linear_onnx, "--force").exit_code == USAGE
    assert (tmp_path / "link").is_symlink()


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


def test_diff_exit_codes(bundle: Path, tmp_path: Path) -> None:
    compile_to(tmp_path / "other", tiny_classifier(tmp_path / "other.onnx", seed=5))
    assert run("diff", bundle, bundle).exit_code == OK
    result = run("diff", bundle, tmp_path / "other")
    assert result.exit_code == FAILED
    assert "cells change" in result.output


def test_targets() -> None:
    assert "reram64x64-slc" in run("targets", "list").stdout
    assert "g_lrs_siemens" in run("targets", "show", "reram128x128").stdout
    assert json.loads(run("targets", "show", "reram128x128", "--json").stdout)["crossbar"]["rows"] == 128
    assert run("targets", "check", "reram128x128").exit_code == OK


def not_onnx(folder: Path) -> Path:
    (folder / "bad.onnx").write_bytes(b"this is no protobuf" * 50)
    return folder / "bad.onnx"


def empty(folder: Path) -> Path:
    (folder / "bad.onnx").write_bytes(b"")
    return folder / "bad.onnx"


def truncated(folder: Path) -> Path:
    data = linear_model(folder / "bad.onnx").read_bytes()
    (folder / "bad.onnx").write_bytes(data[: len(data) // 2])
    return folder / "bad.onnx"


def lost_external_data(folder: Path) -> Path:
    model = onnx.load(linear_model(folder / "bad.onnx"))
    onnx.save(model, folder / "bad.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    (folder / "weights.bin").unlink()
    return folder / "bad.onnx"


def short_external_data(folder: Path) -> Path:
    model = onnx.load(linear_model(folder / "bad.onnx"))
    onnx.save(model, folder / "bad.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    os.truncate(folder / "weights.bin", 100)
    return folder / "bad.onnx"


def with_value(folder: Path, value: float) -> Path:
    model = onnx.load(linear_model(folder / "bad.onnx"))
    weight = numpy_helper.to_array(model.graph.initializer[0]).copy()
    weight[7, 3] = value
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "proj.weight"))
    onnx.save(model, folder / "bad.onnx")
    return folder / "bad.onnx"


def no_linears(folder: Path) -> Path:
    x = (TensorProto.FLOAT, ["b", 4])
    return save_model(folder / "bad.onnx", [helper.make_node("Relu", ["x"], ["y"])], {}, {"x": x}, {"y": x})


def old_opset(folder: Path) -> Path:
    return linear_model(folder / "bad.onnx", opset=10)


@pytest.mark.parametrize(
    ("make", "code", "message"),
    [
        (not_onnx, BAD_INPUT, "not an ONNX model, or is truncated"),
        (empty, BAD_INPUT, "holds no ONNX graph"),
        (truncated, BAD_INPUT, "truncated"),
        (lost_external_data, BAD_INPUT, "'weights.bin', which is missing"),
        (short_external_data, BAD_INPUT, "truncated"),
        (lambda folder: with_value(folder, np.nan), BAD_INPUT, "holds NaN or Inf, first at [7, 3]"),
        (lambda folder: with_value(folder, np.inf), BAD_INPUT, "holds NaN or Inf"),
        (no_linears, UNSUPPORTED, "no linear layer"),
        (old_opset, UNSUPPORTED, "opset 10; the oldest supported is 11"),
        (lambda folder: folder / "nothing.onnx", BAD_INPUT, "no such ONNX file"),
    ],
)
def test_bad_models(make, code: int, message: str, tmp_path: Path) -> None:
    model = make(tmp_path)
    result = compile_to(tmp_path / "out", model)
    assert (result.exit_code, left_behind(tmp_path)) == (code, [])
    assert message in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "out").exists()


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


def test_an_existing_output_is_never_lost(linear_onnx: Path, classifier_onnx: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert compile_to(out, linear_onnx).exit_code == OK
    before = (out / "manifest.json").read_bytes()
    result = compile_to(out, classifier_onnx)
    assert (result.exit_code, "--force" in result.output) == (USAGE, True)
    assert (out / "manifest.json").read_bytes() == before
    # A forced compile that fails keeps the old bundle; one that succeeds replaces it.
    bad = compile_to(out, with_value(tmp_path, np.nan), "--force")
    assert (bad.exit_code, (out / "manifest.json").read_bytes()) == (BAD_INPUT, before)
    assert compile_to(out, classifier_onnx, "--force").exit_code == OK
    assert (out / "manifest.json").read_bytes() != before
    assert left_behind(tmp_path) == []


def test_force_removes_bundles_only(linear_onnx: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("years of work")
    assert compile_to(tmp_path / "thesis", linear_onnx, "--force").exit_code == USAGE
    assert (tmp_path / "thesis" / "chapter1.tex").exists()


def test_a_full_disk_leaves_nothing(linear_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    result = compile_to(tmp_path / "out", linear_onnx)
    assert (result.exit_code, left_behind(tmp_path)) == (BAD_INPUT, [])
    assert "the disk is full" in result.output


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_compile_leaves_no_half_bundle(sent: signal.Signals, tmp_path: Path) -> None:
    """Killed while it writes; the next compile to the same place clears what a SIGKILL had to leave."""
    # Many bitlines: some seconds of work.
    model = linear_model(tmp_path / "big.onnx", inputs=2048, outputs=8192)
    command = [
        sys.executable,
        "-c",
        "from rcompile.cli.main import main; main()",
        str(model),
        "--target",
        "reram64x64-slc",
        "-o",
        str(tmp_path / "out"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not left_behind(tmp_path) and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(sent)
    _, errors = process.communicate()
    assert not (tmp_path / "out").exists()
    assert "Traceback" not in errors
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[sent]
    if sent != signal.SIGKILL:
        assert left_behind(tmp_path) == []
    small = linear_model(tmp_path / "small.onnx")
    assert compile_to(tmp_path / "out", small).exit_code == OK
    assert left_behind(tmp_path) == []


BROKEN = {
    "no directory": (lambda b: shutil.rmtree(b), BAD_INPUT, "no such directory"),
    "no manifest": (lambda b: (b / "manifest.json").unlink(), BAD_INPUT, "is not a bundle"),
    "no JSON": (lambda b: (b / "manifest.json").write_text("{"), BAD_INPUT, "cannot read"),
    "newer": (lambda b: (b / "manifest.json").write_text('{"format_version": 9}'), UNSUPPORTED, "format version 9"),
    "other": (lambda b: (b / "manifest.json").write_text('{"format_version": 1}'), BAD_INPUT, "does not fit"),
}


@pytest.mark.parametrize("how", BROKEN)
@pytest.mark.parametrize("command", ["inspect", "check", "evaluate"])
def test_broken_bundles(how: str, command: str, bundle: Path) -> None:
    damage, code, message = BROKEN[how]
    damage(bundle)
    result = run(command, bundle, *(["--task", "sst2"] if command == "evaluate" else []))
    assert (result.exit_code, message in result.output) == (code, True)
    assert "Traceback" not in result.output


def test_fault_maps_that_do_not_fit(bundle: Path, tmp_path: Path) -> None:
    data = write_sentences(tmp_path / "glue")
    cases = {
        "unknown layer": ({"nope": np.zeros((1, 128, 128), np.uint8)}, "no layer 'nope'"),
        "wrong shape": ({"up": np.zeros((1, 128, 128), np.uint8)}, "the bundle needs uint8 [4, 128, 128]"),
        "wrong values": ({"up": np.full((4, 128, 128), 3, np.uint8)}, "0 is good, 1 SA0, 2 SA1"),
    }
    for arrays, message in cases.values():
        np.savez(tmp_path / "map.npz", **arrays)
        result = run("evaluate", bundle, "--task", "sst2", "--data", data, "--fault-map", tmp_path / "map.npz")
        assert (result.exit_code, message in result.output) == (BAD_INPUT, True), result.output


def test_wrong_rates_and_tasks(bundle: Path, tmp_path: Path) -> None:
    data = write_sentences(tmp_path / "glue")
    assert run("evaluate", bundle, "--task", "sst2", "--data", data, "--sa0", 1.5).exit_code == USAGE
    assert run("evaluate", bundle, "--task", "imdb", "--data", data).exit_code == USAGE
    assert run("evaluate", bundle, "--task", "rte", "--data", data).exit_code == BAD_INPUT


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


def test_effects_act_alone_unless_rates_are_given(bundle: Path, tmp_path: Path) -> None:
    data = write_sentences(tmp_path / "glue")
    base = ("evaluate", bundle, "--task", "sst2", "--data", data, "--json")
    (one,) = json.loads(run(*base, "--effect", "variation", "--effect", "stuck_between").stdout)["dies"]
    assert list(one["effects"]) == ["variation", "stuck_between"]
    assert (one["sa0"], one["sa1"], one["between"]) == (0, 0, pytest.approx(0.01, rel=0.1))
    (two,) = json.loads(run(*base, "--effect", "lines", "--die", 5, "--sa1", 0.05).stdout)["dies"]
    assert two["sa1"] == pytest.approx(0.05, rel=0.05)
    refused = run(*base, "--effect", "drft", "--effect", "clusters")
    assert refused.exit_code == USAGE
    assert "drft: there is no such effect" in refused.stderr


def test_effects_are_listed() -> None:
    text = run("targets", "effects").stdout
    assert all(name in text for name in ("variation.sigma", "source: ", "drift.time_second"))
    assert {e["name"] for e in json.loads(run("targets", "effects", "--json").stdout)} >= {"wires", "soft_errors"}


def test_a_target_is_changed_by_key(classifier_onnx: Path, tmp_path: Path) -> None:
    run(classifier_onnx, "--target", "reram128x128", "--set", "adc.bits=7", "-o", tmp_path / "seven")
    assert json.loads((tmp_path / "seven" / "manifest.json").read_text())["target"]["adc"]["bits"] == 7
    refused = run(classifier_onnx, "--target", "reram128x128", "--set", "adc.bitz=7", "-o", tmp_path / "no")
    assert refused.exit_code == BAD_INPUT
    assert "as changed: adc.bitz" in refused.stderr
    assert not (tmp_path / "no").exists()


def test_the_version_names_the_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rcompile import version

    monkeypatch.setattr(version, "COMMIT", tmp_path / "commit.txt")
    (tmp_path / "commit.txt").write_text("g0123456789ab")  # as a wheel has it
    version.full_version.cache_clear()
    assert run("--version").stdout == f"rcompile {version.__version__}+g0123456789ab\n"
    version.full_version.cache_clear()


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
        "bitlines_per_output": 4,
        "leaked_levels": pytest.approx(3 / 14),
    }


def test_an_interrupted_command_says_so_in_json(
    linear_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rcompile.pipeline.compile_model", interrupted)
    result = compile_to(tmp_path / "out", linear_onnx, "--json")
    assert (result.exit_code, result.stderr) == (130, "interrupted; nothing was left behind\n")
    assert json.loads(result.stdout)["error"]["kind"] == "interrupted"
