"""Several runs on one ledger, on a clock that jumps: each has its own account, as separate processes have."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import anyio
import pytest
from support.pool_run import PoolRun
from support.scripted import Answer, SlidingQuota, most_in_window, prepared

from pipeline.dispatch.account import Account, Limits
from pipeline.dispatch.ledger import HORIZON, Ask, Ledger, LedgerError
from pipeline.dispatch.ledger_file import FileLedger
from pipeline.dispatch.shared_quota import SharedQuota
from pipeline.types import Answered, Usage


class Runs:
    """Nights of one account on one ledger."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o700)
        self.path = folder / "ledger"
        self.nights: list[PoolRun] = []
        self.quotas: list[SharedQuota] = []

    def ledger(self) -> Ledger:
        return FileLedger(self.path, clock=anyio.current_time)

    def add(self, script: Any, limits: Limits, ledger: Ledger | None = None, **pool_run: Any) -> PoolRun:
        one = PoolRun(script, limits=limits, **pool_run)
        one.account.rng.seed(len(self.nights))
        self.nights.append(one)
        self.quotas.append(SharedQuota(one.account, ledger or self.ledger(), anyio.current_time))
        self.quotas[-1].join(limits)
        return one

    async def run(self, seconds: float, kill_at: float | None = None) -> None:
        """All of them for so long; the first may be killed at a time."""
        async with anyio.create_task_group() as group:
            scopes = [anyio.CancelScope() for _ in self.nights]
            for number, scope in enumerate(scopes):
                group.start_soon(self._one, number, scope)
            if kill_at is not None:
                await anyio.sleep(kill_at)
                scopes[0].cancel()
            await anyio.sleep(seconds - (kill_at or 0.0))
            for scope in scopes:
                scope.cancel()

    async def _one(self, number: int, scope: anyio.CancelScope) -> None:
        with scope:
            async with anyio.create_task_group() as group:
                group.start_soon(self.quotas[number].keep)
                await self.nights[number].run(itertools.count())
                group.cancel_scope.cancel()

    def starts(self, since: float = 0.0) -> list[float]:
        return sorted(at for pool_run in self.nights for at in pool_run.wire.starts() if at >= since)

    def counts(self) -> list[int]:
        return [len(pool_run.wire.sent) for pool_run in self.nights]


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def plain(latency: float = 0.2) -> Any:
    return lambda row, now: Answer(latency=latency)


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("per_second", [50, 5])
def test_runs_together_use_their_quota_and_no_more(virtual: Any, runs: Runs, count: int, per_second: int) -> None:
    async def main() -> None:
        for _ in range(count):
            runs.add(plain(), Limits(rpm=per_second * 60))
        await runs.run(60)

    virtual(main)
    starts = runs.starts()
    assert most_in_window(starts, 1.0) <= per_second
    assert len(starts) >= 0.95 * per_second * 60
    assert min(runs.counts()) >= 0.6 * max(runs.counts())


def test_a_run_that_is_killed_costs_three_tenths_of_a_second(virtual: Any, runs: Runs) -> None:
    async def main() -> None:
        for _ in range(4):
            runs.add(plain(), Limits(rpm=3000))
        await runs.run(20, kill_at=10.013)

    virtual(main)
    around = [at for at in runs.starts() if 9.5 <= at - runs.nights[0].began < 11.5]
    assert len(around) >= 0.95 * 2 * 50 - 0.3 * 50


def test_a_run_bound_by_its_own_slots_leaves_the_rest_to_others(virtual: Any, runs: Runs) -> None:
    async def main() -> None:
        runs.add(plain(1.0), Limits(rpm=3000, concurrency=10))
        runs.add(plain(), Limits(rpm=3000))
        await runs.run(60)

    virtual(main)
    slow, quick = runs.counts()
    assert slow >= 0.7 * 10 * 60
    assert slow + quick >= 0.95 * 50 * 60


def test_a_run_with_few_rows_wastes_nothing_of_the_quota(virtual: Any, runs: Runs) -> None:
    async def main() -> None:
        few = runs.add(plain(), Limits(rpm=3000))
        runs.add(plain(), Limits(rpm=3000))
        ledger = runs.quotas[0]
        async with anyio.create_task_group() as group:
            group.start_soon(ledger.keep)
            await few.run(20)
            ledger.leave(Limits(rpm=3000))
            group.cancel_scope.cancel()
        runs.nights, runs.quotas = runs.nights[1:], runs.quotas[1:]
        await runs.run(10)

    virtual(main)
    assert len(runs.starts()) >= 0.95 * 50 * 10 - 0.3 * 50


