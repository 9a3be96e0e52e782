"""What one run is about to send, whether chosen by the manifest's survey or from the failures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import msgspec

from pipeline.run.work_item import WorkItem


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Counts are rows. rows: of the manifest (of a reprocess: of the last run's). total: to be sent now. done: answered
    before, or `dismissed`. failed: failures that are open and not sent now. new, changed, vanished, repeated: as in the
    summary. passed_over: what the manifest's folder or glob holds besides, by kind. kept: answered rows
    that the job as it stands would ask anew, left as they are. notes: on the manifest. source: given whether to go on,
    the rows to send, once.
    """

    command: str
    rows: int
    total: int
    done: int
    failed: int
    dismissed: int = 0
    new: int = 0
    changed: int = 0
    vanished: int = 0
    repeated: int = 0
    kept: int = 0
    notes: tuple[str, ...] = ()
    passed_over: Mapping[str, int] = {}
    source: Callable[[Callable[[], bool]], Iterator[WorkItem]]

    @property
    def lines(self) -> int:
        """The rows that the run's record accounts for."""
        return self.rows if self.command == "run" else self.total
