"""Merging parts: nothing is seen twice or lost, and the number of parts stays small."""

from __future__ import annotations

import time
from pathlib import Path

import pyarrow.parquet as pq
from support.store_records import answer, attempt, failure, keep, mark, rows, run, states, vector

from pipeline.store import AnswerRecord, Store
from pipeline.store.dataset_schema import DatasetSchema
from pipeline.store.disk import DISK, Files
from pipeline.store.maintenance import compact
from pipeline.store.merge import SMALL, merge, remove_replaced
from pipeline.store.parts import all_parts, live_parts

ALL = ("results", "failures", "versions", "attempts", "runs", "spend")


def everything(output: Path) -> dict[str, list[tuple[object, ...]]]:
    return {view: sorted(rows(output, f"select * from {view}"), key=repr) for view in ALL}


def nights(output: Path, count: int) -> None:
    for night in range(count):
        with Store.open(output, "caption", run_id=f"run-{night}") as store:
            store.start_run(run(f"run-{night}"))
            store.attempt(attempt(f"a{night}", run_id=f"run-{night}"))
            store.answer(answer(f"a{night}", columns={"night": night}))
            store.failure(failure(f"f{night}"))
            store.failure(failure("again", code=f"{night}"))


def test_compact_merges_every_dataset_and_no_view_changes(tmp_path: Path) -> None:
    nights(tmp_path, 5)
    before = everything(tmp_path)
    report = compact(tmp_path, "caption", run_id="c")
    assert (report.before, report.after, report.dropped) == (20, 4, 0)
    assert everything(tmp_path) == before


def test_replaced_parts_go_after_an_hour_with_a_later_run_and_not_before(tmp_path: Path) -> None:
    nights(tmp_path, 3)
    compact(tmp_path, "caption", run_id="c")
    before = everything(tmp_path)
    keep(tmp_path, now=lambda: time.time() + 3_500)
    assert len(all_parts(tmp_path / "results")) == 4
    keep(tmp_path, now=lambda: time.time() - 10**6)
    assert len(all_parts(tmp_path / "results")) == 4
    keep(tmp_path, now=lambda: time.time() + 3_700)
    assert len(all_parts(tmp_path / "results")) == 1
    assert everything(tmp_path) == before


def test_the_moment_between_two_steps_of_a_merge_shows_every_row_once(tmp_path: Path) -> None:
    nights(tmp_path, 3)
    before = everything(tmp_path)
    seen = []

    class Watching(Files):
        def rename(self, source: Path, target: Path) -> None:
            seen.append(everything(tmp_path) == before)
            super().rename(source, target)
            seen.append(everything(tmp_path) == before)

    known = DatasetSchema.load(tmp_path / "results", "caption")
    merge(Watching(), known, live_parts(all_parts(tmp_path / "results")))
    assert seen == [True, True]


def test_a_reader_that_listed_the_folder_before_the_merge_reads_it_after(tmp_path: Path) -> None:
    """The view lists twice; a merged part that appears between the two listings must stay out."""
    from pipeline.store.read import connect

    nights(tmp_path, 3)
    sql = (tmp_path / "catalog.sql").read_text()
    listing = f"from glob('{tmp_path}/results/*.parquet')"
    assert listing in sql
    early = [str(part.path) for part in all_parts(tmp_path / "results")]
    merge(DISK, DatasetSchema.load(tmp_path / "results", "caption"), live_parts(all_parts(tmp_path / "results")))
    frozen = sql.replace(listing, "from (select unnest(" + repr(early) + ") as file)")
    connection = connect(tmp_path, "caption")
    connection.execute(frozen)
    assert connection.sql("select count(*), count(distinct id) from versions").fetchall() == [(3, 3)]


def test_a_thousand_nights_leave_few_parts_without_anyone_asking(tmp_path: Path) -> None:
    keep(tmp_path)
    known = DatasetSchema.load(tmp_path / "attempts", "caption")
    from pipeline.store.datasets import schema
    from pipeline.store.merge import auto_compact
    from pipeline.store.part_writer import write_part
    from pipeline.store.parts import part_name

    most = files = 0
    table = schema("attempts", "caption").empty_table()
    for night in range(1, 151):
        write_part(DISK, known.folder / part_name(night, night), table)
        auto_compact(DISK, known)
        remove_replaced(DISK, known.folder, lambda: time.time() + 4_000)
        most = max(most, len(live_parts(all_parts(known.folder))))
        files = max(files, len(all_parts(known.folder)))
    assert most < 16
    assert files < 32


