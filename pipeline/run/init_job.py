"""Writes the commented job file of `pipeline init`, and says what the source holds."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from pipeline import providers
from pipeline.errors import JobError
from pipeline.job.load import from_tables
from pipeline.manifest import Manifest, open_manifest
from pipeline.manifest.rows import FIELDS
from pipeline.manifest.unused import find as unused_media
from pipeline.providers import models
from pipeline.report.price_lines import short
from pipeline.run.new_job import Choices, Source, default_output, new_tables
from pipeline.tasks import facts
from pipeline.tasks.prompts import CAPTION, OCR
from pipeline.types import Row

MOST_COUNTED = 200_000
"""The most rows that are counted. Of a larger table, the command says that it has more rows."""

_MEDIA = ("image", "images", "frames", "video", "audio", "contents", "messages")


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a source. `rows`: None = more than MOST_COUNTED. `columns`: our field → the column that holds the
    field's values."""

    rows: int | None
    names: tuple[str, ...]
    columns: dict[str, str]
    passed_over: dict[str, int]


def write_job(
    task: str, source: Source, choices: Choices, file: Path | None, environ: Mapping[str, str]
) -> Iterator[str]:
    """Writes a new job file and yields the lines for a person.

    Raises JobError if the file exists already or cannot be written.
    """
    path = Path(f"{default_output(source, task).name}.toml") if file is None else file
    tables = new_tables(task, source, path.absolute().parent, default_output(source, task).name, choices, environ)
    spec = from_tables(path, json.loads(json.dumps(tables)), name=str(path))
    found = look(open_manifest(spec.manifest, spec.job, folder=spec.folder), task)
    section = tables["provider"]
    model = models.find(section["name"], section["model"], None, None, section.get("base_url"))
    price = "price not known" if model.price is None else f"{short(model.price)} per {model.price.per:,} tokens in/out"
    try:
        with path.open("x", encoding="utf-8") as out:
            out.write(text(path, tables, found, price))
    except FileExistsError:
        raise JobError(f"{path} is there already: remove it, or choose another name with -o") from None
    except OSError as error:
        raise JobError(f"{path}: cannot be written: {error.strerror}") from None
    yield f"found: {said(found)}"
    yield f"written: {path}, for {section['model']} of {section['name']}: {price}"
    yield f"next: pipeline plan {path}; without a key: pipeline run {path} --offline --limit 10"


def look(manifest: Manifest, task: str) -> Found:
    """Returns the content of a manifest. Reads the manifest once, at most one row more than MOST_COUNTED. Opens no
    picture."""
    rows = manifest.rows()
    first = list(itertools.islice(rows, 1))
    count = len(first) + sum(1 for _ in itertools.islice(rows, MOST_COUNTED))
    names = manifest.schema_columns or tuple(first[0].raw if first else ())
    return Found(
        rows=None if count > MOST_COUNTED else count,
        names=names,
        columns=_columns(names, first[0], task) if first else {},
        passed_over=manifest.passed_over(),
    )


def _columns(names: tuple[str, ...], row: Row, task: str) -> dict[str, str]:
    """Returns our field → the column that holds its media. Empty if a column has the name of one of our media fields,
    or if no column holds media."""
    if any(name in _MEDIA for name in names) or (facts(task).embeds and "text" in names) or row.raw is None:
        return {}
    found = unused_media(row.raw, task)
    return {} if found is None or not found.direct else {found.kind or "image": found.column}


def said(found: Found) -> str:
    """Returns the content of a source, in words."""
    rows = f"more than {MOST_COUNTED:,} rows" if found.rows is None else f"{found.rows:,} rows"
    others = [name for name in found.names if name not in FIELDS]
    parts = [rows, *(f"`{column}` is taken as {field}" for field, column in found.columns.items())]
    if others:
        parts.append("columns " + ", ".join(others[:12]) + (", …" if len(others) > 12 else ""))
    if found.passed_over:
        parts.append("passed over: " + ", ".join(f"{count:,} {kind}" for kind, count in found.passed_over.items()))
    return "; ".join(parts)


def text(path: Path, tables: Mapping[str, object], found: Found, price: str) -> str:
    """Returns the text of the job file. Further settings stand in the text as comments."""
    provider: Mapping[str, str] = tables["provider"]  # type: ignore[assignment]
    base_url = [_line("base_url", provider["base_url"])] if "base_url" in provider else []
    columns = ["", "[columns]", *(_line(field, column) for field, column in found.columns.items())]
    lines = [
        f"# {said(found)}",
        f"# Without a key:  pipeline run {path} --offline --limit 10",
        f"# The cost:       pipeline plan {path}",
        f"# To begin, and to go on after a stop:  pipeline run {path}",
        _line("task", tables["task"]),
        _line("manifest", tables["manifest"]),
        _line("output", tables["output"], "this job's own folder"),
        "",
        "[provider]",
        _line("name", provider["name"]),
        _line("model", provider["model"], price),
        *base_url,
        _line("api_key_env", provider["api_key_env"], "the variable that holds the key"),
        *(columns if found.columns else []),
        *_prompt(str(tables["task"]), tables.get("prompt")),
        *(() if facts(str(tables["task"])).embeds else _TYPED),
        *_MORE,
    ]
    return "\n".join([*lines, ""])


def _prompt(task: str, given: object) -> list[str]:
    if facts(task).embeds:
        return []
    if isinstance(given, Mapping):
        return ["", "[prompt]", _line("text", given["text"])]
    if facts(task).asks:
        return ["", "[prompt]", _line("text", "What is in this picture?", "{name} is replaced by a column of the row")]
    default = _line("text", {"caption": CAPTION, "ocr": OCR}[task].text)
    return ["", "[prompt]", "# The default; {name} is replaced by a column of the row.", f"# {default}"]


_TYPED = (
    "",
    "# Columns with types instead of free text; jobs/README.md lists the types.",
    "# [answer]",
    '# fields = { title = "text", colors = "list of text", price = "number?", kind = ["photo", "drawing"] }',
)
_MORE = (
    "",
    "[limits]",
    "# rpm = 600                               # requests a minute; without it the limit is found by trying",
    "",
    "[budget]",
    "# max_cost = 20.0                         # for one run, in the currency of the price",
)


def _line(key: str, value: object, comment: str = "") -> str:
    """Returns `key = value  # comment`. JSON's escapes in a text are valid in TOML too."""
    line = f"{key:<11} = {json.dumps(value, ensure_ascii=False)}"
    return f"{line:<42}# {comment}" if comment else line


def models_for(task: str, provider: str | None) -> Iterator[str]:
    """Yields a line with name, provider and price for each model of a task.

    Leaves out models without a known price and models with a retirement date.
    """
    for service in providers.names() if provider is None else (provider,):
        for name in models.names(service):
            model = models.find(service, name)
            if model.tasks and task in model.tasks and model.retired is None and model.price is not None:
                yield f"  {name:<42} {service:<10} {short(model.price)}"
