"""How one run is to go: what the command's options and the Python API's arguments say."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """limit, sample: at most so many rows are sent. changed: `ask`, `keep`, `redo`, or None (as the
    job's `run.changed`). until: seconds from now.
    grace: seconds a stop waits for rows in flight. manifest: a table or iterable instead of the job's manifest.
    where: of a reprocess, which open failures (SQL). progress: show it on stderr, as `text` or `json` (log_format).
    metrics: a Prometheus text file kept up to date. signals: SIGINT, SIGTERM and SIGHUP stop
    the run cleanly (main thread only).
    """

    limit: int | None = None
    sample: int | None = None
    changed: str | None = None
    rehash: bool = False
    until: float | None = None
    grace: float = 25.0
    manifest: Any = None
    where: str | None = None
    progress: bool = True
    log_format: str = "text"
    metrics: str | None = None
    signals: bool = False


def until_seconds(text: str, now: datetime.datetime | None = None) -> float:
    """Seconds from `now` (local time) to the next "06:00". Raises ValueError for anything else."""
    try:
        clock = datetime.time.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"--until {text}: expected a time of day such as 06:00") from None
    now = now or datetime.datetime.now()
    moment = now.replace(hour=clock.hour, minute=clock.minute, second=clock.second, microsecond=0, fold=0)
    if moment.timestamp() <= now.timestamp():
        moment += datetime.timedelta(days=1)
    # By seconds since the epoch: the clock on the wall may be put forward or back in between.
    return moment.timestamp() - now.timestamp()
