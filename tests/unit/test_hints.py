"""Headers about limits, in the forms that services use."""

from __future__ import annotations

import random

import pytest

from pipeline.dispatch.account import Account, Limits
from pipeline.dispatch.retry import Again, GiveUp, Past, decide
from pipeline.errors import Fault
from pipeline.providers.hints import NOTHING, Hints, read

WALL = 1_800_000_000.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "12"}, 12.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Fri, 15 Jan 2027 08:00:30 GMT"}, 30.0),
        ({"retry-after": "Fri, 15 Jan 2027 09:00:30 GMT", "date": "Fri, 15 Jan 2027 09:00:00 GMT"}, 30.0),
        ({"retry-after": "Fri, 15 Jan 2027 07:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
    ],
)
def test_retry_after_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert read(headers, WALL).retry_after == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6m0s", 360.0),
        ("12ms", 0.012),
        ("1h2m3.5s", 3723.5),
        ("45", 45.0),
        (str(int(WALL) + 20), 20.0),
        (str((int(WALL) + 20) * 1000), 20.0),
        ("2027-01-15T08:00:05Z", 5.0),
        ("20ms", 0.02),
        ("1m 30s", 90.0),
        ("1.5", 1.5),
        ("2d", 172_800.0),
        ("250us", 0.00025),
        ("Fri, 15 Jan 2027 08:00:30 GMT", 30.0),
        (str(int(WALL) - 20), 0.0),
        ("-1", None),
        ("", None),
        ("later", None),
    ],
)
def test_resets_in_all_their_units(text: str, seconds: float | None) -> None:
    assert read({"x-ratelimit-reset-requests": text}, WALL).reset == seconds


@pytest.mark.parametrize("text", ["Fri, 15 Jan 2027 08:00:30 GMT", str(int(WALL) + 20), "2027-01-15T08:00:05Z"])
def test_a_time_without_a_clock_counts_as_not_said(text: str) -> None:
    assert read({"retry-after": text}).wait is None
    dated = {"retry-after": text, "date": "Fri, 15 Jan 2027 08:00:00 GMT"}
    assert read(dated).wait == read(dated, 0.0).wait is not None


@pytest.mark.parametrize("text", ["Fri, 31 Dec 9999 23:59:59 -2359", "9999-12-31T23:59:59-23:59", "1e300", "9" * 400])
def test_no_wait_is_longer_than_a_day_whatever_the_header_says(text: str) -> None:
    for name in ("retry-after", "retry-after-ms"):
        wait = read({name: text}, WALL).wait
        assert wait is None or wait <= 86_400


def test_limits_of_requests_and_tokens() -> None:
    headers = {
        "x-ratelimit-limit-requests": "600",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-limit-tokens": "90000",
        "x-ratelimit-remaining-tokens": "89000",
        "ratelimit-limit": "10, 10;w=1",
    }
    assert read(headers, WALL) == Hints(limit=600, remaining=0, token_limit=90000, token_remaining=89000)
    assert read({"ratelimit-limit": "10, 10;w=1", "ratelimit-reset": "1"}, WALL) == Hints(limit=10, reset=1)
    assert read({"content-type": "x"}, WALL) is NOTHING


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 360.0),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "20ms"}, 0.02),
        ({"x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": "6m0s"}, None),
        ({"x-ratelimit-remaining-requests": "0"}, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "7s"}, 7.0),
        (
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "7s",
            },
            7.0,
        ),
        (
            {
                "x-ratelimit-remaining-requests": "9",
                "x-ratelimit-reset-requests": "60s",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "7s",
            },
            7.0,
        ),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(WALL) + 20)}, 20.0),
        ({"x-rate-limit-remaining": "0", "x-rate-limit-reset": "Fri, 15 Jan 2027 08:00:30 GMT"}, 30.0),
        ({"ratelimit-remaining": "0", "ratelimit-reset": "5"}, 5.0),
        ({"ratelimit": '"default";r=0;t=30, "day";r=50;t=900'}, 30.0),
        ({"ratelimit": '"default";r=50;t=30'}, None),
    ],
)
def test_what_is_used_up_and_until_when(headers: dict[str, str], seconds: float | None) -> None:
    assert read(headers, WALL).used_up == seconds


def test_a_published_limit_is_a_ceiling_and_the_users_own_stands() -> None:
    account = Account()
    account._learn(Hints(limit=600, reset=30))
    assert account.rate == pytest.approx(10)
    own = Account(Limits(rpm=60))
    own._learn(Hints(limit=600, reset=30))
    assert own.rate == pytest.approx(1)


def test_waits_are_never_shorter_than_asked_and_never_pass_the_deadline() -> None:
    rng = random.Random(1)
    fault = Fault("throttled", "E", "slow down", retry="yes")
    past = Past(attempts=1, once=0, remaining=100.0)
    for asked in (0.0, 5.0, 60.0):
        decision = decide(fault, past, attempts=6, retry_after=asked, rng=rng)
        assert isinstance(decision, Again)
        assert asked <= decision.seconds <= max(1.0, asked + 0.25)
    assert isinstance(decide(fault, past, attempts=6, retry_after=101.0, rng=rng), GiveUp)
    waits = [
        decide(fault, Past(attempts=made, once=0, remaining=1e9), attempts=99, retry_after=None, rng=rng)
        for made in range(1, 40)
    ]
    assert all(isinstance(wait, Again) and 0.5 <= wait.seconds <= 60 for wait in waits)


def test_a_lone_fault_waits_a_second_at_most_unless_more_was_asked() -> None:
    rng = random.Random(1)
    for kind in ("throttled", "transient"):
        fault = Fault(kind, "E", "once more", retry="yes")
        for made in range(1, 40):
            past = Past(attempts=made, once=0, remaining=1e9)
            for asked, most in ((None, 1.0), (5.0, 5.25)):
                decision = decide(fault, past, attempts=99, retry_after=asked, rng=rng, isolated=True)
                assert isinstance(decision, Again)
                assert (asked or 0.25) <= decision.seconds <= most