def test_drop_superseded_keeps_what_the_views_show_and_what_is_done(tmp_path: Path) -> None:
    keep(tmp_path, answer("a", "A"), failure("b", "A"), failure("c", "A", stamp="old"))
    keep(tmp_path, answer("a", "B"), answer("b", "A", stamp="s"), failure("c", "A"), answer("d", "A"))
    mark(tmp_path, ("c", "A"), ("d", "B"))
    keep(tmp_path, answer("e", "X", manifest_fingerprint="A"), failure("d", "B"))
    shown_before = {view: everything(tmp_path)[view] for view in ("results", "failures", "attempts")}
    asked = (("a", "B"), ("b", None, "s"), ("c", "A"), ("d", "B"), ("e", "A"))
    before = states(tmp_path, *asked)
    report = compact(tmp_path, "caption", run_id="c", drop_superseded=True)
    assert {view: everything(tmp_path)[view] for view in shown_before} == shown_before
    assert states(tmp_path, *asked) == before == ["done", "done", "failed", "failed", "done"]
    assert report.dropped > 0
    assert rows(tmp_path, "select id, fingerprint from versions order by id") == [
        ("a", "B"),
        ("b", "A"),
        ("d", "A"),
        ("e", "X"),
    ]
    again = compact(tmp_path, "caption", run_id="c", drop_superseded=True)
    assert again.dropped == 0


def test_without_asking_nothing_superseded_is_dropped(tmp_path: Path) -> None:
    keep(tmp_path, answer("a", "A"))
    keep(tmp_path, answer("a", "B"))
    compact(tmp_path, "caption", run_id="c")
    assert states(tmp_path, ("a", "A")) == ["done"]


def test_an_answer_without_its_vector_is_read_and_merged(tmp_path: Path) -> None:
    bare = vector("b", [])
    without = AnswerRecord(
        **{name: getattr(bare, name) for name in bare.__struct_fields__ if name != "own"}, own={"modalities": ["text"]}
    )
    keep(tmp_path, vector("a", [1, 2]), without, vector("c", [3, 4]), task="embed")
    keep(tmp_path, vector("d", [5, 6]), task="embed")
    wanted = [("a", (1.0, 2.0)), ("b", None), ("c", (3.0, 4.0)), ("d", (5.0, 6.0))]
    before = rows(tmp_path, "select id, embedding from results order by id", "embed")
    assert [(id_, found and tuple(found)) for id_, found in before] == wanted
    assert sum(pq.read_table(part.path).num_rows for part in all_parts(tmp_path / "results")) == 4
    compact(tmp_path, "embed", run_id="c")
    assert rows(tmp_path, "select id, embedding from results order by id", "embed") == before


def test_merged_vectors_stay_fixed_size_lists_and_dimensions_are_not_mixed(tmp_path: Path) -> None:
    for number in range(3):
        keep(tmp_path, vector(f"a{number}", [number, 1]), task="embed")
    for number in range(3):
        keep(tmp_path, vector(f"b{number}", [number, 1, 2]), task="embed")
    before = rows(tmp_path, "select id, embedding from results order by id", "embed")
    compact(tmp_path, "embed", run_id="c")
    merged = live_parts(all_parts(tmp_path / "results"))
    sizes = [pq.read_schema(part.path).field("embedding").type.list_size for part in merged]
    assert sizes == [2, 3]
    assert rows(tmp_path, "select id, embedding from results order by id", "embed") == before


def test_4000_answers_and_their_trips_make_a_part(tmp_path: Path) -> None:
    with Store.open(tmp_path, "caption", run_id="run-1") as store:
        for number in range(4_000):
            assert not store.seal_due()
            store.answer(answer(f"a{number}"), attempt(f"a{number}"))
        assert store.seal_due()


def test_a_full_part_of_vectors_is_too_large_to_be_merged_again(tmp_path: Path) -> None:
    floats = [0.5] * 1536
    with Store.open(tmp_path, "embed", run_id="run-1", dimension=1536) as store:
        for number in range(4_000):
            store.answer(vector(f"a{number}", floats), attempt(f"a{number}"))
            if store.seal_due():
                break
        store.seal()
        (part,) = (part for part in all_parts(tmp_path / "results") if part.last)
        assert part.path.stat().st_size >= SMALL
