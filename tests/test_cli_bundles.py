"""The commands that read bundles: evaluate, inspect, check, diff."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from command_line import BAD_INPUT, FAILED, OK, UNSUPPORTED, USAGE, compile_to, run
from edited_bundles import change
from small_models import tiny_classifier, write_sentences


def test_packed_cells(classifier_onnx: Path, bundle: Path, tmp_path: Path) -> None:
    assert compile_to(tmp_path / "packed", classifier_onnx, "--pack-cells").exit_code == OK
    assert run("check", tmp_path / "packed").exit_code == OK
    result = run("diff", bundle, tmp_path / "packed")
    assert (result.exit_code, result.output) == (OK, "the same cells\n")
    plain, packed = (run("inspect", b, "--tile", "up:1", "--json").stdout for b in (bundle, tmp_path / "packed"))
    assert plain == packed
    assert json.loads(run("inspect", bundle, "--json").stdout)["stored_bits"] == 8
    assert json.loads(run("inspect", tmp_path / "packed", "--json").stdout)["stored_bits"] == 2


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


def test_effects_act_alone_unless_rates_are_given(bundle: Path, tmp_path: Path) -> None:
    data = write_sentences(tmp_path / "glue")
    base = ("evaluate", bundle, "--task", "sst2", "--data", data, "--json")
    (one,) = json.loads(run(*base, "--effect", "variation", "--effect", "stuck_between").stdout)["dies"]
    assert list(one["effects"]) == ["stuck_between", "variation"]
    assert (one["sa0"], one["sa1"], one["between"]) == (0, 0, pytest.approx(0.01, rel=0.1))
    (two,) = json.loads(run(*base, "--effect", "lines", "--die", 5, "--sa1", 0.05).stdout)["dies"]
    assert two["sa1"] == pytest.approx(0.05, rel=0.05)
    refused = run(*base, "--effect", "drft", "--effect", "clusters")
    assert refused.exit_code == USAGE
    assert "drft: there is no such effect" in refused.stderr


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


def test_a_tokenizer_of_another_model(tmp_path: Path) -> None:
    """Token ids beyond the embedding table."""
    (tmp_path / "big").mkdir()
    tiny_classifier(tmp_path / "big" / "m.onnx", vocabulary=400)
    model = tiny_classifier(tmp_path / "m.onnx", vocabulary=8)
    shutil.copy(tmp_path / "big" / "tokenizer.json", tmp_path / "tokenizer.json")
    compile_to(tmp_path / "bundle", model)
    result = run("evaluate", tmp_path / "bundle", "--task", "sst2", "--data", write_sentences(tmp_path / "glue"))
    assert (result.exit_code, "tokenizer.json of this model" in result.output) == (BAD_INPUT, True), result.output


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

    path = bundle / "tiles" / "up.safetensors"
    tensors = {k: v.copy() for k, v in load_file(path).items()}
    tensors["levels"][0, 0, 0] ^= 1
    path.write_bytes(save(tensors))
    change(bundle, lambda manifest: None)
    result = run("check", bundle)
    assert result.exit_code == FAILED
    assert "layer up: the images do not decode to the quantized weights" in result.output


def test_check_compares_the_graph_with_the_manifest(bundle: Path) -> None:
    """A host graph whose nodes compute something else, under a digest that was made to fit."""
    model = onnx.load(bundle / "model.onnx", load_external_data=False)
    node = next(n for n in model.graph.node if n.op_type == "CrossbarMatMul")
    next(a for a in node.attribute if a.name == "adc_bits").i = 2
    levels = next(t for t in model.graph.initializer if t.name == "rcompile/down/levels")
    next(e for e in levels.external_data if e.key == "offset").value = "0"
    onnx.save(model, bundle / "model.onnx")
    change(bundle, lambda manifest: None)
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
    garbage(bundle / name)
    change(bundle, lambda manifest: None)
    result = run("check", bundle)
    assert result.exit_code == FAILED, result.output
    assert "not an ONNX model" in result.output or "not a safetensors file" in result.output


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


def test_diff_exit_codes(bundle: Path, tmp_path: Path) -> None:
    compile_to(tmp_path / "other", tiny_classifier(tmp_path / "other.onnx", seed=5))
    assert run("diff", bundle, bundle).exit_code == OK
    result = run("diff", bundle, tmp_path / "other")
    assert result.exit_code == FAILED
    assert "cells change" in result.output
