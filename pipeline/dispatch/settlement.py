"""The settlement of one attempt: the fault of a request that was cut off, tokens, price, and the row of the attempts
table."""

from __future__ import annotations

import datetime

from pipeline.dispatch.attempt import AttemptResult
from pipeline.dispatch.budget import Budget
from pipeline.dispatch.prepared_request import Cost, Policy, PreparedRequest
from pipeline.dispatch.transport import total_timeout
from pipeline.errors import Fault, refusal
from pipeline.types import Attempt, Usage

INTERRUPTED = "Local.Interrupted"

LONGEST_PAUSE = 3600.0
"""Seconds. If a service asks for a longer pause, the run does not wait: a person must decide."""
LONGEST_SHOWN_PAUSE = 10 * 365 * 86_400.0
"""Seconds. `datetime` cannot show every number that a service may send."""


def worst_cost(prepared: PreparedRequest, budget: Budget) -> float:
    """Returns the most that one attempt can cost, 0 if no price is known. Raises Fault if a budget needs the price."""
    worst = prepared.worst_cost
    if worst is None and budget.max_cost is not None:
        raise refusal(
            "UnknownPrice",
            "a budget is set and the price of this request is not known: "
            "set a price for the model, or remove budget.max_cost",
        )
    return worst or 0.0


def cost_of(prepared: PreparedRequest, usage: Usage) -> Cost:
    """Returns (amount, currency); (None, None) if the service counted nothing."""
    return (None, None) if usage == Usage() else prepared.price(usage)


def used_tokens(result: AttemptResult) -> int | None:
    """Returns input and output tokens as the service counted them; 0 if the attempt was free; None if the tokens are
    unknown."""
    usage = result.usage
    if usage.input_tokens is not None:
        return usage.input_tokens + (usage.output_tokens or 0)
    return 0 if result.free else None


def cut_off_fault(policy: Policy, ended: float, admitted: float, due: float) -> Fault:
    """Returns the fault of a request that was cancelled in flight. Times are of anyio's clock; due: the deadline."""
    if ended >= due:
        message = f"the row's deadline of {policy.deadline:g} s (retry.deadline) came during this attempt"
        return Fault("transient", "Local.Deadline", message)
    if ended >= admitted + policy.timeouts.total:
        return total_timeout(policy.timeouts.total)
    return Fault("transient", INTERRUPTED, "the run was stopped during this attempt")


def resumable(fault: Fault) -> bool:
    """Tells whether a call can go on after the fault. A call cannot go on if a stop cut the attempt off, or if the
    fault is a reason to stop."""
    return fault.code != INTERRUPTED and fault.kind != "account"


def long_pause_message(wall: float, seconds: float) -> str:
    """Returns a text for people. wall: the current time, in seconds since the epoch. seconds: the pause that the
    service asks for."""
    until = datetime.datetime.fromtimestamp(wall + min(seconds, LONGEST_SHOWN_PAUSE))
    return (
        f"the service asks for a pause until {until:%Y-%m-%d %H:%M} ({seconds / 3600:,.0f} h), longer than "
        "an hour: the rows that are left are for a later run"
    )


def attempt_record(number: int, started: float, seconds: float, result: AttemptResult, cost: Cost) -> Attempt:
    """Returns the row of the attempts table. started: seconds since the epoch. seconds: how long the attempt took."""
    fault = result.fault
    return Attempt(
        attempt=number,
        started_at=round(started * 1e6),
        latency_ms=round(seconds * 1000),
        http_status=(fault.http_status if fault else None) or result.status,
        fault=fault.kind if fault else None,
        code=fault.code if fault else None,
        request_id=result.request_id,
        usage=result.usage,
        cost=cost[0],
        currency=cost[1],
    )
