"""LiteLLM's proxy: headers of one scope, and refusals for too many requests at once."""

from __future__ import annotations

import pytest

from pipeline.providers.hints import NOTHING, Hints, read


@pytest.mark.parametrize("scope", ["api_key", "team", "user", "model_per_key", "end_user"])
def test_headers_of_a_scope_are_read(scope: str) -> None:
    found = read(
        {
            f"x-ratelimit-{scope}-limit-requests": "60",
            f"x-ratelimit-{scope}-remaining-requests": "12",
            f"x-ratelimit-{scope}-limit-tokens": "9000",
            f"x-ratelimit-{scope}-remaining-tokens": "100",
        }
    )
    assert (found.limit, found.remaining) == (60.0, 12.0)
    assert (found.token_limit, found.token_remaining) == (9000.0, 100.0)


def test_of_several_scopes_the_one_with_the_least_left_counts() -> None:
    found = read(
        {
            "x-ratelimit-api_key-limit-requests": "600",
            "x-ratelimit-api_key-remaining-requests": "500",
            "x-ratelimit-team-limit-requests": "100",
            "x-ratelimit-team-remaining-requests": "3",
        }
    )
    assert (found.limit, found.remaining) == (100.0, 3.0)


def test_a_plain_header_goes_before_those_of_a_scope() -> None:
    found = read({"x-ratelimit-limit-requests": "50", "x-ratelimit-api_key-limit-requests": "60"})
    assert found.limit == 50.0


def test_the_limits_of_the_provider_behind_a_proxy_are_not_ours() -> None:
    assert read({"llm_provider-x-ratelimit-limit-requests": "10"}).limit is None


def test_a_refusal_for_too_many_at_once_asks_for_no_wait() -> None:
    found = read({"rate_limit_type": "max_parallel_requests", "retry-after": "60", "reset_at": "1800000000"})
    assert found.parallel
    assert found.wait is None
    assert read({"rate_limit_type": "requests", "retry-after": "60"}).wait == 60.0


def test_slots_that_are_named_are_read() -> None:
    found = read({"x-ratelimit-api_key-limit-max_parallel_requests": "8"})
    assert found == Hints(slots=8.0)
    assert read({"x-other": "1"}) is NOTHING
