"""Reads waiting times and limits from the headers of a response, in all the forms and units that services use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

import msgspec

_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|[dhms])")
_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_SCOPED = re.compile(r"x-ratelimit-([a-z_]+)-(limit|remaining|reset)-(requests|tokens|max_parallel_requests)")
_TOLD = re.compile("rate[-_]?limit|retry")
_PARALLEL = "max_parallel_requests"
_EPOCH_SECONDS = 1e9
_EPOCH_MS = 1e12
LONGEST_WAIT = 86_400.0


class Hints(msgspec.Struct, frozen=True, kw_only=True):
    """The limits and waiting times that a response states; None means not stated.

    `retry_after` and the resets are seconds from now. `should_retry` is the header `x-should-retry`. parallel: the
    request was refused because too many requests were in flight, whatever wait is stated beside it. slots: how many
    requests may be in flight at once. scoped: the figures belong to the window of a gateway, which takes all of
    `remaining` at once.
    """

    retry_after: float | None = None
    limit: float | None = None
    remaining: float | None = None
    reset: float | None = None
    token_limit: float | None = None
    token_remaining: float | None = None
    token_reset: float | None = None
    should_retry: bool | None = None
    parallel: bool = False
    slots: float | None = None
    scoped: bool = False

    @property
    def wait(self) -> float | None:
        """Returns the seconds to wait after a refusal: the stated seconds, else the seconds until the used-up limit
        resets. At most a day. None if nothing is stated, or if only too many requests were in flight: a slot is free
        when a request ends.
        """
        if self.parallel:
            return None
        asked = self.used_up if self.retry_after is None else self.retry_after
        return None if asked is None else min(asked, LONGEST_WAIT)

    @property
    def used_up(self) -> float | None:
        """Returns the seconds until the used-up limit (requests or tokens) resets; the later reset if both are used up.

        None if neither limit is used up, or if no reset is stated.
        """
        if self.remaining != 0 and self.token_remaining != 0:
            return None
        resets = [
            reset
            for remaining, reset in ((self.remaining, self.reset), (self.token_remaining, self.token_reset))
            if remaining == 0 and reset is not None
        ]
        return max(resets, default=None)


NOTHING = Hints()


def read(headers: Mapping[str, str], wall: float | None = None) -> Hints:
    """Returns the limits and waiting times in the headers.

    headers: names in lower case. wall: seconds since the epoch, used if the response has no date. Without a date and
    without `wall`, a limit that is stated as a time counts as not stated.

    Forms: Retry-After (seconds or an HTTP date, RFC 9110 §10.2.3), retry-after-ms (OpenAI, Azure),
    x-ratelimit-{limit,remaining,reset}-{requests,tokens} with resets such as "6m0s", "12ms" or seconds (OpenAI;
    Qianfan without resets), x-ratelimit-{limit,remaining,reset}, ratelimit-{limit,remaining,reset} (IETF draft up to
    07) and RateLimit: "name";r=remaining;t=seconds (from 08 on). Resets may also be times: HTTP, ISO, since the epoch.
    LiteLLM's proxy (litellm/proxy/hooks/parallel_request_limiter_v3.py) puts a scope into the names, such as
    x-ratelimit-api_key-remaining-requests, and states in rate_limit_type which limit refused the request.
    """
    if not _TOLD.search("\n".join(headers)):
        return NOTHING
    headers, scoped = _unscoped(headers)
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
        should_retry={"true": True, "false": False}.get(headers.get("x-should-retry", "").strip().lower()),
        parallel=headers.get("rate_limit_type", "").strip().lower() == _PARALLEL,
        slots=_count(headers, "limit", _PARALLEL),
        scoped=scoped,
    )


def _unscoped(headers: Mapping[str, str]) -> tuple[Mapping[str, str], bool]:
    """Returns the headers with plain names beside the scoped names, and whether the request limit is scoped.

    The plain names get the values of the scope that has the least left. A header that has a plain name already stays.
    """
    found: dict[str, dict[str, dict[str, str]]] = {}
    for name, value in headers.items():
        if (match := _SCOPED.fullmatch(name)) is not None:
            scope, what, unit = match.groups()
            found.setdefault(unit, {}).setdefault(scope, {})[f"x-ratelimit-{what}-{unit}"] = value
    if not found:
        return headers, False
    plain: dict[str, str] = {}
    for unit, scopes in found.items():
        plain |= scopes[min(scopes, key=lambda scope: _left(scopes[scope], unit))]
    return {**plain, **headers}, "requests" in found and "x-ratelimit-limit-requests" not in headers


def _left(said: Mapping[str, str], unit: str) -> float:
    left = _count(said, "remaining", unit)
    return float("inf") if left is None else left


def _retry_after(headers: Mapping[str, str], now: float | None) -> float | None:
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
    """Returns a parameter of the first policy in RateLimit (draft-ietf-httpapi-ratelimit-headers-08), or None."""
    for part in headers.get("ratelimit", "").split(",")[0].split(";")[1:]:
        key, _, value = part.partition("=")
        if key.strip() == name:
            return _number(value)
    return None


def _reset(headers: Mapping[str, str], unit: str, now: float | None) -> float | None:
    for text in _texts(headers, "reset", unit):
        seconds = _seconds(text, now)
        if seconds is not None:
            return seconds
    return _parameter(headers, "t") if unit == "requests" else None


def _seconds(text: str, now: float | None) -> float | None:
    """Returns seconds from now, or None.

    Reads "12", "1.5", "6m0s", "120ms", an epoch in seconds or milliseconds, an ISO time or an HTTP date.
    """
    text = text.strip()
    number = _number(text)
    if number is not None and number < _EPOCH_SECONDS:
        return number
    if number is None and text and not _SPAN.sub("", text).strip():
        return sum(float(value) * _UNITS[unit] for value, unit in _SPAN.findall(text))
    at = _time(text) if number is None else number / 1000 if number >= _EPOCH_MS else number
    return None if at is None or now is None else max(0.0, at - now)


def _time(text: str) -> float | None:
    """Returns the seconds since the epoch of an HTTP date or an ISO time, or None."""
    date = _date(text) if text[:1].isalpha() else None
    try:
        return (date or datetime.fromisoformat(text)).timestamp()
    except (ValueError, OverflowError):
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
    except (ValueError, TypeError, OverflowError):
        return None
