"""Fixtures and settings of all tests."""

from pathlib import Path

import hypothesis
import pytest
from small_models import linear_model, tiny_classifier

from rcompile import compile_model

hypothesis.settings.register_profile("ci", deadline=None, max_examples=25, derandomize=True)
hypothesis.settings.load_profile("ci")


@pytest.fixture
def linear_onnx(tmp_path: Path) -> Path:
    return linear_model(tmp_path / "linear.onnx")


@pytest.fixture
def classifier_onnx(tmp_path: Path) -> Path:
    return tiny_classifier(tmp_path / "classifier.onnx")


@pytest.fixture
def bundle(classifier_onnx: Path, tmp_path: Path) -> Path:
    compile_model(classifier_onnx, "reram128x128", tmp_path / "bundle")
    return tmp_path / "bundle"
