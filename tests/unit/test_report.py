from __future__ import annotations

import io
import json

import pyarrow as pa
import pytest

from pipeline.errors import JobError
from pipeline.report import tables
from pipeline.report.metrics import text
from pipeline.report.progress import describe, progress
from pipeline.report.state import RunState, money, span
from pipeline.report.summary import FailureGroup, Summary, lines

STATE = RunState(
    total=100, answered=40, sent=42, failed=2, input_tokens=1200, output_tokens=34, cost=0.5, currency="CNY"
)


def summary(**fields) -> Summary:
    base = {"job": "jobs/a.toml", "command": "jobs/a.toml --offline", "run_id": "r", "output": "/out", "exit_code": 0}
    return Summary(**{**base, "stop_reason": "finished", **fields})


def test_progress_says_rows_rate_failures_tokens_cost_and_time_left():
    assert describe(STATE, 21.0) == ("42/100 rows · 2.0/s · 2 failures · 1,234 tokens · 0.5 CNY · 29.0 s left")


def test_a_log_gets_a_line_a_minute():
    stream = io.StringIO()
    with progress("captions", stream=stream) as display:
        for second in range(0, 181, 5):
            display.update(STATE, float(second))
    assert len(stream.getvalue().splitlines()) == 3


def test_json_lines_carry_every_counter():
    stream = io.StringIO()
    with progress("captions", stream=stream, form="json") as display:
        display.update(STATE, 61.0)
    found = json.loads(stream.getvalue())
    assert (found["event"], found["job"], found["failed"], found["answered"]) == ("progress", "captions", 2, 40)


def test_metrics_are_prometheus_text_and_replaced_in_one_step(tmp_path):
    path = tmp_path / "pipeline.prom"
    with progress("captions", stream=io.StringIO(), quiet=True, metrics=str(path)) as display:
        display.update(STATE, 1.0)
        display.save()
        assert 'pipeline_rows_answered_total{job="captions"} 40' in path.read_text()
    assert [file.name for file in tmp_path.iterdir()] == ["pipeline.prom"]
    for line in path.read_text().splitlines():
        assert line.startswith("# ") or float(line.rpartition(" ")[2]) >= 0
    assert 'job="a\\"b"' in text('a"b', RunState())


def test_a_cost_that_is_not_known_is_left_out_of_the_metrics_and_counted():
    unknown = text("captions", RunState(unknown_cost_attempts=3))
    assert "pipeline_cost_total" not in unknown
    assert 'pipeline_unknown_cost_attempts_total{job="captions"} 3' in unknown
    assert 'pipeline_cost_total{job="captions"} 0.5' in text("captions", RunState(cost=0.5, currency="CNY"))


def test_metrics_that_cannot_be_written_are_refused(tmp_path):
    with (
        pytest.raises(JobError, match="--metrics"),
        progress("a", stream=io.StringIO(), metrics=str(tmp_path / "no" / "a.prom")),
    ):
        pass


def test_the_last_line_says_the_outcome_and_the_next_command():
    assert list(lines(summary(rows=3, sent=3, answered=3)))[-1] == (
        'exit 0: the manifest is answered; next: pipeline query jobs/a.toml --offline "select * from results"'
    )
    failed = summary(rows=3, sent=3, answered=2, failed=1, open=1, exit_code=1)
    assert list(lines(failed))[-1].startswith("exit 1: 1 failure; next: pipeline query jobs/a.toml --offline")
    group = FailureGroup(fault="transient", code="Local.ConnectFailed", rows=1, message="m", id="x")
    passing = summary(rows=3, sent=3, answered=2, failed=1, open=1, exit_code=1, failures=(group,))
    assert list(lines(passing))[-1] == "exit 1: 1 failure; next: pipeline run jobs/a.toml --offline"
    stopped = summary(rows=3, sent=1, answered=1, left=2, exit_code=4, stop_reason="account", message="wrong key")
    assert list(lines(stopped))[-1] == "exit 4: stopped: account; next: pipeline run jobs/a.toml --offline"
    assert "wrong key" in list(lines(stopped))


def test_failures_are_grouped_and_bounded():
    groups = tuple(FailureGroup(fault="rejected", code=f"C{n}", rows=9, message="m", id="x") for n in range(20))
    text = list(lines(summary(rows=200, sent=200, failed=180, open=180, exit_code=1, failures=groups)))
    assert sum("×" in line for line in text) == 12
    assert any("8 more kinds" in line for line in text)


def test_nothing_to_send_is_said():
    said = list(lines(summary(run_id=None, rows=5, skipped=3, open=2, exit_code=1)))
    assert said[0] == "nothing to send: 5 rows, 3 done, 2 failures open from earlier runs"


@pytest.mark.parametrize(("seconds", "words"), [(4.24, "4.2 s"), (60, "1 min 00 s"), (3725, "1 h 02 min")])
def test_spans_are_for_people(seconds, words):
    assert span(seconds) == words


def test_an_amount_that_is_not_known_is_not_zero():
    assert money(None, "CNY") == "unknown"
    assert money(0.02648, "CNY") == "0.02648 CNY"


def written(table: pa.Table, form: str, capsys) -> str:
    tables.write(table.to_reader(), form, None)
    return capsys.readouterr().out


def test_json_is_one_array_of_objects(capsys):
    table = pa.table({"id": ["a", "b"], "v": [[1.0, 2.0], None], "t": pa.array([0, 1], pa.timestamp("us", tz="UTC"))})
    found = json.loads(written(table, "json", capsys))
    assert found == [
        {"id": "a", "v": [1.0, 2.0], "t": "1970-01-01T00:00:00Z"},
        {"id": "b", "v": None, "t": "1970-01-01T00:00:00.000001Z"},
    ]
    assert json.loads(written(table.slice(0, 0), "json", capsys)) == []


def test_columns_of_one_name_are_all_shown(capsys):
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["id", "id"])
    assert json.loads(written(table, "json", capsys)) == [{"id": 1, "id_1": 2}]
    assert written(table, "csv", capsys) == "id,id_1\n1,2\n"


def test_a_wide_table_is_shown_row_by_row(capsys):
    wide = pa.table({f"column_{n}": ["a value that is long enough"] for n in range(20)})
    shown = written(wide, "table", capsys)
    assert "── row 1" in shown
    assert "column_19  a value that is long enough" in shown
    narrow = written(pa.table({"id": ["a"], "n": [1]}), "table", capsys)
    assert [line.split() for line in narrow.splitlines() if line.strip()][-1] == ["a", "1"]