def test_the_lower_of_two_rpm_counts_and_is_said_once(virtual: Any, runs: Runs) -> None:
    async def main() -> None:
        runs.add(plain(), Limits(rpm=3000))
        runs.add(plain(), Limits(rpm=600))
        runs.add(plain(), Limits())
        await runs.run(30)

    virtual(main)
    assert len(runs.starts(since=runs.nights[0].began + 1)) <= 10 * 29
    high, low, none = (
        [*quota.notes(pool_run.account.limits)] for quota, pool_run in zip(runs.quotas, runs.nights, strict=True)
    )
    assert low == []
    assert len(high) == len(none) == 1
    assert "limits.rpm = 600, lower than this job's 3,000" in high[0]
    assert "limits.rpm = 600, this job sets none" in none[0]


def test_the_lower_of_two_rpm_counts_within_a_process_too(virtual: Any, runs: Runs) -> None:
    """Jobs of one process share one account: the second one's rpm counts as long as it is there."""

    async def main() -> None:
        one = runs.add(plain(), Limits(rpm=3000))
        quota, low = runs.quotas[0], Limits(rpm=600)
        quota.join(low)
        await runs.run(10)
        assert len(one.wire.sent) <= 10 * 10 + 1
        assert "limits.rpm = 600" in next(iter(quota.notes(one.account.limits)))
        assert list(quota.notes(low)) == []
        quota.leave(low)
        one.stop = type(one.stop)()
        one.wire.sent.clear()
        one.endings.clear()
        await runs.run(20)
        assert len(one.wire.sent) >= 0.95 * 50 * 14

    virtual(main)


def test_runs_without_any_rate_are_not_slowed(virtual: Any, runs: Runs) -> None:
    async def main() -> None:
        alone = PoolRun(plain(0.01), limits=Limits(concurrency=50))
        await alone.run(2000)
        runs.add(plain(0.01), Limits(concurrency=50))
        await runs.nights[0].run(2000)
        assert runs.nights[0].took == pytest.approx(alone.took)

    virtual(main)


def test_a_pause_that_one_run_is_told_holds_all_of_them(virtual: Any, runs: Runs) -> None:
    refused: list[float] = []

    def script(row: int, now: float) -> Answer:
        if row >= 100 and (not refused or now < refused[0] + 0.6):
            refused.append(now)
            return Answer(status=429, latency=0.05, headers={"retry-after": "10"})
        return Answer(latency=0.2)

    async def main() -> None:
        runs.add(script, Limits(rpm=3000))
        runs.add(plain(), Limits(rpm=3000))
        runs.add(plain(), Limits(rpm=3000))
        await runs.run(30)

    virtual(main)
    assert [at for at in runs.starts() if refused[0] + 1 < at < refused[0] + 9.5] == []
    assert len([at for at in runs.starts() if at > refused[0] + 10.5]) > 100


def found_together(
    virtual: Any, runs: Runs, limits: Limits, count: int, per_second: int, seconds: float, kill_at: float | None = None
) -> tuple[SlidingQuota, list[float]]:
    """Runs with these limits for so long, against a quota of so many a second; the times of what was taken."""
    quota, rng, taken = SlidingQuota(per_second), random.Random(count), []

    def script(row: int, now: float) -> Answer:
        fits = quota.admits(now)
        if fits:
            taken.append(now - runs.nights[0].began)
        return Answer(status=200 if fits else 429, latency=0.2 * rng.uniform(0.9, 1.1))

    async def main() -> None:
        for _ in range(count):
            runs.add(script, limits)
        await runs.run(seconds, kill_at)

    virtual(main)
    return quota, taken


@pytest.mark.parametrize("kill_at", [None, 60.013])
@pytest.mark.parametrize(("count", "used", "refused"), [(2, 0.9, 0.05), (4, 0.75, 0.15)])
def test_a_quota_that_nobody_named_is_found_by_each(
    virtual: Any, runs: Runs, count: int, used: float, refused: float, kill_at: float | None
) -> None:
    """Each of four sees a quarter of the load: by the order of their starts, 1 to 10 % of all requests are refused."""
    quota, taken = found_together(virtual, runs, Limits(), count, 50, 120, kill_at)
    assert quota.refused <= refused * (quota.refused + quota.taken)
    assert sum(at > 20 for at in taken) >= used * 50 * 100


def test_an_rpm_beyond_the_quota_is_lowered_together(virtual: Any, runs: Runs) -> None:
    quota, _ = found_together(virtual, runs, Limits(rpm=3000), 2, 40, 60)
    assert quota.taken >= 0.9 * 40 * 60


