"""The lines that show a running job fit the terminal, and what matters most stays to the end."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.counted_job import CountedJob
from support.counting_server import PLAIN, CountingServer, Told

from pipeline.counters import Gauges
from pipeline.report import published
from pipeline.report.live import Pace, cells, run_lines
from pipeline.report.progress import bar_for
from pipeline.report.state import RunState
from pipeline.report.terminal import visible, wrapped

BUSY = RunState(
    total=12_345,
    answered=4_000,
    failed=23,
    reasons={"Local.NotAPicture": 20, "Local.MissingFile": 3},
    throttled=17,
    input_tokens=1_200_000,
    cost=1.5,
    max_cost=20.0,
    currency="CNY",
    gauges=Gauges(in_flight=64, rate=600.0, waiting=5, paused=70.0),
)


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def shown(width: int, state: RunState = BUSY, name: str = "captions") -> list[str]:
    return run_lines(name, state, 125.0, 10.0, bar_for(Terminal())).fitted(width)


def test_a_wide_terminal_shows_everything():
    first, second, third = shown(200)
    assert first.endswith("─  captions  33%  4,023/12,345  2 min 05 s  < 13 min 52 s left")
    assert second == "10.0 rows/s · 64 in flight · limit 600/min · 1.5 of 20 CNY · 1,200,000 tokens"
    assert third.startswith("paused until ")
    assert third.endswith(
        " · 23 failures · 20 Local.NotAPicture · 3 Local.MissingFile · 17 throttled · 5 wait to be sent again"
    )


@given(
    width=st.integers(1, 250),
    name=st.text(max_size=60),
    total=st.integers(0, 10**9),
    answered=st.integers(0, 10**9),
    reasons=st.dictionaries(st.text(max_size=50), st.integers(1, 10**6), max_size=8),
)
def test_no_line_is_wider_than_the_terminal(width, name, total, answered, reasons):
    state = RunState(total=total, answered=answered, failed=sum(reasons.values()), reasons=reasons, throttled=3)
    lines = shown(width, state, name)
    assert len(lines) <= 3
    for line in lines:
        assert cells(line) <= width
        assert visible(line) == line
        assert "\n" not in line


@pytest.mark.parametrize("width", [28, 40, 60, 80])
def test_the_bar_and_the_time_left_stay_to_the_end(width):
    first = shown(width)[0]
    assert "━" in first
    assert first.endswith("< 13 min 52 s left")


def test_a_terminal_without_such_characters_gets_a_plain_bar():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    assert bar_for(stream)(0.5, 8) == "####...."


def test_the_rate_is_of_the_last_half_minute():
    pace = Pace()
    rates = [pace.add(float(second), min(second, 100) * 10) for second in range(0, 200, 5)]
    assert rates[10] == pytest.approx(10.0)
    assert rates[-1] == 0.0


def test_a_long_line_wraps_at_words_and_the_next_command_stays_whole(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    line = (
        'exit 1: more failures than the job accepts, some of them new; next: pipeline query job.toml "select a from c"'
    )
    assert wrapped(line, Terminal()).splitlines() == [
        "exit 1: more failures than the job",
        "  accepts, some of them new",
        'next: pipeline query job.toml "select a from c"',
    ]
    assert wrapped(line, io.StringIO()) == line


def test_a_run_is_seen_from_a_second_terminal_until_it_ends(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-counting")
    told = {"r3": Told(seconds=2.5), "r1": Told(status=400, code="bad")}
    with CountingServer(lambda asked, n: told.get(asked.id, PLAIN)) as server:
        job = CountedJob(tmp_path, server)
        job.numbered(4)
        command = [sys.executable, "-m", "pipeline"]
        run = subprocess.Popen([*command, "run", str(job.path), "--quiet"])
        assert server.wait_asked(4, 30)
        seen = None
        while (seen is None or not seen.state.failed) and run.poll() is None:
            seen = published.read(job.output / "runs" / "progress.json")
        assert seen is not None
        assert seen.state.reasons == {"bad": 1}
        watch = subprocess.run(
            [*command, "status", str(job.path), "--watch"], capture_output=True, text=True, timeout=60, check=True
        )
        assert run.wait() == 1
    assert "3 done, 0 left, 1 failed" in watch.stdout
    assert not (job.output / "runs" / "progress.json").exists()
