"""The owner of an output: the job file that ran there last. Two jobs must never mix their rows in one output."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import msgspec

from pipeline.errors import JobError
from pipeline.job.file import no_file_name, read
from pipeline.job.load import OFFLINE_SUFFIX, LoadedJob
from pipeline.store import Store
from pipeline.store.disk import machine, replacing, write_all
from pipeline.store.layout import Layout

_QUERY = "sql:"
KEPT_HEAD = "# The job of this folder. Each command takes the folder as its JOB: pipeline status FOLDER\n"


class Owner(msgspec.Struct, frozen=True):
    """The content of `runs/job.json`. Paths are relative to the output, so that a project can move as a whole.

    `manifest`: a path or the text of a query; None if a program handed the rows over.
    """

    job: str
    manifest: str | None = None


def refuse_another(spec: LoadedJob, *, handed: bool = False) -> None:
    """Raises JobError if the output surely belongs to another job.

    The output belongs to another job if another job file ran there last, still exists and has another manifest. A job
    file that names the output as its own goes before a job file that only `--output` sent there. A job that was edited,
    moved or renamed is not another job. An output without the mark (0.1.0) belongs to no other job. handed: a program
    hands the rows over; nothing is refused.
    """
    layout = Layout(spec.output)
    owner = _read(layout)
    if owner is None or owner.manifest is None or handed:
        return
    theirs = Path(_from(layout, owner.job))
    if _manifest_from(layout, owner.manifest) == spec.manifest or not _is_another(theirs, spec.path):
        return
    if _names_output(spec.path, spec) and not _names_output(theirs, spec):
        return
    raise spec.fail(
        f"{spec.output} is the output of another job, {theirs}: an output is one job's alone. "
        f"Set another output, or remove {theirs.name} if {spec.path.name} takes its place"
    )


def mark(spec: LoadedJob, store: Store, *, handed: bool = False) -> None:
    """Writes into the output of an open store which job owns the output. Keeps there a job that has no file elsewhere.

    Blocking. Raises MachineError.
    """
    layout = store.layout
    if spec.keep is not None:
        _keep(spec, spec.keep, store)
    manifest = spec.manifest if _is_query(spec.manifest) else _to(layout, spec.manifest)
    now = Owner(job=_to(layout, spec.path), manifest=None if handed else manifest)
    if now == _read(layout) or not _is_text(now):
        return
    with machine("write the job's name", layout.job), replacing(store.files, layout.job) as fd:
        write_all(store.files, fd, msgspec.json.encode(now))


def _keep(spec: LoadedJob, tables: dict[str, Any], store: Store) -> None:
    import tomli_w

    text = KEPT_HEAD + tomli_w.dumps(tables)
    with machine("write the job", spec.path):
        spec.path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(store.files, spec.path) as fd:
            write_all(store.files, fd, text.encode())


def _read(layout: Layout) -> Owner | None:
    """Returns the mark of an output. None if there is no mark or the mark cannot be read; a run then writes a new
    mark."""
    try:
        return msgspec.json.decode(layout.job.read_bytes(), type=Owner)
    except (OSError, msgspec.MsgspecError):
        return None


def _is_text(owner: Owner) -> bool:
    """Tells whether the paths are valid text. JSON cannot hold other paths: their output stays without a mark."""
    return no_file_name(owner.job) is None and no_file_name(owner.manifest or "") is None


def _is_another(theirs: Path, ours: Path) -> bool:
    try:
        return theirs.is_file() and not theirs.samefile(ours)
    except OSError:
        return False


def _names_output(job: Path, spec: LoadedJob) -> bool:
    """Tells whether a job file names the output of `spec` as its own. A `{name}` in the path may have any value."""
    try:
        place = read(job).get("output")
    except JobError:
        return False
    if not isinstance(place, str):
        return False
    named = os.path.normpath(job.parent.absolute() / Path(place).expanduser())
    pattern = "[^/]*".join(map(re.escape, re.split(r"\{\w+\}", named)))
    output = str(spec.output)
    return re.fullmatch(pattern, output.removesuffix(OFFLINE_SUFFIX) if spec.offline else output) is not None


def _is_query(manifest: str) -> bool:
    return manifest.lstrip()[: len(_QUERY)].lower() == _QUERY


def _manifest_from(layout: Layout, manifest: str) -> str:
    return manifest if _is_query(manifest) else _from(layout, manifest)


def _to(layout: Layout, path: str | Path) -> str:
    return os.path.relpath(path, layout.output)


def _from(layout: Layout, path: str) -> str:
    return os.path.normpath(layout.output.absolute() / path)
