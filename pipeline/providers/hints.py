"""Reads what response headers say about waiting and quotas."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import msgspec

_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNIT = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
LONGEST_WAIT = 86_400.0


class Hints(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds to wait, and the account's quota as the service states it; None where it does not.

    `limit_*` and `remaining_*` are per minute (Qianfan: `X-Ratelimit-…`; OpenAI servers: the same names).
    `should_retry` is the header `x-should-retry`.
    """

    retry_after: float | None = None
    limit_requests: int | None = None
    limit_tokens: int | None = None
    remaining_requests: int | None = None
    remaining_tokens: int | None = None
    should_retry: bool | None = None


def read(headers: Mapping[str, str]) -> Hints:
    """The hints of one response. `headers` have lower-case names; a header that cannot be read counts as absent."""
    return Hints(
        retry_after=retry_after(headers),
        limit_requests=_count(headers.get("x-ratelimit-limit-requests")),
        limit_tokens=_count(headers.get("x-ratelimit-limit-tokens")),
        remaining_requests=_count(headers.get("x-ratelimit-remaining-requests")),
        remaining_tokens=_count(headers.get("x-ratelimit-remaining-tokens")),
        should_retry={"true": True, "false": False}.get(headers.get("x-should-retry", "").strip().lower()),
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from `retry-after-ms`, `retry-after` (seconds, or a date against the `date` header), else from
    `x-ratelimit-reset-requests|tokens` where the matching remainder is 0. Never negative, never over a day."""
    wait = _number(headers.get("retry-after-ms"))
    if wait is not None:
        return _bounded(wait / 1000)
    stated = headers.get("retry-after")
    wait = _number(stated)
    if wait is None and stated:
        wait = _until(stated, headers.get("date"))
    if wait is not None:
        return _bounded(wait)
    resets = [
        span
        for what in ("requests", "tokens")
        if _count(headers.get(f"x-ratelimit-remaining-{what}")) == 0
        and (span := _span(headers.get(f"x-ratelimit-reset-{what}"))) is not None
    ]
    return _bounded(max(resets)) if resets else None


def _bounded(seconds: float) -> float | None:
    return min(max(seconds, 0.0), LONGEST_WAIT) if seconds == seconds else None


def _number(value: str | None) -> float | None:
    try:
        return float(value) if value else None
    except ValueError:
        return None


def _count(value: str | None) -> int | None:
    text = (value or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


def _until(moment: str, now: str | None) -> float | None:
    if not now:
        return None
    try:
        return (parsedate_to_datetime(moment) - parsedate_to_datetime(now)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None


def _span(value: str | None) -> float | None:
    parts = _SPAN.findall(value or "")
    return sum(float(number) * _UNIT[unit] for number, unit in parts) if parts else _number(value)
