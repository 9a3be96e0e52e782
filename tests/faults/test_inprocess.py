"""The in-process transport behaves as a socket does, on both backends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from pipeline.dispatch.inprocess import InProcess
from pipeline.dispatch.transport import Timeouts, read_all
from pipeline.errors import Fault
from pipeline.types import HttpRequest

REQUEST = HttpRequest(method="POST", url="http://offline/a%20b?x=1", headers=(("X-A", "1"),), body=b"hello")
QUICK = Timeouts(read=0.2, total=1.0)
BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


def exchange(app: Any, backend: str, **options: Any) -> Any:
    async def main() -> Any:
        return await read_all(InProcess(app, **options), REQUEST, QUICK)

    return anyio.run(main, backend=backend)


def answering(
    *pieces: bytes, status: int = 200, headers: Any = (), gap: float = 0.0, last: bool = True
) -> Callable[..., Any]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await anyio.sleep(gap)
        if last:
            await send({"type": "http.response.body"})

    return app


@BACKENDS
def test_the_app_sees_the_request_as_a_server_would_show_it(backend: str) -> None:
    seen: dict[str, Any] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.update(scope, message=await receive())
        await send({"type": "http.response.start", "status": 201, "headers": [(b"X-B", b"1"), (b"x-b", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    response = exchange(app, backend)
    assert (response.status, response.body, response.complete) == (201, b"ok", True)
    assert response.headers == {"x-b": "1, 2"}
    assert (seen["path"], seen["query_string"], seen["method"]) == ("/a b", b"x=1", "POST")
    assert (b"x-a", b"1") in seen["headers"]
    assert seen["message"] == {"type": "http.request", "body": b"hello", "more_body": False}


@BACKENDS
def test_a_stream_arrives_piece_by_piece_and_the_app_waits_for_its_reader(backend: str) -> None:
    sent: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(5):
            await send({"type": "http.response.body", "body": b"%d" % number, "more_body": True})
            sent.append(number)
        await send({"type": "http.response.body"})

    async def main() -> None:
        async with InProcess(app).exchange(REQUEST, QUICK) as answer:
            got = []
            async for chunk in answer.chunks():
                got.append(chunk)
                await anyio.sleep(0.01)
                assert len(sent) <= len(got) + 1
            assert got == [b"0", b"1", b"2", b"3", b"4"]
            assert answer.complete

    anyio.run(main, backend=backend)


@BACKENDS
def test_silence_is_a_read_timeout_and_a_dribble_a_total_one(backend: str) -> None:
    async def silent(scope: Any, receive: Any, send: Any) -> None:
        await anyio.sleep_forever()

    for app, code in ((silent, "Local.ReadTimeout"), (answering(*[b"x"] * 50, gap=0.1), "Local.TotalTimeout")):
        with pytest.raises(Fault) as caught:
            exchange(app, backend)
        assert caught.value.code == code


@BACKENDS
def test_errors_of_the_app_are_what_a_client_of_a_server_would_see(backend: str) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("bug")

    async def broken_later(scope: Any, receive: Any, send: Any) -> None:
        await answering(b"half", last=False)(scope, receive, send)
        raise RuntimeError("bug")

    assert exchange(broken, backend).status == 500
    assert not exchange(broken_later, backend).complete
    assert not exchange(answering(b"half", last=False), backend).complete
    assert not exchange(answering(b"half", headers=[(b"content-length", b"10")]), backend).complete
    with pytest.raises(Fault, match="redirects"):
        exchange(answering(status=307, headers=[(b"location", b"http://x/")]), backend)
    with pytest.raises(Fault) as caught:
        exchange(answering(b"x" * 100), backend, max_response=10)
    assert caught.value.code == "Local.ResponseTooLarge"


@BACKENDS
def test_giving_up_disconnects_the_app(backend: str) -> None:
    ended: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("gone")

    async def main() -> None:
        with anyio.move_on_after(0.05):
            await read_all(InProcess(app), REQUEST, Timeouts())

    anyio.run(main, backend=backend)
    assert ended == ["gone"]
