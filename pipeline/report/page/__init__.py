"""Pages for a browser: one HTML file with its style, its script and its data inside, which requests nothing.

`page.css` and `page.js` are what all pages have in common: theme, header, cards, tables, dialog, charts. A page adds a
script of its own, which gets the data. A text from a row reaches the page as JSON and is shown by `textContent` alone.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import html
import json
from importlib.resources import files
from typing import Any


def filled(title: str, script: str, data: Any, *, live: bool = False) -> bytes:
    """Returns a page as UTF-8. script: the file in this folder that shows `data` (plain JSON values).

    live: the page may ask its own server for data and pictures; else it may request nothing at all.
    """
    style, code = _file("page.css"), f"{_file('page.js')}\n{_file(script)}"
    text = _file("page.html")
    values = {
        "policy": html.escape(policy(script, live=live)),
        "title": html.escape(title),
        "style": style,
        "script": code,
        "data": in_script(data),
    }
    head, *rest = text.split("{{")
    parts = [head]
    for part in rest:
        name, _, after = part.partition("}}")
        parts += [values[name], after]
    return "".join(parts).encode("utf-8", "replace")


def policy(script: str, *, live: bool) -> str:
    """Returns the Content-Security-Policy of a page: its own style and script by their hashes, and data: pictures."""
    code = f"{_file('page.js')}\n{_file(script)}"
    own = "; connect-src 'self'" if live else ""
    return (
        f"default-src 'none'; img-src data:{' ' + chr(39) + 'self' + chr(39) if live else ''}; "
        f"style-src '{_hash(_file('page.css'))}'; script-src '{_hash(code)}'{own}; base-uri 'none'; form-action 'none'"
    )


def in_script(data: Any) -> str:
    """Returns JSON that can stand in a <script> element: nothing in it ends the element or begins a comment."""
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", r"\u003c")


@functools.cache
def _file(name: str) -> str:
    return files("pipeline.report.page").joinpath(name).read_text("utf-8").strip()


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
