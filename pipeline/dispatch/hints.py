"""What a response's headers say about waiting and limits, in all the forms and units that services use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

import msgspec

_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|[dhms])")
_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_EPOCH_SECONDS = 1e9
_EPOCH_MS = 1e12


class Hints(msgspec.Struct, frozen=True, kw_only=True):
    """`retry_after` and the resets are seconds from now; None = not said."""

    retry_after: float | None = None
    limit: float | None = None
    remaining: float | None = None
    reset: float | None = None
    token_limit: float | None = None
    token_remaining: float | None = None
    token_reset: float | None = None

    @property
    def used_up(self) -> float | None:
        """Seconds until the reset of what is used up, requests or tokens: the later one. None while something is left,
        or when its reset is not said."""
        resets = [
            reset
            for remaining, reset in ((self.remaining, self.reset), (self.token_remaining, self.token_reset))
            if remaining == 0 and reset is not None
        ]
        return max(resets, default=None)


NOTHING = Hints()


def read(headers: Mapping[str, str], wall: float) -> Hints:
    """headers: lower-case names. wall: seconds since the epoch, for dates where the response has none of its own.

    Forms: Retry-After (seconds or an HTTP date, RFC 9110 §10.2.3), retry-after-ms (OpenAI, Azure),
    x-ratelimit-{limit,remaining,reset}-{requests,tokens} with resets such as "6m0s", "12ms" or seconds (OpenAI;
    Qianfan without resets), x-ratelimit-{limit,remaining,reset}, ratelimit-{limit,remaining,reset} (IETF draft up to
    07) and RateLimit: "name";r=remaining;t=seconds (from 08 on). Resets also as times: HTTP, ISO, since the epoch.
    """
    if not any("ratelimit" in name or "rate-limit" in name or name.startswith("retry-after") for name in headers):
        return NOTHING
    date = _date(headers.get("date", ""))
    now = date.timestamp() if date is not None else wall
    return Hints(
        retry_after=_retry_after(headers, now),
        limit=_count(headers, "limit", "requests"),
        remaining=_count(headers, "remaining", "requests"),
        reset=_reset(headers, "requests", now),
        token_limit=_count(headers, "limit", "tokens"),
        token_remaining=_count(headers, "remaining", "tokens"),
        token_reset=_reset(headers, "tokens", now),
    )


def _retry_after(headers: Mapping[str, str], now: float) -> float | None:
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    return _seconds(headers.get("retry-after", ""), now)


def _texts(headers: Mapping[str, str], what: str, unit: str) -> list[str]:
    names = [f"x-ratelimit-{what}-{unit}"]
    if unit == "requests":
        names += [f"x-ratelimit-{what}", f"ratelimit-{what}", f"x-rate-limit-{what}"]
    return [headers[name] for name in names if name in headers]


def _count(headers: Mapping[str, str], what: str, unit: str) -> float | None:
    for text in _texts(headers, what, unit):
        number = _number(re.split(r"[,;]", text)[0])
        if number is not None:
            return number
    return _parameter(headers, "r") if (what, unit) == ("remaining", "requests") else None


def _parameter(headers: Mapping[str, str], name: str) -> float | None:
    """A parameter of the first policy in RateLimit (draft-ietf-httpapi-ratelimit-headers-08)."""
    for part in headers.get("ratelimit", "").split(",")[0].split(";")[1:]:
        key, _, value = part.partition("=")
        if key.strip() == name:
            return _number(value)
    return None


def _reset(headers: Mapping[str, str], unit: str, now: float) -> float | None:
    for text in _texts(headers, "reset", unit):
        seconds = _seconds(text, now)
        if seconds is not None:
            return seconds
    return _parameter(headers, "t") if unit == "requests" else None


def _seconds(text: str, now: float) -> float | None:
    """Seconds of "12", "1.5", "6m0s", "120ms", an epoch in seconds or milliseconds, an ISO time or an HTTP date."""
    text = text.strip()
    number = _number(text)
    if number is not None:
        if number >= _EPOCH_MS:
            return max(0.0, number / 1000 - now)
        return max(0.0, number - now) if number >= _EPOCH_SECONDS else number
    if text and not _SPAN.sub("", text).strip():
        return sum(float(value) * _UNITS[unit] for value, unit in _SPAN.findall(text))
    date = _date(text) if text[:1].isalpha() else None
    try:
        return max(0.0, (date or datetime.fromisoformat(text)).timestamp() - now)
    except ValueError:
        return None


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None


def _date(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
