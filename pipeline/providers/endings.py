"""What the reason for which a service ended an answer makes of it, on every protocol."""

from __future__ import annotations

from pipeline.errors import Fault

FILTERED = frozenset({"blocklist", "content_filter", "prohibited_content", "safety"})
"""Lower case. `content_filter`: OpenAI, DashScope, Qianfan; others: Gemini's FinishReason, passed on by gateways."""

FAILED = "error"
"""OpenRouter ends an answer so when the service behind it failed on the way."""


OPEN = (None, "null", "")
"""Finish reasons of an answer that goes on: DashScope writes the string "null" until the end (trap 3)."""


def later(before: str | None, reason: object) -> str | None:
    """Of two reasons in one stream the later one; but a filter that struck stays."""
    if reason in OPEN or not isinstance(reason, str) or (before is not None and before.lower() in FILTERED):
        return before
    return reason


def judged(reason: str | None, *, needed: bool) -> Fault | None:
    """The fault that an answer with this reason stands for, None for an answer that is as it should be.

    needed: an answer without a reason may be a part of one (DashScope stops a whole answer at 300 s: trap 55).
    """
    if reason is None:
        return partial() if needed else None
    if reason.lower() in FILTERED:
        return Fault("blocked", reason, "the service's content filter ended the answer")
    if reason.lower() == FAILED:
        return Fault("transient", FAILED, "the service ended the answer with an error", retry="yes")
    return None


def partial() -> Fault:
    """An answer that is there, but of which nobody said that it is whole."""
    return Fault("suspect", "Local.Partial", "the answer came without a finish reason, so it may be a part only")
