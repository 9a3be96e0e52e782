"""Turns Arrow record batches into manifest values: numbers, booleans, texts, datetimes, bytes, lists and tables."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable, Hashable, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pipeline.errors import ManifestError
from pipeline.manifest.columns import positioned, refuse_repeated
from pipeline.media.formats import sniff

if TYPE_CHECKING:
    import pyarrow as pa


def one_by_one(array: pa.Array) -> list[Any]:
    """Returns the values of a column. A value that no Python type can hold becomes its text."""
    return [_value(scalar) for scalar in array]


def _value(scalar: pa.Scalar) -> Any:
    if not scalar.is_valid:
        return None
    if _is_nano(scalar.type):
        return _of_nano(scalar)
    if _holds_nano(scalar.type):
        return _nested(scalar)
    try:
        found = scalar.as_py()
    except Exception:  # pyarrow raises its own errors, ValueError, OverflowError, and errors of pytz
        return _nested(scalar)
    return _table(found) if _is_map(scalar) else found


def _is_nano(kind: pa.DataType) -> bool:
    """Whether a value counts nanoseconds. pyarrow gives pandas' own types for them where pandas is installed."""
    import pyarrow.types as kinds

    return (kinds.is_temporal(kind) and getattr(kind, "unit", "") == "ns") and not kinds.is_interval(kind)


def _holds_nano(kind: pa.DataType) -> bool:
    """Whether a value counts nanoseconds, or holds one that does, at any depth."""
    import pyarrow.types as kinds

    if kinds.is_map(kind):
        return _holds_nano(kind.key_type) or _holds_nano(kind.item_type)
    if kinds.is_struct(kind):
        return any(_holds_nano(field.type) for field in kind)
    if hasattr(kind, "value_type"):  # every kind of list, and a dictionary
        return _holds_nano(kind.value_type)
    return _is_nano(kind)


def _of_nano(scalar: pa.Scalar) -> Any:
    """A time in µs where that is exact, a timestamp always; else the text."""
    import pyarrow as pa
    import pyarrow.types as kinds

    kind = scalar.type
    if kinds.is_timestamp(kind):
        return _value(scalar.cast(pa.timestamp("us", kind.tz), safe=False))
    if scalar.value % 1_000:
        return _text(scalar)
    return _value(scalar.cast(pa.duration("us") if kinds.is_duration(kind) else pa.time64("us")))


def _nested(scalar: pa.Scalar) -> Any:
    import pyarrow as pa

    if _is_map(scalar):
        keys, items = scalar.values.flatten()
        return _table([(_value(key), _value(item)) for key, item in zip(keys, items, strict=True)])
    if isinstance(scalar, pa.StructScalar):
        names = [field.name for field in scalar.type]
        values = [_value(item) for item in scalar.values()] if len(set(names)) == len(names) else _by_place(scalar)
        pairs = list(zip(names, values, strict=True))
        return dict(pairs) if len(set(names)) == len(names) else [list(pair) for pair in pairs]
    if hasattr(scalar, "values") and not callable(scalar.values):
        return [_value(item) for item in scalar.values]  # every kind of list
    if isinstance(getattr(scalar, "value", None), pa.Scalar):
        return _value(scalar.value)  # of a dictionary, a union or an extension type
    return _text(scalar)


def _by_place(scalar: pa.StructScalar) -> list[Any]:
    return [_value(scalar[place]) for place in range(len(scalar.type))]


def _is_map(scalar: pa.Scalar) -> bool:
    import pyarrow as pa

    return isinstance(scalar, pa.MapScalar)


def _table(pairs: Any) -> Any:
    try:
        found = dict(pairs)
    except TypeError:  # a list as key
        return [list(pair) for pair in pairs]
    return found if len(found) == len(pairs) else [list(pair) for pair in pairs]


def _text(scalar: pa.Scalar) -> str:
    import pyarrow as pa

    kind = scalar.type
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return _text(scalar.cast(pa.timestamp(kind.unit))) + "Z"  # Arrow keeps the time in UTC, whatever the zone is
    try:
        if hasattr(scalar, "as_buffer"):
            return bytes(scalar.as_buffer()).decode(errors="replace")
        return str(scalar.cast(pa.string()).as_py())
    except Exception:  # the same errors as in `_value`
        return f"<{kind}>"


_UNREADABLE = (OverflowError, ValueError, TypeError, KeyError, NotImplementedError)
"""Errors of pyarrow for values that Python's own types cannot hold. pyarrow's own errors come in addition."""


