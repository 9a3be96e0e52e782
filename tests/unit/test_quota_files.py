"""A file of a quota that cannot be used is no fault of a run; a belief stands whatever it sees."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dispatch.control import RateController
from pipeline.dispatch.found import Learnt
from pipeline.dispatch.learnt import keep, recall


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b'{"per_second": "fast"}',
        b'{"per_second": 0, "at": %d}',
        b'{"per_second": -5, "at": %d}',
        b'{"per_second": 1e300, "at": %d}',
        b'{"slots": 0, "at": %d}',
        b'{"per_second": 50, "latency": -1, "at": %d}',
        b'{"per_second": 50, "chance": 2, "at": %d}',
        b'{"per_second": 50, "at": 0}',
        b'{"at": %d}',
    ],
)
def test_a_file_that_cannot_be_used_is_passed_over(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "quota.json"
    path.write_bytes(content.replace(b"%d", str(int(time.time())).encode()))
    assert recall(path) is None


def test_what_is_kept_is_recalled(tmp_path: Path) -> None:
    path = tmp_path / "quota.json"
    keep(path, Learnt(per_second=49.5, slots=16, chance=0.02, latency=0.3))
    found = recall(path)
    assert found is not None
    assert (found.per_second, found.slots, found.chance, found.latency) == (49.5, 16, 0.02, 0.3)
    assert [other.name for other in tmp_path.iterdir()] == ["quota.json"]


steps = st.lists(st.tuples(st.sampled_from(["taken", "refused", "lost"]), st.integers(1, 400), st.floats(0, 90)))


@settings(max_examples=60, deadline=None)
@given(steps)
def test_a_rate_is_a_number_whatever_the_service_does(history: list[tuple[str, int, float]]) -> None:
    controller, now = RateController(None, None), 0.0
    for outcome, count, pause in history:
        for _ in range(count):
            controller.began(now)
        started, now = now, now + pause
        for _ in range(count):
            if outcome == "taken":
                controller.answered(now, started, slot_bound=True, rate_bound=True)
            elif outcome == "refused":
                controller.throttled(now, started)
            else:
                controller.lost(started)
            assert controller.rate is None or 0 < controller.rate < math.inf
            assert controller.limit(now) >= 1
