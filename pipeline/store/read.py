"""Reads an output, also while a run writes to it: creates the views, and checks and limits the user's statements."""

from __future__ import annotations

import json
import re
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.errors import QueryError
from pipeline.machine import machine_error_of
from pipeline.store.dataset_schema import DatasetSchema
from pipeline.store.datasets import DATASETS, FORMAT, free_name, schema
from pipeline.store.disk import DISK, Files, machine, replacing, write_all
from pipeline.store.layout import CATALOG_BEGINS, Layout
from pipeline.store.parts import SCHEMA_PART, refuse_damaged
from pipeline.store.sql import block, escaped, literal, materialized, pattern
from pipeline.store.upgrade import outdated
from pipeline.tasks import facts
from pipeline.types import TaskName

if TYPE_CHECKING:
    import duckdb

T = TypeVar("T")
_VANISHED = re.compile(r"No such file|does not exist|No files found")


def connect(output: Path, task: TaskName, dimension: int | None = None) -> duckdb.DuckDBPyConnection:
    """Returns an in-memory DuckDB with the views of the output. The views have all columns even in an empty output.

    Needs no lock and writes nothing to the output. Every query sees the parts that exist when the query starts.
    `dimension`: floats of `embedding` (None: as in the newest answers). Raises StoreError for a foreign format, for the
    output of another task, and for a damaged part.
    """
    import duckdb

    layout = Layout(output)
    layout.check(task)
    # Data that does not fit in memory goes to the system's temporary folder. DuckDB would take the working directory.
    spill = Path(tempfile.gettempdir()) / f"pipeline-query-{uuid.uuid4().hex}"
    connection = duckdb.connect(config={"temp_directory": str(spill)})
    connection.execute("set timezone = 'UTC'")
    with readable(layout):
        attach(connection, layout, task, dimension)
    dimension = dimension or DatasetSchema.load(layout.dataset("results"), task).dimension
    connection.execute(block("keys") + _views(task, dimension))
    return connection


def attach(connection: duckdb.DuckDBPyConnection, layout: Layout, task: TaskName, dimension: int | None = None) -> None:
    """Creates a view of each dataset in the schema `parts`. The view has all rows of the parts that count.

    Older rows of an id are not left out. A dataset that was never written becomes an empty table.
    """
    connection.execute(block("schemas"))
    for name in DATASETS:
        if (layout.dataset(name) / SCHEMA_PART).exists():
            dataset_schema = DatasetSchema.load(layout.dataset(name), task)
            connection.execute(
                _dataset_view(layout, task, name, "" if dataset_schema.format == FORMAT else outdated(dataset_schema))
            )
        else:
            _empty(connection, name, task, dimension)


@contextmanager
def readable(layout: Layout) -> Iterator[None]:
    """Wraps DuckDB's reading of the parts. Raises StoreError if DuckDB fails and a part is damaged."""
    import duckdb

    try:
        yield
    except duckdb.Error:
        refuse_damaged(layout.dataset(name) for name in DATASETS)
        raise


def query(connection: duckdb.DuckDBPyConnection, sql: str, parameters: Any = None) -> duckdb.DuckDBPyRelation:
    """Runs one query. Returns a relation that holds the rows (`fetchall`, `to_arrow_table`, `columns`; `sql.reader`).

    If a part that the query reads has just been deleted, the query runs once more. Raises QueryError with DuckDB's own
    words, and MachineError if the machine is the reason (descriptors, memory, a full disk).
    """
    return _twice(lambda: materialized(connection.sql(sql, params=parameters)))


def _twice(work: Callable[[], T]) -> T:
    """Runs statements; once more, if a part that they read has just been deleted. Raises QueryError, MachineError."""
    import duckdb

    try:
        try:
            return work()
        except duckdb.Error as error:
            if not _VANISHED.search(str(error)):
                raise
            return work()
    except duckdb.Error as error:
        raise machine_error_of(error) or QueryError(str(error)) from error


def settle(connection: duckdb.DuckDBPyConnection) -> None:
    """Keeps, for this connection, which outcomes count now: `results` and `failures` show later ones no more.

    For many queries over a large output: with 1,000,000 rows, each query after that is some seconds faster.
    """
    _twice(lambda: connection.execute(block("settled")))


