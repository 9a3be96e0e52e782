"""What a run has to send."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from support.store_records import answer, counts, failure, keep, manifest, mark, rows, states

from pipeline.store import Store
from pipeline.store.diff import Duplicate, ManifestDiff, State


def test_everything_is_new_where_nothing_was_written_and_nothing_is_written(tmp_path: Path) -> None:
    output = tmp_path / "none"
    assert states(output, ("a", "A"), ("b", None, "stamp")) == ["new", "new"]
    assert not output.exists()


def test_every_state_of_a_row(tmp_path: Path) -> None:
    keep(
        tmp_path,
        answer("done"),
        answer("changed", "old"),
        failure("throttled", fault="throttled"),
        failure("transient", fault="transient"),
        failure("rejected", fault="rejected"),
        failure("suspect", fault="suspect"),
        failure("failed-before", "old"),
    )
    ids = ("done", "changed", "throttled", "transient", "rejected", "suspect", "failed-before", "fresh")
    assert states(tmp_path, *((id_, "A") for id_ in ids)) == [
        "done",
        "changed",
        "retry",
        "retry",
        "failed",
        "failed",
        "changed",
        "new",
    ]


def test_the_last_fault_decides_whether_a_failed_row_is_sent(tmp_path: Path) -> None:
    keep(tmp_path, failure("a", fault="rejected"), failure("a", fault="transient"))
    keep(tmp_path, failure("b", fault="transient"), failure("b", fault="rejected"))
    assert states(tmp_path, ("a", "A"), ("b", "A")) == ["retry", "failed"]


def test_counts_tell_what_the_guard_and_the_summary_need(tmp_path: Path) -> None:
    keep(tmp_path, answer("a"), answer("b", "old"), failure("c", "old"), answer("gone"), failure("gone too"))
    told = counts(tmp_path, ("a", "A"), ("b", "A"), ("c", "A"), ("d", "A"))
    assert (told.rows, told.done, told.changed, told.new) == (4, 1, 2, 1)
    assert (told.rebuy, told.answered, told.vanished) == (1, 2, 2)


def test_a_stamp_stands_for_the_fingerprint_it_was_kept_with(tmp_path: Path) -> None:
    keep(tmp_path, answer("a", "A", stamp="s1"), failure("b", "A", stamp="s2"))
    local = (("a", None, "s1"), ("b", None, "s2"), ("a2", None, "s1"))
    assert states(tmp_path, *local) == ["done", "failed", "new"]
    assert states(tmp_path, ("a", None, "touched"), ("b", None, None)) == ["unread", "unread"]
    assert states(tmp_path, *local, rehash=True) == ["unread", "unread", "new"]


def test_the_stamp_of_an_answer_with_other_settings_stands_for_the_manifest_row(tmp_path: Path) -> None:
    keep(tmp_path, answer("a", "X", manifest_fingerprint="A", stamp="s1"))
    assert states(tmp_path, ("a", None, "s1")) == ["done"]
    assert mark(tmp_path, ("a", None, "s1")) == 0


def test_rows_that_had_to_be_read_are_settled_and_their_new_stamp_is_believed_next_time(tmp_path: Path) -> None:
    keep(tmp_path, answer("a", "A", stamp="s1"), answer("b", "A", stamp="s1"))
    touched = [("a", None, "s2"), ("b", None, "s2")]
    with Store.open(tmp_path, "caption", run_id="r") as store, ManifestDiff(tmp_path, "caption") as diff:
        diff.load([manifest(touched)])
        assert diff.counts().unread == 2
        diff.settle([pa.record_batch({"ordinal": [0, 1], "fingerprint": ["A", "B"]})])
        assert list(diff.states()) == [State.DONE, State.CHANGED]
        store.record_manifest_state(diff.manifest_state())
    assert states(tmp_path, *touched) == ["done", "changed"]
    assert rows(tmp_path, "select id, stale from results order by id") == [("a", False), ("b", True)]
    assert mark(tmp_path, *touched) == 0


def test_a_given_id_that_stands_twice_is_told_with_both_places(tmp_path: Path) -> None:
    with ManifestDiff(tmp_path, "caption") as diff:
        given = [("a", "A", None, True), ("b", "A", None, True), ("a", "B", None, True), ("a", "C", None, True)]
        diff.load([manifest(given)])
        assert diff.duplicates() == [Duplicate("a", "m.jsonl:1", "m.jsonl:3")]


def test_a_derived_id_that_stands_twice_is_sent_once_and_counted(tmp_path: Path) -> None:
    twice = [("a", "A"), ("b", "A"), ("a", "A")]
    assert states(tmp_path, *twice) == ["new", "new", "repeat"]
    assert counts(tmp_path, *twice).repeat == 1
    keep(tmp_path, answer("a"))
    assert states(tmp_path, *twice) == ["done", "new", "repeat"]


def test_marks_are_kept_only_for_rows_with_an_outcome_that_say_something_new(tmp_path: Path) -> None:
    keep(tmp_path, answer("same"), answer("other", "old"))
    assert mark(tmp_path, ("same", "A"), ("other", "A"), ("fresh", "A")) == 1
    assert rows(tmp_path, "select id, fingerprint from parts.current") == [("other", "A")]


def test_an_empty_manifest_has_nothing_to_send(tmp_path: Path) -> None:
    keep(tmp_path, answer("a"))
    told = counts(tmp_path)
    assert (told.rows, told.vanished) == (0, 1)


def test_a_manifest_may_come_in_several_batches(tmp_path: Path) -> None:
    first, second = manifest([("a", "A"), ("b", "A")]), manifest([("c", "A")])
    second = second.set_column(0, "ordinal", pa.array([2], pa.int64()))
    keep(tmp_path, answer("c"))
    with ManifestDiff(tmp_path, "caption") as diff:
        diff.load(iter([first, second]))
        assert list(diff.states()) == [State.NEW, State.NEW, State.DONE]
