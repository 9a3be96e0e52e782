"""Export: the view `results`, one row per id, as one file for other tools."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.errors import JobError, MachineError, MissingExtra
from pipeline.job.values import FORMULA, did_you_mean, inert
from pipeline.store.disk import DISK, Files, machine
from pipeline.store.part_writer import writing
from pipeline.store.parts import ROW_GROUP, VECTOR_ROW_GROUP
from pipeline.store.read import connect
from pipeline.store.sql import literal, quoted, reader
from pipeline.types import TaskName

if TYPE_CHECKING:
    import duckdb

STDOUT = Path("-")
"""Stands for standard output. The export is JSONL there."""


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """Which columns are exported, and how.

    `columns`: only these columns, in this order; if empty, all columns. `without`: columns that are left out.
    `safe_csv`: in CSV, `'` stands before each text and name that a spreadsheet would run as a formula.
    """

    columns: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    safe_csv: bool = False


ALL = Chosen()


def export(output: Path, task: TaskName, dest: Path, chosen: Chosen = ALL, *, files: Files = DISK) -> int:
    """Writes `results` to `dest` in one step, in the format of the file's ending. Returns the number of rows.

    Parquet, Arrow, Lance and DuckDB keep all types, and vectors as fixed-size lists. CSV has lists as JSON text. JSONL
    has lists as JSON lists and `extra` as an object. `-` is standard output, as JSONL. Missing folders are made. Raises
    JobError for an unknown ending or an unknown column, MissingExtra, StoreError and MachineError.
    """
    ending = ".jsonl" if dest == STDOUT else dest.suffix.lower()
    if ending not in _WRITERS:
        raise JobError(f"{dest}: the ending says the format; it must be one of {', '.join(_WRITERS)}, or - for stdout")
    connection = connect(output, task)
    columns = chosen_columns(connection, chosen.columns, chosen.without)
    if dest == STDOUT:
        return _to_stdout(connection, columns, files)
    if dest.is_dir() and ending != ".lance":
        raise JobError(f"{dest}: must be a file, and is a folder")
    with machine("write the export", dest.parent):
        dest.parent.mkdir(parents=True, exist_ok=True)
        return _WRITERS[ending](_Export(connection, columns, dest, files, chosen.safe_csv))


def chosen_columns(
    connection: duckdb.DuckDBPyConnection, columns: Iterable[str], without: Iterable[str]
) -> tuple[str, ...]:
    """Returns the wanted columns of `results`. Raises JobError, with the nearest name, for an unknown column."""
    known = connection.sql("select * from results limit 0").columns
    for option, names in (("--columns", columns), ("--without", without)):
        for name in names:
            if name not in known:
                raise JobError(f"{option}: results has no column {name!r}{did_you_mean(name, known)}")
    left_out = set(without)
    return tuple(columns) or tuple(name for name in known if name not in left_out)


class _Export(msgspec.Struct, frozen=True):
    connection: Any
    columns: tuple[str, ...]
    dest: Path
    files: Files
    safe_csv: bool

    @property
    def select(self) -> str:
        return f"select {', '.join(map(quoted, self.columns))} from results"

    def batches(self) -> Any:
        """Returns a reader of the rows as Arrow batches.

        If a vector is missing, fixed-size vectors become plain lists: before version 26, pyarrow does not write NULL
        among fixed-size vectors.
        """
        described = self.connection.sql(f"{self.select} limit 0")
        types = dict(zip(described.columns, map(str, described.types), strict=True))
        select = self.select
        size = VECTOR_ROW_GROUP if "FLOAT" in types.get("embedding", "") else ROW_GROUP
        if types.get("embedding", "").startswith("FLOAT["):
            missing = self.connection.sql("select 1 from results where embedding is null limit 1").fetchall()
            select = f"select * replace (embedding::float[] as embedding) from ({select})" if missing else select
        return reader(self.connection.sql(select), size)


def write_batches(batches: Any, dest: Path, *, files: Files = DISK) -> int:
    """Writes a pyarrow RecordBatchReader to a .parquet or .arrow file in one step; returns the number of rows. Raises
    MachineError."""
    with machine("write the file", dest.parent):
        dest.parent.mkdir(parents=True, exist_ok=True)
        return (_arrow_of if dest.suffix.lower() == ".arrow" else _parquet_of)(batches, dest, files)


def _parquet(wanted: _Export) -> int:
    return _parquet_of(wanted.batches(), wanted.dest, wanted.files)


def _parquet_of(batches: Any, dest: Path, files: Files) -> int:
    import pyarrow as pa

    rows = 0
    with writing(files, dest, batches.schema) as writer:
        for batch in batches:
            writer.write(pa.Table.from_batches([batch]))
            rows += batch.num_rows
    return rows


def _arrow(wanted: _Export) -> int:
    return _arrow_of(wanted.batches(), wanted.dest, wanted.files)


def _arrow_of(batches: Any, dest: Path, files: Files) -> int:
    import pyarrow as pa

    temporary = _beside(dest)
    rows = 0
    with pa.OSFile(str(temporary), "wb") as file, pa.ipc.new_file(file, batches.schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
            rows += batch.num_rows
    files.rename(temporary, dest)
    files.sync_folder(dest.parent)
    return rows


def _lance(wanted: _Export) -> int:
    try:
        import lance
    except ImportError:
        raise MissingExtra(f"{wanted.dest}: for Lance, install pylance: pip install pylance") from None
    temporary = _beside(wanted.dest)
    shutil.rmtree(temporary, ignore_errors=True)
    found = lance.write_dataset(wanted.batches(), str(temporary))
    shutil.rmtree(wanted.dest, ignore_errors=True)
    _put(wanted, temporary)
    return int(found.count_rows())


def _duckdb(wanted: _Export) -> int:
    temporary = _beside(wanted.dest)
    temporary.unlink(missing_ok=True)
    wanted.connection.execute(f"attach '{literal(str(temporary))}' as exported")
    wanted.connection.execute(f"create table exported.results as {wanted.select}")
    rows = int(wanted.connection.execute("select count(*) from exported.results").fetchall()[0][0])
    wanted.connection.execute("detach exported")
    _put(wanted, temporary)
    return rows


def _csv(wanted: _Export) -> int:
    return _copied(wanted, "format csv, header")


def _jsonl(wanted: _Export) -> int:
    return _copied(wanted, "format json")


_WRITERS: dict[str, Callable[[_Export], int]] = {
    ".parquet": _parquet,
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".arrow": _arrow,
    ".lance": _lance,
    ".duckdb": _duckdb,
}


def _copied(wanted: _Export, options: str) -> int:
    """Writes a text file with DuckDB's COPY. Returns the number of rows. Raises MachineError."""
    import duckdb

    described = wanted.connection.sql(f"{wanted.select} limit 0")
    named = zip(described.columns, described.types, strict=True)
    ending = wanted.dest.suffix.lower()
    chosen = [_column(name, str(type_), ending, wanted.safe_csv and ending == ".csv") for name, type_ in named]
    temporary = _beside(wanted.dest)
    try:
        copied = wanted.connection.execute(
            f"copy (select {', '.join(chosen)} from results) to '{literal(str(temporary))}' ({options})"
        )
        rows = int(copied.fetchall()[0][0])
    except duckdb.IOException as error:
        wanted.files.unlink(temporary)
        advice = "See to the machine, then run the same again."
        raise MachineError(f"could not write {wanted.dest}: {error}. {advice}") from error
    _put(wanted, temporary)
    return rows


def _to_stdout(connection: Any, columns: tuple[str, ...], files: Files) -> int:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "results.jsonl"
        rows = _jsonl(_Export(connection, columns, file, files, False))
        with file.open("rb") as source:
            shutil.copyfileobj(source, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    return rows


def _beside(dest: Path) -> Path:
    return dest.with_name(f".{dest.name}.tmp")


def _put(wanted: _Export, temporary: Path) -> None:
    """Gives the finished file its final name."""
    wanted.files.rename(temporary, wanted.dest)
    wanted.files.sync_folder(wanted.dest.parent)


def _column(name: str, type_: str, ending: str, safe: bool) -> str:
    plain = quoted(name)
    if ending == ".jsonl":
        return f"try_cast(extra as json) as {plain}" if name == "extra" else plain
    nested = type_.endswith("]") or type_.startswith(("STRUCT", "MAP"))
    shown = quoted(inert(name)) if safe else plain
    if safe and type_ == "VARCHAR":
        signs = ", ".join(f"chr({ord(sign)})" for sign in FORMULA)
        return f"case when {plain}[1] in ({signs}) then chr(39) || {plain} else {plain} end as {shown}"
    return f"to_json({plain}) as {shown}" if nested else f"{plain} as {shown}"
