"""Whose fault it is when a stage stumbles over a model: the model's if something is found broken in its file, else
ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
from google.protobuf.message import Message
from onnx import AttributeProto

from rcompile.errors import BadInputError, RcompileError

MOST_TEXT = 400  # of what a checker says: names can be of any length
VALUES = {
    AttributeProto.INT: "i",
    AttributeProto.FLOAT: "f",
    AttributeProto.STRING: "s",
    AttributeProto.TENSOR: "t",
    AttributeProto.GRAPH: "g",
}


@contextmanager
def guarded(source: Path) -> Iterator[None]:
    """Turn whatever a broken model makes the block raise into BadInputError, which says what is broken.

    An exception over a sound model passes: that is a bug. The model is checked only after an exception, since that
    takes seconds, and ONNX's checker refuses some sound models, of operators that it does not know.
    """
    try:
        yield
    except (RcompileError, OSError, MemoryError):
        raise
    except Exception as error:
        broken = what_is_broken(source)
        if broken is None:
            raise
        raise BadInputError(f"'{source}' is not sound ONNX: {broken}. Export it again.") from error


def what_is_broken(source: Path) -> str | None:
    """What is wrong with a file by ONNX's checker, and where that looks on, by protobuf; None if nothing is."""
    try:
        onnx.checker.check_model(source, full_check=True)
        model = onnx.load(source, format="protobuf", load_external_data=False)
    except MemoryError:
        raise
    except Exception as error:  # the checker, shape inference and protobuf each raise their own
        return " ".join(str(error).split())[:MOST_TEXT].rstrip(".")
    return next(_flaws(model), None)


def _flaws(message: Message, in_function: bool = False) -> Iterator[str]:
    """Texts that are none, attributes without a value, and those that refer to a function's where there is none."""
    if isinstance(message, AttributeProto):
        value = VALUES.get(message.type)
        if message.ref_attr_name and not in_function:
            yield f"attribute '{message.name}' refers to one of a function, outside of functions"
        if not message.ref_attr_name and value is not None and not message.HasField(value):
            yield f"attribute '{message.name}' has no value"
    for field, found in message.ListFields():
        for inner in found if field.is_repeated else (found,):
            if isinstance(inner, Message):
                yield from _flaws(inner, in_function or field.name == "functions")
            elif isinstance(inner, bytes) and field.type == field.TYPE_STRING:
                yield f"the {field.name} {inner[:MOST_TEXT]!r} is not UTF-8"
