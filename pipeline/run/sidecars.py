"""Writes each row's answer into a small file beside the picture. Programs that train on captions read such files."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import msgspec

from pipeline.errors import JobError
from pipeline.job.load import LoadedJob
from pipeline.manifest.sql import is_query
from pipeline.manifest.walk import is_glob, split_glob
from pipeline.store.disk import machine
from pipeline.store.export import chosen_columns
from pipeline.store.layout import Layout
from pipeline.store.read import connect
from pipeline.store.sql import reader
from pipeline.tasks import facts
from pipeline.tasks.prompts import render, unknown_column

KINDS = ("txt", "json", "xmp")
BATCH_ROWS = 2_000
_OWN = "sidecars.sqlite"
"""A database in `runs/`: the files that were written, each with the hash of its content. By the hash, a file of ours is
told from a file that somebody else wrote."""

_XMP = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:description><rdf:Alt>'
    '<rdf:li xml:lang="x-default">{}</rdf:li></rdf:Alt></dc:description></rdf:Description></rdf:RDF></x:xmpmeta>\n'
    '<?xpacket end="w"?>\n'
)
"""An XMP packet with dc:description (ISO 16684-1, XMP part 1: serialization and the Dublin Core schema)."""


class Written(msgspec.Struct):
    """The result of an export, in counts of rows. same: the file has this content already. foreign: somebody else's
    file is there and stays. several: the row has more than one picture, or no picture. elsewhere: the picture is no
    file on this machine, or is a member of an archive and there is no `dest`. doubled: another row has the same
    file."""

    written: int = 0
    same: int = 0
    foreign: int = 0
    several: int = 0
    elsewhere: int = 0
    doubled: int = 0

    def lines(self, kind: str) -> Iterator[str]:
        """Yields the counts in words, with the reason for each count of files that were not written."""
        same = f", {self.same:,} as they should be" if self.same else ""
        yield f"{self.written:,} .{kind} files written{same}"
        for count, why in (
            (self.foreign, "another file of that name is there; --overwrite replaces it"),
            (self.several, "the row has not exactly one picture"),
            (
                self.elsewhere,
                "the picture is no file of its own here; a folder as DEST takes members of archives",
            ),
            (self.doubled, "another row has the same file, which is written"),
        ):
            if count:
                yield f"{count:,} not written: {why}"


class Sidecars:
    """One export of sidecars.

    dest: the folder for the files, with the tree of the manifest's folder; None: the files go beside the pictures.
    """

    def __init__(self, spec: LoadedJob, kind: str, dest: Path | None, *, template: str | None, overwrite: bool) -> None:
        if kind not in KINDS:
            raise JobError(f"--sidecar {kind}: expected one of {', '.join(KINDS)}")
        self._spec = spec
        self._kind = kind
        self._dest = dest
        self._overwrite = overwrite
        self._template = template
        self._content = _contents(spec, kind, template)
        self.counts = Written()

    def write(self, columns: tuple[str, ...], without: tuple[str, ...]) -> Written:
        """Writes the files of all rows. Blocking. Raises JobError, StoreError, MachineError."""
        connection = connect(self._spec.output, self._spec.job.task)
        chosen = chosen_columns(connection, columns, without)
        if self._template is not None:
            _check_template(self._template, connection.sql("select * from results limit 0").columns)
        batches = reader(connection.sql("select * from results"), BATCH_ROWS)
        own = sqlite3.connect(Layout(self._spec.output).runs / _OWN)
        with own:
            own.execute("create table if not exists files (path text primary key, hash blob)")
            own.execute("create temp table taken (path text primary key)")
            for batch in batches:
                for row in batch.to_pylist():
                    self._one(own, row, {name: row[name] for name in chosen})
        own.close()
        return self.counts

    def _one(self, own: sqlite3.Connection, row: Mapping[str, Any], shown: Mapping[str, Any]) -> None:
        path = self._path(row)
        if path is None:
            return
        if own.execute("insert or ignore into taken values (?)", (path,)).rowcount == 0:
            self.counts.doubled += 1
            return
        body = self._content(row, shown)
        hashed = hashlib.sha256(body).digest()
        there = _read(path)
        if there == body:
            self.counts.same += 1
        elif there is not None and not self._overwrite and not _is_ours(own, path, there):
            self.counts.foreign += 1
            return
        else:
            _write(path, body)
            self.counts.written += 1
        own.execute("insert or replace into files values (?, ?)", (path, hashed))

    def _path(self, row: Mapping[str, Any]) -> str | None:
        """Returns the path of a row's sidecar. Counts the row and returns None if the row has no sidecar."""
        source = row["source"] or []
        if len(source) != 1:
            self.counts.several += 1
            return None
        place = str(source[0])
        mark = "#" in place
        if not place.startswith("/") or (mark and self._dest is None):
            self.counts.elsewhere += 1
            return None
        if self._dest is not None:
            place = str(self._dest / place_in_tree(self._spec, place))
        return f"{os.path.splitext(place)[0]}.{self._kind}"  # noqa: PTH122 - a text, as names may be that are no text


