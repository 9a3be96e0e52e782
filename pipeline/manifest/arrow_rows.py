"""From Arrow record batches to manifest values: types kept where DuckDB keeps them, the rest plain Python."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Hashable, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pipeline.manifest.sniff import sniff

if TYPE_CHECKING:
    import pyarrow as pa


def names_of(schema: pa.Schema) -> tuple[str, ...]:
    """The column names, the index that pandas writes beside them left out."""
    return tuple(name for name in schema.names if not name.startswith("__index_level_"))


def values_of(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """A table a row, name → value.

    Whole numbers, floats, truth values and texts stay; timestamps become datetimes in µs; dates, times, durations and
    decimals become their text; lists and structs become plain lists and tables. Bytes that are UTF-8 text become text;
    bytes that are a picture or sound stay bytes.
    """
    names = names_of(batch.schema)
    columns = [_values(batch.column(batch.schema.get_field_index(name))) for name in names]
    if not columns:
        return
    for cells in zip(*columns, strict=True):
        yield dict(zip(names, cells, strict=True))


def _values(array: pa.Array) -> list[Any]:
    import pyarrow as pa
    import pyarrow.types as kinds

    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    kind = array.type
    if kinds.is_dictionary(kind):
        array = array.dictionary_decode()
        kind = array.type
    if kinds.is_timestamp(kind) and kind.unit == "ns":
        array = array.cast(pa.timestamp("us", kind.tz), safe=False)
    convert, mapped = _converter(kind), _mapped(kind)
    try:
        values: list[Any] = array.to_pylist()
    except (OverflowError, ValueError):
        values = array.cast(pa.string()).to_pylist()  # a time that Python's datetime does not reach
    if mapped is not None:
        values = [None if value is None else mapped(value) for value in values]
    return values if convert is None else [None if value is None else convert(value) for value in values]


def _converter(kind: pa.DataType) -> Callable[[Any], Any] | None:
    import pyarrow.types as kinds

    if kinds.is_nested(kind) or not (
        kinds.is_string(kind)
        or kinds.is_large_string(kind)
        or kinds.is_integer(kind)
        or kinds.is_floating(kind)
        or kinds.is_boolean(kind)
        or kinds.is_timestamp(kind)
    ):
        return plain
    return None


def _mapped(kind: pa.DataType) -> Callable[[Any], Any] | None:
    """What makes dicts of the pairs that pyarrow gives for a map, at any depth; None for a type without maps.

    A map that repeats a key stays a list of pairs. (`maps_as_pydicts` of pyarrow is not there before version 20, and
    refuses such a map.)
    """
    import pyarrow.types as kinds

    if kinds.is_map(kind):
        return _dict_of(_mapped(kind.item_type))
    if kinds.is_struct(kind):
        fields = {field.name: made for field in kind if (made := _mapped(field.type)) is not None}
        return _struct_of(fields) if fields else None
    if kinds.is_list(kind) or kinds.is_large_list(kind) or kinds.is_fixed_size_list(kind):
        item = _mapped(kind.value_type)
        return None if item is None else lambda values: [None if value is None else item(value) for value in values]
    return None


def _dict_of(item: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    def convert(pairs: list[tuple[Any, Any]]) -> Any:
        if item is not None:
            pairs = [(key, None if value is None else item(value)) for key, value in pairs]
        found = {key: value for key, value in pairs if isinstance(key, Hashable)}
        return found if len(found) == len(pairs) else pairs

    return convert


def _struct_of(fields: dict[str, Callable[[Any], Any]]) -> Callable[[Any], Any]:
    def convert(struct: dict[str, Any]) -> dict[str, Any]:
        return {
            name: fields[name](value) if name in fields and value is not None else value
            for name, value in struct.items()
        }

    return convert


def plain(value: Any) -> Any:
    """A value as JSON would hold it, datetimes and picture bytes excepted."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _bytes(bytes(value))
    if isinstance(value, datetime.datetime):
        return value
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (Decimal, datetime.timedelta)):
        return str(value)
    return value


def _bytes(value: bytes) -> bytes | str:
    if sniff(value) is not None:
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value
