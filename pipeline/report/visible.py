r"""Text of others on its way to a person: what would steer a terminal, or hide, is shown as its JSON escape, `\u001b`.

Ids, answers, names of columns and files, and a service's words may hold anything. Everything that the command prints
passes here; data (`--format csv` and `json`, exports, parts) keeps what was said.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

_STEERING = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls, other than a tab and the end of a line
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # which turn the direction of what follows
    r"\u2028\u2029\ufff9-\ufffb]"  # ends of lines and annotations that only some programs know
)


def visible(text: str) -> str:
    """The text with every steering character as its escape. Lines stay lines; JSON stays JSON of the same meaning."""
    return _STEERING.sub(_escape, text)


def one_line(text: str) -> str:
    """The same for a text that stands within a line: its ends of lines are escapes too."""
    return visible(text).replace("\n", r"\u000a")


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


class VisibleStream:
    """A text stream for people. All but writing is the stream's own."""

    def __init__(self, stream: Any) -> None:
        self.unfiltered = stream

    def write(self, text: str) -> int:
        self.unfiltered.write(visible(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unfiltered, name)


@contextmanager
def streams_for_people() -> Iterator[None]:
    """stdout and stderr show steering characters instead of obeying them."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (
        stream if stream is None or isinstance(stream, VisibleStream) else VisibleStream(stream) for stream in before
    )
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def for_drawing(stream: Any) -> Any:
    """The stream for a display of ours that moves the cursor; texts of others in it are made `visible` one by one."""
    return stream.unfiltered if isinstance(stream, VisibleStream) else stream


def for_data(stream: Any) -> Any:
    """The stream for data: unchanged for a program or a file, for people where it is a terminal."""
    return stream if stream.isatty() else for_drawing(stream)
