"""One run at a time per output."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support.store_records import answer, keep, rows

from pipeline.errors import EXIT_LOCKED, Locked
from pipeline.store import Store
from pipeline.store.lock import running

HOLD = """
import sys
from pathlib import Path
from pipeline.store import Store
store = Store.open(Path(sys.argv[1]), "caption", run_id="run-of-the-child")
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_run_is_told_who_holds_the_output(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with pytest.raises(Locked, match=rf"process {child.pid} on .* \(run run-of-the-child\)") as told:
            keep(tmp_path, answer("a"))
        assert told.value.exit_code == EXIT_LOCKED
        assert rows(tmp_path, "select count(*) from results") == [(0,)]
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.communicate()
    keep(tmp_path, answer("a"))
    assert rows(tmp_path, "select count(*) from results") == [(1,)]


def test_a_second_run_in_the_same_process_is_refused_and_leaves_the_first_alone(tmp_path: Path) -> None:
    with Store.open(tmp_path, "caption", run_id="first") as store:
        with pytest.raises(Locked, match="run first"):
            Store.open(tmp_path, "caption", run_id="second")
        store.answer(answer("a"))
    assert rows(tmp_path, "select count(*) from results") == [(1,)]


def test_a_lock_file_that_says_nothing_does_not_block_and_does_not_confuse(tmp_path: Path) -> None:
    keep(tmp_path)
    (tmp_path / "run.lock").write_bytes(b"\0\0")
    with Store.open(tmp_path, "caption", run_id="first"):
        (tmp_path / "run.lock").write_bytes(b"{")
        with pytest.raises(Locked, match="in use by another process"):
            Store.open(tmp_path, "caption", run_id="second")


def test_status_says_who_runs_and_never_keeps_a_run_from_starting(tmp_path: Path) -> None:
    lock = tmp_path / "run.lock"
    assert running(lock) is None
    with Store.open(tmp_path, "caption", run_id="the-run"):
        assert "run the-run" in (running(lock) or "")
    assert running(lock) is None
    with lock.open("rb") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        threading.Timer(0.02, lambda: fcntl.flock(looking, fcntl.LOCK_UN)).start()
        keep(tmp_path, answer("a"))


def test_a_lock_file_that_was_removed_meanwhile_locks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is refused removes its new output, lock and all, while another run waits for the lock."""
    path, real = tmp_path / "run.lock", fcntl.flock

    def removed_once(fd: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", real)
        path.unlink()
        real(fd, how)

    monkeypatch.setattr(fcntl, "flock", removed_once)
    with Store.open(tmp_path, "caption", run_id="waited"):
        assert "waited" in (running(path) or "")
