"""Writes the results as an image folder with metadata.jsonl, as `datasets.load_dataset("imagefolder")` and the hub read
it.

Form: huggingface.co/docs/datasets/image_dataset, "ImageFolder": `file_name` names the picture of a line.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from pipeline.errors import Fault, JobError
from pipeline.job.load import LoadedJob
from pipeline.media.files import read
from pipeline.run.sidecars import place_in_tree
from pipeline.store.disk import machine
from pipeline.store.export import chosen_columns
from pipeline.store.read import connect
from pipeline.store.sql import reader
from pipeline.types import Media, Member

BATCH_ROWS = 2_000
METADATA = "metadata.jsonl"


class FolderCounts(msgspec.Struct):
    """Counts of rows. several: the row has not exactly one picture. elsewhere: the picture is no file on this
    machine."""

    written: int = 0
    several: int = 0
    elsewhere: int = 0

    def lines(self, dest: Path) -> Iterator[str]:
        """The counts in words."""
        yield f"{self.written:,} pictures and {METADATA} written to {dest}"
        if self.several:
            yield f"{self.several:,} rows not written: the row has not exactly one picture"
        if self.elsewhere:
            yield f"{self.elsewhere:,} rows not written: the picture is no file of its own on this machine"


def write_image_folder(spec: LoadedJob, dest: Path, columns: tuple[str, ...], without: tuple[str, ...]) -> FolderCounts:
    """Writes each row's picture below `dest`, and its line. Blocking. Raises JobError for a folder that is not empty,
    else PipelineError."""
    if dest.exists() and any(dest.iterdir()):
        raise JobError(f"{dest}: must be a new or an empty folder")
    connection = connect(spec.output, spec.job.task)
    chosen = chosen_columns(connection, columns, without)
    encoder = msgspec.json.Encoder(enc_hook=str)
    counts = FolderCounts()
    taken: set[str] = set()
    with machine("write the image folder", dest):
        dest.mkdir(parents=True, exist_ok=True)
        with (dest / METADATA).open("wb") as lines:
            for batch in reader(connection.sql("select * from results order by id"), BATCH_ROWS):
                for row in batch.to_pylist():
                    name = _picture(spec, dest, row, counts, taken)
                    if name is not None:
                        line = {"file_name": name, **{key: row[key] for key in chosen if key != "file_name"}}
                        lines.write(encoder.encode(line) + b"\n")
                        counts.written += 1
    return counts


def _picture(spec: LoadedJob, dest: Path, row: Mapping[str, Any], counts: FolderCounts, taken: set[str]) -> str | None:
    """Writes a row's picture; returns its name below `dest`. Rows of one picture share the file."""
    source = row["source"] or []
    if len(source) != 1:
        counts.several += 1
        return None
    if not str(source[0]).startswith("/"):
        counts.elsewhere += 1
        return None
    name = place_in_tree(spec, str(source[0]))
    if name not in taken:
        try:
            body = _bytes(str(source[0]))
        except Fault:
            counts.elsewhere += 1
            return None
        target = dest / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(body)
        taken.add(name)
    return name


def _bytes(source: str) -> bytes:
    """The original bytes of a picture, of a file or of a member of an archive. Raises Fault."""
    archive, mark, member = source.partition("#")
    if not mark or os.path.isfile(source):  # noqa: PTH113 - a text, as names may be that are no text
        return read(Media(kind="image", ref=source, path=source))
    return read(Media(kind="image", ref=source, path=archive, member=Member(name=member)))
