"""What notebooks show: tables with thumbnails, and lines. Every text of others is escaped; nothing is loaded from
anywhere."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline.report.terminal import visible

LONGEST = 300
"""Characters of a cell that are shown."""
_STYLE = "text-align:left;vertical-align:top;max-width:32em;overflow-wrap:anywhere"


def lines_html(lines: Iterable[str]) -> str:
    """Returns the lines in a fixed-width font."""
    return f"<pre>{html.escape(visible(chr(10).join(lines)))}</pre>"


def table_html(rows: Sequence[Mapping[str, Any]], pictures: Sequence[bytes | None] = ()) -> str:
    """Returns the rows as a table. pictures: a WebP for each row, which stands before the row; None: no picture."""
    if not rows:
        return "<p>no rows</p>"
    names = list(rows[0])
    head = "".join(f"<th>{html.escape(name)}</th>" for name in (["", *names] if pictures else names))
    body = []
    for place, row in enumerate(rows):
        cells = [_picture(pictures[place])] if pictures else []
        cells += [f'<td style="{_STYLE}">{html.escape(_text(row[name]))}</td>' for name in names]
        body.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def _picture(data: bytes | None) -> str:
    if data is None:
        return "<td></td>"
    return f'<td><img alt="" src="data:image/webp;base64,{base64.b64encode(data).decode()}"></td>'


def _text(value: Any) -> str:
    if value is None:
        return ""
    text = visible(str(value))
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"
