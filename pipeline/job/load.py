"""Reads a job file with its overrides into a checked JobFile, with absolute paths."""

from __future__ import annotations

import copy
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from pipeline.errors import JobError
from pipeline.job.answer import resolved
from pipeline.job.check import check, unknown_keys
from pipeline.job.file import no_file_name, read
from pipeline.job.overrides import NO_OPTIONS, JobOptions, override
from pipeline.job.schema import JobFile
from pipeline.job.shape import misfit

OFFLINE_SUFFIX = "-offline"
KEPT_JOB = "job.toml"
"""The name of the job file in an output folder that was made without a job file."""
EXAMPLES = {
    "task": 'task = "caption"',
    "manifest": 'manifest = "photos.jsonl"',
    "manifest.path": 'path = "photos.csv"',
    "output": 'output = "out/captions"',
    "provider": '[provider] with name = "dashscope" and model = "qwen3-vl-plus"',
    "provider.name": 'name = "dashscope"',
    "provider.model": 'model = "qwen3-vl-plus"',
}
"""The line to write for a key that every job needs."""

_VARIABLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


class LoadedJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job ready to run.

    `name`: the job as the user named it. `path`: the job file. `manifest`: an absolute path, folder or glob, or a query
    as it is written. `output`: the folder that the job owns. `options`: what the command or the program said besides
    the file. `cache`: the file of answers that the job shares with other jobs. `base`: the job without its overrides.
    `keep`: the tables of a job for which the user has no file. They are written to `path` once the job has
    begun.
    """

    name: str
    path: Path
    job: JobFile
    manifest: str
    output: Path
    offline: bool = False
    options: JobOptions = NO_OPTIONS
    cache: Path | None = None
    base: JobFile
    keep: dict[str, Any] | None = None

    @property
    def folder(self) -> str:
        """Returns the absolute folder of the job file, at which the paths of a query begin."""
        return os.path.normpath(self.path.parent.absolute())

    @property
    def shown(self) -> str:
        """A short name for displays: the job file's, or the output folder's where the folder keeps the job."""
        return self.output.name if self.job.output == "." else self.path.stem

    @property
    def command(self) -> str:
        """Returns the job as a command takes it: "jobs/captions.toml --offline"."""
        return f"{shlex.quote(self.name)} {self.options.flags}".rstrip()

    def fail(self, text: str) -> JobError:
        """Returns a JobError whose text begins with the job's name."""
        return JobError(f"{self.name}: {text}")


def load(
    path: str | Path,
    *,
    overrides: Mapping[str, Any] | None = None,
    variables: Mapping[str, str] | None = None,
    output: str | Path | None = None,
    offline: bool = False,
) -> LoadedJob:
    """Returns the job of the job file at `path`, or the job that the output folder at `path` keeps.

    overrides: nested tables or dotted keys ({"provider.model": "…"}), which replace the file's keys. variables: values
    of `{name}` in `manifest`, `output` and `media.root`. output: another folder (relative to the working folder)
    instead of the job's folder. Raises JobError with the key's path, what was found and what was expected.
    """
    name, path = str(path), _kept_job(Path(path))
    options = JobOptions(overrides=overrides or {}, variables=variables or {}, output=output, offline=offline)
    return from_tables(path, read(path), name=name, options=options)


def _kept_job(path: Path) -> Path:
    """Returns the job file that an output folder keeps, if that job's output is the folder itself; otherwise returns
    `path`."""
    kept = path / KEPT_JOB
    return kept if kept.is_file() and read(kept).get("output") == "." else path


