"""JSON as other programs write it: numbers that are none, and objects over several lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.manifests import ids, job_of, problems, rows_of, written

from pipeline.errors import ManifestError
from pipeline.manifest import open_manifest


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_is_none_is_no_value(tmp_path: Path, number: str) -> None:
    line = (
        f'{{"id": 1e3, "image": "a.jpg", "score": {number}, "more": [{number}, {{"x":{number}}}], "said": "{number}"}}'
    )
    (row,) = rows_of(written(tmp_path, "m.jsonl", line + "\n"))
    assert (row.id, row.problem) == ("1e3", None)
    assert row.columns == {"score": None, "more": [None, {"x": None}], "said": number}


def test_what_pandas_and_python_write_is_read(tmp_path: Path) -> None:
    rows = [{"id": f"r{n}", "image": "a.jpg", "w": w, "t": 'NaN, "NaN" \\'} for n, w in enumerate([1.5, float("nan")])]
    path = written(tmp_path, "m.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert [row.columns for row in rows_of(path)] == [{"w": 1.5, "t": rows[0]["t"]}, {"w": None, "t": rows[0]["t"]}]


def test_an_id_that_is_no_number_is_none(tmp_path: Path) -> None:
    (row,) = rows_of(written(tmp_path, "m.jsonl", '{"id": NaN, "image": "a.jpg"}\n'))
    assert (row.given, row.problem) == (False, None)


def test_a_cell_that_holds_json_may_have_them_too(tmp_path: Path) -> None:
    path = written(tmp_path, "m.csv", 'id,image,parameters\n1,a.jpg,"{""seed"": NaN, ""n"": 1}"\n')
    (row,) = rows_of(path)
    assert dict(row.parameters) == {"seed": None, "n": 1}


@pytest.mark.parametrize("line", ['{"id": "a", "n": nan}', '{"id": "a", "n": NaNs}', '{"id": "a", "n": +Infinity}'])
def test_other_spellings_stay_broken_lines(tmp_path: Path, line: str) -> None:
    rows = rows_of(written(tmp_path, "m.jsonl", '{"id": "b", "image": "b.jpg"}\n' + line + "\n"))
    assert (ids(rows), problems(rows)) == (["b", "line:2"], {"line:2": "Local.BadLine"})


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"id": "a", "image": "a.jpg"}, indent=2) + "\n",
        "\n".join(json.dumps({"id": n, "image": "a.jpg"}, indent=4) for n in range(2000)),
        json.dumps({"id": "a", "long": ["x" * 100] * 5000}, indent=1),
        '{"id": "a",\n "image": "a.jpg"}\n',
        '\ufeff\n{\n"id": 1\n}',
    ],
)
def test_objects_over_several_lines_are_refused_with_the_way_out(tmp_path: Path, text: str) -> None:
    with pytest.raises(ManifestError, match=r"m\.jsonl: .*over several lines.*jq -c \. "):
        open_manifest(str(written(tmp_path, "m.jsonl", text)), job_of())


@pytest.mark.parametrize("first", ["{", '{"id": "a", "image":', '{"id": "a"} {"id": "b"}', '{"id": "a"}}', '["a"'])
def test_a_broken_first_line_is_a_failure_of_its_own(tmp_path: Path, first: str) -> None:
    path = written(tmp_path, "m.jsonl", first + '\n{"id": "b", "image": "b.jpg"}\n')
    if first.startswith("["):
        with pytest.raises(ManifestError, match="array"):
            rows_of(path)
    else:
        assert ids(rows_of(path)) == ["line:1", "b"]
