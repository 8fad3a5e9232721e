"""The rules of the normal form: the reader, `rcompile check`, the compiler itself and the provider hold every layer
against them, with one verdict.
"""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

import hostile_bundles
import pytest
from hostile_bundles import HOSTILE, LAYER, Arrays, Edit, codes_in, damage, plain_session

from rcompile import compile_model
from rcompile.bundle.check import check
from rcompile.bundle.reader import Bundle
from rcompile.errors import BadInputError
from rcompile.hardware.target import Target
from rcompile.layout.normal_form import Tiles
from rcompile.layout.rules import RULES, code, message
from rcompile.layout.steps import Encoded, Planned, program

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    model = hostile_bundles.model(folder / "model.onnx")
    compile_model(model, hostile_bundles.TARGET, folder / "bundle", hostile_bundles.OPTIONS)
    return folder


@pytest.fixture
def hostile(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound / "bundle", tmp_path / "bundle"))


@contextmanager
def hostile_encoder(edit: Edit) -> Iterator[None]:
    """A compiler with a bug: what it encodes of the first layer is edited."""

    def broken(planned: Planned, target: Target) -> Encoded:
        encoded = program(planned, target)
        if planned.linear.name != LAYER:
            return encoded
        linear, quantized = planned.linear, planned.quantized
        (use,) = linear.uses
        arrays: Arrays = {name: array.copy() for name, array in encoded.tiles.tensors().items()}
        arrays |= {"weight_scale": quantized.weight_scale.copy(), "bias.0": use.bias.copy()}
        arrays |= {"inputs": linear.inputs, "outputs": linear.outputs}
        edit(arrays)
        uses = (replace(use, bias=arrays["bias.0"]),)
        linear = replace(linear, uses=uses, inputs=arrays["inputs"], outputs=arrays["outputs"])
        quantized = replace(quantized, weight_scale=arrays["weight_scale"])
        tiles = Tiles.from_tensors(arrays, encoded.tiles.placement.encoding)
        return Encoded(replace(planned, linear=linear, quantized=quantized), tiles)

    with mock.patch("rcompile.pipeline.program", broken):
        yield


def test_the_sound_bundle_is_taken(hostile: Path) -> None:
    damage(hostile, lambda arrays: None)
    bundle = Bundle.open(hostile)
    assert [len(bundle.layer(entry).tiles.levels) for entry in bundle.manifest.layers] == [6, 1]
    assert not [problem for _, found in check(bundle) for problem in found]
    plain_session(hostile)


@pytest.mark.parametrize("name", HOSTILE)
def test_reader_check_and_provider_refuse_the_same_bundles(name: str, hostile: Path) -> None:
    edit, expected = HOSTILE[name]
    damage(hostile, edit)
    bundle = Bundle.open(hostile)
    with pytest.raises(BadInputError) as read:
        bundle.layer(bundle.manifest.layer(LAYER))
    assert codes_in(str(read.value))[0] == expected
    (found,) = dict(check(bundle))[f"layer {LAYER}"]
    assert codes_in(found) == codes_in(str(read.value))
    with pytest.raises(Exception, match=r".") as refused:  # onnxruntime raises one class a status code
        plain_session(hostile)
    told = codes_in(str(refused.value))
    assert not told or told[0] in codes_in(found), refused.value


@pytest.mark.parametrize("name", HOSTILE)
def test_the_compiler_refuses_to_write_them(name: str, sound: Path, tmp_path: Path) -> None:
    edit, expected = HOSTILE[name]
    bundle = tmp_path / "bundle"
    with hostile_encoder(edit), pytest.raises(AssertionError, match="encoded against the normal form") as refused:
        compile_model(sound / "model.onnx", hostile_bundles.TARGET, bundle, hostile_bundles.OPTIONS)
    assert codes_in(str(refused.value))[0] == expected
    assert not bundle.exists()


def test_every_rule_has_a_hostile_bundle_and_a_row_in_the_format_page() -> None:
    rules = [rule for group in RULES for rule in group]
    assert {code(rule) for rule in rules} == {expected for _, expected in HOSTILE.values()}
    rows = re.findall(r"^\| `([a-z-]+-[a-z-]+)` \| (.+) \|$", (ROOT / "docs" / "bundle.md").read_text(), re.MULTILINE)
    assert rows == [(code(rule), message(rule)) for rule in rules]
