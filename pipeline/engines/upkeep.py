"""What changes an output without sending anything: accepting held-back answers, merging parts. Blocking."""

from __future__ import annotations

import msgspec

from pipeline.engines.local import run_id
from pipeline.engines.reading import connect, failure_groups, last_standing
from pipeline.job.load import Spec
from pipeline.store import Store
from pipeline.store.compact import Compacted
from pipeline.store.compact import compact as merge
from pipeline.store.reprocess import accept as take


def accept(spec: Spec, where: str | None) -> int:
    """Makes the held-back answers of open suspects answers. Raises Locked, QueryError."""
    with Store.open(spec.output, spec.job.task, run_id=run_id()) as store:
        accepted = take(store, where)
        standing = last_standing(spec.output)
        if accepted and standing is not None:
            with connect(spec) as connection:
                failures = failure_groups(connection)
            failed = sum(group.rows for group in failures)
            now = msgspec.structs.replace(standing, failures=failures, failed=failed, done=standing.done + accepted)
            store.write_summary(msgspec.json.encode(now, enc_hook=str))
        return accepted


def compact(spec: Spec, *, drop_superseded: bool) -> Compacted:
    """Merges small parts. Raises Locked."""
    return merge(spec.output, spec.job.task, run_id=run_id(), drop_superseded=drop_superseded)
