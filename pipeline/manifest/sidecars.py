"""The small files beside a picture in an archive, as columns of its row: texts, numbers, JSON."""

from __future__ import annotations

from typing import Any

import msgspec

from pipeline.errors import Fault, refusal
from pipeline.manifest.cells import infer
from pipeline.media.archive import Archive
from pipeline.media.members import Entry

MAX_BYTES = 4 * 1024 * 1024
"""Of all small files of one row together."""

TEXTS = frozenset({"txt", "text", "caption", "transcript", "prompt", "tags", "label", "url", "key"})
NUMBERS = frozenset({"cls", "cls2", "class", "count", "index", "inx", "id", "score"})
"""As webdataset's own decoders take them; a text that is no number stays a text."""


def is_sidecar(ending: str) -> bool:
    """Whether an ending (behind the stem) is that of a text, a number or JSON."""
    last = ending.rpartition(".")[2].lower()
    return last == "json" or last in TEXTS or last in NUMBERS


def columns(found: list[tuple[str, Entry]], archive: Archive) -> dict[str, Any]:
    """Column → value: a text or number under its ending (`txt`, `caption`), of a JSON table every key, of other JSON
    the value under `json`. A file's own ending goes before a key of that name.

    Raises Fault `Local.BadLine` for what cannot be read, `Local.TooLarge` beyond MAX_BYTES, and as `Archive.read`.
    """
    total = sum(max(entry.size, entry.packed) for _, entry in found)
    if total > MAX_BYTES:
        raise refusal("TooLarge", f"{total:,} bytes of texts beside the picture; at most {MAX_BYTES:,} are read")
    own: dict[str, Any] = {}
    keys: dict[str, Any] = {}
    for ending, entry in found:
        body = archive.read(entry, MAX_BYTES) if entry.size else b""
        last = ending.rpartition(".")[2].lower()
        if last == "json":
            value = _json(body, entry)
            if isinstance(value, dict) and ending.lower() == "json":
                keys |= value
            else:
                own[ending] = value
        else:
            text = _text(body, entry)
            own[ending] = _number(text) if last in NUMBERS else text
    return {**keys, **own}


def _json(body: bytes, entry: Entry) -> Any:
    try:
        return msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise _bad(entry, f"not JSON: {error}") from None


def _text(body: bytes, entry: Entry) -> str:
    try:
        return body.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise _bad(entry, "not UTF-8") from None


def _number(text: str) -> Any:
    return infer(["n"], [[text]])["n"](text) if text else None


def _bad(entry: Entry, why: str) -> Fault:
    return refusal("BadLine", f"the member {entry.name} is {why}")