def catalog(layout: Layout, task: TaskName, dimension: int | None) -> str:
    """Returns the views as SQL with absolute paths, for any DuckDB from 1.1 on."""
    head = (
        f"{CATALOG_BEGINS}, for any DuckDB (1.1 or newer): .read catalog.sql\n"
        "-- Written by each run; read it again when a run has added columns.\n"
    )
    datasets = "".join(_dataset_view(layout, task, name) for name in DATASETS)
    return head + block("schemas") + datasets + block("keys") + _views(task, dimension)


def write_catalog(layout: Layout, task: TaskName, dimension: int | None, files: Files = DISK) -> None:
    """Writes `catalog.sql` in one step, if its content has changed. Raises MachineError."""
    text = catalog(layout, task, dimension).encode()
    with machine("write the views", layout.catalog):
        if not layout.catalog.exists() or layout.catalog.read_bytes() != text:
            with replacing(files, layout.catalog) as fd:
                write_all(files, fd, text)


def _dataset_view(layout: Layout, task: TaskName, dataset: str, columns: str = "") -> str:
    pattern_ = pattern(str(layout.dataset(dataset)))
    part = free_name(dataset, task)
    return block(
        "dataset_view", dataset=dataset, pattern=pattern_, part=part, columns=columns or f"rows_.* exclude ({part})"
    )


def _views(task: TaskName, dimension: int | None) -> str:
    vector = block("vector", dimension=dimension).rstrip() if facts(task).embeds and dimension else ""
    versions = f" replace (\n{vector}\n)" if vector else ""
    results = f"w.stale as stale,\n{vector}\n" if vector else "w.stale as stale"
    return block("views", versions=versions, results=results)


def _empty(connection: duckdb.DuckDBPyConnection, dataset: str, task: TaskName, dimension: int | None) -> None:
    connection.register("nothing", schema(dataset, task, dimension).empty_table())
    connection.execute(f"create table parts.{dataset} as select * from nothing")
    connection.unregister("nothing")


_WRITING = re.compile(r"(BATCH_)?(COPY|INSERT|UPDATE|DELETE|MERGE|CREATE|DROP|ALTER|ATTACH|LOAD|EXPORT)|JSON_EXECUTE")
"""Matches the operators of a plan that write, and the function that runs another statement without showing its plan."""
_READING = ("SELECT", "EXPLAIN", "MULTI")
"""Types of statements that may be read-only. A statement with a PIVOT has the type MULTI: its plan is checked."""


def read_only(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Makes sure that the statement writes nothing on this connection: neither a file nor an extension.

    Raises QueryError for a statement that would write, and for more than one statement.
    """
    import duckdb

    connection.execute("set autoinstall_known_extensions = false; set lock_configuration = true")
    try:
        found = connection.extract_statements(sql)
        kinds = [str(statement.type).rpartition(".")[2] for statement in found]
        if len(kinds) != 1:
            raise QueryError(f"one statement is expected, {len(kinds)} were found; --write allows several")
        if kinds[0] not in _READING or (kinds[0] == "EXPLAIN" and re.search("analy[sz]e", sql, re.IGNORECASE)):
            raise _refused(kinds[0])
        if kinds[0] != "EXPLAIN":
            for operator in _operators(connection, sql):
                if _WRITING.match(operator):
                    raise _refused(operator)
    except duckdb.Error as error:
        raise QueryError(str(error)) from error


def select_readonly(output: Path, task: TaskName, sql: str) -> duckdb.DuckDBPyRelation:
    """Returns the rows of one of our statements that contains a condition of the user. Raises QueryError.

    The condition can read the views and no other file, and can write nothing.
    """
    connection = connect(output, task)
    # DuckDB checks the globs of the views as text. In a glob, some characters of the path are escaped.
    allowed = ", ".join(f"'{literal(place)}'" for place in (str(output), str(output.resolve()), escaped(str(output))))
    connection.execute(f"set allowed_directories = [{allowed}]; set enable_external_access = false")
    read_only(connection, sql)
    return query(connection, sql)


def _refused(what: str) -> QueryError:
    return QueryError(f"the statement does more than read ({what}), and was not run; `pipeline query --write` runs it")


def _operators(connection: duckdb.DuckDBPyConnection, sql: str) -> Iterator[str]:
    for _, plan in connection.execute(f"explain (format json) {sql}").fetchall():
        for node in json.loads(plan):
            yield from _names(node)


def _names(node: dict[str, Any]) -> Iterator[str]:
    yield str(node.get("name", "")).strip()
    for child in node.get("children", ()):
        yield from _names(child)
