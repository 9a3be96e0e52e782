"""Run by test_store_kill.py: rounds of a job that is killed at chosen and at random points, until its manifest is done.

    python store_rounds.py OUTPUT LOG SEED ROWS KILLS

Each round is a forked process. It finds what is pending, and for each such row notes `sent`, appends the outcome and
notes `kept`. The last rounds are not killed. Notes go to LOG with one write each, which outlives a kill.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from support.store_disk import Hooked
from support.store_records import answer, attempt, failure, manifest, run

from pipeline.store import Store
from pipeline.store.diff import ManifestDiff, State
from pipeline.store.journal import segments
from pipeline.store.maintenance import compact

POINTS = ("write", "datasync", "rename", "unlink", "sync_folder", "create", "torn")
SENT = (State.NEW, State.CHANGED, State.RETRY)


class Killer:
    """Kills this process at the `nth` change of one kind, before it is made; `torn` leaves half of a write."""

    def __init__(self, point: str, nth: int) -> None:
        self.name = "write" if point == "torn" else point
        self.torn = point == "torn"
        self.left = nth

    def __call__(self, name: str, argument: Any) -> None:
        if name != self.name:
            return
        self.left -= 1
        if self.left > 0:
            return
        if self.torn:
            fd, data = argument
            os.write(fd, memoryview(data)[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)


def play(output: Path, log: int, ids: list[str], killer: Any, luck: random.Random) -> None:
    files = Hooked(killer)
    run_id = f"run-{luck.randrange(10**9)}"
    with Store.open(output, "caption", run_id=run_id, files=files) as store:
        store.start_run(run(run_id))
        with ManifestDiff(output, "caption") as diff:
            diff.load([manifest([(id_, "A") for id_ in ids])])
            states = diff.states()
        for id_, state in zip(ids, states, strict=True):
            if state not in SENT:
                continue
            os.write(log, f"sent {id_}\n".encode())
            store.attempt(attempt(id_))
            if int(id_) % 5 == 4:
                store.failure(failure(id_))
            else:
                store.answer(answer(id_, columns={"n": int(id_)}))
            os.write(log, f"kept {id_}\n".encode())
            if luck.random() < 0.05:
                store.sync()
            if luck.random() < 0.03:
                store.seal()
        store.finish_run(run(run_id, finished_at=1))
    compact(output, "caption", run_id=run_id, files=files)
    os.write(log, b"done\n")


def tear(output: Path, luck: random.Random) -> None:
    """Rubbish behind the last journal segment, as a torn write leaves it."""
    left = segments(output / "journal")
    if left and luck.random() < 0.5:
        with left[-1].open("ab") as file:
            file.write(luck.randbytes(luck.randrange(1, 60)) if luck.random() < 0.5 else bytes(40))


def main(output: Path, log_path: Path, seed: int, rows: int, kills: int) -> None:
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    luck = random.Random(seed)
    step = max(1, rows // max(1, kills))
    for round_ in range(kills + 1):
        # The manifest grows from night to night, so that every round has something to send.
        ids = [f"{number}" for number in range(rows if round_ == kills else min(rows, (round_ + 1) * step))]
        point, nth, own = luck.choice(POINTS), luck.randrange(1, 40), luck.randrange(10**9)
        pid = os.fork()
        if pid == 0:
            killer = Killer(point, nth) if round_ < kills else (lambda name, argument: None)
            status = 1
            try:
                play(output, log, ids, killer, random.Random(own))
                status = 0
            except BaseException:
                traceback.print_exc()
            os._exit(status)
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) not in (0, -signal.SIGKILL):
            raise SystemExit(f"round {round_} failed")
        if (output / "journal").is_dir():
            tear(output, luck)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:6]))
