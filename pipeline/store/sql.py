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
    """One named block, each `{key}` replaced by its value. Braces of other names stay."""
    text = _blocks()[name]
    for key, value in values.items():
        text = text.replace(f"{{{key}}}", str(value))
    return text.strip() + "\n"


def literal(text: str) -> str:
    """The inside of an SQL string."""
    return text.replace("'", "''")


def quoted(name: str) -> str:
    """The name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def pattern(folder: str) -> str:
    """A glob for the parts of a folder, whatever characters the folder's name has; for the inside of an SQL string."""
    return literal(escaped(folder)) + "/*.parquet"


def escaped(path: str) -> str:
    """The path as a glob that fits nothing but itself."""
    return re.sub(r"([\[*?])", r"[\1]", path)


def materialized(relation: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """Runs the relation's query; the relation that is returned holds its rows. Raises duckdb.Error."""
    if hasattr(relation, "materialize"):  # from 2.0 on, where `execute` is gone
        return relation.materialize()
    older: Any = relation
    done: duckdb.DuckDBPyRelation = older.execute()
    return done


def reader(relation: duckdb.DuckDBPyRelation, rows: int) -> pa.RecordBatchReader:
    """The relation's rows in batches of about `rows`."""
    if hasattr(relation, "to_arrow_reader"):  # from 1.5 on
        return relation.to_arrow_reader(rows)
    return relation.fetch_arrow_reader(rows)


PREFIX = "pipeline-planning-"
_UNLOCKED = ("pipeline-plan-", "pipeline-query-", "pipeline-sql-", "pipeline-new-")
"""Of version 0.1.0, of DuckDB's own spilling, and of a folder that is not locked yet: these go by their age. The name
of a query's folder (`pipeline-sql-PID-…`) holds its process: such a folder stays while that process lives."""
OLD_SECONDS = 86_400.0


class Scratch:
    """A temporary folder that is locked as long as its process lives. Raises OSError."""

    def __init__(self) -> None:
        _sweep(Path(tempfile.gettempdir()))
        made = Path(tempfile.mkdtemp(prefix="pipeline-new-"))
        self._lock = os.open(made, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The name by which others sweep it comes last: it is locked by then.
        self.path = made.rename(made.with_name(PREFIX + made.name.removeprefix("pipeline-new-")))

    def close(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def _sweep(folder: Path) -> None:
    """Removes the folders of this user that no process works in any more. What cannot be removed stays."""
    with suppress(OSError):
        for entry in list(os.scandir(folder)):
            ours = entry.name.startswith((PREFIX, *_UNLOCKED)) and not _lives(entry.name)
            if ours and entry.is_dir(follow_symlinks=False):
                with suppress(OSError):
                    _sweep_one(Path(entry.path), locked=entry.name.startswith(PREFIX))


def _lives(name: str) -> bool:
    """Whether the process that a folder's name holds is still there."""
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
