"""Reading a job from Python: views, tables, vectors, search, exports and pages. Needs no key for the output."""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import anyio
import msgspec

from pipeline.errors import PipelineError
from pipeline.job.load import OFFLINE_SUFFIX, LoadedJob

if TYPE_CHECKING:
    import duckdb
    import numpy

    from pipeline.report.summary import Status
    from pipeline.run.image_folder import FolderCounts
    from pipeline.run.report import Report
    from pipeline.run.report_server import ReportServer
    from pipeline.run.search import Found, Searcher
    from pipeline.run.sidecars import Written

T = TypeVar("T")


class Readable:
    """What can be read of a job. `spec`: the loaded job. Each method raises PipelineError with a message for people."""

    spec: LoadedJob
    _searcher: Searcher | None = None

    def reprocess_groups(self, where: str | None = None) -> dict[tuple[str, str], int]:
        """Returns how many rows `reprocess` would send, by (fault, code). Sends nothing."""
        from pipeline.run.reprocess import groups

        return groups(self._read(), where)

    def dismiss_groups(self, where: str, *, undo: bool = False) -> dict[tuple[str, str], int]:
        """Returns how many failures `dismiss` would close, or open again, by (fault, code). Changes nothing."""
        from pipeline.store.maintenance import groups

        spec = self._read()
        return groups(spec.output, spec.job.task, where, undone=undo)

    def connect(self) -> duckdb.DuckDBPyConnection:
        """Returns a DuckDB connection with the views results, failures, dismissed, attempts, runs, spend and versions.

        The views exist with all their columns even if nothing was written yet. The connection is an ordinary connection
        of your process. Unlike `query`, the connection may read and write whatever DuckDB can.
        """
        from pipeline.run.output import connect

        return connect(self._read())

    def query(self, sql: str, *, write: bool = False) -> Any:
        """Returns the answer of one SQL statement over the views, as a pyarrow RecordBatchReader. Raises QueryError.

        write: allows statements that write files, attach databases or install extensions too. Otherwise these
        statements are refused.
        """
        from pipeline.run.output import query

        return query(self._read(), sql, write=write)

    def results(self, form: Literal["arrow", "polars", "pandas"] = "arrow", *, columns: Iterable[str] = ()) -> Any:
        """The view `results` as a pyarrow table, or a polars or pandas frame; one row per id, sorted by id.

        columns: these alone. Raises JobError for a column that is not there, and MissingExtra without polars or pandas.
        """
        from pipeline.run.output import results

        return results(self._read(), form, tuple(columns))

    def vectors(self) -> tuple[list[str], numpy.ndarray[Any, Any]]:
        """(ids, array): the vectors of `results` as float32 of shape (rows, dimension), sorted by id.

        Rows without a vector of the newest answers' dimension are left out. Raises JobError for a job that makes none.
        """
        from pipeline.run.output import vectors

        return vectors(self._read())

    def search(
        self, text: str | Iterable[str] = (), *, k: int = 10, where: str | None = None,
        weights: Mapping[str, float] | None = None, **others: str | Iterable[str],
    ) -> Found:  # fmt: skip
        """Returns the `k` rows whose vectors are nearest to the query. Raises JobError and QueryError.

        text, and `image`, `audio` (paths or URLs) and `id` in `others`: one or several each; their unit vectors are
        added, each times the weight of its kind in `weights` (1 by default). where: an SQL condition over `results`.
        The inputs are embedded with the job's model, which needs the key; `id` needs none.
        """
        from pipeline.run.search import Searcher, query_of

        if self._searcher is None or not self._searcher.current:
            self._searcher = Searcher(self._read())
        return finished(self._searcher.search, query_of({"text": text, **others}, weights or {}, k, where))

    def search_page(self, found: Found, dest: str | Path | None = None) -> Path:
        """Writes what a search found as a page with pictures, which requests nothing. Returns the path.

        dest: by default `search/last.html` in the output. Raises JobError, MachineError.
        """
        from pipeline.run.search_page import write_search_page

        spec = self._read()
        path = spec.output / "search" / "last.html" if dest is None else Path(dest)
        write_search_page(spec, found, path)
        return path

    def _repr_html_(self) -> str:
        """What a notebook shows: the status, and some results with thumbnails."""
        from pipeline.report.html import lines_html
        from pipeline.run.shown import job_html

        try:
            return job_html(self._read())
        except PipelineError as error:
            return lines_html([str(error)])

    def status(self) -> Status:
        """Returns how many rows are done, remaining and failed, and what was spent, by the figures of the last run."""
        from pipeline.run.output import status

        return status(self._read())

    def watch(self) -> None:
        """Follows a run of this job in another process on stderr, until the run ends; returns at once without one."""
        from pipeline.run.output import watch

        watch(self._read())

    def export(
        self,
        dest: str | Path,
        *,
        columns: Iterable[str] = (),
        without: Iterable[str] = (),
        safe_csv: bool = False,
    ) -> int:
        """Writes one row per id to `dest` (.parquet, .csv, .jsonl, .arrow, .lance, .duckdb). Returns how many rows.

        columns: only these columns. without: all columns but these. safe_csv: in CSV, puts an apostrophe before texts
        that a spreadsheet would run as formulas.
        """
        from pipeline.run.output import export
        from pipeline.store.export import Chosen

        chosen = Chosen(columns=tuple(columns), without=tuple(without), safe_csv=safe_csv)
        return export(self._read(), Path(dest), chosen)

    def image_folder(
        self, dest: str | Path, *, columns: Iterable[str] = (), without: Iterable[str] = ()
    ) -> FolderCounts:
        """Writes the pictures and `metadata.jsonl` into a new folder, which `datasets` reads as "imagefolder".

        Returns the counts. columns: these alone; without: all but these.
        """
        from pipeline.run.image_folder import write_image_folder

        return write_image_folder(self._read(), Path(dest).absolute(), tuple(columns), tuple(without))

    def sidecars(
        self,
        kind: str = "txt",
        dest: str | Path | None = None,
        *,
        template: str | None = None,
        overwrite: bool = False,
        columns: Iterable[str] = (),
        without: Iterable[str] = (),
    ) -> Written:
        """Writes each answer beside its picture, or below the folder `dest` with the same tree. Returns the counts.

        kind: `txt`, `xmp`, or `json` with the chosen columns. template: the text, with {name} for columns of `results`,
        instead of the answer alone. If a file was not written by an earlier export, the file stays, unless `overwrite`
        is set.
        """
        from pipeline.run.sidecars import Sidecars

        folder = None if dest is None else Path(dest).absolute()
        writer = Sidecars(self._read(), kind, folder, template=template, overwrite=overwrite)
        return writer.write(tuple(columns), tuple(without))

    def report(
        self, dest: str | Path, *, rows: int | None = None, progress: Callable[[int, int], None] | None = None
    ) -> Report:
        """Writes the output as one HTML page that requests nothing: figures, charts, failures, a gallery of rows.

        rows: at most so many rows are in the page, by default 2,000, taken evenly; the page has at most 20 MB.
        progress: called with (pictures made, all pictures). Returns how many rows are shown of how many.
        """
        from pipeline.run.report import ROWS, write_report

        told = progress or (lambda done, total: None)
        return write_report(self._read(), Path(dest), ROWS if rows is None else rows, told)

    def report_server(self, *, port: int = 0) -> ReportServer:
        """Returns a server of the same page, live and over all rows, on 127.0.0.1. `server.serve_forever()` starts it.

        port: 0 takes any free port; `server.url` is the address. The page of a job that embeds finds rows by meaning
        too, with the job's model. Raises JobError if the port is taken.
        """
        from pipeline.run.report_server import Live, ReportServer
        from pipeline.run.search import text_search
        from pipeline.tasks import facts

        spec = self._read()
        search = text_search(spec) if facts(spec.job.task).embeds else None
        return ReportServer(Live(spec, search), port)

    @property
    def falls_back(self) -> bool:
        """Tells whether the job's output has no run yet, but the output `…-offline` exists. Then `…-offline` is
        read."""
        offline = self._offline_output
        return not self.spec.offline and not (self.spec.output / "runs").exists() and offline.exists()

    @property
    def _offline_output(self) -> Path:
        return self.spec.output.with_name(self.spec.output.name + OFFLINE_SUFFIX)

    def _read(self) -> LoadedJob:
        if self.falls_back:
            return msgspec.structs.replace(self.spec, output=self._offline_output, offline=True)
        return self.spec


def finished(function: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> T:
    """The result of a coroutine function, in this thread or, where an event loop runs in this thread, in another."""
    run = functools.partial(anyio.run, function, *arguments, backend="asyncio")
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return run()
    with ThreadPoolExecutor(1, thread_name_prefix="pipeline") as thread:
        return thread.submit(contextvars.copy_context().run, run).result()
