"""Export: the view `results`, one row per id, as one file for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.errors import JobError, MachineError
from pipeline.job.values import FORMULA, inert
from pipeline.store.disk import DISK, Files, machine
from pipeline.store.part_writer import writing
from pipeline.store.parts import ROW_GROUP
from pipeline.store.read import connect
from pipeline.store.sql import literal, quoted, reader
from pipeline.types import TaskName

ENDINGS = (".parquet", ".csv", ".jsonl")


def export(output: Path, task: TaskName, dest: Path, *, files: Files = DISK, safe_csv: bool = False) -> int:
    """Writes `results` to `dest`, Parquet, CSV or JSONL by its ending, in one step; returns the number of rows.

    Parquet keeps all types: vectors are fixed-size lists, or plain lists where one is missing. CSV has lists as JSON
    text; JSONL has them as lists and `extra` as an object. safe_csv: in CSV, `'` before every text and column name that
    begins like a formula, so that no spreadsheet runs it.

    Raises JobError for another ending, StoreError and MachineError.
    """
    ending = dest.suffix.lower()
    if ending not in ENDINGS:
        raise JobError(f"{dest}: the ending says the format; it must be one of {', '.join(ENDINGS)}")
    if dest.is_dir() or not dest.parent.is_dir():
        raise JobError(f"{dest}: must be a file in a folder that exists")
    connection = connect(output, task)
    with machine("write the export", dest.parent):
        if ending == ".parquet":
            return _parquet(files, connection, dest)
        return _text(files, connection, dest, ending, safe_csv and ending == ".csv")


def _parquet(files: Files, connection: Any, dest: Path) -> int:
    import pyarrow as pa

    # Before version 26, pyarrow does not support NULL among vectors of one length: such vectors become plain lists.
    vectors = dict(zip(*_described(connection), strict=True)).get("embedding", "").startswith("FLOAT[")
    missing = vectors and connection.sql("select 1 from results where embedding is null limit 1").fetchall()
    chosen = "* replace (embedding::float[] as embedding)" if missing else "*"
    batches = reader(connection.sql(f"select {chosen} from results"), ROW_GROUP)
    rows = 0
    with writing(files, dest, batches.schema) as writer:
        for batch in batches:
            writer.write(pa.Table.from_batches([batch]), ROW_GROUP)
            rows += batch.num_rows
    return rows


def _text(files: Files, connection: Any, dest: Path, ending: str, safe: bool) -> int:
    import duckdb

    chosen = [_column(name, type_, ending, safe) for name, type_ in zip(*_described(connection), strict=True)]
    options = "format csv, header" if ending == ".csv" else "format json"
    temporary = dest.with_name(f".{dest.name}.tmp")
    target = literal(str(temporary))
    try:
        copied = connection.execute(f"copy (select {', '.join(chosen)} from results) to '{target}' ({options})")
        rows = int(copied.fetchall()[0][0])
    except duckdb.IOException as error:
        files.unlink(temporary)
        raise MachineError(f"could not write {dest}: {error}. See to the machine, then run the same again.") from error
    files.rename(temporary, dest)
    files.sync_folder(dest.parent)
    return rows


def _described(connection: Any) -> tuple[list[str], list[str]]:
    """The names and the SQL types of the columns of `results`."""
    described = connection.sql("select * from results limit 0")
    return described.columns, [str(type_) for type_ in described.types]


def _column(name: str, type_: str, ending: str, safe: bool) -> str:
    ident = quoted(name)
    if ending == ".jsonl":
        return f"try_cast(extra as json) as {ident}" if name == "extra" else ident
    nested = type_.endswith("]") or type_.startswith(("STRUCT", "MAP"))
    shown = quoted(inert(name)) if safe else ident
    if safe and type_ == "VARCHAR":
        signs = ", ".join(f"chr({ord(sign)})" for sign in FORMULA)
        return f"case when {ident}[1] in ({signs}) then chr(39) || {ident} else {ident} end as {shown}"
    return f"to_json({ident}) as {shown}" if nested else f"{ident} as {shown}"
