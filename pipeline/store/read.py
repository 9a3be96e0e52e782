"""Reads an output, also while a run writes to the output: the views, and the limits of a user's statement."""

from __future__ import annotations

import json
import re
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

_VANISHED = re.compile(r"No such file|does not exist|No files found")


def connect(output: Path, task: TaskName, dimension: int | None = None) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB with the views over the output; they exist with all columns before anything was written.

    Needs no lock and writes nothing; every query sees the parts as they are when it starts. `dimension`: floats of
    `embedding` (None: of the newest answers). Raises StoreError for a foreign format or another task's output.
    """
    import duckdb

    layout = Layout(output)
    layout.check(task)
    # What does not fit in memory goes to the system's temporary folder; DuckDB's own choice is the working directory.
    spill = Path(tempfile.gettempdir()) / f"pipeline-query-{uuid.uuid4().hex}"
    connection = duckdb.connect(config={"temp_directory": str(spill)})
    connection.execute("set timezone = 'UTC'")
    with readable(layout):
        attach(connection, layout, task, dimension)
    dimension = dimension or DatasetSchema.load(layout.dataset("results"), task).dimension
    connection.execute(block("keys") + _views(task, dimension))
    return connection


def attach(connection: duckdb.DuckDBPyConnection, layout: Layout, task: TaskName, dimension: int | None = None) -> None:
    """The datasets as views in the schema `parts`: all rows that count, without the question which is the newest."""
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
    """Around DuckDB's reading of the parts: where a damaged one is the reason for its error, raises StoreError."""
    import duckdb

    try:
        yield
    except duckdb.Error:
        refuse_damaged(layout.dataset(name) for name in DATASETS)
        raise


def query(connection: duckdb.DuckDBPyConnection, sql: str, parameters: Any = None) -> duckdb.DuckDBPyRelation:
    """Runs one query; the relation holds its rows (`fetchall`, `to_arrow_table`, `columns`; `reader` in relations.py).

    A query that meets a part which a compaction has just taken away is run once more. Raises QueryError with DuckDB's
    own words, and MachineError where the machine is the reason (descriptors, memory, a full disk).
    """
    import duckdb

    try:
        try:
            return materialized(connection.sql(sql, params=parameters))
        except duckdb.Error as error:
            if not _VANISHED.search(str(error)):
                raise
            return materialized(connection.sql(sql, params=parameters))
    except duckdb.Error as error:
        raise machine_error_of(error) or QueryError(str(error)) from error


def catalog(layout: Layout, task: TaskName, dimension: int | None) -> str:
    """The views as SQL with absolute paths, for any DuckDB from 1.1 on."""
    head = (
        f"{CATALOG_BEGINS}, for any DuckDB (1.1 or newer): .read catalog.sql\n"
        "-- Written by each run; read it again when a run has added columns.\n"
    )
    datasets = "".join(_dataset_view(layout, task, name) for name in DATASETS)
    return head + block("schemas") + datasets + block("keys") + _views(task, dimension)


def write_catalog(layout: Layout, task: TaskName, dimension: int | None, files: Files = DISK) -> None:
    """Writes `catalog.sql` in one step, if it is not the same already. Raises MachineError."""
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
"""Operators of a plan that write, and the function that runs another statement unseen."""
_READING = ("SELECT", "EXPLAIN", "MULTI")
"""Types of statements that only read. MULTI is what a PIVOT becomes, wherever it stands: its plan decides."""


def read_only(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Makes sure that the statement writes nothing on this connection: neither a file nor an extension.

    Raises QueryError for a statement that would write, and for more than one.
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
    """The rows of a statement of ours that holds a condition of the user's. The condition reads the views and no other
    file, and writes nothing. Raises QueryError."""
    connection = connect(output, task)
    # The views' globs are looked up by their text, in which some characters of a name are escaped.
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
