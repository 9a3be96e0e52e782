"""The checks of `pipeline doctor JOB`: everything that a run needs before its first call."""

from __future__ import annotations

import datetime
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline import offline, providers
from pipeline.dispatch.http_environment import environment_proxies, tls_context
from pipeline.errors import PipelineError
from pipeline.job.load import LoadedJob
from pipeline.manifest import open_manifest
from pipeline.providers.faults import model_hint
from pipeline.report import price_lines
from pipeline.report.state import count
from pipeline.run.context import JobContext
from pipeline.run.doctor_call import call_findings
from pipeline.run.endpoint import endpoint
from pipeline.run.environment import Finding, Level
from pipeline.run.make_context import check_columns, job_context, notes
from pipeline.run.owner import refuse_another
from pipeline.store.layout import Layout
from pipeline.store.lock import running
from pipeline.store.upgrade import input_rules

FEW_BYTES = 10**9
"""If less space than this is free, there is a note. The answers of about 100,000 rows with vectors of 1,536 floats
need this space."""
ROW_BYTES = 600
"""Bytes of a row in the output, with its attempts: 6,000 answers of 200 words took 560 each, of 20 words 120 each."""
VECTOR_NUMBER = 8
"""Bytes of a number of a vector: 4 in the part, and 4 while parts are merged."""
MOST_COUNTED = 200_000
"""Rows that are counted."""
NO_BYTES = 10**8
"""If less space than this is free, a run is likely to end with a full disk."""


def job_findings(load: Callable[[], LoadedJob], *, calls: bool = False) -> Iterator[Finding]:
    """Yields the findings about a job. load: returns the job, or raises PipelineError. calls: the service is asked one
    small question, if nothing else is wrong with the job and its key."""
    try:
        spec = load()
    except PipelineError as error:
        yield Finding("problem", "job", str(error))
        return
    made = _made(spec)
    yield made if isinstance(made, Finding) else Finding("ok", "job", f"{spec.name}: {spec.job.task}, nothing wrong")
    key = _key(spec)
    yield key
    yield from _network(spec)
    if calls and key.level == "ok" and isinstance(made, JobContext) and not spec.offline:
        yield from call_findings(job_context(spec))
    if isinstance(made, JobContext):
        yield _manifest(made)
    yield _output(spec)
    if isinstance(made, JobContext):
        yield _model(made)
        yield _price(made)
    yield from _disk(spec, made if isinstance(made, JobContext) else None)


