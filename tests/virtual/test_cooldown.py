"""Who starts a pause of the account, who only lengthens it, and who has nothing to say."""

from __future__ import annotations

import random

import pytest

from pipeline.dispatch.account import Account
from pipeline.dispatch.cooldown import Cooldown
from pipeline.dispatch.limiter import Ticket
from pipeline.errors import Fault


def cooldown() -> Cooldown:
    return Cooldown(random.Random(1))


def test_only_requests_sent_since_the_last_pause_began_start_a_new_one() -> None:
    one = cooldown()
    assert one.pause(10.0, 5.0, started=9.0)
    assert not one.pause(10.2, 5.0, started=9.9)
    assert not one.pause(10.3, 1.0, started=9.999)
    assert (one.count, one.until) == (1, 15.2)
    assert one.pause(16.0, 2.0, started=15.3)
    assert (one.count, one.until) == (2, 18.0)
    assert one.pause(16.5, 2.0, started=16.0), "sent at the very moment at which the last pause began"
    assert one.count == 3


def test_a_shorter_wish_never_shortens_a_pause() -> None:
    one = cooldown()
    one.pause(10.0, 120.0, started=9.0)
    one.pause(11.0, 1.0, started=10.5)
    assert one.wait(11.0) == 119.0


def test_refusals_of_one_moment_pause_once_and_set_the_concurrency_back_once(virtual: object) -> None:
    async def main() -> tuple[int, float]:
        account = Account(rng=random.Random(1))
        fault = Fault("throttled", "E429", "slow down", http_status=429, retry="yes", retry_after=30.0)
        tickets = [await account.admit(None) for _ in range(8)]
        for ticket in tickets:
            account.settle(Ticket(ticket.at - 0.1, 0, None), fault)
        return account.cooldown.count, account.rate or 0.0

    assert virtual(main)[0] == 1


def test_a_pause_of_our_own_outlasts_a_second_and_grows_to_a_minute() -> None:
    one, lengths = cooldown(), []
    for number in range(12):
        one.back_off(number * 1000.0)
        lengths.append(one.wait(number * 1000.0))
    assert 1.0 <= lengths[0] <= 1.5
    assert all(length <= 60.0 for length in lengths)
    assert lengths[-1] >= 40.0


def test_a_hold_until_the_reset_is_one_for_all_that_was_in_flight() -> None:
    one = cooldown()
    assert one.pause_until_reset(10.0, 20.0, started=9.0)
    assert not one.pause_until_reset(10.5, 20.0, started=9.5)
    assert (one.until, one.count, one.streak) == (30.0, 0, 0)
    assert one.pause_until_reset(31.0, 20.0, started=30.5)
    assert one.until == 51.0


@pytest.mark.parametrize("seconds", [86_400.0, 1e9])
def test_a_hold_is_never_longer_than_an_hour(seconds: float) -> None:
    one = cooldown()
    one.pause_until_reset(0.0, seconds, started=0.0)
    assert one.wait(0.0) == 3600.0
