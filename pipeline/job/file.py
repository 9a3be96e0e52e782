"""Reads the small files that a user names: TOML, with the line of an error, and keys. Checks names of files."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import stat
import sys
import tomllib
from pathlib import Path
from typing import Any

from pipeline.errors import JobError
from pipeline.job.values import did_you_mean, looks_like_key, short


def read_small(path: Path, most: int) -> bytes:
    """Returns the bytes of a plain file. Raises OSError for a device and for more than `most` bytes.

    A pipe that a program writes to (`<(pass show key)`) is read to its end. A pipe that no program writes to gives no
    bytes.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        kind = os.fstat(descriptor).st_mode
        if stat.S_ISCHR(kind) or stat.S_ISBLK(kind):
            raise OSError(errno.EINVAL, "it is a device, not a file", str(path))
        os.set_blocking(descriptor, True)
        found = b""
        while len(found) <= most and (more := file.read(most + 1 - len(found))):
            found += more
    if len(found) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most:,} bytes", str(path))
    return found


MOST_BYTES = 16 * 1024 * 1024
"""Most bytes of a job file. A job is a page or two. With the prices of a thousand models, a job is still below a
megabyte."""

_PLACE = re.compile(r"^(?P<words>.*) \((?:at line (?P<line>\d+), column \d+|at end of document)\)$", re.DOTALL)
_YAML = re.compile(r"\s*(?:-\s+)?(?P<key>[A-Za-z_][\w.-]*)\s*:(?:\s+(?P<value>\S.*?))?\s*$")
_SECRET_NAME = re.compile(r"(?i)key|token|secret|passw|pwd|credential|auth")
_BARE = re.compile(r"[+-]?\d+(?:\.\d+)?|true|false|\".*\"|'.*'|\[.*\]")

# The beginning of a message of tomllib → what a person needs to know.
_REASONS: tuple[tuple[str, str], ...] = (
    ("Invalid value", "the value is neither text in quotes, nor a number, true, false, a list or a table"),
    ("Expected '='", "a key is followed by = and a value"),
    ("Cannot overwrite a value", "this key stands twice"),
    ("Cannot declare", "this table stands twice"),
    ("Unterminated string", "a text is not closed by its quote"),
    ("Illegal character '\\n'", "a text is not closed by its quote"),
    ("Expected newline", "something stands behind the value; a text needs quotes around all of it"),
    ("Invalid statement", "the line is neither a [table] nor key = value"),
    ("Unclosed array", "a list is not closed by ]"),
)