def names_of(schema: pa.Schema, where: str) -> tuple[str, ...]:
    """Returns the column names without the index that pandas writes. A column without a name is named by its position.

    Raises ManifestError, with `where` at the beginning, for a name that is given twice: the columns would be confused.
    """
    names = [name for name in schema.names if not _is_index(name)]
    try:
        refuse_repeated(names)
    except ValueError as error:
        raise ManifestError(f"{where}: {error}; rename one of them (in SQL: select … as …)") from None
    return tuple(positioned(names))


def values_of(batch: pa.RecordBatch, uuids: frozenset[str] = frozenset()) -> Iterator[dict[str, Any]]:
    """Yields a table for each row: name → value, with the names of `names_of`.

    Whole numbers, floats, booleans and texts stay. Timestamps become datetimes in µs. Dates, times, durations, decimals
    and UUIDs become their text. Lists and structs become plain lists and tables. A map becomes a table, or a list of
    pairs if it repeats a key. Bytes that are UTF-8 text become text. Other bytes, and the bytes of an image or sound,
    stay bytes. A value that Python cannot hold becomes its text. `uuids`: columns of 16 bytes that hold UUIDs.
    """
    places = [place for place, name in enumerate(batch.schema.names) if not _is_index(name)]
    names = positioned([batch.schema.names[place] for place in places])
    columns = []
    for name, place in zip(names, places, strict=True):
        read = _uuids if name in uuids or _is_uuid(batch.schema.field(place)) else _values
        columns.append(read(batch.column(place)))
    if not columns:
        return
    for cells in zip(*columns, strict=True):
        yield dict(zip(names, cells, strict=True))


def _is_index(name: str) -> bool:
    return name.startswith("__index_level_")


def _is_uuid(field: pa.Field) -> bool:
    """Tells by the extension type whether a field has UUIDs. pyarrow before version 18 knows only the type's name."""
    known = getattr(field.type, "extension_name", None)
    return known == "arrow.uuid" or (field.metadata or {}).get(b"ARROW:extension:name") == b"arrow.uuid"


def _uuids(array: pa.Array) -> list[str | None]:
    storage = getattr(array, "storage", array)
    return [None if value is None else str(uuid.UUID(bytes=value)) for value in storage.to_pylist()]


def _values(array: pa.Array) -> list[Any]:
    import pyarrow as pa
    import pyarrow.types as kinds

    array = getattr(array, "storage", array)
    kind = array.type
    if kinds.is_dictionary(kind):
        # The dictionary is decoded here, because pyarrow cannot decode every dictionary, such as string views (polars).
        words = _values(array.dictionary)
        return [None if place is None else words[place] for place in array.indices.to_pylist()]
    if kinds.is_timestamp(kind) and kind.unit == "ns":
        array = array.cast(pa.timestamp("us", kind.tz), safe=False)
        kind = array.type
    if _holds_nano(kind):
        return [plain(value) for value in one_by_one(array)]
    try:
        values: list[Any] = array.to_pylist()
    except (*_UNREADABLE, pa.ArrowException):
        return [plain(value) for value in one_by_one(array)]
    mapped, convert = _mapped(kind), _converter(kind)
    if mapped is not None:
        values = [None if value is None else mapped(value) for value in values]
    return values if convert is None else [None if value is None else convert(value) for value in values]


def _converter(kind: pa.DataType) -> Callable[[Any], Any] | None:
    import pyarrow.types as kinds

    if kinds.is_nested(kind) or not (
        kinds.is_string(kind)
        or kinds.is_large_string(kind)
        or kinds.is_string_view(kind)
        or kinds.is_integer(kind)
        or kinds.is_floating(kind)
        or kinds.is_boolean(kind)
        or kinds.is_timestamp(kind)
    ):
        return plain
    return float if kinds.is_float16(kind) else None


def _mapped(kind: pa.DataType) -> Callable[[Any], Any] | None:
    """Returns a function that makes dicts of the pairs that pyarrow gives for a map, at any depth.

    Returns None for a type without maps. A map that repeats a key stays a list of pairs. (`maps_as_pydicts` of pyarrow
    does not exist before version 20, and refuses a map that repeats a key.)
    """
    import pyarrow.types as kinds

    if kinds.is_map(kind):
        return _dict_of(_mapped(kind.item_type))
    if kinds.is_struct(kind):
        fields = {field.name: made for field in kind if (made := _mapped(field.type)) is not None}
        return _struct_of(fields) if fields else None
    if hasattr(kind, "value_type") and not kinds.is_dictionary(kind):  # every kind of list
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
    """Returns a value as JSON would hold it. Datetimes and the bytes of media stay. Other bytes become text if they are
    UTF-8."""
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
    if isinstance(value, (Decimal, datetime.timedelta, uuid.UUID)):
        return str(value)
    return value


def _bytes(value: bytes) -> bytes | str:
    if sniff(value) is not None:
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value
