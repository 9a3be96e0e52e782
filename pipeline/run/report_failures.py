"""The open failures of an output by reason, each with the commands that mend it."""

from __future__ import annotations

import hashlib
import re
import shlex
from typing import TYPE_CHECKING, Any

from pipeline.report.summary import PASSING
from pipeline.run.report_rows import MOST_VALUE, plain
from pipeline.store.read import query

if TYPE_CHECKING:
    import duckdb

MOST_REASONS = 40
"""Reasons that are listed. A service that puts a number into its codes makes one for each row."""
EXAMPLES = 3

_ADVICE = {
    "malformed": "The answer could not be understood; asked again, it may come whole.",
    "rejected": "The input or the job is refused. Mend it first, then send the rows again.",
    "blocked": "The service's content inspection refused the row. Change it, or dismiss it.",
    "suspect": "A quality check held the answer back. Look at it: accept it, or send the row again.",
}
_PASSED = "It passed by itself; the next run sends the rows again."

_REASONS = f"""
select fault, code, count(*) as "rows", left(min_by(message, seq), {MOST_VALUE}) as message,
    list_transform(min_by(id, seq, {EXAMPLES}), lambda x: left(x, {MOST_VALUE})) as ids, count(*) over () as reasons
from failures group by fault, code order by count(*) desc, fault, code limit {MOST_REASONS}
"""
_PLAIN = re.compile(r"[A-Za-z0-9_.:/ -]+")
"""Codes that stand in a command as they are. Any other is a text of a stranger that a person would paste in a shell."""


def reasons(connection: duckdb.DuckDBPyConnection, job: str) -> tuple[list[dict[str, Any]], int]:
    """Returns (the reasons, the most frequent one first; how many more there are).

    job: the job as a command takes it. A reason has `fault`, `code`, `rows`, `message` and `ids` of examples, `advice`
    and `commands`.
    """
    relation = query(connection, _REASONS)
    found = [dict(zip(relation.columns, map(plain, row), strict=True)) for row in relation.fetchall()]
    total = found[0]["reasons"] if found else 0
    for reason in found:
        del reason["reasons"]
        reason["advice"] = _PASSED if reason["fault"] in PASSING else _ADVICE.get(reason["fault"], _ADVICE["rejected"])
        reason["commands"] = _commands(reason["fault"], reason["code"], job)
        reason["message"] = reason["message"] or ""
    return found, total - len(found)


def _commands(fault: str, code: str, job: str) -> list[str]:
    if fault in PASSING:
        return [f"pipeline run {job}"]
    where = _where(code)
    again = f"pipeline reprocess {job} --where {where}"
    if fault == "suspect":
        return [f"pipeline accept {job} --where {where}", again]
    if fault == "blocked":
        return [again, f"pipeline dismiss {job} --where {where} --reason 'not to be sent'"]
    return [again]


def _where(code: str) -> str:
    """Returns the condition that picks a code, as one word of a shell's command. No text of a stranger stands in it."""
    if _PLAIN.fullmatch(code):
        return f"\"code = '{code}'\""
    return shlex.quote(f"md5(code) = '{hashlib.md5(code.encode(), usedforsecurity=False).hexdigest()}'")
