"""uvicorn with two additions: it says when it listens, and lets scripted faults break a connection."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from pipeline.errors import JobError
from pipeline.offline.faults import App, Receive, Scope, Send


class _Protocol(H11Protocol):
    """Hands the app its connection, so that a scripted fault can break it as a real network does."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app: Any = _with_connection(self.app, transport)


def _with_connection(app: App, transport: asyncio.Transport) -> App:
    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        extensions = scope.setdefault("extensions", {})
        extensions["connection"] = {"close": transport.close, "abort": transport.abort}
        await app(scope, receive, send)

    return wrapped


class Server(uvicorn.Server):
    """uvicorn's server that says, once it listens, on which port. `should_exit = True` stops it."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[int], None] | None) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Blocking. Raises JobError when the port cannot be had."""
        super().run(sockets or [self._bound()])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self._on_ready is not None:
            self._on_ready(int(self.servers[0].sockets[0].getsockname()[1]))

    def _bound(self) -> socket.socket:
        try:
            return socket.create_server((self.config.host, self.config.port), backlog=2048)
        except OSError as error:
            where = f"{self.config.host}:{self.config.port}"
            raise JobError(f"cannot listen on {where}: {error.strerror}; choose another port") from error

    @classmethod
    def over(cls, app: App, host: str, port: int, on_ready: Callable[[int], None] | None) -> Server:
        """Not yet running; `run()` blocks."""
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            http=_Protocol,
            lifespan="off",
            access_log=False,
            log_level="warning",
            timeout_graceful_shutdown=2,
        )
        return cls(config, on_ready)
