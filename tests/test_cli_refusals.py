"""Compiles that fail or are stopped: the message, the exit code, and that nothing is lost or left behind."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from command_line import BAD_INPUT, OK, UNSUPPORTED, USAGE, compile_to, left_behind, run
from onnx import TensorProto, helper, numpy_helper
from small_models import linear_model, save_model


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


def test_calibration_samples_that_do_not_fit(classifier_onnx: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "floats.npz", input_ids=np.ones((1, 3)), attention_mask=np.ones((1, 3)))
    np.savez(tmp_path / "beyond.npz", input_ids=np.full((1, 3), 999), attention_mask=np.ones((1, 3), np.int64))
    np.savez(tmp_path / "lacking.npz", input_ids=np.ones((1, 3), np.int64))
    (tmp_path / "empty.txt").write_text("\n")
    for name in ("floats.npz", "beyond.npz", "lacking.npz", "empty.txt", "missing.txt"):
        result = compile_to(tmp_path / "out", classifier_onnx, "--calibrate", tmp_path / name)
        assert (result.exit_code, name in result.output) == (BAD_INPUT, True), result.output


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


def test_a_symbolic_link_is_left_alone(linear_onnx: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert compile_to(tmp_path / "link", linear_onnx, "--force").exit_code == USAGE
    assert (tmp_path / "link").is_symlink()


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
    # A shell's background job, as the tests may be one, is born deaf to SIGINT.
    hear = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=hear)
    while not any("partial" in name for name in left_behind(tmp_path)) and process.poll() is None:
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


def test_an_interrupted_command_says_so_in_json(
    linear_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rcompile.pipeline.compile_model", interrupted)
    result = compile_to(tmp_path / "out", linear_onnx, "--json")
    assert (result.exit_code, result.stderr) == (130, "interrupted; nothing was left behind\n")
    assert json.loads(result.stdout)["error"]["kind"] == "interrupted"


def test_an_interruption_outside_of_a_command_is_no_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rcompile.cli.commands.Commands.resolve_command", interrupted)
    monkeypatch.setattr("rcompile.cli.commands.Commands.parse_args", interrupted)
    result = run("targets", "list")
    assert (result.exit_code, result.stderr.strip()) == (130, "interrupted; nothing is half-written")
