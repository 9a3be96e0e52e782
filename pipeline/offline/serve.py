"""`pipeline serve`: the embedded service over HTTP on this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeline.offline import require
from pipeline.offline.app import create_app
from pipeline.offline.service_options import ServiceOptions

if TYPE_CHECKING:
    from pipeline.offline.server import Server


def make_server(
    options: ServiceOptions | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    on_ready: Callable[[int], None] | None = None,
) -> Server:
    """A server not yet running; `run()` blocks until `should_exit` is set. Port 0 takes a free one, told to `on_ready`.

    Raises MissingExtra.
    """
    require()
    from pipeline.offline.server import Server

    return Server.over(create_app(options), host, port, on_ready)


def serve(
    options: ServiceOptions | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 8765,
    on_ready: Callable[[int], None] | None = None,
) -> None:
    """Serves until interrupted. Blocking. Raises MissingExtra; JobError when the port cannot be had."""
    make_server(options, host=host, port=port, on_ready=on_ready).run()
