"""What a statement of the user's may do: `query` only reads, a condition (`--where`) reads nothing but the output."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import QueryError
from pipeline.store.read import connect, query
from pipeline.store.statements import escaped, literal
from pipeline.types import TaskName

if TYPE_CHECKING:
    import duckdb

_WRITING = re.compile(r"(BATCH_)?(COPY|INSERT|UPDATE|DELETE|MERGE|CREATE|DROP|ALTER|ATTACH|LOAD|EXPORT)|JSON_EXECUTE")
"""Operators of a plan that write, and the function that runs another statement unseen."""
_READING = ("SELECT", "EXPLAIN", "MULTI")
"""Types of statements that only read. MULTI is what a PIVOT becomes, wherever it stands: its plan decides."""


def read_only(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Makes sure that the connection runs this statement and writes nothing with it: neither a file nor an extension.

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


def picked(output: Path, task: TaskName, sql: str) -> duckdb.DuckDBPyRelation:
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
