"""Pages of rows for the live report: filter, text search and order in SQL, over all rows of the output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.errors import QueryError
from pipeline.run.report_rows import Fields, read_rows
from pipeline.store.read import query
from pipeline.store.sql import quoted

if TYPE_CHECKING:
    import duckdb

MOST_ROWS = 200
"""Rows of one page, at most."""
MOST_OFFSET = 10**12
MOST_WORDS = 12
FOUND_BY_MEANING = 200
"""Rows that a search by meaning is asked for."""
ORDERS = {
    "seq": "seq",
    "id": "id",
    "newest": "finished_at desc",
    "cost": "cost desc",
    "output": "output_tokens desc",
    "input": "input_tokens desc",
    "latency": "latency_ms desc",
    "attempts": "attempt_count desc",
}
_STATES = {"": "true", "answered": "shared_with is null", "shared": "shared_with is not null", "stale": "stale"}
_KEYS = "id, seq, finished_at, cost, output_tokens, input_tokens, latency_ms, attempt_count"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a page asks for. text: words that all must stand somewhere in the row. code: exactly this one.
    facets: column → value. ids: only these answers, in this order (found by meaning)."""

    text: str = ""
    state: str = ""
    fault: str = ""
    code: str | None = None
    facets: Mapping[str, str] = {}
    sort: str = "seq"
    offset: int = 0
    limit: int = 24
    ids: Sequence[str] | None = None


def asked_of(values: Mapping[str, str]) -> Asked:
    """Returns what the parameters of a URL ask for. Raises QueryError for a value that cannot be."""
    known = {name: value for name, value in values.items() if name in ("text", "state", "fault", "code", "sort")}
    try:
        numbers = {name: min(max(0, int(values[name])), MOST_OFFSET) for name in ("offset", "limit") if name in values}
    except ValueError:
        raise QueryError("offset and limit are whole numbers") from None
    if known.get("sort", "seq") not in ORDERS or known.get("state", "") not in (*_STATES, "failed"):
        raise QueryError("sort or state: not one of the page's own")
    facets = {name.removeprefix("field."): value for name, value in values.items() if name.startswith("field.")}
    numbers["limit"] = min(numbers.get("limit", 24), MOST_ROWS)
    return Asked(**known, **numbers, facets=facets)  # type: ignore[arg-type]


def find(connection: duckdb.DuckDBPyConnection, fields: Fields, asked: Asked) -> tuple[list[dict[str, Any]], int]:
    """Returns (the rows of the page, how many rows there are in all). Raises QueryError."""
    found, parameters = _selects(fields, asked)
    if not found:
        return [], 0
    both = " union all ".join(found)
    order = f"{ORDERS[asked.sort]} nulls last, seq" if asked.ids is None else "list_position($ids::varchar[], id)"
    sql = f"select failed, seq, count(*) over () from ({both}) order by {order} limit $limit offset $offset"
    page = {**parameters, "limit": asked.limit, "offset": asked.offset}
    keys = query(connection, sql, page).fetchall()
    if not keys and asked.offset:
        return [], find(connection, fields, msgspec.structs.replace(asked, offset=0, limit=1))[1]
    answers, failures = ([seq for failed, seq, _ in keys if failed is wanted] for wanted in (False, True))
    rows = {(row["state"] == "failed", row["seq"]): row for row in read_rows(connection, fields, answers, failures)}
    return [rows[failed, seq] for failed, seq, _ in keys if (failed, seq) in rows], keys[0][2] if keys else 0


def _selects(fields: Fields, asked: Asked) -> tuple[list[str], dict[str, Any]]:
    """Returns (a select of keys for each view that may have rows, the parameters of all)."""
    words = asked.text.lower().split()[:MOST_WORDS] if asked.ids is None else []
    parameters: dict[str, Any] = {f"word{place}": word for place, word in enumerate(words)}
    parameters |= {f"facet{place}": value for place, value in enumerate(asked.facets.values())}
    if asked.ids is not None:
        parameters["ids"] = list(asked.ids)
    found = []
    if asked.state != "failed" and not asked.fault and asked.code is None:
        conditions = [_STATES[asked.state], *_conditions(fields, asked, words, "results")]
        found.append(f"select false as failed, {_KEYS} from results where {' and '.join(conditions)}")
    if asked.state in ("", "failed") and asked.facets.keys() <= fields.in_failures.keys() and asked.ids is None:
        conditions = ["true", *_conditions(fields, asked, words, "failures")]
        if asked.fault:
            conditions.append("fault = $fault")
            parameters["fault"] = asked.fault
        if asked.code is not None:
            conditions.append("code = $code")
            parameters["code"] = asked.code
        found.append(f"select true as failed, {_KEYS} from failures where {' and '.join(conditions)}")
    return found, parameters


def _conditions(fields: Fields, asked: Asked, words: Sequence[str], view: str) -> list[str]:
    """Returns the conditions of the words and the filters. Raises QueryError for a filter over an unknown column."""
    types = fields.types(view)
    own = ["fault", "code", "message"] if view == "failures" else [fields.text] if fields.text else []
    texts = ["id", *map(quoted, own), *(f"{quoted(name)}::varchar" for name in types), "source[1]"]
    everything = f"lower(concat_ws(chr(10), {', '.join(texts)}))"
    conditions = [f"contains({everything}, $word{place})" for place, _ in enumerate(words)]
    for place, name in enumerate(asked.facets):
        if name not in types:
            raise QueryError(f"no column {name!r}")
        value = f"$facet{place}"
        if types[name] == "VARCHAR[]":
            conditions.append(f"list_contains({quoted(name)}, {value})")
        else:
            conditions.append(f"{quoted(name)}::varchar = {value}")
    if asked.ids is not None:
        conditions.append("id in (select unnest($ids::varchar[]))")
    return conditions
