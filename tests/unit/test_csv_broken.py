"""Lines of CSV that are broken: each is a failure of its own, and none behind it vanishes."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.manifests import ids, job_of, problems, rows_of, written

from pipeline.manifest import open_manifest
from pipeline.manifest.lines import MAX_LINE_BYTES


def numbered(first: int, last: int) -> str:
    return "".join(f"{n},{n}.jpg\n" for n in range(first, last + 1))


def test_an_unclosed_quote_costs_its_own_line_alone(tmp_path: Path) -> None:
    text = "id,image\n" + numbered(1, 3) + '4,"4.jpg\n' + numbered(5, 2000)
    rows = rows_of(written(tmp_path, "m.csv", text))
    assert ids(rows) == [*"123", "line:5", *map(str, range(5, 2001))]
    assert problems(rows) == {"line:5": "Local.BadLine"}
    assert rows[3].problem is not None
    assert "a quote is opened and not closed" in rows[3].problem.message
    assert [row.ordinal for row in rows] == list(range(2000))


def test_an_unclosed_quote_that_a_later_quote_meets_costs_one_line(tmp_path: Path) -> None:
    text = "id,image\n" + '1,"1.jpg\n' + numbered(2, 40) + '41,"41.jpg"\n' + numbered(42, 50)
    rows = rows_of(written(tmp_path, "m.csv", text))
    assert ids(rows) == ["line:2", *map(str, range(2, 51))]


def test_several_unclosed_quotes_cost_a_line_each(tmp_path: Path) -> None:
    text = "id,image\n" + "".join(f'{n},"{n}.jpg\n' if n % 3 == 0 else f"{n},{n}.jpg\n" for n in range(1, 31))
    rows = rows_of(written(tmp_path, "m.csv", text))
    assert len(rows) == 30
    assert list(problems(rows)) == [f"line:{n + 1}" for n in range(1, 31) if n % 3 == 0]


def test_lines_of_a_broken_text_are_no_rows(tmp_path: Path) -> None:
    prose = '1,"It was late, very late.\nNobody came.\nThen, a knock.\nSilence." she said\n'
    rows = rows_of(written(tmp_path, "m.csv", "id,text\n" + prose + '2,"all, is\nwell"\n'), "embed")
    assert [row.id for row in rows if row.problem is None] == ["2"]
    assert list(problems(rows)) == ["line:2", "line:3", "line:4", "line:5"]


def test_the_end_of_a_broken_text_is_no_row(tmp_path: Path) -> None:
    rows = rows_of(written(tmp_path, "m.csv", 'id,text\n1,"one\ntwo" three, four\n2,ok\n'), "embed")
    assert list(problems(rows)) == ["line:2", "line:3"]
    assert ids(rows)[-1] == "2"


def test_a_record_of_several_lines_with_too_many_cells_counts_them(tmp_path: Path) -> None:
    rows = rows_of(written(tmp_path, "m.csv", 'id,text\n1,"one\ntwo, three\nfour",five\n2,ok\n'), "embed")
    assert list(problems(rows)) == ["line:2", "line:3", "line:4"]
    assert rows[0].problem is not None
    assert "lines 2 to 4" in rows[0].problem.message
    assert ids(rows)[-1] == "2"


def test_a_picture_name_of_several_lines_is_an_unclosed_quote(tmp_path: Path) -> None:
    text = 'id,image\n1,"1.jpg\n2,2.jpg\n3,"\n4,4.jpg\n'
    rows = rows_of(written(tmp_path, "m.csv", text))
    assert [row.id for row in rows if row.problem is None] == ["2", "4"]
    assert list(problems(rows)) == ["line:2", "line:4"]


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_quote_left_open_in_the_last_line_is_its_failure(tmp_path: Path, ending: str) -> None:
    rows = rows_of(written(tmp_path, "m.csv", 'id,image\n1,1.jpg\n2,"2.jpg' + ending))
    assert (ids(rows), list(problems(rows))) == (["1", "line:3"], ["line:3"])


def test_texts_of_several_lines_stay_one_row(tmp_path: Path) -> None:
    text = 'id,image,prompt\n1,1.jpg,"a, b\n\n2,2.jpg,c\n"\n3,3.jpg,"said ""yes"""\n'
    rows = rows_of(written(tmp_path, "m.csv", text))
    assert [(row.id, row.prompt) for row in rows] == [("1", "a, b\n\n2,2.jpg,c\n"), ("3", 'said "yes"')]
    assert rows[1].where == "m.csv:6"


def test_rows_from_any_start_are_those_of_the_whole(tmp_path: Path) -> None:
    path = written(tmp_path, "m.csv", 'id,image\n1,"1.jpg\n2,2.jpg\n3,x,y\n\n4,"4.jpg"\n5,"5\n6,6.jpg\n')
    manifest = open_manifest(str(path), job_of())
    rows = list(manifest.rows())
    assert len(rows) == 6
    for start in range(7):
        assert list(manifest.rows(start)) == rows[start:]


def test_a_line_without_end_is_one_failure(tmp_path: Path) -> None:
    text = "id,image\n1,1.jpg\n" + '2,"open\n' + "x" * (MAX_LINE_BYTES + 5000) + "\n3,3.jpg\n"
    rows = rows_of(written(tmp_path, "m.csv", text))
    assert ids(rows) == ["1", "line:3", "line:4", "3"]
    assert problems(rows) == {"line:3": "Local.BadLine", "line:4": "Local.LineTooLong"}


def test_a_line_of_empty_cells_behind_an_open_quote_is_a_row(tmp_path: Path) -> None:
    rows = rows_of(written(tmp_path, "m.tsv", 'id\timage\n1\t"a\n\t\n\n2\tb.jpg\n"\n\t\n3\tc.jpg\n'))
    assert [row.where for row in rows] == ["m.tsv:2", "m.tsv:3", "m.tsv:5", "m.tsv:6", "m.tsv:7", "m.tsv:8"]
