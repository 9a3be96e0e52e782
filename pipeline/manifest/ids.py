"""The ids of rows: given ones by their literal spelling, derived ones by hash."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from pipeline.errors import refusal


def literal_id(value: Any, literal: str | None, name: str) -> str | None:
    """The id as text: `literal` (its spelling in the file) where given, else the value's own text; None for no id.

    An empty text and a number that is none (NaN) are no id. Raises Fault `Local.BadField` for a truth value, a list, a
    table or bytes.
    """
    if type(value) is str:
        return value or None
    if value is None or value != value:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal, datetime.date)):
        raise refusal("BadField", f"{name}: found {described(value)}, expected text or a number")
    if literal is not None:
        return literal
    return value.isoformat() if isinstance(value, datetime.date) else str(value)


def derived_id(fields: Mapping[str, Any]) -> str:
    """32 hex digits: half of the SHA-256 over the row's input fields as written, in canonical JSON.

    `fields` are ours alone, under our own names, so that neither `[columns]` nor a further column changes the id. A row
    that has none of ours (a prompt from its columns alone) is hashed over its columns, or all such rows were one.
    """
    canonical = msgspec.json.encode(fields, order="sorted", enc_hook=str)
    return hashlib.sha256(canonical).hexdigest()[:32]


def described(value: Any) -> str:
    """A value as a message may show it: its type in JSON's words, numbers and truth values themselves."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float, Decimal)):
        return f"the number {value}" if len(str(value)) < 40 else "a number"
    if isinstance(value, str):
        return f"the text {value[:40]!r}" if len(value) <= 40 else "a text"
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    return "a table" if isinstance(value, Mapping) else f"a {type(value).__name__}"
