"""Each counter of a run is in the summary, in the progress, in the metrics file and in the view `runs`."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.counted_job import CountedJob
from support.counting_server import PLAIN, Asked, CountingServer, Told

from pipeline.counters import Counters, metrics_of
from pipeline.report.progress import progress
from pipeline.report.state import RunState

COUNTERS = Counters.__struct_fields__
PRICE = "[models.m1]\nprice = { input = 1.0, output = 2.0, currency = 'CNY' }\n"


def script(asked: Asked, number: int) -> Told:
    if asked.id == "r1" and number == 1:
        return Told(status=500)
    return Told(status=400, code="bad") if asked.id == "r2" else PLAIN


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any], str]:
    """The summary as JSON, the row of the view `runs` and the metrics file of a run with an answer, a retry, a shared
    answer and a failure."""
    folder: Path = tmp_path_factory.mktemp("counters")
    with pytest.MonkeyPatch.context() as patch, CountingServer(script) as server:
        patch.setenv("OPENAI_API_KEY", "sk-counting")
        job = CountedJob(folder, server)
        job.write(prompt="Say [{topic}]", more=PRICE)
        job.rows([{"id": f"n{place}", "topic": topic} for place, topic in enumerate(("r0", "r0", "r1", "r2"))])
        summary = job.job().run(metrics=str(folder / "run.prom"))
        with job.job().connect() as connection:
            row = connection.sql("select * from runs").to_arrow_table().to_pylist()[0]
    return msgspec.to_builtins(summary), row, (folder / "run.prom").read_text()


@pytest.mark.parametrize("counter", COUNTERS)
def test_a_counter_is_in_the_summary(ran: Any, counter: str) -> None:
    summary, _, _ = ran
    assert summary["figures"][counter] == summary[counter]


@pytest.mark.parametrize("counter", COUNTERS)
def test_a_counter_is_a_column_of_runs(ran: Any, counter: str) -> None:
    summary, row, _ = ran
    assert row[counter] == summary[counter]


@pytest.mark.parametrize("counter", sorted(set(COUNTERS) - {"currency"}))
def test_a_counter_is_in_the_metrics_file(ran: Any, counter: str) -> None:
    summary, _, metrics = ran
    name = f"pipeline_{metrics_of(Counters)[counter].name}_total"
    line = next(line for line in metrics.splitlines() if line.startswith(f"{name}{{"))
    assert float(line.rpartition(" ")[2]) == pytest.approx(summary[counter])


@pytest.mark.parametrize("counter", COUNTERS)
def test_a_counter_is_in_the_lines_of_progress(counter: str) -> None:
    stream = io.StringIO()
    with progress("captions", stream=stream, form="json") as display:
        display.update(RunState(), 61.0)
    assert counter in json.loads(stream.getvalue())


def test_the_counters_count_what_happened(ran: Any) -> None:
    summary, row, _ = ran
    found = {name: summary[name] for name in ("sent", "answered", "shared", "failed", "attempts", "retries", "faults")}
    assert found == {"sent": 3, "answered": 2, "shared": 1, "failed": 1, "attempts": 4, "retries": 1, "faults": 2}
    assert row["cost"] == summary["cost"] > 0
    assert (summary["currency"], summary["figures"]["unknown_cost"]) == ("CNY", summary["unknown_cost_attempts"])
