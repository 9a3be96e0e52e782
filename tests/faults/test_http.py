"""Real sockets: each way a server can misbehave has its own fault."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import time
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from support.fault_server import Act, Asked, serving

from pipeline.dispatch.http import open_transport
from pipeline.dispatch.transport import Response, Timeouts, read_all
from pipeline.errors import Fault, JobError
from pipeline.types import HttpRequest

QUICK = Timeouts(connect=0.5, write=0.3, read=0.3, total=2.0)


def ask(script: Callable[[Asked], Act] | Act, *, body: bytes = b"{}", times: int = 1, **options: Any) -> Response:
    """The last response of `times` requests to a server that acts so."""

    async def main() -> Response:
        acting = script if callable(script) else lambda asked: script
        async with serving(acting) as server, open_transport(**options) as transport:
            request = HttpRequest(method="POST", url=server.url + "/v1/x", headers=(("A", "b"),), body=body)
            for _ in range(times):
                response = await read_all(transport, request, QUICK)
            ask.server = server  # type: ignore[attr-defined]
            return response

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("act", "kind", "code"),
    [
        (Act("drop"), "transient", "Local.Disconnected"),
        (Act("garbage"), "malformed", "Local.NotHttp"),
        (Act("hang"), "transient", "Local.ReadTimeout"),
        (Act("deaf"), "transient", "Local.ReadTimeout"),
        (Act("drip", gap=0.1, body=b'{"text":"' + b"x" * 40 + b'"}'), "transient", "Local.TotalTimeout"),
        (Act(status=302, headers=(("location", "http://other.test/v1?key=1"),)), "rejected", "Local.Redirect"),
    ],
)
def test_each_misbehaviour_has_its_fault(act: Act, kind: str, code: str) -> None:
    with pytest.raises(Fault) as caught:
        ask(act)
    assert (caught.value.kind, caught.value.code) == (kind, code)
    assert "key=1" not in caught.value.message


def test_a_server_that_does_not_read_makes_a_write_timeout() -> None:
    with pytest.raises(Fault) as caught:
        ask(Act("deaf"), body=b"x" * 30_000_000)
    assert caught.value.code == "Local.WriteTimeout"


def test_an_endless_body_stops_at_the_bound() -> None:
    with pytest.raises(Fault) as caught:
        ask(Act("endless"), max_response=3_000_000)
    assert caught.value.code == "Local.ResponseTooLarge"


@pytest.mark.parametrize("kind", ["cut", "wrong_length"])
def test_a_cut_body_is_reported_as_incomplete(kind: Any) -> None:
    response = ask(Act(kind))
    assert response.status == 200
    assert not response.complete


def test_a_slow_body_that_keeps_coming_is_complete() -> None:
    response = ask(Act("drip", gap=0.02))
    assert response.complete
    assert response.body == b'{"text":"ok"}'


def test_a_body_that_is_encoded_unasked_is_decoded_and_a_broken_one_is_malformed() -> None:
    encoded = (("content-encoding", "gzip"),)
    assert ask(Act(body=gzip.compress(b"hello"), headers=encoded)).body == b"hello"
    with pytest.raises(Fault) as caught:
        ask(Act(body=b"not gzip", headers=encoded))
    assert (caught.value.kind, caught.value.code) == ("malformed", "Local.NotHttp")


@pytest.mark.parametrize("status", [400, 429, 500, 502, 503])
def test_error_answers_are_answers(status: int) -> None:
    response = ask(
        Act(status=status, body=b"<html>no</html>", headers=(("Retry-After", "3"), ("X-A", "1"), ("x-a", "2")))
    )
    assert (response.status, response.body) == (status, b"<html>no</html>")
    assert response.headers["retry-after"] == "3"
    assert response.headers["x-a"] == "1, 2"


def test_nobody_listening_and_an_unknown_host_are_connect_faults() -> None:
    async def main(url: str) -> None:
        async with open_transport() as transport:
            await read_all(transport, HttpRequest(method="GET", url=url), QUICK)

    for url in ("http://127.0.0.1:1/", "http://no-such-host.invalid/"):
        with pytest.raises(Fault) as caught:
            asyncio.run(main(url))
        assert caught.value.code in ("Local.ConnectFailed", "Local.ConnectTimeout")
    with pytest.raises(Fault) as caught:
        asyncio.run(main("ftp://127.0.0.1/"))
    assert caught.value.code == "Local.InvalidUrl"


def test_connections_are_reused() -> None:
    ask(Act(), times=20)
    assert ask.server.connections == 1  # type: ignore[attr-defined]


def test_a_connection_gone_stale_is_replaced_once_without_a_fault() -> None:
    seen: list[Asked] = []

    def script(asked: Asked) -> Act:
        seen.append(asked)
        return Act("drop") if len(seen) == 2 else Act()

    assert ask(script, times=2).complete
    assert ask.server.connections == 2  # type: ignore[attr-defined]


def test_a_fresh_connection_that_drops_is_not_retried_behind_the_callers_back() -> None:
    seen: list[Asked] = []

    def script(asked: Asked) -> Act:
        seen.append(asked)
        return Act("drop")

    with pytest.raises(Fault):
        ask(script)
    assert len(seen) == 1


def test_giving_up_closes_the_connection() -> None:
    async def main() -> float:
        async with serving(lambda asked: Act("hang")) as server, open_transport() as transport:
            began = time.monotonic()
            with anyio.move_on_after(0.1):
                await read_all(transport, HttpRequest(method="GET", url=server.url), Timeouts())
            return time.monotonic() - began

    assert asyncio.run(main()) < 0.5


def test_tls_is_verified() -> None:
    async def main() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0, ssl=context)
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with server, open_transport() as transport:
            assert transport._context.verify_mode == ssl.CERT_REQUIRED
            assert transport._context.check_hostname
            await read_all(transport, HttpRequest(method="GET", url=url), QUICK)

    with pytest.raises(Fault) as caught:
        asyncio.run(main())
    assert caught.value.kind in ("transient", "account")


def test_proxies_of_the_environment_are_used_except_for_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> tuple[list[str], list[str]]:
        async with serving(lambda asked: Act()) as proxy, serving(lambda asked: Act()) as direct:
            monkeypatch.setenv("HTTP_PROXY", proxy.url)
            monkeypatch.setenv("NO_PROXY", "inside.test")
            async with open_transport() as transport:
                await read_all(transport, HttpRequest(method="GET", url="http://outside.test/a"), QUICK)
                await read_all(transport, HttpRequest(method="GET", url=direct.url + "/b"), QUICK)
            return [asked.path for asked in proxy.asked], [asked.path for asked in direct.asked]

    assert asyncio.run(main()) == (["http://outside.test/a"], ["/b"])


@pytest.mark.parametrize(("status", "kind"), [(407, "account"), (502, "transient"), (503, "transient")])
def test_a_proxy_that_wants_a_password_is_the_accounts(monkeypatch: pytest.MonkeyPatch, status: int, kind: str) -> None:
    async def main() -> None:
        async with serving(lambda asked: Act(status=status)) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", proxy.url)
            async with open_transport() as transport:
                await read_all(transport, HttpRequest(method="GET", url="https://outside.test/a"), QUICK)

    with pytest.raises(Fault) as caught:
        asyncio.run(main())
    assert caught.value.kind == kind
    assert ("HTTPS_PROXY" in caught.value.message) == (status == 407)


def test_a_socks_proxy_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
        async with open_transport():
            pass

    with pytest.raises(JobError, match="socks5"):
        asyncio.run(main())
