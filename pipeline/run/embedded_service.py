"""Starts the embedded service: in this process for `--offline`, on a socket for `pipeline serve`."""

from __future__ import annotations

import click

from pipeline import offline
from pipeline.dispatch.inprocess import InProcess


def in_process() -> InProcess:
    """Returns the transport of an offline run. Raises MissingExtra."""
    offline.require()
    from pipeline.offline.server import create_app

    return InProcess(create_app())


def serve(*, port: int, rpm: float | None, tpm: float | None, latency_ms: float, fail: str | None, seed: int) -> None:
    """Serves on 127.0.0.1 until an interrupt, and prints the base URLs to stderr. Raises MissingExtra, JobError."""
    offline.require()
    from pipeline.offline.server import serve as start
    from pipeline.offline.service_options import ServiceOptions, parse_faults

    options = ServiceOptions(
        rpm=None if rpm is None else round(rpm),
        tpm=None if tpm is None else round(tpm),
        latency_ms=round(latency_ms),
        fail=parse_faults(fail or ""),
        seed=seed,
    )

    def ready(bound: int) -> None:
        base = f"http://127.0.0.1:{bound}"
        click.echo(f"the embedded service listens on {base}; any key is taken. Base URLs:", err=True)
        click.echo(f"  DashScope {base}/api/v1 · compatible {base}/compatible-mode/v1", err=True)
        click.echo(f"  Qianfan {base}/v2 · OpenAI {base}/v1 · stop with Ctrl-C", err=True)
        click.echo(f"  a picture for models that take URLs only: {base}/samples/cat.jpg", err=True)

    start(options, port=port, on_ready=ready)
