"""The counters of a run. A new counter needs a field here, and a line where it is counted.

The progress display, the summary, the metrics file and the dataset `runs` read all fields.
"""

from __future__ import annotations

import typing
from typing import Annotated, Any, NamedTuple

import msgspec


class Metric(NamedTuple):
    """How a figure is shown. `name`: the name in the metrics file. `pipeline_` stands before the name, and after the
    name of a counter stands `_total`."""

    name: str
    meaning: str


class Counters(msgspec.Struct, kw_only=True):
    """The counts of one run so far. None: not known.

    A row counts when its outcome is in the journal. Tokens and cost are sums over all attempts that report them.
    """

    sent: Annotated[int, Metric("rows_sent", "Rows whose call began")] = 0
    answered: Annotated[int, Metric("rows_answered", "Rows answered in this run")] = 0
    shared: Annotated[int, Metric("rows_shared", "Rows in this run that share an answer bought by another row")] = 0
    cached: Annotated[int, Metric("rows_cached", "Rows in this run whose answer another job bought")] = 0
    failed: Annotated[int, Metric("rows_failed", "Rows that failed in this run")] = 0
    left: Annotated[int, Metric("rows_left", "Rows that this run was to send and did not finish")] = 0
    attempts: Annotated[int, Metric("attempts", "Requests that were sent")] = 0
    retries: Annotated[int, Metric("retries", "Attempts after a first one")] = 0
    throttled: Annotated[int, Metric("throttled", "Attempts that were throttled")] = 0
    faults: Annotated[int, Metric("faults", "Attempts that failed and were not throttled")] = 0
    cooldowns: Annotated[int, Metric("cooldowns", "Pauses of the whole account")] = 0
    input_tokens: Annotated[int | None, Metric("input_tokens", "Tokens in, where counted")] = None
    output_tokens: Annotated[int | None, Metric("output_tokens", "Tokens out, where counted")] = None
    cost: Annotated[float | None, Metric("cost", "Cost in the price's currency, where known")] = None
    unknown_cost_attempts: Annotated[int, Metric("unknown_cost_attempts", "Attempts whose cost is not known")] = 0
    currency: str | None = None


class Gauges(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a running pool at this moment. `rate`: None = no limit is known."""

    admitted: Annotated[float, Metric("admitted_per_second", "Attempts admitted a second, over the last ten")] = 0.0
    in_flight: Annotated[int, Metric("in_flight", "Requests that wait for an answer")] = 0
    concurrency: Annotated[int, Metric("concurrency_limit", "Requests that may be in flight")] = 0
    rate: Annotated[float | None, Metric("rate_limit_per_minute", "Requests a minute in force")] = None
    waiting: Annotated[int, Metric("retries_waiting", "Rows that wait to be sent again")] = 0
    paused: Annotated[float, Metric("paused_seconds", "Seconds for which the account is paused")] = 0.0
    queued: Annotated[int, Metric("queued_bytes", "Bytes prepared for sending")] = 0


def metrics_of(struct: type[msgspec.Struct]) -> dict[str, Metric]:
    """Returns the Metric of each field of a struct that has a Metric, by the field's name, in order."""
    hints = typing.get_type_hints(struct, include_extras=True)
    found: dict[str, Metric] = {}
    for name in struct.__struct_fields__:
        for note in getattr(hints[name], "__metadata__", ()):
            if isinstance(note, Metric):
                found[name] = note
    return found


def counts(counters: Counters) -> dict[str, Any]:
    """Returns the values of the fields of Counters by name. Fields that a subclass adds are left out."""
    return {name: getattr(counters, name) for name in Counters.__struct_fields__}
