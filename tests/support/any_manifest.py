"""Manifests of every kind and quality, readable or not, for properties."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

WORDS = st.text(alphabet='abc1 ,;|\t"\n\r\\{}[]/.é图', max_size=8)
IDS = st.one_of(st.none(), st.integers(0, 50).map(str), WORDS)
IMAGES = st.sampled_from(["", "gone.png", "a.txt", "http://127.0.0.1:9/x.jpg", "../x.jpg", "data:,x", "[", '["a.jpg"]'])
RECORDS = st.fixed_dictionaries({"id": IDS}, optional={"image": IMAGES, "note": WORDS, "prompt": WORDS})
GARBAGE = st.text(alphabet='ab1,;\t"\n\r {}[]:\\é图\x00', max_size=12)
ENCODINGS = st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "gb18030", "cp1252"])


class AnyManifest(msgspec.Struct, frozen=True):
    """A manifest as bytes under a name, or as the query of a file beside it."""

    name: str
    body: bytes
    section: dict[str, str] = {}

    def write(self, folder: Path) -> Path:
        path = folder / self.name
        path.write_bytes(self.body)
        return path


def csv_line(record: dict[str, Any], delimiter: str, quoted: bool) -> str:
    cells = [record.get(name) or "" for name in ("id", "image", "note", "prompt")]
    if quoted or any(set(cell) & set('"\n\r' + delimiter) for cell in cells):
        cells = ['"' + cell.replace('"', '""') + '"' for cell in cells]
    return delimiter.join(cells)


@st.composite
def texts(draw: st.DrawFn, form: str) -> str:
    """The text of a manifest of one format, parts of it broken."""
    delimiter = "\t" if form == "tsv" else draw(st.sampled_from([",", ",", ";", "|"]))
    lines = []
    for record in draw(st.lists(RECORDS, max_size=6)):
        if form in ("csv", "tsv"):
            line = csv_line(record, delimiter, draw(st.booleans()))
        elif form == "txt":
            line = record.get("image") or ""
        else:
            line = json.dumps(record, ensure_ascii=draw(st.booleans()))
        if draw(st.integers(0, 3)) == 0:  # a piece is lost, or something comes between
            place = draw(st.integers(0, len(line)))
            line = line[:place] + draw(st.one_of(st.just(""), GARBAGE)) + line[place + draw(st.integers(0, 2)) :]
        lines.append(line)
        if draw(st.integers(0, 5)) == 0:
            lines.append(draw(GARBAGE))
    if form == "json":
        text = "[" + ",".join(lines) + "]"
    else:
        header = [delimiter.join(("id", "image", "note", "prompt"))] if form in ("csv", "tsv") else []
        text = "\n".join(header + lines) + draw(st.sampled_from(["", "\n"]))
    return text[: -draw(st.integers(1, 9))] if draw(st.integers(0, 9)) == 0 else text


@st.composite
def text_manifests(draw: st.DrawFn) -> AnyManifest:
    form = draw(st.sampled_from(["csv", "tsv", "txt", "jsonl", "json"]))
    encoding = draw(ENCODINGS)
    body = draw(texts(form)).encode(encoding, errors="replace")
    if draw(st.integers(0, 9)) == 0:
        place = draw(st.integers(0, len(body)))
        body = body[:place] + draw(st.binary(max_size=4)) + body[place:]
    told = encoding in ("gb18030", "cp1252") and draw(st.booleans())
    return AnyManifest(f"m.{form}", body, {"encoding": encoding} if told else {})


@st.composite
def parquet_manifests(draw: st.DrawFn) -> AnyManifest:
    rows = draw(st.lists(RECORDS, max_size=6))
    names = draw(st.lists(st.sampled_from(["id", "image", "note", "prompt", ""]), min_size=1, max_size=5))
    arrays = [pa.array([row.get(name) for row in rows], pa.string()) for name in names]
    if draw(st.booleans()):
        arrays = [array.dictionary_encode() for array in arrays]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_arrays(arrays, names=names), sink, row_group_size=draw(st.integers(1, 4)))
    body = sink.getvalue().to_pybytes()
    return AnyManifest("m.parquet", body[: -draw(st.integers(1, 30))] if draw(st.integers(0, 9)) == 0 else body)


def manifests() -> st.SearchStrategy[AnyManifest]:
    return st.one_of(text_manifests(), text_manifests(), text_manifests(), parquet_manifests())
