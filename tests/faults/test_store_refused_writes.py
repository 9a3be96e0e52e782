"""A disk that is full, read-only or forbidden, at every single change of the output folder."""

from __future__ import annotations

import errno
import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.store_disk import Hooked, rounds
from support.store_records import add, answer, attempt, failure, keep, manifest, rows, run

from pipeline.errors import EXIT_STOPPED, MachineError
from pipeline.store import Store
from pipeline.store.diff import ManifestDiff
from pipeline.store.maintenance import compact


def a_night(output: Path, files: Hooked, kept: set[str]) -> None:
    """Everything a run and its upkeep do; `kept` takes the ids of what the store said it has."""
    with Store.open(output, "caption", run_id="run-2", files=files) as store:
        with ManifestDiff(output, "caption") as diff:
            diff.load([manifest([("before", "B")])])
            store.record_manifest_state(diff.manifest_state())
        store.start_run(run("run-2"))
        for number in range(3):
            add(store, attempt(f"{number}"))
            store.answer(answer(f"{number}", columns={"c": number}))
            kept.add(f"{number}")
            store.sync()
            if number == 1:
                store.seal()
        store.failure(failure("dead"))
        kept.add("dead")
        store.finish_run(run("run-2", finished_at=1))
        store.write_summary(b"{}")
    compact(output, "caption", run_id="run-3", files=files)


def count_changes(output: Path) -> int:
    names: list[str] = []
    keep(output, answer("before"))
    a_night(output, Hooked(lambda name, _: names.append(name)), set())
    return len(names)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (errno.ENOSPC, "the disk is full: free some space"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EACCES, "no permission"),
        (errno.EDQUOT, "the disk quota is used up"),
    ],
)
def test_a_refused_change_stops_with_a_message_and_loses_nothing_that_was_kept(
    tmp_path: Path, code: int, told: str
) -> None:
    total = count_changes(tmp_path / "count")
    points = random.Random(code).sample(range(total), min(total, rounds(3)))
    for point in points:
        output = tmp_path / str(point)
        keep(output, answer("before"))
        left = point
        kept = {"before"}

        def refuse(name: str, argument: Any) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise OSError(code, os.strerror(code))

        with pytest.raises(MachineError, match=told) as stopped:
            a_night(output, Hooked(refuse), kept)
        message = str(stopped.value)
        assert str(output) in message
        assert "Everything written before is kept" in message
        assert stopped.value.exit_code == EXIT_STOPPED
        keep(output)
        found = rows(output, "select id from results union all select id from failures")
        assert sorted(id_ for (id_,) in found) == sorted(kept), point
        shutil.rmtree(output)


def test_the_rows_that_a_full_disk_refused_are_pending_and_the_next_run_goes_on(tmp_path: Path) -> None:
    full = False

    def refuse(name: str, argument: Any) -> None:
        if full and name == "write":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store = Store.open(tmp_path, "caption", run_id="r", files=Hooked(refuse))
    store.answer(answer("a"))
    full = True
    with pytest.raises(MachineError):
        store.answer(answer("b"))
    with pytest.raises(MachineError, match="seal a part"):
        store.close()
    keep(tmp_path, answer("c"))
    assert rows(tmp_path, "select id from results order by id") == [("a",), ("c",)]


def test_an_output_folder_removed_under_a_run_is_told(tmp_path: Path) -> None:
    output = tmp_path / "out"
    store = Store.open(output, "caption", run_id="r")
    store.answer(answer("a"))
    shutil.rmtree(output)
    with pytest.raises(MachineError, match="the output folder or a part of it is gone"):
        store.seal()
    with pytest.raises(MachineError):
        store.close()


def test_an_output_that_this_user_may_not_write_is_told(tmp_path: Path) -> None:
    if os.getuid() == 0:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                tmp_path.chmod(0o755)
                for parent in tmp_path.parents[:2]:
                    parent.chmod(0o755)
                os.setgid(65534)
                os.setuid(65534)
                code = 0 if refused(tmp_path / "out") else 1
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    else:
        tmp_path.chmod(0o555)
        assert refused(tmp_path / "out")


def refused(output: Path) -> bool:
    try:
        Store.open(output, "caption", run_id="r")
    except MachineError as error:
        return "no permission" in str(error)
    return False
