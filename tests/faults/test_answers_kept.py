"""An answer that was received whole is kept, however its connection goes on or ends; real sockets."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any

import pytest
from support.fault_server import Act, FaultServer, serving

from pipeline.dispatch.account import Account, Limits
from pipeline.dispatch.http import open_transport
from pipeline.dispatch.pool import Pool
from pipeline.dispatch.prepared_request import Policy, PreparedRequest
from pipeline.dispatch.transport import Timeouts
from pipeline.errors import Fault
from pipeline.providers import load, models
from pipeline.types import Answered, Ending, Failed, HttpRequest, Reader, Reply, Request, TaskName

pytestmark = pytest.mark.usefixtures("event_loop_goes_on")

QUICK = Timeouts(read=0.4, total=3.0)


def chunk(text: str, reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": reason}
    return b"data: " + json.dumps({"id": "r", "choices": [choice]}).encode() + b"\n\n"


USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}\n\n'
DONE = b"data: [DONE]\n\n"
STREAM = chunk("A cat ") + chunk("sits.", "stop") + USAGE + DONE
NATIVE = b'data:{"output":{"choices":[{"message":{"content":[{"text":"A cat sits."}]},"finish_reason":"stop"}]}}\n\n'
WHOLE = b'{"id":"r","choices":[{"index":0,"message":{"content":"A cat sits."},"finish_reason":"stop"}]}'
VECTOR = b'{"data":[{"index":0,"embedding":[0.5,1.0]}]}'


def asked(act: Act, provider: str = "openai", task: TaskName = "ask", **policy: Any) -> tuple[Ending, FaultServer]:
    """One row against a server that acts so every time."""
    endings: list[Ending] = []
    request = Request(task=task, model="m", parameters={"incremental_output": True})

    def reader(status: int, headers: Mapping[str, str]) -> Reader:
        return load(provider).reader(request, models.find(provider, "m"), status, headers)

    async def main() -> FaultServer:
        async with serving(lambda _asked: act) as server, open_transport() as transport:

            async def ask(row: int) -> PreparedRequest:
                return PreparedRequest(request=HttpRequest(method="POST", url=f"{server.url}/{row}"), reader=reader)

            rules = Policy(timeouts=QUICK, **{"attempts": 2, **policy})
            pool: Pool[int] = Pool(transport=transport, account=Account(Limits(concurrency=1)), policy=rules)
            await pool.run(iter([0]), ask, lambda _row, ending: endings.append(ending))
            return server

    server = asyncio.run(main())
    return endings[0], server


ENDINGS = ["answer", "closed", "wrong_length", "open", "ticking"]


@pytest.mark.parametrize("kind", ENDINGS)
@pytest.mark.parametrize(
    ("provider", "body"),
    [("openai", STREAM), ("openai", STREAM[: -len(DONE)]), ("dashscope", NATIVE), ("openai", WHOLE)],
    ids=["done", "usage", "native", "whole"],
)
def test_a_whole_answer_is_kept_and_asked_for_once(kind: Any, provider: str, body: bytes) -> None:
    if body is WHOLE and kind == "ticking":
        return
    ending, server = asked(Act(kind, body=body, gap=0.1), provider)
    assert isinstance(ending, Answered), ending
    assert ending.reply.text == "A cat sits."
    assert len(server.asked) == len(ending.attempts) == 1
    assert ending.attempts[0].fault is None


@pytest.mark.parametrize("kind", ["closed", "open", "wrong_length"])
def test_a_whole_vector_is_kept_and_asked_for_once(kind: Any) -> None:
    ending, server = asked(Act(kind, body=VECTOR), task="embed")
    assert isinstance(ending, Answered)
    assert len(ending.reply.embedding or b"") == 8
    assert len(server.asked) == 1


@pytest.mark.parametrize("kind", ["open", "wrong_length"])
@pytest.mark.parametrize("status", [200, 429])
def test_an_error_that_was_received_whole_is_that_error(kind: Any, status: int) -> None:
    body = b'{"error":{"message":"slow down","code":429}}'
    ending, _ = asked(Act(kind, status=status, body=body), attempts=1)
    assert isinstance(ending, Failed)
    assert (ending.fault.kind, ending.fault.message) == ("throttled", "slow down")


@pytest.mark.parametrize(
    ("kind", "code"), [("closed", "Local.StreamCut"), ("open", "Local.ReadTimeout"), ("ticking", "Local.TotalTimeout")]
)
def test_half_an_answer_is_none(kind: Any, code: str) -> None:
    ending, _ = asked(Act(kind, body=chunk("A cat "), gap=0.1), attempts=1)
    assert isinstance(ending, Failed)
    assert (ending.fault.kind, ending.fault.code) == ("transient", code)


@pytest.mark.parametrize("body", [chunk("A cat sits.") + USAGE, chunk("A cat sits.") + DONE], ids=["usage", "done"])
@pytest.mark.parametrize("kind", ["closed", "open", "wrong_length"])
def test_what_may_be_a_part_is_kept_and_not_asked_for_again(kind: Any, body: bytes) -> None:
    ending, server = asked(Act(kind, body=body))
    assert isinstance(ending, Failed)
    assert (ending.fault.kind, ending.fault.code) == ("suspect", "Local.Partial")
    assert ending.fault.reply is not None
    assert ending.fault.reply.text == "A cat sits."
    assert len(server.asked) == 1


def test_what_was_billed_before_a_silence_is_known() -> None:
    body = b'data:{"output":{"choices":[]},"usage":{"input_tokens":7,"output_tokens":3}}\n\n'
    ending, _ = asked(Act("open", body=body), "dashscope", attempts=1)
    assert isinstance(ending, Failed)
    assert ending.fault.code == "Local.ReadTimeout"
    assert ending.attempts[0].usage.output_tokens == 3


def test_a_body_closed_in_the_middle_is_asked_for_again() -> None:
    for body in (WHOLE[:-5], STREAM[:20], b"\n\n\n", b""):
        ending, server = asked(Act("closed", body=body), attempts=2)
        assert isinstance(ending, Failed)
        assert (ending.fault.kind, ending.fault.code) == ("transient", "Local.StreamCut")
        assert len(server.asked) == 2


def test_a_stream_is_read_to_its_end_after_its_finish() -> None:
    """A connection is left only when nothing of the stream comes any more, so the usage is not lost."""
    slow = Act("drip", body=chunk("A cat sits.", "stop") + USAGE + DONE, gap=0.005)
    ending, _ = asked(slow)
    assert isinstance(ending, Answered)
    assert ending.reply.usage.output_tokens == 3


def test_an_end_mark_frees_the_connection_soon() -> None:
    began = time.monotonic()
    ending, _ = asked(Act("ticking", body=STREAM, gap=0.05))
    assert isinstance(ending, Answered)
    assert time.monotonic() - began < QUICK.total, "it did not wait for the whole time that a call may take"


def test_a_reader_that_raises_is_the_answers_fault() -> None:
    class Raising:
        def feed(self, chunk: bytes) -> None:
            return None

        def end(self, *, complete: bool = True) -> Reply:
            raise KeyError("x")

    async def main() -> Ending:
        endings: list[Ending] = []
        async with serving(lambda _asked: Act("open", body=b"x")) as server, open_transport() as transport:

            async def ask(row: int) -> PreparedRequest:
                return PreparedRequest(request=HttpRequest(method="POST", url=server.url), reader=lambda *_: Raising())

            policy = Policy(timeouts=QUICK, attempts=1)
            pool: Pool[int] = Pool(transport=transport, account=Account(Limits(concurrency=1)), policy=policy)
            await pool.run(iter([0]), ask, lambda _row, ending: endings.append(ending))
        return endings[0]

    ending = asyncio.run(main())
    assert isinstance(ending, Failed)
    assert isinstance(ending.fault, Fault)
    assert ending.fault.code == "Local.ReadTimeout"
