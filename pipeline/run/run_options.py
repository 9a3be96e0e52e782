"""The options of one run, from the command's options or the Python API's arguments."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of one run.

    limit: the most rows that are sent, the first ones. sample: the most rows that are sent, spread evenly. ids: only
    rows with these ids are sent. changed:
    `ask`, `keep`, `redo`, or None (the job's `run.changed` decides). rehash: local files are read even if the stat key
    is unchanged. until: seconds from now. grace: seconds that a stop waits for rows in flight. manifest: a table or
    iterable instead of the job's manifest. where: for a reprocess, the open failures to send (SQL). progress: shows the
    progress on stderr, as `text` or `json` (log_format). metrics: a Prometheus text file that the run keeps up to date.
    signals: SIGINT, SIGTERM and SIGHUP stop the run cleanly (main thread only).
    """

    limit: int | None = None
    sample: int | None = None
    ids: frozenset[str] | None = None
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
    """Returns the seconds from `now` (local time) to the next time of day `text`, for example "06:00".

    Raises ValueError for a text that is no time of day.
    """
    try:
        clock = datetime.time.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"--until {text}: expected a time of day such as 06:00") from None
    now = now or datetime.datetime.now()
    moment = now.replace(hour=clock.hour, minute=clock.minute, second=clock.second, microsecond=0, fold=0)
    if moment.timestamp() <= now.timestamp():
        moment += datetime.timedelta(days=1)
    # The difference of seconds since the epoch is right even if daylight saving time begins or ends in between.
    return moment.timestamp() - now.timestamp()
