r"""stdout and stderr that cannot hold every character: such a character is printed as its JSON escape, `\u732b`."""

from __future__ import annotations

import codecs
import os
import sys
from typing import Any

_ESCAPED = "json-escapes"
_ASCII = "ascii-with-escapes"


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


def shown(text: str, stream: Any) -> str:
    """The text as the stream will show it, for whoever counts columns."""
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