def read(path: Path) -> dict[str, Any]:
    """Returns the tables of a job file, or of the user-wide file. Raises JobError that names the line, or what the file
    is."""
    data = _bytes(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _no_job(path, data) from None
    try:
        found = tomllib.loads(text.replace("\r\n", "\n"))
    except tomllib.TOMLDecodeError as error:
        raise _broken(path, text, str(error)) from None
    if not found and path.suffix.lower() != ".toml":
        raise _no_job(path, data)
    return found


def _bytes(path: Path) -> bytes:
    try:
        if path.is_dir():
            jobs = sorted(path.glob("*.toml"))
            what = f"name one of its jobs, such as {jobs[0]}" if jobs else _without_job(path)
            raise JobError(f"{path}: this is a folder, not a job. {what}")
        return read_small(path, MOST_BYTES)
    except FileNotFoundError:
        siblings = [str(other) for other in path.parent.glob("*.toml")] if path.parent.is_dir() else []
        hint = did_you_mean(str(path), siblings)
        raise JobError(f"{path}: there is no such job file{hint}") from None
    except OSError as error:
        raise JobError(f"{path}: cannot be read: {error.strerror}") from None


def _broken(path: Path, text: str, said: str) -> JobError:
    """Returns the error for a text that is not TOML."""
    if _is_json(text):
        return JobError(f'{path}: this is JSON; a job is TOML: {{"task": "caption"}} is written task = "caption"')
    lines = text.replace("\r\n", "\n").split("\n")
    found = _PLACE.match(said)
    number = int(found["line"]) if found and found["line"] else None
    yaml = _yaml(path, lines, number)
    if yaml is not None:
        return yaml
    if path.suffix.lower() != ".toml" and not _has_job_line(lines):
        return _no_job(path, text.encode())
    if number is None:
        last = max((place for place, line in enumerate(lines, 1) if line.strip()), default=1)
        return JobError(f"{path}:{last}: not valid TOML: the file ends before the value is complete")
    words = found["words"] if found else said
    reason = next((ours for theirs, ours in _REASONS if words.startswith(theirs)), words[:1].lower() + words[1:])
    line = _safe(lines[number - 1])
    return JobError(f"{path}:{number}: not valid TOML: {reason}" + (f"; the line is: {line}" if line else ""))


def _yaml(path: Path, lines: list[str], number: int | None) -> JobError | None:
    """Returns the refusal of YAML, with the same line in TOML; None if the text is not YAML."""
    line = lines[number - 1] if number is not None else ""
    if line.strip() == "---" or path.suffix.lower() in (".yaml", ".yml"):
        places = [place for place, one in enumerate(lines, 1) if _YAML.match(one)]
        number = number if _YAML.match(line) else next(iter(places), 1)
    elif not _YAML.match(line):
        return None
    number = number or 1
    match = _YAML.match(lines[number - 1])
    if match is None:
        return JobError(f'{path}:{number}: this is YAML; a job is TOML, with lines such as task = "caption"')
    shown, key, value = _safe(lines[number - 1]), match["key"], match["value"]
    if value is None:
        return JobError(f"{path}:{number}: this is YAML ({shown}); a job is TOML: write [{key}]")
    written = value if _BARE.fullmatch(value) else json.dumps(value, ensure_ascii=False)
    written = _safe(f"{key} = {written}")
    return JobError(f"{path}:{number}: this is YAML ({shown}); a job is TOML: write {written}")


def _is_json(text: str) -> bool:
    if not text.lstrip().startswith("{"):
        return False
    try:
        return isinstance(found := json.loads(text), dict) and bool(found.keys() & {"task", "manifest", "provider"})
    except (ValueError, RecursionError):
        return False


def _has_job_line(lines: list[str]) -> bool:
    """Tells whether any line could be a line of a job: key = value, or the head of a table."""
    return any(re.match(r"\s*(?:\[[\w.\"]+\]\s*$|[A-Za-z_][\w.]*\s*=)", line) for line in lines)


def _safe(line: str) -> str:
    """Returns a line as a message may show the line. If the line may hold a secret, returns at most the name before the
    value."""
    line = line.strip()
    name, mark, _ = re.match(r"([\w.\"-]*)(\s*[=:])?(.*)", line, re.DOTALL).groups("")  # type: ignore[union-attr]
    if looks_like_key(line) or (mark and _SECRET_NAME.search(name)):
        return f"{short(name)}{mark} …" if mark and not looks_like_key(name) else ""
    return short(line)


def _no_job(path: Path, data: bytes) -> JobError:
    if path.suffix.lower() == ".toml":
        return JobError(f"{path}: not UTF-8 text; save the file as UTF-8")
    table = b"\x00" not in data[:4096] or data.startswith((b"PAR1", b"\x1f\x8b"))  # a picture's folder is named
    return JobError(f"{path}: this is not a job. {_sample(path if table else path.parent)}")


def _without_job(source: Path) -> str:
    place = shlex.quote(str(source))
    return (
        f"To caption what the folder holds: pipeline caption {place} (or ocr, embed, ask). "
        f"To write a job for it: pipeline init {place}"
    )


def _sample(manifest: Path) -> str:
    """Returns a text for people with the few lines of a job over `manifest`."""
    place = json.dumps(str(manifest), ensure_ascii=False)
    return (
        "A job is a small TOML file: write one, for example captions.toml, with these lines:\n\n"
        f'task     = "caption"\nmanifest = {place}\noutput   = "out/captions"\n\n'
        '[provider]\nname  = "dashscope"\nmodel = "qwen3-vl-plus"\n'
    )


def no_file_name(path: str) -> str | None:
    """Returns why no file of this name can be opened and named in an answer; None for a good name."""
    encoding = sys.getfilesystemencoding()
    try:
        path.encode()
        os.fsencode(path)
    except UnicodeEncodeError:
        if encoding.lower() != "utf-8":
            return f"this Python takes file names as {encoding}: set PYTHONUTF8=1, or a locale such as LC_ALL=C.UTF-8"
        return "the name is not valid UTF-8: rename it"
    return None
