from __future__ import annotations

import csv
import io
import json
import os
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.manifests import job_of, outcome, rows_of, written

from pipeline.errors import ManifestError
from pipeline.manifest import from_table
from pipeline.manifest.row_media import sample
from pipeline.manifest.walk import natural_key
from pipeline.media.redact import public, redacted, unsigned
from pipeline.media.refs import inside, is_relative, to_media
from pipeline.types import Media

NAMES = st.text(alphabet="ab_-0123456789.", min_size=1, max_size=12)
SEGMENTS = st.lists(st.sampled_from(["..", ".", "a", "b c", "%2e%2e", "", "~", "...", "+"]), min_size=1, max_size=7)


def fields_of(record: dict[str, str]) -> tuple[str, str, str]:
    return record["id"], record["prompt"], record["note"]


TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=30)


@given(st.lists(NAMES, unique=True))
def test_natural_order_is_total_and_does_not_depend_on_where_one_starts(names: list[str]) -> None:
    shuffled = names[::-1]
    once = sorted(names, key=natural_key)
    assert sorted(shuffled, key=natural_key) == once
    assert len({repr(natural_key(name)) for name in names}) == len(names)


@given(
    st.text(alphabet="ab_", max_size=5), st.integers(0, 10**30), st.integers(0, 10**30), st.sampled_from(["", ".jpg"])
)
def test_natural_order_counts(stem: str, one: int, two: int, ending: str) -> None:
    keys = natural_key(f"{stem}{one}{ending}"), natural_key(f"{stem}{two}{ending}")
    assert (keys[0] < keys[1]) == (one < two)


@given(SEGMENTS, st.sampled_from(["", "file://", "file:"]))
def test_a_relative_reference_stays_within_the_manifests_folder_or_is_refused(parts: list[str], scheme: str) -> None:
    ref = scheme + "/".join(parts)
    media, code = outcome(lambda: to_media(ref, "image", "/data/set"))
    assert code in (None, "Local.OutsideManifest", "Local.BadReference")
    if media is None:
        return
    assert media.path is not None
    if is_relative(ref):
        assert inside(os.path.normpath(media.path), "/data/set")
        assert ".." not in media.path.split("/")


@given(
    st.one_of(
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False).map(repr),
        st.from_regex(r"-?[1-9][0-9]{0,30}(\.[0-9]{1,9})?([eE][+-]?[0-9]{1,2})?", fullmatch=True),
    )
)
def test_a_number_as_id_is_its_literal_in_jsonl_and_csv(literal: object) -> None:
    with TemporaryDirectory() as folder:
        jsonl = written(Path(folder), "m.jsonl", f'{{"a": 1, "id": {literal}, "b": {{"id": 2}}}}\n')
        table = written(Path(folder), "m.csv", f"id,n\n{literal},1\n")
        assert [row.id for row in rows_of(jsonl)] == [str(literal)]
        assert [row.id for row in rows_of(table)] == [str(literal)]


@settings(max_examples=60)
@given(
    st.lists(st.fixed_dictionaries({"id": TEXTS.filter(bool), "prompt": TEXTS, "note": TEXTS}), min_size=1, max_size=6)
)
def test_texts_come_back_from_jsonl_csv_and_tables_as_they_were_written(records: list[dict[str, str]]) -> None:
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, ["id", "prompt", "note"], quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(records)
    with TemporaryDirectory() as folder:
        lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        jsonl = rows_of(written(Path(folder), "m.jsonl", lines))
        table = rows_of(written(Path(folder), "m.csv", file.getvalue()))
    memory = list(from_table(records, job_of(), "/b").rows())
    assert [(row.id, row.prompt, row.columns["note"]) for row in jsonl] == [fields_of(record) for record in records]
    assert [(row.id, row.prompt, row.columns) for row in memory] == [(row.id, row.prompt, row.columns) for row in jsonl]
    assert [(row.id, row.prompt or "", row.raw["note"] or "") for row in table] == [
        fields_of(record) for record in records
    ]


def is_other(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return True
    return False


@settings(max_examples=60)
@given(st.lists(st.one_of(st.binary(max_size=40), st.just(b'{"id": "x"}'), TEXTS.map(str.encode)), max_size=6))
def test_any_bytes_as_lines_give_a_row_a_line_or_are_refused(lines: list[bytes]) -> None:
    lines = [line.replace(b"\n", b" ") for line in lines]
    text = b'{"id": "first", "pad": "' + b"-" * 5000 + b'"}\n' + b"\n".join(lines)
    with TemporaryDirectory() as folder:
        path = written(Path(folder), "m.jsonl", text)
        if 2 * sum(map(is_other, lines)) > sum(not line.isascii() for line in lines) and sum(map(is_other, lines)) > 1:
            with pytest.raises(ManifestError, match="the text is not UTF-8"):
                rows_of(path)
            return
        rows = rows_of(path)
    assert len(rows) == 1 + sum(bool(line.strip()) for line in lines)
    assert [row.ordinal for row in rows] == list(range(len(rows)))


@given(
    st.text(max_size=60),
    st.sampled_from(["", "https://u:p@h/", "data:", "data:image/png;base64,", "file://", "http://h/?sig="]),
)
def test_any_text_as_a_reference_is_a_media_or_a_refusal(text: str, start: str) -> None:
    media, code = outcome(lambda: to_media(start + text, "image", "/base"))
    assert code in (None, "Local.OutsideManifest", "Local.BadReference")
    if media is not None:
        assert sum(value is not None for value in (media.path, media.url, media.data)) == 1
        assert isinstance(public(media), str)


@given(
    st.text(max_size=60),
    st.dictionaries(st.sampled_from(["Signature", "sig", "token", "x-amz-signature"]), st.just("SECRET"), min_size=1),
)
def test_no_signature_survives_and_unsigning_twice_changes_nothing(rest: str, signed: dict[str, str]) -> None:
    query = "&".join(f"{name}={value}" for name, value in signed.items())
    url = f"https://h/{rest.replace('?', '')}?{query}"
    assert "SECRET" not in unsigned(url) or "SECRET" in rest
    assert unsigned(unsigned(url)) == unsigned(url)
    assert "SECRET" not in json.dumps(redacted({"a": [url]})) or "SECRET" in rest


@given(st.integers(1, 400), st.integers(1, 400))
def test_a_sample_is_in_order_without_repeats_and_even(count: int, most: int) -> None:
    pictures = tuple(Media(kind="image", ref=str(n), path=f"/{n}") for n in range(count))
    taken = [int(media.ref) for media in sample(pictures, most)]
    assert len(taken) == min(count, most)
    assert taken == sorted(set(taken))
    assert taken[0] == 0
    assert most == 1 or taken[-1] == count - 1
    gaps = {later - earlier for earlier, later in pairwise(taken)}
    assert not gaps or max(gaps) - min(gaps) <= 2
