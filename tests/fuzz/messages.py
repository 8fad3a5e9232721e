"""Protobuf messages changed at random places, whatever their type: fields dropped, doubled, shuffled, retagged, and set
to values that no exporter writes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

INTEGERS = (0, 1, -1, 2, 3, -2, 7, 16, 127, 128, 255, 1 << 16, 1 << 20, (1 << 31) - 1, -(1 << 31), 1 << 32, (1 << 63) - 1, -(1 << 63))  # fmt: skip
FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-45, 1e38, float("inf"), float("nan"))
TEXTS = ("", ".", "..", "../m.onnx", "/etc/hostname", "m.onnx", "weights.bin", "x", "y", "\0", "é" * 40, "n" * 5000, "a/b", "-1", "1e9", "rcompile/proj", "9" * 30)  # fmt: skip
BYTES = (b"", b"\0", b"\xff" * 4, b"text\xfe", b"n" * 300)


def change(model: Message, rng: random.Random, times: int) -> None:
    """Change `times` fields of a message or of those inside it."""
    for _ in range(times):
        holders = list(_messages(model))
        holder = rng.choice(holders)
        fields = [field for field, _ in holder.ListFields()] if rng.random() < 0.8 else holder.DESCRIPTOR.fields
        if fields:
            _change_field(holder, rng.choice(fields), rng, holders)


def _messages(message: Message) -> Iterator[Message]:
    yield message
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for inner in value if field.is_repeated else (value,):
                yield from _messages(inner)


def _change_field(holder: Any, field: FieldDescriptor, rng: random.Random, others: list[Message]) -> None:
    if rng.random() < 0.2:
        holder.ClearField(field.name)
        return
    alike = [m for m in others if m.DESCRIPTOR is field.message_type] if field.message_type else []
    if field.is_repeated:
        _change_list(getattr(holder, field.name), field, rng, alike)
    elif field.message_type:
        if alike:
            copy = type(alike[0])()
            copy.CopyFrom(rng.choice(alike))
            getattr(holder, field.name).CopyFrom(copy)
        else:
            getattr(holder, field.name).SetInParent()
    else:
        setattr(holder, field.name, _scalar(field, rng, others, getattr(holder, field.name)))


def _change_list(values: Any, field: FieldDescriptor, rng: random.Random, alike: list[Message]) -> None:
    if not values or rng.random() < 0.2:
        if field.message_type is None:
            values.append(_scalar(field, rng, [], None))
        else:
            added = values.add()
            if alike:
                copy = type(added)()
                copy.CopyFrom(rng.choice(alike))
                added.CopyFrom(copy)
        return
    at = rng.randrange(len(values))
    match rng.randrange(4):
        case 0:
            del values[at]
        case 1:
            order = list(values)
            rng.shuffle(order)
            del values[:]
            values.extend(order)
        case 2:
            values.append(values[at])
        case _:
            if field.message_type is None:
                values[at] = _scalar(field, rng, alike, values[at])
            else:
                values.insert(at, values[rng.randrange(len(values))])


def _scalar(field: FieldDescriptor, rng: random.Random, others: list[Message], now: Any) -> Any:
    """A value for a field: one that nobody writes, one near the present, or one that stands elsewhere."""
    if field.type == FieldDescriptor.TYPE_STRING:
        names = [v for m in others for f, v in m.ListFields() if f.type == f.TYPE_STRING and not f.is_repeated]
        return rng.choice(names) if names and rng.random() < 0.6 else rng.choice(TEXTS)
    if field.type == FieldDescriptor.TYPE_BYTES:
        kept = now[: rng.randrange(len(now))] if now else b""
        return rng.choice((kept, (now or b"") + b"\1", *BYTES))
    if field.type == FieldDescriptor.TYPE_ENUM:
        return rng.choice([v.number for v in field.enum_type.values])
    if field.cpp_type in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return rng.choice(FLOATS)
    value = rng.choice(INTEGERS) if now is None or rng.random() < 0.6 else now + rng.choice((-1, 1))
    lowest, highest = {
        FieldDescriptor.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1),
        FieldDescriptor.CPPTYPE_UINT64: (0, (1 << 64) - 1),
        FieldDescriptor.CPPTYPE_UINT32: (0, (1 << 32) - 1),
        FieldDescriptor.CPPTYPE_BOOL: (0, 1),
    }.get(field.cpp_type, (-(1 << 63), (1 << 63) - 1))
    return min(max(value, lowest), highest)


def flip(data: bytes, rng: random.Random, times: int) -> bytes:
    """Bytes with some set at random, cut out, or doubled."""
    changed = bytearray(data)
    for _ in range(times):
        at = rng.randrange(max(len(changed), 1))
        match rng.randrange(4):
            case 0 if changed:
                changed[at] ^= 1 << rng.randrange(8)
            case 1 if changed:
                changed[at] = rng.randrange(256)
            case 2:
                del changed[at : at + rng.randrange(1, 9)]
            case _:
                changed[at:at] = changed[at : at + rng.randrange(1, 9)]
    return bytes(changed)
