"""Tools for DuckDB: named statements, methods that differ between versions, temporary folders."""

from __future__ import annotations

import fcntl
import functools
import os
import re
import shutil
import tempfile
import time
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


@functools.cache
def _blocks() -> dict[str, str]:
    folder = files("pipeline.store")
    text = "\n".join(folder.joinpath(name).read_text("utf-8") for name in ("views.sql", "diff.sql", "maintenance.sql"))
    found = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


def block(name: str, **values: str | int) -> str:
    """Returns one named block of SQL. Each `{key}` is replaced by its value. Braces with other names stay."""
    text = _blocks()[name]
    for key, value in values.items():
        text = text.replace(f"{{{key}}}", str(value))
    return text.strip() + "\n"


def literal(text: str) -> str:
    """Returns the text as the inside of an SQL string."""
    return text.replace("'", "''")


def quoted(name: str) -> str:
    """Returns the name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def pattern(folder: str) -> str:
    """Returns a glob for the parts of a folder, as the inside of an SQL string. The path may have any characters."""
    return literal(escaped(folder)) + "/*.parquet"


def escaped(path: str) -> str:
    """Returns a glob that matches only this path."""
    return re.sub(r"([\[*?])", r"[\1]", path)


def materialized(relation: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """Runs the relation's query. Returns a relation that holds the rows. Raises duckdb.Error."""
    if hasattr(relation, "materialize"):  # from DuckDB 2.0 on, where `execute` is gone
        return relation.materialize()
    older: Any = relation
    done: duckdb.DuckDBPyRelation = older.execute()
    return done


def reader(relation: duckdb.DuckDBPyRelation, rows: int) -> pa.RecordBatchReader:
    """Returns a reader of the relation's rows in batches of about `rows` rows."""
    if hasattr(relation, "to_arrow_reader"):  # from DuckDB 1.5 on
        return relation.to_arrow_reader(rows)
    return relation.fetch_arrow_reader(rows)


PREFIX = "pipeline-planning-"
_UNLOCKED = ("pipeline-plan-", "pipeline-query-", "pipeline-sql-", "pipeline-new-")
"""Prefixes of folders without a lock: folders of version 0.1.0, folders to which DuckDB spills, and folders that are
not locked yet. These folders are removed when they are old. The name of a query's folder (`pipeline-sql-PID-…`) has the
id of its process: the folder stays as long as the process lives."""
OLD_SECONDS = 86_400.0


class Scratch:
    """A temporary folder that is locked as long as its process lives. Raises OSError."""

    def __init__(self) -> None:
        _sweep(Path(tempfile.gettempdir()))
        made = Path(tempfile.mkdtemp(prefix="pipeline-new-"))
        self._lock = os.open(made, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Other processes sweep folders with this prefix. The folder gets the prefix only now, when it is locked.
        self.path = made.rename(made.with_name(PREFIX + made.name.removeprefix("pipeline-new-")))

    def close(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def _sweep(folder: Path) -> None:
    """Removes the folders of this user in which no process works any more. A folder that cannot be removed stays."""
    with suppress(OSError):
        for entry in list(os.scandir(folder)):
            ours = entry.name.startswith((PREFIX, *_UNLOCKED)) and not _lives(entry.name)
            if ours and entry.is_dir(follow_symlinks=False):
                with suppress(OSError):
                    _sweep_one(Path(entry.path), locked=entry.name.startswith(PREFIX))


def _lives(name: str) -> bool:
    """Tells whether the process whose id is in the folder's name still lives. Returns False if there is no id."""
    found = re.match(r"pipeline-sql-(\d+)-", name)
    if found is None:
        return False
    try:
        os.kill(int(found[1]), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def _sweep_one(path: Path, *, locked: bool) -> None:
    facts = path.stat()
    if facts.st_uid != os.getuid() or not (locked or time.time() - facts.st_mtime > OLD_SECONDS):
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(descriptor)
