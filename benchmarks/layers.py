"""One linear as a model: on crossbars, and as the products that it is compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper, save
from scale import Scale
from timing import TARGET

import runtime
from rcompile import compile_model
from rcompile.options import UNCHANGED, CompileOptions
from runtime.ort.session import quiet_options

Run = Callable[[], Any]
READ_BY_READ = {"force_bit_serial": "1"}


@dataclass(frozen=True)
class OneLayer:
    """y[rows, outputs] = x[rows, inputs] w[inputs, outputs], of normal random numbers; its files go into `folder`."""

    folder: Path
    rows: int
    inputs: int
    outputs: int

    @property
    def size(self) -> str:
        return f"{self.rows} x {self.inputs} x {self.outputs}"

    @cached_property
    def x(self) -> np.ndarray:
        return np.random.default_rng(1).standard_normal((self.rows, self.inputs), np.float32)

    @cached_property
    def weight(self) -> np.ndarray:
        return np.random.default_rng(0).standard_normal((self.inputs, self.outputs), np.float32)

    def bundle(self, target: str = TARGET, options: CompileOptions = UNCHANGED) -> Path:
        """The layer, compiled; once for each target and options."""
        out = self.folder / f"{self.inputs}x{self.outputs}-{target}-{options.protect}-{options.combiner}.bundle"
        if not out.exists():
            compile_model(self.float_model(), target, out, options.model_copy(update={"keep_source": False}))
        return out

    def session(self, bundle: Path, threads: int = 1, **options: Any) -> Run:
        """A call of the compiled layer. options: of runtime.load."""
        return self.run_of(runtime.load(bundle, threads=threads, **options))

    def run_of(self, session: ort.InferenceSession) -> Run:
        """A call of a session that takes the layer's x."""
        return lambda: session.run(None, {"x": self.x})[0]

    def float_model(self) -> Path:
        """The layer in ONNX, float32."""
        return self._write("MatMul", self.weight, TensorProto.FLOAT, TensorProto.FLOAT)

    def int8_gemm(self, threads: int = 1) -> Run:
        """A call of ONNX Runtime's MatMulInteger of this size, u8 by s8: no quantization, no scales."""
        rng = np.random.default_rng(0)
        codes = rng.integers(-127, 128, (self.inputs, self.outputs)).astype(np.int8)
        model = self._write("MatMulInteger", codes, TensorProto.UINT8, TensorProto.INT32)
        session = ort.InferenceSession(str(model), quiet_options(threads), providers=["CPUExecutionProvider"])
        x = rng.integers(0, 256, (self.rows, self.inputs)).astype(np.uint8)
        return lambda: session.run(None, {"x": x})

    def _write(self, op: str, weight: np.ndarray, element: int, result: int) -> Path:
        path = self.folder / f"{op}-{self.inputs}x{self.outputs}.onnx"
        inputs = [helper.make_tensor_value_info("x", element, ["rows", self.inputs])]
        outputs = [helper.make_tensor_value_info("y", result, ["rows", self.outputs])]
        node, tensor = helper.make_node(op, ["x", "w"], ["y"]), numpy_helper.from_array(weight, "w")
        graph = helper.make_graph([node], op, inputs, outputs, [tensor])
        save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
        return path


def layer_of(folder: Path, scale: Scale, rows: int = 128, inputs: int = 768, outputs: int = 3072) -> OneLayer:
    """A layer of this size, or a part of it."""
    return OneLayer(folder, *(-(-size // scale.divisor) for size in (rows, inputs, outputs)))
