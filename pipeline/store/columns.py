"""The row's other columns: their stored names and types, and how a type changes when later rows have other values."""

from __future__ import annotations

import datetime as dt
import decimal
import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

STAMP_CODE = 1
"""msgpack extension code of a timestamp: µs since the epoch, 8 bytes, little-endian, signed."""

EXACT = 2**53  # a double holds whole numbers exactly up to here
_PLAIN = (str, int, float, bool, type(None))
_DEEPEST = 100
_json = msgspec.json.Encoder(enc_hook=str).encode
_EPOCH = dt.datetime(1970, 1, 1)


def plain(columns: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the columns as the journal can hold them: as numbers, text, booleans, None and timestamps.

    Nested values become JSON text.
    """
    for name, value in columns.items():
        if (
            type(value) not in _PLAIN
            or (type(value) is int and not -(2**63) <= value < 2**63)
            or not (type(name) is str and name.isprintable())
        ):
            return _all_plain(columns)
    return columns


def _all_plain(columns: Mapping[Any, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for given, value in columns.items():
        # Half a surrogate pair is not valid Unicode, and Arrow ends a name at a NUL.
        name = str(given).encode(errors="replace").decode().replace("\0", "\ufffd")
        while name in found:
            name = f"row_{name}"
        try:
            found[name] = _plain_value(value)
        except Exception:  # a value from Python can be of any class, and the row's answer must be kept
            found[name] = f"<{type(value).__name__}>"
    return found


def _plain_value(value: Any) -> Any:
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)
    if type(value) in _PLAIN:
        return value
    if isinstance(value, dt.datetime):
        if value.tzinfo is not None:
            try:
                value = value.astimezone(dt.UTC).replace(tzinfo=None)
            except OverflowError:  # in UTC, the moment is outside the years 1 to 9999
                return str(value)
        return msgspec.msgpack.Ext(STAMP_CODE, _micros(value).to_bytes(8, "little", signed=True))
    if isinstance(value, decimal.Decimal):
        return math.nan if value.is_nan() else float(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        # Picture data is never written. A hash of the data is written instead.
        return f"data:application/octet-stream;sha256={hashlib.sha256(value).hexdigest()}"
    if hasattr(value, "item") and not getattr(value, "ndim", 0):
        return _plain_value(value.item())
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    return str(value) if isinstance(value, dt.timedelta) else json_text(value)


def json_text(value: Any) -> str:
    """Returns any value as JSON. Broken characters are replaced, and levels below the 100th become null."""
    try:
        return _json(value).decode()
    except (UnicodeError, RecursionError, TypeError, ValueError, OverflowError):
        return _json(_tamed(value)).decode()


def _tamed(value: Any, depth: int = 0) -> Any:
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if depth >= _DEEPEST and isinstance(value, (Mapping, list, tuple, set)):
        return None
    if isinstance(value, Mapping):
        return {_tamed(str(key)): _tamed(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_tamed(item, depth + 1) for item in value]
    return value if type(value) in _PLAIN else str(value).encode(errors="replace").decode()


def stored_names(columns: Iterable[str], reserved: frozenset[str], known: Mapping[str, str]) -> dict[str, str]:
    """Returns column name → stored name for the columns of one row.

    If a name equals one of our names (`reserved`) or the name of another column of the row, ignoring case, the stored
    name is `row_<name>`. `known`: lower-case name → stored spelling. A name that differs from a known name only by case
    is the same column.
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    for name in columns:
        stored = name
        while not stored or stored.lower() in reserved or stored.lower() in taken:
            stored = f"row_{stored}"
        taken.add(stored.lower())
        names[name] = known.get(stored.lower(), stored)
    return names


def type_of(values: Iterable[Any]) -> str | None:
    """Returns the stored type of a column's values: BIGINT, DOUBLE, BOOLEAN, TIMESTAMP, VARCHAR, or a list of these
    such as `DOUBLE[]`.

    Returns None if all values are None.
    """
    present = [value for value in values if value is not None and value != []]
    found: str | None = None
    for type_ in {_type(value) for value in present}:
        found = common_type(found, type_)
    if found == "DOUBLE" and any(isinstance(value, int) and abs(value) > EXACT for value in present):
        return "VARCHAR"
    return found


def settled(known: str | None, values: Sequence[Any]) -> str | None:
    """Returns the stored type of a column that had the type `known` and now also has these values."""
    type_ = common_type(known, type_of(values))
    if type_ == "DOUBLE" and any(type(value) is int and abs(value) > EXACT for value in values):
        return "VARCHAR"
    return type_


def json_of_columns(columns: Mapping[str, Any]) -> str:
    """Returns a JSON object of the columns of one row that are not stored as columns. A timestamp becomes text."""
    return json_text({name: _text(v) if isinstance(v, msgspec.msgpack.Ext) else v for name, v in columns.items()})


def common_type(one: str | None, other: str | None) -> str | None:
    """Returns the type that holds values of both types: DOUBLE for BIGINT and DOUBLE, VARCHAR for other unequal types.

    If one type is None, returns the other type.
    """
    if one is None or other is None or one == other:
        return one or other
    return "DOUBLE" if {one, other} == {"BIGINT", "DOUBLE"} else "VARCHAR"


def _type(value: Any) -> str:
    if isinstance(value, list):
        return f"{type_of(value) or 'VARCHAR'}[]"
    if isinstance(value, bool):
        return "BOOLEAN"
    if isinstance(value, int):
        return "BIGINT"
    if isinstance(value, float):
        return "DOUBLE"
    return "VARCHAR" if isinstance(value, str) else "TIMESTAMP"


def array(values: list[Any], type_: str) -> Any:
    """Returns a pyarrow array of the values, in order, with the Arrow type of `type_`."""
    import pyarrow as pa

    if type_ == "VARCHAR":
        return pa.array([_text(value) for value in values], pa.string())
    if type_ == "TIMESTAMP":
        return pa.array([None if v is None else _ext_micros(v) for v in values], pa.int64()).cast(arrow_type(type_))
    if type_.endswith("[]"):
        inner = type_.removesuffix("[]")
        return pa.array([None if v is None else array(v, inner).to_pylist() for v in values], arrow_type(type_))
    if type_ == "DOUBLE":
        return pa.array([None if v is None else float(v) for v in values], pa.float64())
    return pa.array(values, arrow_type(type_))


def arrow_type(type_: str) -> Any:
    import pyarrow as pa

    if type_.endswith("[]"):
        return pa.list_(arrow_type(type_.removesuffix("[]")))
    return {
        "BIGINT": pa.int64(),
        "DOUBLE": pa.float64(),
        "BOOLEAN": pa.bool_(),
        "TIMESTAMP": pa.timestamp("us"),
        "VARCHAR": pa.string(),
    }[type_]


def sql_type(type_: Any) -> str:
    """Returns the name of the stored type for a pyarrow type that `arrow_type` returns."""
    import pyarrow as pa

    if pa.types.is_list(type_):
        return f"{sql_type(type_.value_type)}[]"
    for name in ("BIGINT", "DOUBLE", "BOOLEAN", "TIMESTAMP"):
        if type_ == arrow_type(name):
            return name
    return "VARCHAR"


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, msgspec.msgpack.Ext):
        value = _EPOCH + dt.timedelta(microseconds=_ext_micros(value))
    if isinstance(value, dt.datetime):
        # DuckDB casts a timestamp to the same text, so that a part reads the same before and after a merge.
        return value.isoformat(" ").rstrip("0") if value.microsecond else value.isoformat(" ")
    return json_text(value) if isinstance(value, list) else repr(value)


def _micros(value: dt.datetime) -> int:
    return (value - _EPOCH) // dt.timedelta(microseconds=1)


def _ext_micros(value: Any) -> int:
    return int.from_bytes(value.data, "little", signed=True)
