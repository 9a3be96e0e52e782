"""A run may be killed at any moment of a lease: the record is whole, and its lock is free."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from pipeline.dispatch.ledger import HORIZON, Ask, Grant
from pipeline.dispatch.ledger_file import FileLedger, boot_id, unpack

KILLS = 60


def lease_for_ever(path: Path, ready: int) -> None:
    ledger = FileLedger(path)
    ask = Ask(tokens=(0.0,) * 5, most_starts=50.0)
    ledger.lease(ask, lambda grant: None)
    os.write(ready, b"x")
    while True:
        ledger.lease(ask, lambda grant: None)


def test_a_kill_leaves_the_old_record_or_the_new_one(own_runtime: Path) -> None:
    path = own_runtime / "ledger"
    pause = float("-inf")
    for number in range(KILLS):
        heard, ready = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                lease_for_ever(path, ready)
            finally:
                os._exit(1)
        os.read(heard, 1)
        time.sleep(0.0007 * (number % 7))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(heard)
        os.close(ready)
        now = time.monotonic()
        record = unpack(path.read_bytes(), boot_id(), now)
        assert record is not None
        assert record.paused == pause
        assert record.next <= now + HORIZON + 1 / 38  # no more than the horizon was taken
        grants: list[Grant] = []
        ledger = FileLedger(path)
        ledger.lease(Ask(most_starts=50.0), grants.append)
        assert grants[0].terms is not None, "the lock of a dead run is still held"
        ledger.pause(0.0001)
        pause = unpack(path.read_bytes(), boot_id(), time.monotonic()).paused
        ledger.close()
