"""Read ONNX: parse a file, check that everything is at hand, and bring it into the form that the other stages
expect.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import google.protobuf.message
import onnx
import onnx_ir as ir
from onnx_ir.passes.common import (
    InlinePass,
    LiftConstantsToInitializersPass,
    NameFixPass,
    RemoveUnusedNodesPass,
    TopologicalSortPass,
)

from rcompile.errors import BadInputError, UnsupportedError
from rcompile.onnx_in.codes import name_codes
from rcompile.onnx_in.storage import check_storage

OLDEST_OPSET = 11
OWN_PREFIX = "rcompile/"  # of the initializers that the host graph gets
# Functions are inlined, nothing is made from itself, constants are initializers, what no output needs is gone, every
# node has a name of its own.
TIDY = (
    InlinePass(),
    TopologicalSortPass(),
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
    RemoveUnusedNodesPass(),
    NameFixPass(),
)
NOT_ONNX = (
    google.protobuf.message.DecodeError,
    ir.serde.SerdeError,
    ir.passes.PassError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    OSError,
)


def read_model(path: Path) -> ir.Model:
    """Parse an ONNX file; external data stay on disk until they are read. Functions are inlined, Constant nodes made
    initializers.

    Raises BadInputError for a file that is missing or is not ONNX, UnsupportedError for an opset older than 11,
    MemoryError.
    """
    if not path.is_file():
        raise BadInputError(f"no such ONNX file: '{path}'" + (", but a directory." if path.is_dir() else "."))
    model = load_checked(path, TIDY)
    opset = opset_version(model)
    if not opset or not len(model.graph):
        raise BadInputError(
            f"'{path}' holds no ONNX graph (truncated, or another protobuf). Export it again, e.g. with `rcompile export`."
        )
    if opset < OLDEST_OPSET:
        raise UnsupportedError(
            f"'{path}' has opset {opset}; the oldest supported is {OLDEST_OPSET}. Export it again with a newer opset."
        )
    _check_values(model, path)
    name_codes(model, opset)
    return model


def _first(error: BaseException) -> BaseException:
    """What an error was raised from, and that from, to the first: onnx_ir wraps what it meets."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error


def load_checked(path: Path, passes: Sequence[ir.passes.PassBase] = ()) -> ir.Model:
    """A parsed file whose tensors hold what they claim, after these passes. Raises BadInputError for one that does not,
    and for what is no ONNX; MemoryError.
    """
    try:
        proto = onnx.load(path, format="protobuf", load_external_data=False)
        check_storage(proto, path)
        model = ir.serde.deserialize_model(proto)
        for tidy in passes:
            model = tidy(model).model
    except (*NOT_ONNX, MemoryError) as error:
        if isinstance(_first(error), MemoryError):
            raise MemoryError(f"'{path}' cannot be read") from error
        raise BadInputError(
            f"'{path}' is not an ONNX model, or is truncated ({error}). Export it again, e.g. with `rcompile export`."
        ) from None
    # Functions are inlined by now; and onnx_ir looks where a location leads only if its base is not empty.
    ir.external_data.set_base_dir(model.graph, path.absolute().parent)
    return model


def _check_values(model: ir.Model, path: Path) -> None:
    """No value may be this compiler's own, and every one must come from somewhere."""
    for value in every_initializer(model):
        if str(value.name).startswith(OWN_PREFIX):
            raise BadInputError(
                f"'{path}' is the host graph of a compiled bundle. Compile the model that it was made from."
            )
    used = (v for node in model.graph.all_nodes() for v in node.inputs if v is not None)
    for value in chain(used, model.graph.outputs):
        if value.producer() is None and not value.is_initializer() and not value.is_graph_input():
            raise UnsupportedError(
                f"'{path}': value '{value.name}' has no source that is understood (a sparse initializer?)."
            )


def every_initializer(model: ir.Model) -> Iterator[ir.Value]:
    """The initializers of the main graph and of those inside If, Loop and Scan."""
    return (v for graph in (model.graph, *model.graph.subgraphs()) for v in graph.initializers.values())


def external_files(model: ir.Model) -> list[str]:
    """The files that the model's tensors lie in, beside its own: locations relative to it, sorted."""
    tensors = (value.const_value for value in every_initializer(model))
    return sorted({str(t.location) for t in tensors if isinstance(t, ir.ExternalTensor)})


def opset_version(model: ir.Model) -> int:
    """The version of the standard operators that the model uses; 0 if it imports none."""
    return model.graph.opset_imports.get("", model.graph.opset_imports.get("ai.onnx", 0))
