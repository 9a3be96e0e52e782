"""`pipeline serve`: the embedded service on 127.0.0.1."""

from __future__ import annotations

import math
from typing import Any

import click


class _Number(click.FloatRange):
    """A finite number above 0."""

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> float:
        number: float = super().convert(value, param, context)
        if not math.isfinite(number):
            self.fail(f"{value} is not a number to count by.", param, context)
        return number


_POSITIVE = _Number(min=0, min_open=True)


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0 takes any free port.")
@click.option("--rpm", type=_POSITIVE, help="Throttle at so many requests a minute, and a sixtieth of it a second.")
@click.option("--tpm", type=_POSITIVE, help="Throttle at so many tokens a minute.")
@click.option("--latency", "latency_ms", type=_Number(min=0), default=0.0, help="Milliseconds added to every answer.")
@click.option("--fail", metavar="SPEC", help='Faults to rehearse, such as "429:5%,500:1%,cut:0.5%".')
@click.option("--seed", type=int, default=0, show_default=True, help="Makes scripted faults repeat themselves.")
def serve(port: int, rpm: float | None, tpm: float | None, latency_ms: float, fail: str | None, seed: int) -> None:
    """Serve the embedded service over HTTP on 127.0.0.1, for trying clients and rehearsing faults and quotas."""
    from pipeline.api import serve as start

    start(port=port, rpm=rpm, tpm=tpm, latency_ms=latency_ms, fail=fail, seed=seed)
