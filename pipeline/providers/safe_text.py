"""Makes text from outside safe to show: without keys, picture data and URL signatures, and of bounded length."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from pipeline.errors import Fault
from pipeline.types import Reply, Secret

MAX_MESSAGE = 2_000
MAX_EXCERPT = 200

_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"data:([\w.+-]{1,60}/[\w.+-]{1,60})?(;[\w=.-]{1,60}){0,4},?[A-Za-z0-9+/=_%-]*"), "data:…"),
    (re.compile(r"(?i)\bbearer\s+[^\s\"',]+"), "Bearer …"),
    (re.compile(r"\bbce-v3/[^\s\"',]+"), "bce-v3/…"),
    (re.compile(r"\bsk-[A-Za-z0-9_*.-]{4,}"), "sk-…"),
    (re.compile(r"(https?://[^\s\"'<>?#]{1,2000})\?[^\s\"'<>]*"), r"\1?…"),
    (re.compile(r"[A-Za-z0-9+/_-]{200,}={0,2}"), "…"),
)

_SHORTEST_KEY = 8
_WORD = re.compile(r"[a-z]{1,15}")
"""Matches keys that people give to servers which check no key: `placeholder`, `password`.

Such a key is not hidden, because the description of a picture may rightly contain the word.
"""

_keys: dict[str, tuple[str, ...]] = {}
"""Every key in use → its spellings in text, in a URL and in JSON that escapes slashes."""


def hide(key: Secret) -> str:
    """Returns the key for a header. From now on, the key is removed from every text that a service sends back.

    A key of fewer than 8 characters, or of at most 15 small letters only, is not removed.
    """
    value = key.reveal()
    if value not in _keys and len(value) >= _SHORTEST_KEY and not _WORD.fullmatch(value):
        _keys[value] = tuple({value, quote(value, safe=""), value.replace("/", r"\/")})
    return value


def reply_without_keys(reply: Reply) -> Reply:
    """Returns the reply without any key, whichever field held the key.

    A reply without a key is returned unchanged: that costs 2 µs for a caption, 5 µs with a hundred blocks
    (tests/bench/bench_redact.py).
    """
    said = [text for text in (reply.text, reply.finish_reason, reply.request_id, reply.model) if text]
    if reply.blocks:
        said += [block.text for block in reply.blocks]
    if reply.extra:
        said += _texts(reply.extra)
    if not _said_in("\n".join(said)):
        return reply
    fields = {
        name: _without(getattr(reply, name)) for name in ("text", "finish_reason", "request_id", "model", "extra")
    }
    blocks = reply.blocks and tuple(msgspec.structs.replace(b, text=_without(b.text)) for b in reply.blocks)
    return msgspec.structs.replace(reply, **fields, blocks=blocks)


def fault_without_keys(fault: Fault) -> Fault:
    """Removes every key from the texts of the fault and from its reply, and returns the same fault."""
    fault.code, fault.message, fault.request_id = map(_without, (fault.code, fault.message, fault.request_id))
    fault.args = (f"{fault.kind} {fault.code}: {fault.message}",)
    if fault.reply is not None:
        fault.reply = reply_without_keys(fault.reply)
    return fault


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _texts(name)
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)


def _said_in(text: str) -> bool:
    for spellings in _keys.values():
        for spelling in spellings:
            if spelling in text:
                return True
    return False


def _without(value: Any) -> Any:
    if isinstance(value, str):
        for spellings in _keys.values():
            for spelling in spellings:
                value = value.replace(spelling, "…")
        return value
    if isinstance(value, Mapping):
        return {_without(name): _without(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without(item) for item in value]
    return value


def clean(text: str, limit: int = MAX_MESSAGE) -> str:
    """Returns `text` without keys, picture data and URL queries, on one line, at most `limit` characters.

    A URL query may be a signature.
    """
    shown = text[: 4 * limit + 4_000]
    shown = _without(shown)
    for pattern, replacement in _RULES:
        shown = pattern.sub(replacement, shown)
    shown = " ".join("".join(c if c.isprintable() else " " for c in shown).split())
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def excerpt(body: bytes) -> str:
    """Returns the first bytes of a body as text for a message: at most 200 characters, cleaned."""
    return clean(body[:4_096].decode("utf-8", "replace"), MAX_EXCERPT)


def without_data(value: Any) -> Any:
    """Returns a JSON value for `Reply.extra`, with every `data:` string replaced by `data:…`."""
    if isinstance(value, str):
        return "data:…" if value.startswith("data:") else value
    if isinstance(value, dict):
        return {key: without_data(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_data(item) for item in value]
    return value
