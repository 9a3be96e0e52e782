"""The embedded service as an ASGI app: the same in-process and on a socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.offline import require
from pipeline.offline.service_options import ServiceOptions

if TYPE_CHECKING:
    from pipeline.offline.fault_script import App


def create_app(options: ServiceOptions | None = None) -> App:
    """Starts at once; each model loads on first use. Runs on asyncio and trio. Raises MissingExtra."""
    require()
    from pipeline.offline.routes import build

    return build(options or ServiceOptions())