@pytest.mark.parametrize("others", [0, 1])
def test_a_lower_rate_of_a_run_holds_under_a_shared_ceiling(virtual: Any, runs: Runs, others: int) -> None:
    """The service names 10 a second to one run; the runs share a ceiling of 50."""
    named = {"x-ratelimit-limit-requests": "600", "x-ratelimit-remaining-requests": "599"}

    async def main() -> None:
        runs.add(lambda row, now: Answer(latency=0.2, headers=named), Limits())
        for _ in range(1 + others):
            runs.add(plain(), Limits(rpm=3000))
        await runs.run(30)

    virtual(main)
    low = [at for at in runs.nights[0].wire.starts() if at > runs.nights[0].began + 2]
    assert most_in_window(low, 1.0) <= 10 * (1 + HORIZON) + 1
    assert 0.9 * 10 * 28 <= len(low) <= 10 * (28 + HORIZON) + 1
    assert len(runs.starts()) >= 0.9 * 50 * 30


def test_runs_share_their_tokens_as_the_service_counts_them(virtual: Any, runs: Runs) -> None:
    """Estimates are twice what a reply comes to: the corrections must reach the ledger."""

    def ask(row: int) -> Any:
        return prepared(row, tokens=100, usage=Usage(input_tokens=40, output_tokens=10))

    async def main() -> None:
        for _ in range(3):
            runs.add(plain(), Limits(tpm=60_000), ask=ask)
        await runs.run(60)

    virtual(main)
    answered = sum(pool_run.count(Answered) for pool_run in runs.nights)
    assert answered * 50 <= 1.02 * 1000 * 60
    assert answered * 50 >= 0.9 * 1000 * 60


class Late(Ledger):
    """A ledger behind a network: every answer comes some milliseconds later, or never."""

    def __init__(self, inner: Ledger, group: Any, seconds: float) -> None:
        self.inner, self.group, self.seconds = inner, group, seconds
        self.dead = False

    def lease(self, ask: Ask, done: Any) -> None:
        self.group.start_soon(self._later, lambda: self.inner.lease(ask, done))

    def pause(self, seconds: float) -> None:
        self.inner.pause(seconds)

    def close(self) -> None:
        self.inner.close()

    async def _later(self, call: Any) -> None:
        await anyio.sleep(self.seconds)
        if not self.dead:
            call()


@pytest.mark.parametrize("dead", [False, True])
def test_a_ledger_may_answer_later_and_may_fall_silent(virtual: Any, runs: Runs, dead: bool) -> None:
    async def main() -> None:
        async with anyio.create_task_group() as group:
            late = [Late(runs.ledger(), group, 0.01) for _ in range(2)]
            for one in late:
                runs.add(plain(), Limits(rpm=3000), ledger=one)
            late[0].dead = dead
            await runs.run(20)
            group.cancel_scope.cancel()

    virtual(main)
    first, second = runs.counts()
    if dead:
        assert 0.9 * 50 * 20 <= first <= 50 * 20 + 1
        assert "does not answer" in next(iter(runs.quotas[0].notes(Limits(rpm=3000))))
    else:
        assert 0.95 * 50 * 20 <= first + second <= 50 * 20 + 1


class Broken(FileLedger):
    """A ledger whose disk fails for a while."""

    broken = False

    def lease(self, ask: Ask, done: Any) -> None:
        if self.broken:
            raise LedgerError("the disk fails")
        super().lease(ask, done)


def test_a_run_whose_ledger_fails_goes_on_and_comes_back(virtual: Any, runs: Runs) -> None:
    async def main() -> None:
        ledger = Broken(runs.path, clock=anyio.current_time)
        one = runs.add(plain(), Limits(rpm=3000), ledger=ledger)

        async def break_it() -> None:
            await anyio.sleep(5)
            ledger.broken = True
            await anyio.sleep(5)
            ledger.broken = False
            await anyio.sleep(2)
            runs.quotas.append(SharedQuota(Account(Limits(rpm=600)), runs.ledger(), anyio.current_time))

        async with anyio.create_task_group() as group:
            group.start_soon(break_it)
            await runs.run(14)
        late = [at for at in one.wire.starts() if at - one.began > 12.5]
        assert 0.9 * 50 * 12 <= len(one.wire.sent) - len(late) <= 50 * 12.5 + 2
        assert len(late) <= 10 * 1.5 + 2

    virtual(main)
    assert "the disk fails" in next(iter(runs.quotas[0].notes(Limits(rpm=3000))))
