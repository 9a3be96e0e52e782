"""The arithmetic of the ledger: what is granted, by any interleaving of runs, pauses, kills and lost records."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dispatch.ledger import HORIZON, STATED_SECONDS, Ask, Grant, Record
from pipeline.dispatch.ledger_file import FileLedger, pack, unpack
from pipeline.dispatch.rate import MAX_CATCH_UP_SECONDS

BOOT = b"12345678"
EPSILON = 1e-6


def wanted(count: int, tokens: float = 0.0) -> tuple[float, ...]:
    return (tokens,) * count


def ten_a_second() -> Record:
    """A start every 0.102 s: ten within a second, and one of them may be 20 ms late."""
    return Record(most_starts=10.0, most_starts_until=1e9)


def test_starts_of_a_lease_are_one_step_apart_and_follow_each_other() -> None:
    record = ten_a_second()
    first = record.lease(100.0, Ask(tokens=wanted(2)))
    second = record.lease(100.0, Ask(tokens=wanted(5)))
    assert first.slots == pytest.approx([0.0, 0.102])
    assert second.slots == pytest.approx([0.204])  # four of the five lie beyond the horizon
    assert second.again == pytest.approx(0.306 - HORIZON)


@pytest.mark.parametrize("rate", [1 / 60, 0.5, 2.0])
def test_a_run_that_is_killed_costs_one_start_where_starts_are_rare(rate: float) -> None:
    record = Record()
    assert len(record.lease(0.0, Ask(tokens=wanted(100), most_starts=rate)).slots) == 1
    assert record.next == pytest.approx(1 / rate, abs=MAX_CATCH_UP_SECONDS / min(1, rate))


def test_a_quota_that_nobody_used_is_not_saved_up() -> None:
    record = ten_a_second()
    record.lease(0.0, Ask(tokens=wanted(1)))
    assert len(record.lease(1000.0, Ask(tokens=wanted(100))).slots) == 3


def test_without_any_limit_everything_is_granted_at_once() -> None:
    grant = Record().lease(5.0, Ask(tokens=wanted(100, 1000.0)))
    assert list(grant.slots) == [0.0] * 100
    assert grant.terms is not None
    assert grant.terms.most_starts is None


@pytest.mark.parametrize("per_second", [0.1, 1.0, 50.0, 1000.0])
def test_a_ceiling_holds_for_what_arrives_late(per_second: float) -> None:
    """A second (or the time of one start, where it is longer) never holds more than the ceiling allows, although one
    start may be as late as allowed and another one punctual."""
    times: list[float] = []
    record, now = Record(), 0.0
    while len(times) < 2 * per_second + 3:
        grant = record.lease(now, Ask(tokens=wanted(50), most_starts=per_second))
        times += [now + slot for slot in grant.slots]
        now += max(0.01, grant.again)
    window = max(1.0, 1 / per_second)
    late_first = [times[0] + MAX_CATCH_UP_SECONDS, *times[1:]]
    within = sum(late_first[0] <= at < late_first[0] + window - EPSILON for at in late_first)
    assert within <= max(1, per_second)


def test_the_lower_of_two_ceilings_counts_while_it_is_stated() -> None:
    record = Record()
    record.lease(0.0, Ask(most_starts=20.0, most_tokens=100.0))
    other = record.lease(1.0, Ask(most_starts=10.0, most_tokens=300.0)).terms
    assert other is not None
    assert (other.most_starts, other.most_tokens) == (10.0, 100.0)
    record.lease(3.0, Ask(most_starts=20.0))
    assert record.terms(5.9).most_starts == 10.0
    record.lease(1.0 + STATED_SECONDS, Ask(most_starts=20.0))
    assert record.terms(1.0 + STATED_SECONDS).most_starts == 20.0


def test_a_ceiling_of_one_run_counts_for_one_that_has_none() -> None:
    record = Record()
    record.lease(0.0, Ask(most_starts=2.0))
    assert len(record.lease(0.0, Ask(tokens=wanted(10))).slots) == 1


def test_a_pause_moves_every_start_and_the_longer_one_counts() -> None:
    record = ten_a_second()
    record.pause(0.0, 2.0)
    record.pause(1.0, 0.5)
    none = record.lease(1.0, Ask(tokens=wanted(3)))
    assert list(none.slots) == []
    assert none.again == pytest.approx(1.0 - HORIZON)
    assert record.lease(1.8, Ask(tokens=wanted(2))).slots == pytest.approx([0.2])


def test_tokens_hold_starts_back_and_are_corrected_by_the_next_lease() -> None:
    record = Record(most_tokens=100.0, most_tokens_until=1e9)
    assert record.lease(0.0, Ask(tokens=(10.0, 10.0, 100.0, 10.0))).slots == pytest.approx([0.0, 0.1, 0.2])
    dear = record.lease(0.0, Ask(tokens=(1.0,), correction=50.0))
    assert list(dear.slots) == []
    assert dear.again == pytest.approx(1.7 - HORIZON)
    assert record.lease(0.0, Ask(tokens=(1.0,), correction=-160.0)).slots == pytest.approx([0.1])


def test_what_is_given_back_never_reaches_into_the_past() -> None:
    record = Record(most_tokens=100.0, most_tokens_until=1e9)
    record.lease(0.0, Ask(tokens=(100.0,)))
    record.lease(10.0, Ask(correction=-1000.0))
    times = record.lease(10.0, Ask(tokens=(50.0,) * 3)).slots
    assert times == pytest.approx([0.0])


def test_a_record_is_read_back_and_one_of_an_earlier_boot_is_void() -> None:
    record = Record(next=7.5, tokens=8.5, paused=3.0, most_starts=2.0, most_starts_until=14.0)
    raw = pack(record, BOOT, 9.0)
    assert unpack(raw, BOOT, 9.0) == record
    assert unpack(raw, b"87654321", 9.0) == Record()
    assert unpack(raw, BOOT, 8.0) == Record()  # where the system names no boot, the clock shows it


@pytest.mark.parametrize("damage", [b"short", b"x" * 500])
def test_a_damaged_record_grants_nothing_twice(tmp_path: Path, damage: bytes) -> None:
    now, path = 50.0, tmp_path / "ledger"
    tmp_path.chmod(0o700)
    ledger = FileLedger(path, clock=lambda: now, boot=BOOT)
    grants: list[Grant] = []
    ask = Ask(tokens=wanted(30), most_starts=50.0)
    ledger.lease(ask, grants.append)
    path.write_bytes(damage)
    ledger.lease(ask, grants.append)
    assert grants[1].slots[0] > grants[0].slots[-1]
    assert path.stat().st_mode & 0o777 == 0o600


class Worker:
    """A run as the ledger sees it: it leases, makes its starts up to 20 ms late, and may be killed."""

    def __init__(self) -> None:
        self.slots: list[float] = []


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["lease", "lease", "lease", "start", "start", "kill", "pause", "look"]),
        st.integers(0, 3),
        st.floats(0, 0.4),
        st.integers(1, 30),
        st.floats(0, MAX_CATCH_UP_SECONDS),
    ),
    min_size=5,
    max_size=80,
)


@settings(max_examples=150, deadline=None)
@given(rate=st.floats(0.3, 200), steps=STEPS)
def test_the_law_holds_by_any_interleaving_of_leases_kills_and_pauses(
    rate: float, steps: list[tuple[str, int, float, int, float]]
) -> None:
    record, now = Record(), 1000.0
    workers = [Worker() for _ in range(4)]
    starts: list[float] = []
    pauses: list[tuple[float, float]] = []
    for what, number, gap, count, late in steps:
        now += gap
        worker = workers[number]
        if what == "lease":
            grant = record.lease(now, Ask(tokens=wanted(count), most_starts=rate))
            assert all(slot <= HORIZON + EPSILON for slot in grant.slots)
            assert not any(begin <= now + slot < end - EPSILON for begin, end in pauses for slot in grant.slots)
            worker.slots += [now + slot for slot in grant.slots]
        elif what == "start":
            starts += [slot + late for slot in worker.slots if slot <= now]
            worker.slots = [slot for slot in worker.slots if slot > now]
        elif what == "kill":
            worker.slots = []
        elif what == "pause":
            record.pause(now, gap)
            pauses.append((now, now + gap))
        else:
            record.lease(now, Ask(most_starts=rate))
    starts.sort()
    for first, last in itertools.combinations_with_replacement(range(len(starts)), 2):
        window = starts[last] - starts[first]
        assert last - first + 1 <= rate * (window + MAX_CATCH_UP_SECONDS) + 1 + EPSILON


@settings(max_examples=150, deadline=None)
@given(
    per_second=st.floats(1, 1000),
    leases=st.lists(
        st.tuples(st.floats(0, 2), st.lists(st.floats(0, 500), min_size=1, max_size=5), st.floats(0, 300)), min_size=2
    ),
)
def test_the_law_holds_for_tokens_with_corrections(
    per_second: float, leases: list[tuple[float, list[float], float]]
) -> None:
    record, now = Record(), 0.0
    starts: list[tuple[float, float]] = []  # when, and all tokens charged before it
    total = 0.0
    for gap, tokens, beyond in leases:
        now += gap
        grant = record.lease(now, Ask(tokens=tuple(tokens), correction=beyond, most_tokens=per_second))
        total += beyond
        for slot, amount in zip(grant.slots, tokens, strict=False):
            starts.append((now + slot, total))
            total += amount
    for (earlier, before), (later, then) in itertools.combinations(starts, 2):
        assert then - before <= per_second * (later - earlier) + EPSILON
