"""Arrow values one by one, for columns that `to_pylist` refuses as a whole: what Python cannot hold becomes text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


def one_by_one(array: pa.Array) -> list[Any]:
    """The values of a column in Python; each that Python's types cannot hold, as its text."""
    return [_value(scalar) for scalar in array]


def _value(scalar: pa.Scalar) -> Any:
    if not scalar.is_valid:
        return None
    try:
        found = scalar.as_py()
    except Exception:  # pyarrow raises what its parts raise: its own errors, ValueError, OverflowError, pytz's
        return _nested(scalar)
    return _table(found) if _is_map(scalar) else found


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
        return _value(scalar.value)  # a dictionary's, a union's, an extension's
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
        return _text(scalar.cast(pa.timestamp(kind.unit))) + "Z"  # kept in UTC, whatever the zone
    try:
        if hasattr(scalar, "as_buffer"):
            return bytes(scalar.as_buffer()).decode(errors="replace")
        return str(scalar.cast(pa.string()).as_py())
    except Exception:  # as above
        return f"<{kind}>"
