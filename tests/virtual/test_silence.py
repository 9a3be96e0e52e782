"""A dead network ends the run soon; a slow service, a blip and a short outage do not."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from support.scripted import DROPPED, REFUSED, Answer, outage

from pipeline.dispatch.account import Limits
from pipeline.dispatch.prepared_request import Policy
from pipeline.dispatch.transport import Timeouts
from pipeline.errors import Fault
from pipeline.types import Answered, Failed, Left

NO_ROUTE = Fault("transient", "Local.ConnectTimeout", "no connection within 10 s", retry="yes")


@pytest.mark.parametrize("rows", [3, 2000])
@pytest.mark.parametrize("concurrency", [None, 1, 64])
@pytest.mark.parametrize(("fault", "latency"), [(REFUSED, 0.0), (NO_ROUTE, 10.0)], ids=["refused", "no route"])
def test_a_dead_port_ends_the_run_within_three_minutes(
    pool_run: Any, rows: int, concurrency: int | None, fault: Fault, latency: float
) -> None:
    result = pool_run(
        lambda row, now: Answer(fault=fault, status=0, latency=latency), rows, limits=Limits(concurrency=concurrency)
    )
    assert 120.0 <= result.took < 180.0
    assert result.stopped.reason == "circuit"
    assert "circuit.silence" in result.stopped.message
    assert fault.message in result.stopped.message
    assert result.count(Left) == len(result.endings) > 0


@pytest.mark.parametrize("concurrency", [1, 64])
def test_an_outage_of_30_s_in_the_middle_loses_nothing(pool_run: Any, concurrency: int) -> None:
    rows = 100 * concurrency
    result = pool_run(outage(20.0, 50.0), rows, limits=Limits(concurrency=concurrency))
    assert result.stopped.reason == "finished"
    assert result.count(Answered) == rows


def test_a_network_that_dies_in_the_middle_keeps_what_came(pool_run: Any) -> None:
    result = pool_run(outage(20.0, math.inf), itertools.count(), limits=Limits(concurrency=8))
    assert result.stopped.reason == "circuit"
    assert 140.0 <= result.took < 200.0
    assert result.count(Answered) >= 8 * 38
    assert result.count(Failed) == 0


def test_a_model_that_is_silent_for_minutes_is_awaited(pool_run: Any) -> None:
    """Seven connections are refused beside it; the request that was taken answers after eight minutes."""
    result = pool_run(
        lambda row, now: Answer(latency=480.0) if row == 0 else Answer(fault=REFUSED, status=0, latency=0.0),
        8,
        policy=Policy(timeouts=Timeouts(read=600.0, total=900.0), deadline=1e6),
    )
    assert isinstance(result.endings[0], Answered)
    assert result.took >= 480.0


def test_answers_after_long_silences_stop_nothing(pool_run: Any) -> None:
    result = pool_run(
        lambda row, now: Answer(latency=290.0),
        50,
        limits=Limits(concurrency=2),
        policy=Policy(timeouts=Timeouts(read=300.0, total=900.0)),
    )
    assert result.stopped.reason == "finished"
    assert result.count(Answered) == 50


def test_a_blip_before_a_long_pause_stops_nothing(pool_run: Any) -> None:
    """One connection fails, and the next request may start four minutes later."""
    blips: list[int] = []

    def script(row: int, now: float) -> Answer:
        if row == 3 and not blips:
            blips.append(row)
            return Answer(fault=REFUSED, status=0, latency=0.0)
        return Answer(latency=0.5)

    result = pool_run(script, 10, limits=Limits(rpm=0.25), policy=Policy(deadline=1e6))
    assert result.stopped.reason == "finished"
    assert result.count(Answered) == 10


def test_a_server_that_takes_connections_is_not_silent(pool_run: Any) -> None:
    """It answered once, and drops each connection since."""
    result = pool_run(
        lambda row, now: Answer() if row == 0 else Answer(fault=DROPPED, status=0, latency=0.1),
        4,
        policy=Policy(circuit_min_calls=1000),
    )
    assert result.stopped.reason == "finished"
    assert result.count(Failed) == 3


def test_silence_of_zero_never_stops(pool_run: Any) -> None:
    result = pool_run(
        lambda row, now: Answer(fault=REFUSED, status=0, latency=0.0),
        3,
        policy=Policy(silence=0.0, deadline=1e6),
    )
    assert result.stopped.reason == "finished"
    assert result.count(Failed) == 3
