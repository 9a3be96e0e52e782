"""The figures of a report: a job's output in numbers, and each of its newest runs over time. All of it is SQL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipeline.run.output import spend
from pipeline.store.read import query

if TYPE_CHECKING:
    import duckdb

RUNS = 12
"""Runs in the table of runs."""
CHARTED = 6
"""The newest runs that have charts."""
BUCKETS = 48
"""Steps on a chart's axis of time, at most."""
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 43_200, 86_400)
"""Seconds of a step."""
PER_DECADE = 8
"""Bins of the latency distribution for a factor of ten."""
MOST_TRIES = 6
"""Rows with more attempts are counted as rows with so many."""

_TOTALS = """
select r.*, f.*, d.*, a.*, m.remaining, m.rows, m.repeated
from (
    select count(*) as results, count(*) filter (stale) as stale, count(*) filter (shared_with is not null) as shared,
        sum(media_tokens)::bigint as media_tokens
    from results
) as r, (select count(*) as failed from failures) as f, (select count(*) as dismissed from dismissed) as d, (
    select count(*) as attempts, count(*) filter (fault is not null) as faults,
        sum(input_tokens)::bigint as input_tokens, sum(output_tokens)::bigint as output_tokens,
        count(*) filter (fault is null and input_tokens is null) as unknown_token_attempts
    from attempts
) as a left join (select remaining, "rows", repeated from runs order by started_at desc limit 1) as m on true
"""

_RUNS = f"""
select run_id, command, provider, model, epoch(started_at) as started, epoch(finished_at) as finished, exit_code,
    stop_reason, "rows", sent, answered, shared, failed, done, remaining, attempts, throttled, input_tokens,
    output_tokens, cost, currency
from runs order by started_at desc limit {RUNS}
"""

_WITH_ATTEMPTS = f"""
select run_id, epoch(min(started_at)) as began, max(epoch(started_at) + coalesce(latency_ms, 0) / 1000) as ended,
    count(*) as attempts, count(*) filter (fault is null) as answered, any_value(currency) as currency
from attempts group by run_id order by began desc limit {CHARTED}
"""

_OVER_TIME = """
select least(floor((epoch(started_at) + coalesce(latency_ms, 0) / 1000 - $began) / $step), $last)::integer as bucket,
    fault, count(*) as attempts, sum(input_tokens)::bigint as input_tokens, sum(output_tokens)::bigint as output_tokens,
    sum(cost) as cost
from attempts where run_id = $run_id group by 1, 2 order by 1, 2
"""

_LATENCY = f"""
select floor(log10(greatest(latency_ms, 1)) * {PER_DECADE})::integer as bin, count(*) as attempts
from attempts where run_id = $run_id and fault is null and latency_ms is not null group by 1 order by 1
"""

_QUANTILES = """
select quantile_disc(latency_ms, [0.5, 0.9, 0.99]) from attempts
where run_id = $run_id and fault is null and latency_ms is not null
"""

_TRIES = f"""
select tries, count(*) as rows_ from (
    select least(count(*), {MOST_TRIES}) as tries from attempts where run_id = $run_id group by id
) group by tries order by tries
"""


def totals(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Returns the counts of the output as a whole. A count or sum that is not known is None.

    `results`, `stale`, `shared`, `failed`, `dismissed`: rows of the views. `attempts`, `faults`, `input_tokens`,
    `output_tokens`, `spend` (by currency): of all attempts. `media_tokens`: of the results. `remaining`, `rows`,
    `repeated`: of the newest run.
    """
    found = _dicts(connection, _TOTALS)[0]
    return {**found, "answered": found["results"] - found["shared"], "spend": list(spend(connection))}


def runs(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Returns the newest runs, the newest first. Times are seconds since 1970."""
    return _dicts(connection, _RUNS)


def charts(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Returns what the charts of the newest runs with attempts show, the newest run first.

    `step`: seconds of a step; `answered`, `input_tokens`, `output_tokens`, `cost`: a value for each step; `faults`: the
    same for each fault. `latency`: (bin, answers), where bin b begins at 10^(b/PER_DECADE) ms; `quantiles`: of the same
    in ms, at 50, 90 and 99 %. `tries`: (attempts, rows).
    """
    return [_chart(connection, run) for run in _dicts(connection, _WITH_ATTEMPTS)]


def _chart(connection: duckdb.DuckDBPyConnection, run: Mapping[str, Any]) -> dict[str, Any]:
    seconds = max(run["ended"] - run["began"], 0.1)
    step = next((step for step in _STEPS if seconds / step <= BUCKETS), -(-seconds // (BUCKETS * 86_400)) * 86_400)
    steps = int(seconds // step) + 1
    told = {"run_id": run["run_id"]}
    over_time = {**told, "began": run["began"], "step": step, "last": steps - 1}
    quantiles = query(connection, _QUANTILES, told).fetchall()[0][0]
    return {
        **run,
        "step": step,
        "per_decade": PER_DECADE,
        **_series(_dicts(connection, _OVER_TIME, over_time), steps),
        "latency": [list(row) for row in query(connection, _LATENCY, told).fetchall()],
        "quantiles": quantiles,
        "tries": [list(row) for row in query(connection, _TRIES, told).fetchall()],
    }


def _series(found: list[dict[str, Any]], steps: int) -> dict[str, Any]:
    """Returns one list of `steps` values for each line of a chart. A step in which a sum is not known is None."""
    answered = [0] * steps
    faults: dict[str, list[int]] = {}
    sums: dict[str, list[Any]] = {name: [None] * steps for name in ("input_tokens", "output_tokens", "cost")}
    for row in found:
        place = row["bucket"]
        line = answered if row["fault"] is None else faults.setdefault(row["fault"], [0] * steps)
        line[place] += row["attempts"]
        for name, values in sums.items():
            if row[name] is not None:
                values[place] = (values[place] or 0) + row[name]
    return {"answered_over_time": answered, "faults_over_time": faults, **sums}


def _dicts(connection: duckdb.DuckDBPyConnection, sql: str, parameters: Any = None) -> list[dict[str, Any]]:
    found = query(connection, sql, parameters)
    return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]
