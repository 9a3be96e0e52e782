"""Selects the failed rows that a reprocess sends. Blocking: for a thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from pipeline.errors import ManifestError
from pipeline.job.load import LoadedJob
from pipeline.manifest import Manifest, from_table, open_manifest
from pipeline.manifest.rows import InputRules
from pipeline.run.fingerprinter import Fingerprinter, has_local_files
from pipeline.run.output import read_last_run
from pipeline.run.select import Selection
from pipeline.run.work_item import WorkItem
from pipeline.store.failed_rows import FailedRow, answered, failed_rows
from pipeline.store.upgrade import input_rules
from pipeline.types import Row


def select_failed(spec: LoadedJob, fingerprinter: Fingerprinter, where: str | None, limit: int | None) -> Selection:
    """Selects up to `limit` of the rows that `where` picks, by the rules of `_chosen`. Raises QueryError."""
    chosen = dict(list(_chosen(spec, where).items())[:limit])
    previous = read_last_run(spec.output)
    return Selection(
        command="reprocess",
        rows=previous.rows if previous else len(chosen),
        total=len(chosen),
        done=previous.done + previous.dismissed if previous else 0,
        dismissed=previous.dismissed if previous else 0,
        failed=max(0, previous.failed - len(chosen)) if previous else 0,
        repeated=previous.repeated if previous else 0,
        source=lambda should_continue: _rows(spec, fingerprinter, chosen, should_continue),
    )


def groups(spec: LoadedJob, where: str | None) -> dict[tuple[str, str], int]:
    """Returns how many rows a reprocess would send, by fault and code, the largest group first. Raises QueryError."""
    counted: dict[tuple[str, str], int] = {}
    for failed in _chosen(spec, where).values():
        key = failed.fault, failed.code
        counted[key] = counted.get(key, 0) + 1
    return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))


def _chosen(spec: LoadedJob, where: str | None) -> dict[str, FailedRow]:
    """Returns the open failures that `where` picks; by default the throttled, transient and malformed failures.

    Leaves out a row that has an answer to the question that the row asks now under the job file. The next run sees that
    the row is done.
    """
    fingerprinter = Fingerprinter(spec.base, offline=spec.offline)
    chosen = {failed.id: failed for failed in failed_rows(spec.output, spec.job.task, where)}
    known = answered(spec.output, spec.job.task, list(chosen)) if chosen else {}
    for manifest, row in _manifest_rows(spec) if known else ():
        before = known.pop(row.id, None)
        if before is not None and fingerprinter.unsent(row, manifest.root) in before:
            del chosen[row.id]
        if not known:
            break
    return chosen


def _rows(
    spec: LoadedJob, fingerprinter: Fingerprinter, chosen: dict[str, FailedRow], should_continue: Callable[[], bool]
) -> Iterator[WorkItem]:
    """Yields the chosen rows: from the manifest if they are still there, else the rows that the failures kept."""
    missing = dict(chosen)
    rules = input_rules(spec.output, spec.job.task)
    for _, row in _manifest_rows(spec):
        if not missing or not should_continue():
            return
        if missing.pop(row.id, None) is not None:
            yield WorkItem(row=row, fingerprint=None if has_local_files(row) else fingerprinter.early(row))
    for failed in missing.values():
        yield from _kept(spec, fingerprinter, failed, rules)


def _manifest_rows(spec: LoadedJob) -> Iterator[tuple[Manifest, Row]]:
    """Yields the manifest with each of its rows. Ends without an error where the manifest cannot be read."""
    try:
        manifest = open_manifest(spec.manifest, spec.job, input_rules(spec.output, spec.job.task), spec.folder)
        for row in manifest.rows():
            yield manifest, row
    except ManifestError:
        return


def _kept(spec: LoadedJob, fingerprinter: Fingerprinter, failed: FailedRow, rules: InputRules) -> Iterator[WorkItem]:
    manifest: Manifest = from_table([dict(failed.row)], spec.job, "/", rules)
    for row in manifest.rows():
        named = msgspec.structs.replace(row, id=failed.id)
        yield WorkItem(row=named, fingerprint=None if has_local_files(named) else fingerprinter.early(named))
