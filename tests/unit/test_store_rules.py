"""Which answer `results` shows, and which failures are open."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.store_records import answer, attempt, failure, keep, mark, rows, run, states

from pipeline.store import Store

RESULTS = "select id, fingerprint, stale from results order by id"
FAILURES = "select id, fingerprint from failures order by id"


def test_views_exist_with_all_columns_before_any_file_does(tmp_path: Path) -> None:
    for view in ("results", "failures", "attempts", "runs", "spend", "versions"):
        assert rows(tmp_path / "nothing", f"select * from {view}") == []
    assert not (tmp_path / "nothing").exists()


def test_views_of_a_new_output_have_the_columns_of_the_empty_one(tmp_path: Path) -> None:
    keep(tmp_path / "new")
    for view in ("results", "failures", "attempts", "runs", "spend", "versions"):
        described = f"select column_name, column_type from (describe {view})"
        assert rows(tmp_path / "new", described) == rows(tmp_path / "none", described)


def test_results_shows_one_row_per_id_the_newest_answer(tmp_path: Path) -> None:
    keep(tmp_path, answer("a", "A", "first"), answer("b"), answer("a", "A", "second"))
    assert rows(tmp_path, "select id, caption, stale from results order by id") == [
        ("a", "second", False),
        ("b", "b as A", False),
    ]
    assert rows(tmp_path, "select count(*) from versions") == [(3,)]


def test_newest_is_the_highest_seq_whatever_the_clock_said(tmp_path: Path) -> None:
    keep(tmp_path, answer("a", "A", "first", finished_at=9_000_000), answer("a", "A", "second", finished_at=1))
    assert rows(tmp_path, "select caption from results") == [("second",)]


def test_a_changed_row_shows_its_older_answer_as_stale_until_it_is_answered(tmp_path: Path) -> None:
    keep(tmp_path, answer("a", "A"))
    assert mark(tmp_path, ("a", "B")) == 1
    assert rows(tmp_path, RESULTS) == [("a", "A", True)]
    keep(tmp_path, answer("a", "B"))
    assert rows(tmp_path, RESULTS) == [("a", "B", False)]


def test_a_to_b_to_a_pays_for_a_once_and_shows_it_again(tmp_path: Path) -> None:
    keep(tmp_path, answer("a", "A"))
    keep(tmp_path, answer("a", "B"))
    assert states(tmp_path, ("a", "A")) == ["done"]
    assert mark(tmp_path, ("a", "A")) == 1
    assert rows(tmp_path, RESULTS) == [("a", "A", False)]
    assert mark(tmp_path, ("a", "A")) == 0


def test_a_failure_never_hides_an_earlier_answer_and_stands_beside_it(tmp_path: Path) -> None:
    keep(tmp_path, answer("a", "A"), failure("a", "B"))
    assert rows(tmp_path, RESULTS) == [("a", "A", True)]
    assert rows(tmp_path, FAILURES) == [("a", "B")]


def test_a_success_closes_the_failure(tmp_path: Path) -> None:
    keep(tmp_path, failure("a", "A"), failure("b", "A"), answer("a", "A"))
    assert rows(tmp_path, FAILURES) == [("b", "A")]


def test_only_the_newest_failure_of_a_row_is_open(tmp_path: Path) -> None:
    keep(tmp_path, failure("a", "A", code="old"), failure("a", "A", code="new"))
    assert rows(tmp_path, "select code from failures") == [("new",)]


def test_going_back_to_an_answered_setting_closes_the_failure_and_forward_opens_it_again(tmp_path: Path) -> None:
    keep(tmp_path, answer("a", "A"), failure("a", "B"))
    mark(tmp_path, ("a", "A"))
    assert rows(tmp_path, FAILURES) == []
    mark(tmp_path, ("a", "B"))
    assert rows(tmp_path, FAILURES) == [("a", "B")]
    assert states(tmp_path, ("a", "B")) == ["failed"]


def test_an_older_failure_for_the_current_fingerprint_is_open_although_another_setting_was_answered_since(
    tmp_path: Path,
) -> None:
    keep(tmp_path, failure("a", "B"), answer("a", "A"))
    assert rows(tmp_path, FAILURES) == []
    mark(tmp_path, ("a", "B"))
    assert rows(tmp_path, FAILURES) == [("a", "B")]
    assert rows(tmp_path, RESULTS) == [("a", "A", True)]


def test_a_failed_row_that_changed_stays_open_until_it_is_answered(tmp_path: Path) -> None:
    keep(tmp_path, failure("a", "A"))
    mark(tmp_path, ("a", "B"))
    assert rows(tmp_path, FAILURES) == [("a", "A")]
    keep(tmp_path, answer("a", "B"))
    assert rows(tmp_path, FAILURES) == []


def test_an_answer_with_other_settings_counts_as_the_rows_answer(tmp_path: Path) -> None:
    keep(tmp_path, failure("a", "A"))
    keep(tmp_path, answer("a", "X", manifest_fingerprint="A"))
    assert rows(tmp_path, RESULTS) == [("a", "X", False)]
    assert rows(tmp_path, FAILURES) == []
    assert states(tmp_path, ("a", "A")) == ["done"]
    assert states(tmp_path, ("a", "X")) == ["done"]


def test_a_failure_with_other_settings_leaves_the_current_fingerprint_alone(tmp_path: Path) -> None:
    keep(tmp_path, answer("a", "A"), failure("a", "B"))
    keep(tmp_path, failure("a", "X", manifest_fingerprint="B", code="again"))
    assert rows(tmp_path, "select code from failures") == [("again",)]
    mark(tmp_path, ("a", "A"))
    assert rows(tmp_path, RESULTS) == [("a", "A", False)]
    assert rows(tmp_path, FAILURES) == []


def test_answers_of_rows_that_left_stay_and_their_failures_leave(tmp_path: Path) -> None:
    keep(tmp_path, answer("a"), failure("b"), answer("c", "A"), failure("c", "B"))
    mark(tmp_path, ("b", "A"), ("c", "B"))
    assert rows(tmp_path, FAILURES) == [("b", "A"), ("c", "B")]
    assert mark(tmp_path, ("d", "A")) == 2
    assert mark(tmp_path, ("d", "A")) == 0
    assert rows(tmp_path, RESULTS) == [("a", "A", False), ("c", "A", True)]
    assert rows(tmp_path, FAILURES) == []
    mark(tmp_path, ("b", "A"), ("c", "A"))
    assert rows(tmp_path, RESULTS) == [("a", "A", False), ("c", "A", False)]
    assert rows(tmp_path, FAILURES) == [("b", "A")]


def test_spend_adds_up_attempts_by_day_model_and_currency_and_never_takes_unknown_for_zero(tmp_path: Path) -> None:
    with Store.open(tmp_path, "caption", run_id="run-1") as store:
        store.start_run(run())
        store.attempt(attempt("a", cost=0.5, currency="CNY", input_tokens=10))
        store.attempt(attempt("a", 2, cost=0.25, currency="CNY", input_tokens=5, output_tokens=1))
        store.attempt(attempt("b"))
    spend = rows(tmp_path, "select * exclude (day), day::varchar from spend order by currency")
    assert spend == [
        ("dashscope", "qwen3-vl-plus", "CNY", 2, 15, 1, 0.75, 0, "2026-09-21"),
        ("dashscope", "qwen3-vl-plus", None, 1, None, None, None, 1, "2026-09-21"),
    ]


def test_a_run_that_was_killed_keeps_no_end_and_one_that_ended_stands_once(tmp_path: Path) -> None:
    with Store.open(tmp_path, "caption", run_id="run-1") as store:
        store.start_run(run("run-1"))
    with Store.open(tmp_path, "caption", run_id="run-2") as store:
        store.start_run(run("run-2"))
        store.finish_run(run("run-2", finished_at=2_000_000, exit_code=0, rows=7))
    found = rows(tmp_path, "select run_id, finished_at is null, exit_code, rows from runs order by run_id")
    assert found == [("run-1", True, None, None), ("run-2", False, 0, 7)]


def test_an_output_belongs_to_one_task(tmp_path: Path) -> None:
    from pipeline.errors import StoreError

    keep(tmp_path, answer("a"))
    with pytest.raises(StoreError, match="task caption, not embed"):
        keep(tmp_path, task="embed")
    with pytest.raises(StoreError, match="task caption, not embed"):
        rows(tmp_path, "from results", task="embed")


def test_an_output_of_an_unknown_format_is_refused_and_not_touched(tmp_path: Path) -> None:
    from pipeline.errors import StoreError

    keep(tmp_path, answer("a"))
    (tmp_path / "runs" / "format.json").write_text('{"format": 99, "task": "caption"}')
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(StoreError, match="format 99; this version reads 1"):
        keep(tmp_path, answer("b"))
    with pytest.raises(StoreError, match="format 99"):
        rows(tmp_path, "from results")
    assert sorted(tmp_path.rglob("*")) == before
