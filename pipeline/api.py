"""The pipeline from Python: load a job, run it, read what it wrote."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline import tasks
from pipeline.errors import JobError
from pipeline.job.load import LoadedJob
from pipeline.job.load import load as load_spec
from pipeline.reading import Readable, finished
from pipeline.report.state import in_notebook
from pipeline.run.run_options import RunOptions

if TYPE_CHECKING:
    from pipeline.report.compared import Compared
    from pipeline.report.estimate_lines import Estimate
    from pipeline.report.summary import Summary
    from pipeline.store.maintenance import Compacted


class Job(Readable):
    """A job: a job file with its overrides (`Job.load`), or a source and a few choices (`Job(task=…, manifest=…)`).

    `run` and `arun` send the rows that need sending. `connect`, `query`, `status` and `export` read the output and need
    no key. Every method raises PipelineError (see pipeline.errors) with a message for people.
    """

    def __init__(
        self,
        spec: LoadedJob | None = None,
        *,
        task: str | None = None,
        manifest: Any = None,
        output: str | Path | None = None,
        offline: bool = False,
        overrides: Mapping[str, Any] | None = None,
        **choices: str | None,
    ) -> None:
        """Makes a job without a job file from `task` and `manifest`. manifest: a folder, table, list, glob or query, or
        rows as `run` takes them.

        choices: `model`, `provider`, `base_url`, `prompt`. If a choice is left out, the task and the API key that is
        set decide. The job is kept in the output folder, by default `./<name>-<task>`, so that the same call resumes
        the job. overrides: any other key of a job file. Raises JobError.
        """
        self._rows: Any = None
        if spec is None:
            spec, self._rows = _without_file(task, manifest, output, offline, overrides or {}, choices)
        try:
            tasks.load(spec.job.task)
        except JobError as error:
            raise spec.fail(str(error)) from None
        self.spec = spec

    @classmethod
    def load(
        cls,
        path: str | Path,
        overrides: Mapping[str, Any] | None = None,
        *,
        variables: Mapping[str, str] | None = None,
        output: str | Path | None = None,
        offline: bool = False,
    ) -> Job:
        """Returns the job of the job file at `path`.

        overrides: dotted keys or nested tables, which replace the file's keys. variables: what `{name}` in manifest,
        output and media.root stands for. output: another folder than the job's. offline: use the embedded service.
        """
        return cls(load_spec(path, overrides=overrides, variables=variables, output=output, offline=offline))

    def run(self, manifest: Any = None, *, options: RunOptions | None = None, **settings: Any) -> Summary:
        """Runs the job to its end and returns the summary. The exit code of the process is `summary.exit_code`.

        manifest: a pyarrow table or reader, a polars or pandas frame, or an iterable of dicts, instead of the job's
        manifest. settings: fields of RunOptions, such as `limit=3`. If an event loop runs already, as in a notebook,
        the job runs in a thread of its own, and the loop waits. With `await job.arun()` the loop goes on.
        """
        from pipeline.run.local import execute

        return finished(execute, self.spec, self._options(manifest, options, settings))

    async def arun(self, manifest: Any = None, *, options: RunOptions | None = None, **settings: Any) -> Summary:
        """Does the same as `run`, for a scheduler or any other code with a running asyncio event loop."""
        from pipeline.run.local import execute

        return await execute(self.spec, self._options(manifest, options, settings))

    def notes(self) -> tuple[str, ...]:
        """Returns notes on settings that are likely mistakes but may be meant, such as a wrong letter in a model's
        name. `plan` has these notes too."""
        from pipeline.run.make_context import notes

        return notes(self.spec)

    def plan(self, manifest: Any = None, *, sizes: bool = False, similar: bool = False) -> Estimate:
        """Returns what `run` would send and refuse, and how much money and time that would take. Sends nothing and
        needs no key.

        manifest: as for `run`, but no iterator, because an iterator can be read only once. sizes: also what smaller
        pictures would cost. similar: also how many pictures are nearly equal; the pictures are decoded for it.
        """
        from pipeline.run.estimate import make_estimate

        rows = self._rows if manifest is None else manifest
        if isinstance(rows, Iterator):
            raise JobError("plan reads the rows, and an iterator can be read once: hand over a list or a frame")
        return make_estimate(self.spec, rows, with_sizes=sizes, with_similar=similar)

    def reprocess(self, where: str | None = None, *, options: RunOptions | None = None, **settings: Any) -> Summary:
        """Sends failed rows again: the rows that were throttled, transient or malformed, or the rows that `where`
        picks.

        where: an SQL condition over the columns of the view `failures`, which include the row's own columns. With
        overrides (another model, more tokens), the answers count for the rows in later runs too.
        """
        from pipeline.run.local import execute_reprocess

        chosen = msgspec.structs.replace(_options(None, options, settings), where=where)
        return finished(execute_reprocess, self.spec, chosen)

    def accept(self, where: str | None = None) -> int:
        """Makes the answers that a quality check held back the answers of their rows. Returns how many.

        where: an SQL condition over the view `failures`. By default, every open suspect answer is accepted.
        """
        from pipeline.run.maintenance import accept

        return accept(self.spec, where)

    def dismiss(self, where: str, reason: str | None = None, *, undo: bool = False) -> int:
        """Closes failures for good, or opens them again. Returns how many. The view `dismissed` shows the closed
        failures.

        where: an SQL condition over the view `failures`; with `undo`, over the view `dismissed`. reason: needed without
        `undo`. Later runs neither send nor count the rows, until the rows ask something else. Raises JobError without a
        reason.
        """
        from pipeline.run import maintenance

        if undo:
            return maintenance.undo(self.spec, where)
        if not (reason or "").strip():
            raise JobError("a dismissal needs a reason, for whoever looks at it later")
        return maintenance.dismiss(self.spec, where, str(reason).strip())

    def compact(self, *, drop_superseded: bool = False) -> Compacted:
        """Merges small parts into parts of a good size. Readers see every row exactly once all the time."""
        from pipeline.run.maintenance import compact

        return compact(self.spec, drop_superseded=drop_superseded)

    def compare(
        self,
        other: Job | str | Path | None = None,
        *,
        overrides: Mapping[str, Any] | None = None,
        sample: int | None = None,
        versions: bool = False,
        picks: str | Path | None = None,
        progress: bool = False,
    ) -> Compared:
        """Returns this job's answers (A) and the answers of B to the same rows.

        B: `other`, a job or a job file; or this job with `overrides` ({} asks the same questions once more); or, with
        `versions`, the newest answers of this job, where A are the answers before. sample: compares so many rows, and
        sends those that a side has not answered; None: sends nothing. picks: a CSV that the page of the comparison
        saved. Raises PipelineError as `run` does.
        """
        from pipeline.run import compare

        if sum((other is not None, overrides is not None, versions)) != 1:
            raise JobError("compare needs one of: another job, overrides, versions")
        if versions:
            compared = compare.versions(self._read())
        else:
            if other is None:
                b = compare.side_b(self.spec, overrides or None)
            else:
                b = (other if isinstance(other, Job) else Job.load(other, offline=self.spec.offline)).spec
            made = functools.partial(compare.compare, progress=progress)
            compared = finished(made, self.spec, b, sample)
        if picks is not None:
            ids = compared.table.column("id").to_pylist()
            return msgspec.structs.replace(compared, picks=compare.picks(Path(picks), ids))
        return compared

    def schedule(
        self, at: str, *, until: str | None = None, cron: bool = False, env_file: Path | None = None
    ) -> Iterator[str]:
        """The lines of a systemd service and timer that run the job every night, or of a crontab.

        at, until: times of day such as 02:00. env_file: the file that holds the key's variable. Raises JobError.
        """
        from pipeline.run.schedule import Night, clock, cron_lines, systemd_lines

        ends = None if until is None else clock(until, "--until")
        night = Night(at=clock(at, "--at"), until=ends, env_file=env_file)
        return (cron_lines if cron else systemd_lines)(self.spec, night)

    def _options(self, manifest: Any, options: RunOptions | None, settings: Mapping[str, Any]) -> RunOptions:
        return _options(self._rows if manifest is None else manifest, options, settings)


def serve(
    *,
    port: int,
    rpm: float | None = None,
    tpm: float | None = None,
    latency_ms: float = 0.0,
    fail: str | None = None,
    seed: int = 0,
) -> None:
    """Serves the embedded service on 127.0.0.1 until the process is interrupted. Raises MissingExtra, JobError."""
    from pipeline.run.embedded_service import serve as start

    start(port=port, rpm=rpm, tpm=tpm, latency_ms=latency_ms, fail=fail, seed=seed)


def _without_file(
    task: str | None, manifest: Any, output: str | Path | None, offline: bool, overrides: Mapping[str, Any],
    choices: Mapping[str, str | None],
) -> tuple[LoadedJob, Any]:  # fmt: skip
    """Returns (the job, the rows that were handed over or None)."""
    from pipeline.run.new_job import HANDED, Choices, Source, open_kept, source_of

    if task is None or manifest is None:
        raise JobError('a job without a file needs a task and a manifest: Job(task="caption", manifest="photos")')
    named = isinstance(manifest, (str, Path))
    source = source_of(str(manifest)) if named else Source(HANDED, "rows")
    chosen = msgspec.convert(dict(choices), Choices)
    spec = open_kept(task, source, chosen, output=output, offline=offline, overrides=overrides)
    return spec, None if named else manifest


def _options(manifest: Any, options: RunOptions | None, settings: Mapping[str, Any]) -> RunOptions:
    options = options or RunOptions(progress=in_notebook())
    return msgspec.structs.replace(options, **({"manifest": manifest} if manifest is not None else {}), **settings)
