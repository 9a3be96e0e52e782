"""Thrift's compact protocol, as far as a Parquet footer and a page header need it: values in, the same values out.

Written after the Thrift specification (thrift-compact-protocol.md). A struct is a dict: field number → (type, value).
"""

from __future__ import annotations

from typing import Any

Struct = dict[int, tuple[int, Any]]

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)


def decode(data: bytes, at: int = 0) -> tuple[Struct, int]:
    """The struct that begins at `at`, and where it ends. A list's value is (type of its elements, elements)."""
    fields: Struct = {}
    number = 0
    while head := data[at]:
        at += 1
        if head >> 4:
            number += head >> 4
        else:
            coded, at = _varint(data, at)
            number = coded >> 1 ^ -(coded & 1)
        kind = head & 15
        value: Any = None
        if kind > FALSE:
            value, at = _value(data, at, kind)
        fields[number] = (kind, value)
    return fields, at + 1


def encode(fields: Struct) -> bytes:
    """The reverse of `decode`; fields stand in the order of their numbers."""
    out = bytearray()
    before = 0
    for number, (kind, value) in sorted(fields.items()):
        step = number - before
        out += bytes((step << 4 | kind,)) if 0 < step < 16 else bytes((kind,)) + varint(number << 1)
        if kind > FALSE:
            out += _coded(kind, value)
        before = number
    return bytes(out) + b"\0"


def varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; `value` is not negative."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _value(data: bytes, at: int, kind: int) -> tuple[Any, int]:
    if kind in (I16, I32, I64):
        coded, at = _varint(data, at)
        return coded >> 1 ^ -(coded & 1), at
    if kind == BINARY:
        size, at = _varint(data, at)
        return data[at : at + size], at + size
    if kind == STRUCT:
        return decode(data, at)
    if kind in (TRUE, FALSE, BYTE, DOUBLE):
        size = 8 if kind == DOUBLE else 1
        return data[at : at + size], at + size
    if kind not in (LIST, SET):
        raise ValueError(f"a Parquet footer has no values of Thrift's type {kind}")
    head, at = data[at], at + 1
    count = head >> 4
    if count == 15:
        count, at = _varint(data, at)
    items = []
    for _ in range(count):
        item, at = _value(data, at, head & 15)
        items.append(item)
    return (head & 15, items), at


def _coded(kind: int, value: Any) -> bytes:
    if kind in (I16, I32, I64):
        return varint(value << 1 if value >= 0 else ~value << 1 | 1)
    if kind == BINARY:
        return varint(len(value)) + bytes(value)
    if kind == STRUCT:
        return encode(value)
    if kind not in (LIST, SET):
        return bytes(value)
    inner, items = value
    head = bytes((len(items) << 4 | inner,)) if len(items) < 15 else bytes((0xF0 | inner,)) + varint(len(items))
    return head + b"".join([_coded(inner, item) for item in items])


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while (byte := data[at]) > 127:
        value |= (byte & 127) << shift
        shift += 7
        at += 1
    return value | byte << shift, at + 1
