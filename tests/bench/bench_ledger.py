"""What sharing a quota costs a row: `python tests/bench/bench_ledger.py [ROWS]`.

Per start, in µs of CPU: a plain rate and a leased one, alone; then the leased one while three other processes use the
same ledger a hundred times a second. Rates are met on a clock that jumps from start to start, so that nothing sleeps.
The ledger takes the real lock of a real file.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pipeline.dispatch.account import Account, Limits
from pipeline.dispatch.ledger import Ask, Grant
from pipeline.dispatch.ledger_file import FileLedger
from pipeline.dispatch.rate import Rate
from pipeline.dispatch.shared_quota import SharedQuota


class Queue:
    """A queue that never ends, with slots for all."""

    def __init__(self, account: Account) -> None:
        account.admission.startable = self.startable  # type: ignore[method-assign]

    def startable(self, now: float, most: int) -> list[int]:
        return [0] * min(most, 64)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def starts(rate: Rate, clock: Clock, rows: int) -> float:
    """µs of CPU a start, with what admission asks of a rate for each."""
    began = time.process_time()
    for _ in range(rows):
        while (wait := rate.wait(clock.now)) > 0:
            clock.now += wait
        rate.charge(clock.now)
        rate.per_second = rate.per_second
    return (time.process_time() - began) / rows * 1e6


def leased(path: Path, per_second: float, rows: int) -> float:
    clock = Clock()
    account = Account(Limits(rpm=per_second * 60))
    Queue(account)
    quota = SharedQuota(account, FileLedger(path, clock=clock), clock)
    quota.join(account.limits)
    cost = starts(account.requests, clock, rows)
    quota.leave(account.limits)
    return cost


def leases(path: Path, seconds: float) -> tuple[int, float, int]:
    """How many leases, µs each, and how many met a lock that was held."""
    ledger, count, busy = FileLedger(path), 0, 0
    ask = Ask(tokens=(0.0,) * 5, most_starts=50.0)

    def note(grant: Grant) -> None:
        nonlocal busy
        busy += grant.terms is None

    began = time.perf_counter()
    while (took := time.perf_counter() - began) < seconds:
        ledger.lease(ask, note)
        count += 1
    return count, took / count * 1e6, busy


def contended(folder: Path, per_second: float, rows: int, others: int) -> float:
    """As `leased`; the others lease a hundred times a second, thrice as often as a run does."""
    path = folder / "contended"
    children = [subprocess.Popen([sys.executable, __file__, "lease", str(path)]) for _ in range(others)]
    try:
        time.sleep(1.0)
        return leased(path, per_second, rows)
    finally:
        for child in children:
            child.kill()
            child.wait()


def main(rows: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        count, each, _ = leases(folder / "leases", 1.0)
        print(f"a lease alone: {each:.1f} µs ({count:,})")
        print(
            f"{'rate':>8} {'plain':>8} {'leased':>8} {'ratio':>6} {'more':>8} {'contended':>10} {'ratio':>6}   µs a row"
        )
        for per_second in (5.0, 50.0, 500.0, 5000.0):
            plain = min(starts(Rate(per_second), Clock(), rows) for _ in range(3))
            alone = min(leased(folder / f"{per_second}-{n}", per_second, rows) for n in range(3))
            many = contended(folder, per_second, rows, 3)
            print(
                f"{per_second:>6g}/s {plain:8.2f} {alone:8.2f} {alone / plain:6.1f} {alone - plain:8.2f} "
                f"{many:10.2f} {many / plain:6.1f}"
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["lease"]:
        ledger = FileLedger(Path(sys.argv[2]))
        while True:
            ledger.lease(Ask(tokens=(), most_starts=5000.0), lambda grant: None)
            time.sleep(0.01)
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