def place_in_tree(spec: LoadedJob, source: str) -> str:
    """Where a picture stands below the manifest's folder; a member of an archive as if its archive were a folder. A
    picture from elsewhere keeps its whole path. source: an absolute path, with `#member` for a member of an archive."""
    archive, mark, member = source.partition("#")
    inside = os.path.relpath(archive, _root(spec))
    inside = archive.lstrip("/") if inside.startswith("..") else inside
    return f"{inside}/{member}" if mark else inside


def _contents(
    spec: LoadedJob, kind: str, template: str | None
) -> Callable[[Mapping[str, Any], Mapping[str, Any]], bytes]:
    """Returns the function that makes a sidecar's content from a row and its chosen columns.

    Raises JobError for a task without text, unless there is a template or the kind is json.
    """
    if kind == "json":
        encoder = msgspec.json.Encoder(enc_hook=str)
        return lambda row, shown: msgspec.json.format(encoder.encode(shown), indent=2) + b"\n"
    column = next((column.name for column in facts(spec.job.task).columns if column.type == "text"), None)
    if column is None and template is None:
        raise JobError(f"--sidecar {kind}: an answer of {spec.job.task} is no text; take json, or a --template")
    pattern = template if template is not None else f"{{{column}}}"

    def text(row: Mapping[str, Any], shown: Mapping[str, Any]) -> bytes:
        found = render(pattern, {name: _joined(value) for name, value in row.items()})
        return (_XMP.format(escape(found)) if kind == "xmp" else found).encode("utf-8", "replace")

    return text


def _joined(value: Any) -> Any:
    """Returns a list of texts as one text with commas, as trainers read tags; any other value unchanged."""
    texts = isinstance(value, list) and all(isinstance(item, str) for item in value)
    return ", ".join(value) if texts else value


def _check_template(template: str, columns: Iterable[str]) -> None:
    """Raises JobError for a {name} that is no column of `results`."""
    problem = unknown_column(template, columns)
    if problem is not None:
        raise JobError(f"--template: {problem.replace('the prompt', 'the template').replace('manifest', 'output')}")


def _root(spec: LoadedJob) -> str:
    """Returns the folder where the tree of sidecars begins: the manifest's folder, for a query the job's folder."""
    if is_query(spec.manifest):
        return spec.folder
    place = Path(split_glob(spec.manifest)[0]) if is_glob(spec.manifest) else Path(spec.manifest)
    return str(place if place.is_dir() else place.parent)


def _read(path: str) -> bytes | None:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        return None
    except OSError:
        return b""


def _is_ours(own: sqlite3.Connection, path: str, body: bytes) -> bool:
    """Tells whether the file has the content that an earlier export wrote."""
    found = own.execute("select hash from files where path = ?", (path,)).fetchone()
    return found is not None and found[0] == hashlib.sha256(body).digest()


def _write(path: str, body: bytes) -> None:
    place = Path(path)
    with machine("write the sidecar", place):
        place.parent.mkdir(parents=True, exist_ok=True)
        beside = place.with_name(f".{place.name}.tmp")
        beside.write_bytes(body)
        beside.replace(place)
