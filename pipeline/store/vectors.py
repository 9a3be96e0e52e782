"""Columns of vectors, written into a Parquet file as their own bytes: no float passes through an encoder.

pyarrow spends two thirds of a seal on the levels of list elements, which for vectors of one length are one short
pattern per row. So it is given NULLs for such a column and writes everything else; the pages with the levels and the
raw floats follow behind each row group, and the footer is made to point at them. The NULLs' few bytes stay unused.
Numbers are those of parquet.thrift and the specification of the RLE encoding (parquet-format).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.store.thrift import I32, I64, LIST, STRUCT, Struct, decode, encode, varint

if TYPE_CHECKING:
    import pyarrow as pa

PAGE = 2**20
"""Bytes of floats in a page, as other writers have it."""

_PLAIN, _RLE = 0, 3
_UNCOMPRESSED = 0
_VALUES, _TOTAL, _COMPRESSED, _OFFSET = 5, 6, 7, 9  # fields of ColumnMetaData
_OF_NULLS = (8, 10, 11, 12, 13, 14, 15, 16)  # its optional fields: statistics and the like, true of the NULLs only


class Chunk(NamedTuple):
    """Where the pages of one column of one row group are, in bytes from the start of the file."""

    path: tuple[str, ...]
    offset: int
    size: int
    values: int


def plain_floats(field: pa.Field, column: pa.ChunkedArray) -> bool:
    """Vectors of one length, or NULL, in a column that may be NULL: what `write_chunk` can write.

    pyarrow itself writes no NULL among vectors of one length before version 26.
    """
    import pyarrow as pa

    type_ = column.type
    return bool(
        pa.types.is_fixed_size_list(type_)
        and pa.types.is_float32(type_.value_type)
        and type_.list_size
        and field.nullable
        and len(column)
        and not any(piece.flatten().null_count for piece in column.chunks)
    )


def write_chunk(write: Callable[[Any], object], offset: int, field: pa.Field, column: pa.ChunkedArray) -> Chunk:
    """Writes one row group's vectors as pages from `offset` on. `field`: the column's."""
    size = field.type.list_size
    deepest = 2 + int(field.type.value_field.nullable)
    step = max(1, PAGE // (4 * size))
    written = values = 0
    for piece in column.chunks:
        data = _floats(piece)
        for first in range(0, len(piece), step):
            page = piece.slice(first, step)
            floats = (len(page) - page.null_count) * size
            levels = _levels(page, size, deepest)
            count = floats + page.null_count
            head = _page_header(count, len(levels) + floats * 4) + levels
            write(head)
            write(data[: floats * 4])
            data = data[floats * 4 :]
            written += len(head) + floats * 4
            values += count
    return Chunk((field.name, "list", "element"), offset, written, values)


def footer(data: bytes, chunks: dict[int, list[Chunk]]) -> bytes:
    """The end of a Parquet file (metadata, its length, magic) with columns placed; `chunks`: by row group."""
    if not chunks:
        return data
    (length,) = struct.unpack("<I", data[-8:-4])
    meta, _ = decode(data, len(data) - 8 - length)
    groups = meta[4][1][1]
    for index, placed in chunks.items():
        for chunk in placed:
            _place(groups[index], chunk)
    coded = encode(meta)
    return data[: -8 - length] + coded + struct.pack("<I", len(coded)) + data[-4:]


def _floats(piece: Any) -> memoryview:
    """The floats of the vectors that are there, one after the other."""
    floats = piece.flatten()
    if not len(floats):
        return memoryview(b"")
    return memoryview(floats.buffers()[1]).cast("B")[floats.offset * 4 : (floats.offset + len(floats)) * 4]


def _levels(page: Any, size: int, deepest: int) -> bytes:
    """The levels of one page, as runs of the RLE encoding. A vector is one element that begins it (0) and the rest that
    go on (1); a NULL is one value that begins a row (0) and stops at the column itself (0)."""
    vector = _run(1, 0) + (_run(size - 1, 1) if size > 1 else b"")
    if not page.null_count:
        return _sized(vector * len(page)) + _sized(_run(len(page) * size, deepest))
    begins, depths = b"", b""
    for valid, run in groupby(page.is_valid().to_pylist()):
        rows = len(list(run))
        begins += vector * rows if valid else _run(rows, 0)
        depths += _run(rows * size, deepest) if valid else _run(rows, 0)
    return _sized(begins) + _sized(depths)


def _place(group: Struct, chunk: Chunk) -> None:
    path = [name.encode() for name in chunk.path]
    column = next(found for _, found in (c[3] for c in group[1][1][1]) if found[3][1][1] == path)
    for field in _OF_NULLS:
        column.pop(field, None)
    before, packed = column[_TOTAL][1], column[_COMPRESSED][1]
    column[2] = (LIST, (I32, [_PLAIN, _RLE]))
    column[4] = (I32, _UNCOMPRESSED)
    column[_VALUES] = (I64, chunk.values)
    column[_TOTAL] = column[_COMPRESSED] = (I64, chunk.size)
    column[_OFFSET] = (I64, chunk.offset)
    group[2] = (I64, group[2][1] + chunk.size - before)
    if 6 in group:
        group[6] = (I64, group[6][1] + chunk.size - packed)


def _page_header(values: int, size: int) -> bytes:
    page: Struct = {1: (I32, values), 2: (I32, _PLAIN), 3: (I32, _RLE), 4: (I32, _RLE)}
    return encode({1: (I32, 0), 2: (I32, size), 3: (I32, size), 5: (STRUCT, page)})


def _run(count: int, level: int) -> bytes:
    """A run of the RLE encoding; levels up to 3 take one byte."""
    return varint(count << 1) + bytes((level,))


def _sized(levels: bytes) -> bytes:
    return struct.pack("<I", len(levels)) + levels