def from_tables(path: Path, tables: dict[str, Any], *, name: str, options: JobOptions = NO_OPTIONS) -> LoadedJob:
    """Returns the job of these tables, as `load` does for tables from the file at `path`. name: the job as a command
    names it."""
    unchanged = copy.deepcopy(tables)
    for key, value in options.overrides.items():
        override(tables, key, value)
    variables = options.variables
    job = _rooted(path, _answered(path, _job(path, tables)), variables)
    spec = LoadedJob(
        name=name,
        path=path,
        job=job,
        manifest=_manifest(path, _fill(path, "manifest", job.source.path, variables)),
        output=_output(path, _fill(path, "output", job.output, variables), options),
        offline=options.offline,
        base=_rooted(path, _base(path, unchanged, job), variables) if options.overrides else job,
        options=options,
        cache=None if job.dedupe.cache is None else Path(_absolute(path, job.dedupe.cache)),
    )
    check(spec.name, job)
    for key, place in (("manifest", spec.manifest), ("output", str(spec.output)), ("media.root", job.media.root or "")):
        reason = None if place[:1] != "/" else no_file_name(place)
        if reason is not None:
            raise spec.fail(f"{key} {place}: {reason}")
    return spec


def variant(spec: LoadedJob, overrides: Mapping[str, Any], output: Path) -> LoadedJob:
    """Returns the job with further keys replaced, and with an output of its own. Raises JobError."""
    options = msgspec.structs.replace(
        spec.options, overrides={**spec.options.overrides, **overrides}, output=output, offline=spec.offline
    )
    tables = copy.deepcopy(spec.keep) if spec.keep is not None else read(spec.path)
    return from_tables(spec.path, tables, name=spec.name, options=options)


def user_models() -> dict[str, dict[str, Any]]:
    """Returns the `models` tables of the user-wide file ($XDG_CONFIG_HOME or ~/.config)/multimodal-batch/models.toml.

    The file holds the same `[models."name"]` tables as a job. Raises JobError if the file exists but cannot be read.
    """
    home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    path = Path(home) / "multimodal-batch" / "models.toml"
    try:
        path.stat()
    except OSError:
        return {}  # The file does not exist, or this user may not look into the home folder (a service's user).
    tables = read(path)
    models = tables.pop("models", {})
    if tables or not isinstance(models, dict):
        raise JobError(f'{path}: expected only tables [models."name"], found {", ".join(tables) or "models = …"}')
    return models


def _job(path: Path, tables: Mapping[str, Any]) -> JobFile:
    try:
        unknown_keys(tables)
    except ValueError as error:
        raise JobError(f"{path}: {error}") from None
    problem = misfit(tables, JobFile, examples=EXAMPLES)
    if problem:
        raise JobError(f"{path}: {problem}")
    return msgspec.convert(tables, JobFile)


def _answered(path: Path, job: JobFile) -> JobFile:
    """The job with its `[answer]` as one schema."""
    if job.answer is None:
        return job
    try:
        return msgspec.structs.replace(job, answer=resolved(job.answer, path))
    except ValueError as error:
        raise JobError(f"{path}: {error}") from None


def _rooted(path: Path, job: JobFile, variables: Mapping[str, str]) -> JobFile:
    """Returns the job with `media.root` as an absolute path."""
    if job.media.root is None:
        return job
    root = _absolute(path, _fill(path, "media.root", job.media.root, variables))
    return msgspec.structs.replace(job, media=msgspec.structs.replace(job.media, root=root))


def _base(path: Path, tables: Mapping[str, Any], job: JobFile) -> JobFile:
    """Returns the job file without overrides. If only the overrides make the job file complete, returns `job`."""
    try:
        return _answered(path, _job(path, tables))
    except JobError:
        return job


def _fill(path: Path, key: str, text: str, variables: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in variables:
            raise JobError(f"{path}: {key} = {text!r} needs a value for {{{name}}}: add --var {name}=…")
        return variables[name]

    return _VARIABLE.sub(value, text)


def _absolute(path: Path, place: str) -> str:
    return os.path.normpath(path.parent.absolute() / Path(place).expanduser())


def _manifest(path: Path, place: str) -> str:
    """Returns a query unchanged, and any other manifest as an absolute path."""
    return place if place.lstrip()[:4].lower() == "sql:" else _absolute(path, place)


def _output(path: Path, place: str, options: JobOptions) -> Path:
    instead = options.output
    if not (place if instead is None else os.fspath(instead)).strip():
        raise JobError(f"{path}: the output is empty; name a folder that belongs to this job alone")
    folder = Path(instead).expanduser().absolute() if instead is not None else Path(_absolute(path, place))
    return folder.with_name(folder.name + OFFLINE_SUFFIX) if options.offline else folder
