"""A row that is ready to be sent, and the policy of its attempts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import msgspec

from pipeline.dispatch.transport import Timeouts
from pipeline.errors import Fault
from pipeline.job.schema import JobFile
from pipeline.job.values import duration
from pipeline.types import HttpRequest, Reader, Reply, Usage

Cost = tuple[float | None, str | None]


def unpriced(usage: Usage) -> Cost:
    """Returns a cost that is not known."""
    return None, None


def unchecked(reply: Reply) -> Fault | None:
    """Accepts every reply."""
    return None


class PreparedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One row ready to be sent.

    reader: (status, headers) → Reader of the body. tokens: estimate of input and output together, None = not known.
    worst_cost: the most that one attempt can cost, in the price's currency. price: usage → (amount, currency). check:
    the quality gate, which returns a fault (`suspect`) or None. renew: prepares the row anew with fresh uploads, for a
    fault whose retry is `upload`. follow: prepares the next question of a conversation, after this question is answered
    and the answer is kept; None if this question is the row's last question.
    """

    request: HttpRequest
    reader: Callable[[int, Mapping[str, str]], Reader]
    tokens: int | None = None
    worst_cost: float | None = None
    price: Callable[[Usage], Cost] = unpriced
    check: Callable[[Reply], Fault | None] = unchecked
    renew: Callable[[], Awaitable[PreparedRequest]] | None = None
    follow: Callable[[], Awaitable[PreparedRequest]] | None = None


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How calls are made. Times are in seconds, sizes in bytes. `deadline` counts from the first admission of a
    question, over all its attempts and waits.

    most_bytes: bytes of requests that are prepared and have not ended. With 2,000 requests in flight, images of 200 KB
    and a slow service, the process peaks at 335 MB; with 128 MiB, at 355 MB.
    """

    timeouts: Timeouts = Timeouts()
    attempts: int = 6
    deadline: float = 600.0
    circuit_ratio: float = 0.5
    circuit_min_calls: int = 50
    circuit_refusals: int = 20
    silence: float = 120.0
    most_bytes: int = 112 * 1024 * 1024
    ahead: int | None = None


def policy_of(job: JobFile) -> Policy:
    """Returns the policy that a job file asks for. Raises ValueError for a deadline that is not a duration."""
    return Policy(
        timeouts=job.timeouts,
        attempts=job.retry.attempts,
        deadline=duration(job.retry.deadline),
        circuit_ratio=job.circuit.ratio,
        circuit_min_calls=job.circuit.min_calls,
        circuit_refusals=job.circuit.refusals,
        silence=job.circuit.silence,
    )
