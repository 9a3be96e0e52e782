"""Makes a job from a source and a few choices, for `pipeline init`, `pipeline caption SOURCE` and `Job(task=…)`."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from pipeline import providers, tasks
from pipeline.errors import JobError
from pipeline.job.file import read
from pipeline.job.load import KEPT_JOB, LoadedJob, from_tables
from pipeline.job.overrides import JobOptions, override
from pipeline.manifest.kinds import kind_of
from pipeline.manifest.sql import is_query
from pipeline.manifest.table_formats import format_of
from pipeline.manifest.walk import is_glob, split_glob
from pipeline.providers.models import find, names

DEFAULT_MODELS: dict[str, dict[str, str]] = {
    "dashscope": {
        "caption": "qwen3-vl-plus",
        "ask": "qwen3-vl-plus",
        "ocr": "qwen-vl-ocr",
        "embed": "multimodal-embedding-one-peace-v1",
    },
    "qianfan": {"caption": "ernie-4.5-turbo-vl", "ask": "ernie-4.5-turbo-vl", "ocr": "ernie-4.5-turbo-vl"},
}
"""The model of each task if the user names no model. A service whose key is set goes first."""

HANDED = "rows handed over from Python"
"""The manifest of a job if a program gives the rows."""

_NO_NAME = re.compile(r"[^\w.-]+")
_ENDINGS = (".gz", ".zst", ".bz2", ".xz", ".tar", ".zip")


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """The user's choices for a new job. None: not chosen."""

    model: str | None = None
    provider: str | None = None
    base_url: str | None = None
    prompt: str | None = None

    def overrides(self) -> dict[str, Any]:
        """Returns the user's choices as overrides of a job that exists already."""
        keys = {"provider.model": self.model, "provider.name": self.provider, "provider.base_url": self.base_url}
        return {key: value for key, value in (*keys.items(), ("prompt.text", self.prompt)) if value is not None}


class Source(msgspec.Struct, frozen=True):
    """The source of a job's rows. `manifest`: an absolute path, a glob, a query, or HANDED. `name`: the first part of
    the output's name."""

    manifest: str
    name: str

    def seen_from(self, folder: Path) -> str:
        """Returns the manifest in the form in which a job file in `folder` names it."""
        plain = is_query(self.manifest) or self.manifest == HANDED
        return self.manifest if plain else os.path.relpath(self.manifest, folder)


def source_of(text: str) -> Source:
    """Returns the source that a user named: a folder, table, list or archive, a picture, a glob, or `sql:` and a query.

    A single picture or sound becomes a glob that matches this file alone, because a manifest is a table or a folder.
    """
    if is_query(text):
        return Source(text, "query")
    place = os.path.normpath(Path(text).expanduser().absolute())
    name = Path(split_glob(place)[0]).name if is_glob(place) and not Path(place).exists() else Path(place).name
    if not Path(place).is_dir():
        while Path(name).suffix.lower() in _ENDINGS or kind_of(name) is not None or format_of(name) is not None:
            name = Path(name).stem
    if Path(place).is_file() and kind_of(place) in ("image", "audio"):
        first, rest = Path(place).name[0], Path(place).name[1:]
        place = str(Path(place).with_name(f"[{first}]{rest}"))
    return Source(place, _NO_NAME.sub("-", name).strip("-.") or "pictures")


def default_output(source: Source, task: str) -> Path:
    """Returns the output in the working folder, for example `photos-caption`.

    The same source and task always give the same output.
    """
    return Path(f"{source.name}-{task}").absolute()


def new_tables(
    task: str, source: Source, folder: Path, output: str, choices: Choices, environ: Mapping[str, str]
) -> dict[str, Any]:
    """Returns the tables of a new job file in `folder`. Raises JobError if a choice is missing or is not known."""
    tasks.load(task)
    provider, model = usual_model(task, choices, environ)
    section: dict[str, Any] = {"name": provider, "model": model}
    if choices.base_url is not None:
        section["base_url"] = choices.base_url
    section["api_key_env"] = providers.load(provider).KEY_ENV
    tables = {"task": task, "manifest": source.seen_from(folder), "output": output, "provider": section}
    return tables | ({"prompt": {"text": choices.prompt}} if choices.prompt is not None else {})


def open_kept(
    task: str,
    source: Source,
    choices: Choices,
    *,
    output: str | Path | None,
    offline: bool,
    overrides: Mapping[str, Any],
) -> LoadedJob:
    """Returns the job that an output folder keeps, with the user's new choices; or a new job for the folder.

    The job is written into the folder when a run of the job begins. Raises JobError if the folder keeps a job with
    another source or task.
    """
    folder = default_output(source, task) if output is None else Path(output).expanduser().absolute()
    path = folder / KEPT_JOB
    if path.is_file():
        tables = read(path)
        before = copy.deepcopy(tables)
        _refuse_another(folder, tables, task, source)
        overrides = {**choices.overrides(), **overrides}
    else:
        tables = new_tables(task, source, folder, ".", choices, os.environ)
        before = None
    spec = from_tables(path, tables, name=_shown(folder), options=JobOptions(overrides=overrides, offline=offline))
    for key, value in overrides.items() if before is None else ():
        override(tables, key, value)
    keep = tables if before is None or overrides else None
    return msgspec.structs.replace(spec, keep=keep, options=JobOptions(offline=offline))


def _refuse_another(folder: Path, kept: Mapping[str, Any], task: str, source: Source) -> None:
    manifest = kept.get("manifest")
    same = manifest in (source.manifest, source.seen_from(folder))
    if kept.get("task") != task or not same:
        raise JobError(
            f"{_shown(folder)} keeps another job ({kept.get('task')} of {manifest}): choose another output with -o"
        )


def _shown(folder: Path) -> str:
    """Returns the folder as a command names it: by its relative path if it is below the working folder."""
    return os.path.relpath(folder) if folder.is_relative_to(Path.cwd()) else str(folder)


def usual_model(task: str, choices: Choices, environ: Mapping[str, str]) -> tuple[str, str]:
    """Returns (service, model): the chosen pair, else the usual pair of the task. Raises JobError if a choice is
    missing."""
    provider = choices.provider or ("openai" if choices.base_url is not None else None)
    if choices.model is not None:
        return provider or _service_of(choices.model), choices.model
    if provider is None:
        keys = {name: providers.load(name).KEY_ENV for name in DEFAULT_MODELS}
        able = [name for name in DEFAULT_MODELS if task in DEFAULT_MODELS[name]]
        provider = next((name for name in able if environ.get(keys[name])), able[0])
    model = DEFAULT_MODELS.get(provider, {}).get(task)
    if model is None:
        raise JobError(f"--model is needed: no model of {providers.load(provider) and provider} is usual for {task}")
    return provider, model


def _service_of(model: str) -> str:
    """Returns the service that has a model of this name. Raises JobError if no service or several services have it."""
    found = [name for name in providers.names() if model in names(name)]
    found = found or [name for name in providers.names() if find(name, model).known]
    if len(found) == 1:
        return found[0]
    why = f"{' and '.join(found)} have a model {model!r}" if found else f"no service is known to have {model!r}"
    raise JobError(f"--provider is needed: {why}; or --base-url for a server that speaks OpenAI's protocol")
