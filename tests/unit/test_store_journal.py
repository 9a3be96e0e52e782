"""The journal's frames: what a kill, a power cut and a full disk leave behind is read back, and nothing else."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from support.store_disk import Hooked
from support.store_records import answer, attempt, failure, keep, rows

from pipeline.errors import MachineError, StoreError
from pipeline.store import Store
from pipeline.store.disk import Files
from pipeline.store.journal import Journal, replay, segments


def journal(folder: Path, files: Files | None = None) -> Journal:
    folder.mkdir(exist_ok=True)
    return Journal(folder, files or Files(), 1)


def written(folder: Path, count: int) -> Path:
    log = journal(folder)
    for number in range(count):
        log.append(answer(f"{number}", "指纹", columns={"n": number}))
    (path,) = segments(folder)
    return path


def ids(path: Path) -> list[str]:
    return [entry.record.id for entry in replay(path)]


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    log = journal(tmp_path)
    kept: list[Any] = [answer("a", own={"embedding": b"\0\1"}), failure("b", row={"x": [1]}), attempt("c", cost=0.5)]
    assert [log.append(record) for record in kept] == [1, 2, 3]
    entries = list(replay(segments(tmp_path)[0]))
    assert [entry.seq for entry in entries] == [1, 2, 3]
    assert [entry.record for entry in entries] == kept


def test_a_torn_tail_is_dropped_wherever_it_is_torn(tmp_path: Path) -> None:
    path = written(tmp_path, 3)
    whole = path.read_bytes()
    sizes = []
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        sizes.append(len(ids(path)))
    assert sizes == sorted(sizes)
    assert (sizes[0], sizes[-2], sizes[-1]) == (0, 2, 3)


@pytest.mark.parametrize("tail", [b"\0" * 64, b"\0", b"\xff" * 40, b"torn"])
def test_zeros_and_rubbish_after_the_last_record_are_dropped(tmp_path: Path, tail: bytes) -> None:
    path = written(tmp_path, 2)
    path.write_bytes(path.read_bytes() + tail)
    assert ids(path) == ["0", "1"]


def test_a_flipped_bit_is_never_read_as_a_record(tmp_path: Path) -> None:
    path = written(tmp_path, 1)
    whole = path.read_bytes()
    for at in range(19, len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert ids(path) == []


def test_a_journal_of_an_unknown_format_is_refused_and_kept(tmp_path: Path) -> None:
    keep(tmp_path)
    foreign = tmp_path / "journal" / "000000000001.journal"
    foreign.write_bytes(b"pipeline journal 2\nwhatever")
    with pytest.raises(StoreError, match="reads format 1"):
        keep(tmp_path)
    assert foreign.exists()


def test_a_segment_whose_head_never_reached_the_disk_is_empty(tmp_path: Path) -> None:
    for head in (b"", b"pipeline jour", b"\0" * 30, b"pipeline jou\x07\xffrubbish", b"\0" * 4095):
        path = tmp_path / "000000000001.journal"
        path.write_bytes(head)
        assert ids(path) == []


def test_records_behind_a_damaged_head_are_not_lost_and_a_strangers_file_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, 2)
    path.write_bytes(b"\0" + path.read_bytes()[1:])
    assert ids(path) == ["0", "1"]
    path.write_bytes(b"something else altogether" * 200)
    with pytest.raises(StoreError, match="is not a journal"):
        ids(path)


def test_duplicate_records_count_once(tmp_path: Path) -> None:
    keep(tmp_path)
    path = written(tmp_path / "journal", 2)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[whole.index(b"\n") + 1 :])
    keep(tmp_path)
    assert rows(tmp_path, "select count(*), count(distinct id) from versions") == [(2, 2)]


def test_what_a_dead_run_left_in_the_journal_is_sealed_by_the_next_one(tmp_path: Path) -> None:
    keep(tmp_path)
    written(tmp_path / "journal", 3)
    keep(tmp_path, answer("later"))
    assert rows(tmp_path, "select id from versions order by seq") == [("0",), ("1",), ("2",), ("later",)]
    assert segments(tmp_path / "journal") == []


class Full(Files):
    """A disk with `room` bytes left."""

    room = 10**9

    def write(self, fd: int, data: bytes | memoryview) -> int:
        if self.room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = super().write(fd, memoryview(data)[: self.room])
        self.room -= taken
        return taken


def test_a_full_disk_refuses_the_record_and_what_is_written_after_it_is_found(tmp_path: Path) -> None:
    disk = Full()
    log = journal(tmp_path, disk)
    log.append(answer("a"))
    disk.room = 40
    with pytest.raises(MachineError, match=r"the disk is full.*Everything written before is kept"):
        log.append(answer("refused"))
    disk.room = 10**9
    assert log.append(answer("b")) == 2
    assert ids(segments(tmp_path)[0]) == ["a", "b"]


def test_a_segment_that_cannot_even_be_cut_is_left_and_a_new_one_begun(tmp_path: Path) -> None:
    class Stuck(Full):
        def truncate(self, fd: int, size: int) -> None:
            raise OSError(errno.EIO, "Input/output error")

    keep(tmp_path)
    disk = Stuck()
    with Store.open(tmp_path, "caption", run_id="r", files=disk) as store:
        store.answer(answer("a"))
        disk.room = 40
        with pytest.raises(MachineError):
            store.answer(answer("refused"))
        disk.room = 10**9
        store.answer(answer("b"))
    assert rows(tmp_path, "select id from results order by id") == [("a",), ("b",)]


def test_sync_covers_everything_appended_before_it_across_a_rotation(tmp_path: Path) -> None:
    synced: list[int] = []

    class Watched(Files):
        def datasync(self, fd: int) -> None:
            synced.append(fd)
            super().datasync(fd)

    log = journal(tmp_path, Watched())
    log.append(answer("a"))
    assert log.sync() == 1
    count = len(synced)
    assert log.sync() == 1
    assert len(synced) == count  # nothing new: no call
    log.append(answer("b"))
    log.rotate()
    log.append(answer("c"))
    assert log.sync() == 3
    assert [len(ids(path)) for path in segments(tmp_path)] == [2, 1]


def test_an_answer_is_kept_even_if_it_holds_what_the_frame_cannot_say(tmp_path: Path) -> None:
    deep: list[object] = []
    for _ in range(5_000):
        deep = [deep]
    odd = {"huge": 2**80, "half": "\ud83d", "path": Path("/x"), "deep": deep}
    keep(tmp_path, answer("a", extra=odd, columns={"half": "\ud83d", "huge": 2**80}))
    ((huge, half, path, column),) = rows(
        tmp_path, "select extra->>'huge', extra->>'half', extra->>'path', half from results"
    )
    assert (huge, half, path, column) == (str(2**80), "?", "/x", "?")


def test_what_a_kill_left_is_synced_before_parts_are_made_of_it(tmp_path: Path) -> None:
    """Else a power cut could take back records of which a part was already made."""
    keep(tmp_path)
    written(tmp_path / "journal", 2)
    order: list[str] = []

    def watch(name: str, argument: object) -> None:
        if name == "datasync_path" or (name == "rename" and "results" in str(argument)):
            order.append(name)

    keep(tmp_path, files=Hooked(watch))
    assert order[0] == "datasync_path"
    assert "rename" in order


def test_a_seal_that_a_kill_cut_short_finishes_and_writes_no_part_twice(tmp_path: Path) -> None:
    """A part is immutable: a reader that has begun with it must not find another file under its name."""

    def kill(name: str, argument: object) -> None:
        if name == "unlink" and str(argument).endswith(".journal"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        keep(tmp_path, answer("a"), failure("b"), attempt("a"), files=Hooked(kill))
    before = {path: path.stat().st_ino for path in tmp_path.glob("*/*-*.parquet")}
    assert len(segments(tmp_path / "journal")) == 1
    keep(tmp_path)
    assert segments(tmp_path / "journal") == []
    assert {path: path.stat().st_ino for path in tmp_path.glob("*/*-*.parquet")} == before
    assert rows(tmp_path, "select id from results union all select id from failures order by id") == [("a",), ("b",)]
