"""Ways to reach the embedded service from a test: one ASGI call without a network, and a server in a thread."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import anyio

from pipeline.offline.server import create_app, make_server
from pipeline.offline.service_options import ServiceOptions

DATA = Path(__file__).resolve().parents[2] / "sample_data"
GENERATION = "/api/v1/services/aigc/multimodal-generation/generation"
EMBEDDING = "/api/v1/services/embeddings/multimodal-embedding/multimodal-embedding"
KEY = {"Authorization": "Bearer sk-test"}


class Called:
    """What came back: `status` 0 when nothing did, `finished` False when the body was cut."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.pieces: list[bytes] = []
        self.finished = False

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def call(
    app: Any,
    path: str,
    body: object = None,
    *,
    headers: dict[str, str] | None = None,
    method: str = "POST",
    backend: str = "asyncio",
    seconds: float = 30.0,
) -> Called:
    """One request. `body`: bytes as they are, anything else as JSON. After `seconds` the client leaves."""
    return anyio.run(_exchange, app, path, body, headers or KEY, method, seconds, backend=backend)


async def _exchange(app: Any, path: str, body: object, headers: dict[str, str], method: str, seconds: float) -> Called:
    found, sent = Called(), False
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    gone = anyio.Event()

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if not sent:
            sent = True
            return {"type": "http.request", "body": data, "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            found.status = message["status"]
            found.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            found.pieces.append(message.get("body", b""))
            found.finished = not message.get("more_body", False)

    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in {"host": "offline", **headers}.items()],
        "client": ("127.0.0.1", 1),
        "server": ("offline", 80),
    }
    with anyio.move_on_after(seconds):
        await app(scope, receive, send)
    return found


def app(**options: Any) -> Any:
    return create_app(ServiceOptions(**options))


@contextmanager
def running(options: ServiceOptions | None = None) -> Iterator[str]:
    """The service on a loopback port of its own: its base URL without a path."""
    ready, ports = Event(), []

    def on_ready(port: int) -> None:
        ports.append(port)
        ready.set()

    server = make_server(options, on_ready=on_ready)
    thread = Thread(target=server.run, daemon=True)
    thread.start()
    assert ready.wait(20)
    try:
        yield f"http://127.0.0.1:{ports[0]}"
    finally:
        server.should_exit = True
        thread.join(20)


def data_uri(path: str, mime: str = "image/jpeg") -> str:
    """A file under sample_data as a data: URI."""
    return f"data:{mime};base64,{b64encode((DATA / path).read_bytes()).decode()}"


def native(*content: dict[str, Any], model: str = "qwen3-vl-plus", **parameters: Any) -> dict[str, Any]:
    """A native generation body with one user message."""
    messages = [{"role": "user", "content": list(content)}]
    return {"model": model, "input": {"messages": messages}, "parameters": parameters}
