"""Which failed rows a reprocess sends, and what their answers stand for. Blocking: for a thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from pipeline.engines.identity import Identity, has_local_files
from pipeline.engines.plan import Plan
from pipeline.engines.prepare import unsent_fingerprint
from pipeline.engines.reading import last_standing
from pipeline.engines.work import Work
from pipeline.errors import ManifestError
from pipeline.job.load import Spec
from pipeline.manifest import Manifest, from_table, open_manifest
from pipeline.manifest.rows import InputRules
from pipeline.store.input_rules import input_rules
from pipeline.store.reprocess import FailedRow, answered, failed_rows
from pipeline.types import Row


def plan_reprocess(spec: Spec, identity: Identity, where: str | None, limit: int | None) -> Plan:
    """The rows that `where` picks, as `_chosen` says. Raises QueryError."""
    chosen = dict(list(_chosen(spec, where).items())[:limit])
    standing = last_standing(spec.output)
    return Plan(
        command="reprocess",
        rows=standing.rows if standing else len(chosen),
        total=len(chosen),
        done=standing.done + standing.dismissed if standing else 0,
        dismissed=standing.dismissed if standing else 0,
        failed=max(0, standing.failed - len(chosen)) if standing else 0,
        repeated=standing.repeated if standing else 0,
        source=lambda going: _rows(spec, identity, chosen, going),
    )


def groups(spec: Spec, where: str | None) -> dict[tuple[str, str], int]:
    """How many rows a reprocess would send, by fault and code, the most first. Raises QueryError."""
    counted: dict[tuple[str, str], int] = {}
    for failed in _chosen(spec, where).values():
        key = failed.fault, failed.code
        counted[key] = counted.get(key, 0) + 1
    return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))


def _chosen(spec: Spec, where: str | None) -> dict[str, FailedRow]:
    """The open failures that `where` picks (by default throttled, transient and malformed), without rows that meanwhile
    ask again, by the job file, what they were answered: the next run sees that they are done."""
    identity = Identity(spec.base, offline=spec.offline)
    chosen = {failed.id: failed for failed in failed_rows(spec.output, spec.job.task, where)}
    known = answered(spec.output, spec.job.task, list(chosen)) if chosen else {}
    for manifest, row in _manifest_rows(spec) if known else ():
        before = known.pop(row.id, None)
        if before is not None and unsent_fingerprint(identity, row, manifest.root) in before:
            del chosen[row.id]
        if not known:
            break
    return chosen


def _rows(spec: Spec, identity: Identity, chosen: dict[str, FailedRow], going: Callable[[], bool]) -> Iterator[Work]:
    """The manifest's rows where they are still there, else the ones that the failures kept."""
    missing = dict(chosen)
    rules = input_rules(spec.output, spec.job.task)
    for _, row in _manifest_rows(spec):
        if not missing or not going():
            return
        if missing.pop(row.id, None) is not None:
            yield Work(row=row, fingerprint=None if has_local_files(row) else identity.early(row))
    for failed in missing.values():
        yield from _kept(spec, identity, failed, rules)


def _manifest_rows(spec: Spec) -> Iterator[tuple[Manifest, Row]]:
    """None where the manifest has moved on altogether."""
    try:
        manifest = open_manifest(spec.manifest, spec.job, input_rules(spec.output, spec.job.task), spec.folder)
        for row in manifest.rows():
            yield manifest, row
    except ManifestError:
        return


def _kept(spec: Spec, identity: Identity, failed: FailedRow, rules: InputRules) -> Iterator[Work]:
    manifest: Manifest = from_table([dict(failed.row)], spec.job, "/", rules)
    for row in manifest.rows():
        named = msgspec.structs.replace(row, id=failed.id)
        yield Work(row=named, fingerprint=None if has_local_files(named) else identity.early(named))
