"""Text on its way to a terminal: characters that steer a terminal or cannot be encoded become JSON escapes.

Ids, answers, names of columns and files, and a service's words may hold anything. Everything that the command prints
passes here; data (`--format csv` and `json`, exports, parts) keeps what was said.
"""

from __future__ import annotations

import codecs
import io
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_NEXT = "; next: "
"""Between the outcome of a command and the command to type next."""

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


def wrapped(line: str, stream: Any) -> str:
    """The line as a terminal shows it best: wrapped at words, and a command to copy on a line of its own, unbroken.

    Unchanged where the stream is no terminal: programs read lines.
    """
    if not stream.isatty():
        return line
    prose, next_, command = line.partition(_NEXT)
    width = max(20, shutil.get_terminal_size().columns)
    indent = " " * (len(prose) - len(prose.lstrip()) + 2)
    lines = textwrap.wrap(prose, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines or [""]) + (f"\n{next_.removeprefix('; ')}{command}" if next_ else "")


def for_drawing(stream: Any) -> Any:
    """The stream for a display of ours that moves the cursor; texts of others in it are made `visible` one by one."""
    return stream.unfiltered if isinstance(stream, VisibleStream) else stream


def for_data(stream: Any) -> Any:
    """The stream for data: unchanged for a program or a file, for people where it is a terminal."""
    return stream if stream.isatty() else for_drawing(stream)


_ESCAPED = "json-escapes"
_ASCII = "ascii-with-escapes"


class _Unfailing(io.FileIO):
    """A stream for people: once it cannot be written to, what is written is dropped without a word."""

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        try:
            written = super().write(data)
        except OSError:
            return size
        return size if written is None else written


class _Noting(io.FileIO):
    """A stream for data: it remembers that it broke."""

    error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.error = error
            raise


def keep_streams() -> None:
    """Makes the standard streams of this process safe to write to.

    A closed one is opened on the null device, so that no file of ours gets its number. stderr is dropped when it breaks
    (a full disk, a reader that went away): what it shows is never worth a run.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            null = Path(os.devnull).open("r" if name == "stdin" else "w", encoding="utf-8")  # noqa: SIM115 - it stays
            setattr(sys, name, null)
    for name, number, kind in (("stdout", 1, _Noting), ("stderr", 2, _Unfailing)):
        old = getattr(sys, name)
        if isinstance(old, io.TextIOWrapper) and old.fileno() == number:
            old.flush()
            raw = io.BufferedWriter(kind(number, "w", closefd=False))
            lines = number == 2 or old.line_buffering
            setattr(sys, name, io.TextIOWrapper(raw, old.encoding, old.errors, line_buffering=lines))


def let_go_of_stdout() -> OSError | None:
    """Writes out what stdout still holds. The error if that fails or has failed before; then stdout is the null device
    from now on, so that the interpreter's own last flush says nothing."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    error = raw.error if isinstance(raw, _Noting) else None
    try:
        sys.stdout.flush()
    except OSError as failed:
        error = error or failed
    if error is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return error


def hold_any_text() -> None:
    r"""Makes both standard streams print any text: what their encoding cannot hold becomes `\uXXXX`, as in JSON.

    So JSON that is printed stays JSON of the same meaning. A stream for which `replace` or `ignore` was chosen
    (PYTHONIOENCODING=ascii:replace) keeps that.
    """
    codecs.register_error(_ESCAPED, _escaped)
    codecs.register(_ascii)
    for stream in (sys.stdout, sys.stderr):
        if getattr(stream, "errors", None) not in ("strict", "surrogateescape", "backslashreplace"):
            continue
        if _is_ascii(stream.encoding):
            # click takes a stream that is called ASCII for a mistake, and writes UTF-8 to it: so it has another name.
            stream.reconfigure(encoding=_ASCII, errors=_ESCAPED)  # type: ignore[union-attr]
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_ESCAPED)


def use_utf8_names() -> None:
    """Starts this process anew in Python's UTF-8 mode where file names and arguments could be ASCII only.

    Python takes them for ASCII where LC_ALL=C holds and UTF-8 was switched off (PYTHONUTF8=0): then no file with
    another name can be opened. The streams keep their encoding. Returns where there is nothing to do.
    """
    if sys.flags.utf8_mode or not _is_ascii(sys.getfilesystemencoding()):
        return
    stream = sys.stdout or sys.stderr
    environment = {**os.environ, "PYTHONIOENCODING": stream.encoding if stream else "ascii"}
    os.execve(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]], environment)  # noqa: S606


def encoding(stream: Any) -> str:
    """The name of a stream's encoding as Python knows it; `utf-8` for a stream without one."""
    name = getattr(stream, "encoding", None) or "utf-8"
    return "ascii" if name == _ASCII else codecs.lookup(name).name


def as_printed(text: str, stream: Any) -> str:
    """The text as a person will see it on the stream, for whoever counts columns."""
    text = visible(text)
    name = encoding(stream)
    if text.isascii() or name.startswith("utf"):
        return text
    return text.encode(name, _ESCAPED if getattr(stream, "errors", "") == _ESCAPED else "replace").decode(name)


def holds(text: str, stream: Any) -> bool:
    """Whether the stream's encoding has all these characters."""
    try:
        text.encode(encoding(stream))
    except UnicodeEncodeError:
        return False
    return True


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4)), error.end


def _is_ascii(name: str) -> bool:
    return codecs.lookup(name).name == "ascii"


def _ascii(name: str) -> codecs.CodecInfo | None:
    if name.replace("_", "-") != _ASCII:
        return None
    ascii_ = codecs.lookup("ascii")
    return codecs.CodecInfo(
        ascii_.encode, ascii_.decode, ascii_.streamreader, ascii_.streamwriter,
        ascii_.incrementalencoder, ascii_.incrementaldecoder, name=_ASCII,
    )  # fmt: skip
