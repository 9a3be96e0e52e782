"""Reads a `multipart/form-data` body held in memory (RFC 7578)."""

from __future__ import annotations

import re

_BOUNDARY = re.compile(r"""boundary=(?:"([^"]{1,200})"|([^\s;]{1,200}))""", re.IGNORECASE)
_NAME = re.compile(rb'content-disposition:[^\r\n]*?;\s*name="([^"]*)"', re.IGNORECASE)
_MOST_FIELDS = 64


class Malformed(ValueError):
    """The body is not a form; the message says why."""


def fields_of(content_type: str, body: bytes) -> dict[str, bytes]:
    """Field name → bytes; of two fields of one name the first counts. Raises Malformed."""
    match = _BOUNDARY.search(content_type)
    if not content_type.lower().startswith("multipart/form-data") or match is None:
        raise Malformed("The body of your POST request is not well-formed multipart/form-data.")
    mark = b"--" + (match[1] or match[2]).encode("latin-1")
    parts = (b"\r\n" + body).split(b"\r\n" + mark)
    if len(parts) < 3 or not parts[-1].startswith(b"--") or len(parts) > _MOST_FIELDS:
        raise Malformed("The body of your POST request is not well-formed multipart/form-data.")
    found: dict[str, bytes] = {}
    for part in parts[1:-1]:
        head, separator, content = part.partition(b"\r\n\r\n")
        name = _NAME.search(head)
        if not separator or name is None:
            raise Malformed("A part of the form has no name.")
        found.setdefault(name[1].decode("utf-8", "replace"), content)
    return found
