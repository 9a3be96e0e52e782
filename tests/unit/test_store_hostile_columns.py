"""Columns that once broke an output or were lost: their names, their values, and how many of them there are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.store_records import answer, failure, keep, rows

from pipeline.store import Store
from pipeline.store.datasets import MOST_COLUMNS, OTHERS
from pipeline.store.failed_rows import accept
from pipeline.store.maintenance import compact
from pipeline.store.read import connect

FIXTURE = Path(__file__).parents[1] / "fixtures" / "output-0.1.0-names"


@pytest.mark.parametrize("name", ["part_", "PART_", "answers_", "stamp_", "rows_", "filename", "embedding"])
def test_a_column_with_a_name_of_the_views_stays_itself(tmp_path: Path, name: str) -> None:
    columns = {name: "mine", "other": 1}
    held = failure("b", fault="suspect", columns=columns, answer={"caption": "held"})
    keep(tmp_path, answer("c", columns={"other": 1}))
    keep(tmp_path, answer("a", columns=columns), held)
    keep(tmp_path, answer("d", columns=columns))
    compact(tmp_path, "caption", run_id="c")
    with Store.open(tmp_path, "caption", run_id="r") as store:
        assert accept(store) == 1
    told = connect(tmp_path, "caption").sql(f'select id, "{name}", other from results order by id').fetchall()
    assert told == [("a", "mine", 1), ("b", "mine", 1), ("c", None, 1), ("d", "mine", 1)]


def test_names_of_a_dismissal_are_ours(tmp_path: Path) -> None:
    keep(tmp_path, failure("a", columns={"dismissed_at": "never", "dismissed_reason": 7}))
    assert rows(tmp_path, "select row_dismissed_at, row_dismissed_reason from failures") == [("never", 7)]
    assert connect(tmp_path, "caption").sql("select * from dismissed").columns.count("dismissed_at") == 1


def test_a_folder_with_an_equals_sign_adds_no_column(tmp_path: Path) -> None:
    output = tmp_path / "dt=2026-11-01" / "id=7"
    output.parent.mkdir()
    keep(output, answer("a", columns={"dt": "mine"}))
    assert rows(output, "select id, dt from results") == [("a", "mine")]


def test_names_that_no_file_can_hold_are_made_so_without_loss(tmp_path: Path) -> None:
    keep(tmp_path, answer("a", columns={"x": 0, "x\0": 1, "x\ufffd": 2, "y\ud800": 3, "y?": 4}))
    told = connect(tmp_path, "caption").sql("select * from results")
    found = dict(zip(told.columns, told.fetchall()[0], strict=True))
    assert {found[name] for name in ("x", "x\ufffd", "row_x\ufffd")} == {0, 1, 2}
    assert {found[name] for name in ("y?", "row_y?")} == {3, 4}


def test_rows_whose_names_never_repeat_make_no_endless_table(tmp_path: Path) -> None:
    keep(tmp_path, *[answer(f"{n:04}", columns={f"c{n}": n, "same": n}) for n in range(MOST_COLUMNS + 2)])
    keep(tmp_path, failure("z", fault="suspect", columns={"new": "x", "same": 1}, answer={"caption": "c"}))
    with Store.open(tmp_path, "caption", run_id="r") as store:
        assert accept(store) == 1
    views = connect(tmp_path, "caption")
    assert len(views.sql("select * from results").columns) < MOST_COLUMNS + 50
    found = views.sql(f"select id, same, {OTHERS} from results where {OTHERS} is not null order by id").fetchall()
    told = [(id_, same, json.loads(others)) for id_, same, others in found]
    last = MOST_COLUMNS + 1
    assert told[-1] == ("z", 1, {"new": "x"})
    assert told[-2] == (str(last), last, {f"c{last}": last})
    assert views.sql("select sum(same), sum(c7) from results").fetchall() == [(sum(range(last + 1)) + 1, 7)]


class Odd:
    def __repr__(self) -> str:
        return "Odd"

    def __str__(self) -> str:
        raise RuntimeError("no text")


def _loop() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return loop


@pytest.mark.parametrize(
    "value", [["\ud800"], {"\ud83d": {"a": "\ud83d"}}, _loop(), {(1, 2): 3}, Odd(), [Odd()], [10**400]], ids=repr
)
def test_no_value_from_python_keeps_an_answer_from_the_disk(tmp_path: Path, value: Any) -> None:
    keep(
        tmp_path,
        answer("a", columns={"c": value, "d": 1}),
        failure("b", columns={"c": value, "d": 1}, row={"c": 2**70}),
    )
    for view in ("results", "failures"):
        ((text, other),) = rows(tmp_path, f"select c, d from {view}")
        assert (type(text), other) == (str, 1)


@pytest.mark.parametrize("nights", [[2**53 + 1, 0.5], [0.5, 2**53 + 1]], ids=["whole first", "fraction first"])
def test_a_fraction_of_another_night_rounds_no_whole_number(tmp_path: Path, nights: list[Any]) -> None:
    for number, value in enumerate(nights):
        keep(tmp_path, answer(f"{number}", columns={"n": value}))
    for merged in (False, True):
        if merged:
            compact(tmp_path, "caption", run_id="c")
        told = connect(tmp_path, "caption").sql("select n from results order by id").fetchall()
        assert told == [(str(value),) for value in nights]


def test_an_output_of_0_1_0_with_such_names_opens_again(tmp_path: Path) -> None:
    output = shutil.copytree(FIXTURE, tmp_path / "out")
    sql = "select id, part_, row_tier, row_dismissed_at from {}"
    assert rows(output, sql.format("results")) == [("a", "p", "t", "d")]
    assert rows(output, sql.format("failures") + " where answers_ = 3") == [("b", "p", "t", "d")]
    with Store.open(output, "caption", run_id="r") as store:
        assert accept(store) == 1
    compact(output, "caption", run_id="c")
    told = connect(output, "caption").sql(sql.format("results") + " order by id").fetchall()
    assert told == [("a", "p", "t", "d"), ("b", "p", "t", "d")]
