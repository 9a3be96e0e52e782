"""The output of `pipeline query`: a table for people, JSON or CSV for programs."""

from __future__ import annotations

import csv
import io
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import msgspec

from pipeline.errors import JobError, MachineError
from pipeline.job.values import inert
from pipeline.report import terminal
from pipeline.report.terminal import for_data

MOST_ROWS = 1_000
"""The most rows that are printed as a table. More rows are for JSON, CSV or `pipeline export`."""

PLAIN_WIDTH = 160
"""The width of a table, in characters, if stdout is not a terminal."""

RULE = "─"
"""The line under a table's heading and above a record. If the encoding does not have this character, `-` is used."""


def write(reader: Any, form: str, file: Path | None, *, safe_csv: bool = False) -> None:
    """Writes a pyarrow RecordBatchReader to stdout or `file` as `table`, `json` (one array of objects), `jsonl` or
    `csv`.

    safe_csv: in CSV, no text and no column name begins like a formula of a spreadsheet. Raises JobError if the folder
    of `file` does not exist, MachineError if `file` cannot be written.
    """
    writers = {"table": _table, "json": _json, "jsonl": _jsonl, "csv": _safe_csv if safe_csv else _csv}
    if file is None:
        writers[form](reader, sys.stdout if form == "table" else for_data(sys.stdout))
        return
    try:
        with file.open("w", encoding="utf-8", newline="") as stream:
            writers[form](reader, stream)
    except FileNotFoundError:
        raise JobError(f"-o {file}: the folder {file.parent} does not exist") from None
    except OSError as error:
        raise MachineError(f"-o {file}: cannot be written: {error.strerror}") from None


def _rows(reader: Any) -> Iterator[dict[str, Any]]:
    names = _unique(reader.schema.names)
    for batch in reader:
        columns = [column.to_pylist() for column in batch.columns]
        for values in zip(*columns, strict=True):
            yield dict(zip(names, values, strict=True))


def _unique(names: list[str]) -> list[str]:
    """Returns the names without repeats, so that an object loses no column: `id`, `id` become `id`, `id_1`."""
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        number = seen.get(name, 0)
        seen[name] = number + 1
        unique.append(f"{name}_{number}" if number else name)
    return unique


def _json(reader: Any, stream: TextIO) -> None:
    encoder = msgspec.json.Encoder(enc_hook=str)
    separator = "[\n"
    for row in _rows(reader):
        stream.write(separator + encoder.encode(row).decode())
        separator = ",\n"
    stream.write("[]\n" if separator == "[\n" else "\n]\n")


def _jsonl(reader: Any, stream: TextIO) -> None:
    encoder = msgspec.json.Encoder(enc_hook=str)
    stream.writelines(f"{encoder.encode(row).decode()}\n" for row in _rows(reader))


def _safe_csv(reader: Any, stream: TextIO) -> None:
    _csv(reader, stream, inert)


def _csv(reader: Any, stream: TextIO, made: Callable[[str], str] = str) -> None:
    writer = csv.writer(_Lines(stream), lineterminator="\r\n")
    writer.writerow([made(name) for name in _unique(reader.schema.names)])
    for row in _rows(reader):
        writer.writerow([made(value) if isinstance(value, str) else _flat(value) for value in row.values()])


class _Lines:
    r"""Writes lines that end in `\n`. The csv module uses `\r\n`: only then it quotes values with `\r` or `\n`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, line: str) -> int:
        return self._stream.write(line.removesuffix("\r\n") + "\n")


def _flat(value: Any) -> Any:
    if isinstance(value, (list, dict)):
        return msgspec.json.encode(value, enc_hook=str).decode()
    if isinstance(value, bool):
        return "true" if value else "false"
    return value


def _table(reader: Any, stream: TextIO) -> None:
    names = [terminal.as_printed(name, stream) for name in _unique(reader.schema.names)]
    numeric = [_numeric(field.type) for field in reader.schema]
    rows: list[list[str]] = []
    total = 0
    for row in _rows(reader):
        total += 1
        if total <= MOST_ROWS:
            rows.append([terminal.as_printed(_short(value), stream) for value in row.values()])
    width = shutil.get_terminal_size().columns if stream.isatty() else PLAIN_WIDTH
    # If the columns do not fit into the width, each value has its own line.
    needed = sum(min(max(len(name), *(len(row[i]) for row in rows), 1), 24) + 3 for i, name in enumerate(names))
    draw = _grid if needed <= width else _records
    rule = RULE if terminal.holds(RULE, stream) else "-"
    for line in draw(names, numeric, rows, width, rule):
        stream.write(line.rstrip() + "\n")
    if total > MOST_ROWS:
        print(f"… {total - MOST_ROWS:,} more rows: take --format json or csv", file=sys.stderr)


def _grid(names: list[str], numeric: list[bool], rows: list[list[str]], width: int, rule: str) -> Iterator[str]:
    from rich.box import Box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    heading = Box("    \n    \n" + f" {rule}{rule} \n" + "    \n" * 5, ascii=rule.isascii())
    table = Table(box=heading, pad_edge=False)
    for name, right in zip(names, numeric, strict=True):
        table.add_column(Text(name), overflow="fold", justify="right" if right else "left")
    for row in rows:
        table.add_row(*(Text(value) for value in row))
    buffer = io.StringIO()
    Console(file=buffer, width=width).print(table)
    yield from buffer.getvalue().strip("\n").splitlines()


def _records(names: list[str], numeric: list[bool], rows: list[list[str]], width: int, rule: str) -> Iterator[str]:
    margin = max(len(name) for name in names)
    for number, row in enumerate(rows, 1):
        yield f"{rule * 2} row {number} " + rule * 40
        for name, value in zip(names, row, strict=True):
            yield f"{name:>{margin}}  {value}".replace("\n", "\n" + " " * (margin + 2))


def _numeric(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))


def _short(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list) and len(value) > 8 and isinstance(value[0], float):
        return f"[{value[0]:.4f}, {value[1]:.4f}, … {len(value)} numbers]"
    return str(_flat(value))