def _network(spec: LoadedJob) -> Iterator[Finding]:
    """The proxy and the authorities that the environment names."""
    if spec.offline:
        return
    try:
        proxies = environment_proxies()
        tls_context()
    except PipelineError as error:
        yield Finding("problem", "network", str(error), "set the variable anew, or unset it")
        return
    named = [name for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE") if os.environ.get(name)]
    told = [f"through the proxy of {scheme.upper()}_PROXY" for scheme in proxies]
    told += [f"with the authorities of {named[0]}"] if named else []
    if told:
        yield Finding("ok", "network", f"requests go {' and '.join(told)}")


def _made(spec: LoadedJob) -> JobContext | Finding:
    try:
        if spec.offline:
            offline.require()
        return job_context(spec, keyless=True)
    except PipelineError as error:
        return Finding("problem", "job", str(error))


def _key(spec: LoadedJob) -> Finding:
    if spec.offline:
        return Finding("ok", "key", "no key is needed with --offline")
    section = spec.job.provider
    provider = providers.load(section.name)
    try:
        endpoint(spec, provider)
    except PipelineError as error:
        return Finding("problem", "key", str(error))
    if section.api_key_file is not None:
        return Finding("ok", "key", f"the key file {section.api_key_file} is there")
    return Finding("ok", "key", f"the key variable {section.api_key_env or provider.KEY_ENV} is set")


def _manifest(made: JobContext) -> Finding:
    spec = made.spec
    try:
        manifest = open_manifest(spec.manifest, spec.job, input_rules(spec.output, spec.job.task), spec.folder)
        check_columns(made, manifest.schema_columns)
        first = next(iter(manifest.rows()), None)
    except (PipelineError, OSError) as error:
        return Finding("problem", "manifest", str(error))
    if first is None:
        return Finding("note", "manifest", f"{spec.manifest} holds no row")
    if first.problem is not None:
        told = f"the first row of {spec.manifest} ({first.where}) has a problem: {first.problem.message}"
        return Finding("note", "manifest", told, f"`pipeline plan {spec.command}` looks at many rows")
    return Finding("ok", "manifest", f"{spec.manifest} opens")


def _output(spec: LoadedJob) -> Finding:
    layout, folder = Layout(spec.output), _existing(spec.output)
    other = "set another output"
    if not folder.is_dir():
        return Finding("problem", "output", f"{spec.output}: {folder} is no folder", other)
    if not os.access(folder, os.W_OK | os.X_OK):
        return Finding("problem", "output", f"{folder}: no permission to write", f"give this user access, or {other}")
    try:
        found = layout.check(spec.job.task)
        refuse_another(spec)
        strange = found is None and folder == spec.output and next(folder.iterdir(), None) is not None
    except (PipelineError, OSError) as error:
        return Finding("problem", "output", str(error))
    if (who := running(layout.lock)) is not None:
        return Finding("note", "output", f"{spec.output} is in use by {who}", "wait for it to end")
    if strange:
        return Finding("note", "output", f"{spec.output} holds other files and no answers of ours", other)
    if found is None:
        return Finding("ok", "output", f"{spec.output}: nothing was written there yet, and it can be made")
    return Finding("ok", "output", f"{spec.output}: task {found.task}, format {found.format}, can be written")


def _model(made: JobContext) -> Finding:
    model, spec = made.model, made.spec
    if model.retired is not None and not spec.offline:
        return Finding("note" if model.retired.announced else "problem", "model", model_hint(model))
    if told := notes(spec):
        return Finding("note", "model", " ".join(told))
    if not model.known:
        mend = f'[models."{model.name}"] says more, such as like = "…"'
        return Finding("note", "model", f"{model.name} is in no table: its limits are not known", mend)
    return Finding("ok", "model", f"{model.name} is known")


def _price(made: JobContext) -> Finding:
    model = made.model
    if made.spec.offline:
        return Finding("ok", "price", "an offline run costs nothing")
    if model.price is None:
        mend = f'[models."{model.name}"] price = {{ input = …, output = … }} sets it'
        return Finding("note", "price", f"the price of {model.name} is not known: no cost is recorded", mend)
    old = price_lines.aged(model.price, model.name, datetime.date.today())
    if old is not None:
        return Finding("note", "price", old)
    rest = ", ".join(part for part in (model.price.region, model.price.date) if part)
    text = f"{price_lines.short(model.price)} per {model.price.per:,} {model.price.basis}"
    return Finding("ok", "price", f"the price is known: {text}" + (f" ({rest})" if rest else ""))


def _disk(spec: LoadedJob, made: JobContext | None) -> Iterator[Finding]:
    folder = _existing(spec.output)
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        yield Finding("problem", "disk", f"{folder}: {error.strerror}", "set another output")
        return
    text = f"{free / 1e9:,.1f} GB free at the output"
    needed, rows = _needed(made)
    if rows:
        more = "more than " if rows > MOST_COUNTED else ""
        text += f"; {more}{count(min(rows, MOST_COUNTED), 'row')} need about {max(1, needed // 10**6):,} MB"
    least = max(NO_BYTES, needed)
    level: Level = "problem" if free < least else "note" if free < max(FEW_BYTES, 2 * needed) else "ok"
    yield Finding(level, "disk", text, "" if level == "ok" else "free some space, or set another output")


def _needed(made: JobContext | None) -> tuple[int, int]:
    """(bytes that the answers of the manifest take, rows), by counting up to MOST_COUNTED rows."""
    if made is None:
        return 0, 0
    spec = made.spec
    try:
        manifest = open_manifest(spec.manifest, spec.job, input_rules(spec.output, spec.job.task), spec.folder)
        rows = sum(1 for _ in itertools.islice(manifest.rows(), MOST_COUNTED + 1))
    except (PipelineError, OSError):
        return 0, 0
    return rows * ((made.dimension or 0) * VECTOR_NUMBER + ROW_BYTES), rows


def _existing(path: Path) -> Path:
    """Returns the path if it exists, else the nearest existing folder above the path."""
    return next(place for place in (path, *path.parents) if os.path.lexists(place))
