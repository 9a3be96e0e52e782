"""What others wrote (ids, answers, column names, file names) steers no terminal; data files keep what was said."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.counted_job import CountedJob
from support.counting_server import CountingServer, Told

ROOT = Path(__file__).parents[2]
EVIL = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202egpj.exe\u2066\u200f\x7f\x08\rfine\u2028"
SEEN = "\\u001b[2J\\u001b]0;owned\\u0007\\u009b31m\\u202egpj.exe\\u2066\\u200f\\u007f\\u0008\\u000dfine\\u2028"
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
COLUMN = f"kind{EVIL}"
COMMANDS = [
    ("run", "--quiet"),
    ("run", "--log-format", "json"),
    ("status",),
    ("status", "--json"),
    ("plan",),
    ("plan", "--json"),
    ("query", "select * from results"),
    ("query", "select id, answer from results"),
    ("query", f"select id as \"a{EVIL}\" from results"),
    ("query", f"select '{EVIL}' || no_such_column from results"),
    ("reprocess", "--dry-run"),
    ("reprocess", "--where", f"id = '{EVIL}'", "--dry-run"),
    ("accept", "--where", f"{EVIL}"),
    ("doctor",),
    ("run", "--set", f"limits.rpm={EVIL}"),
    ("run", f"--{EVIL}"),
]  # fmt: skip


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CountedJob]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-counting-fake")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    folder = tmp_path / f"in {EVIL}"
    folder.mkdir()
    with CountingServer() as server:
        server.script = lambda asked, n: Told(400, code=f"bad{EVIL}") if "two" in asked.prompt else Told(text=EVIL)
        made = CountedJob(folder, server, output=tmp_path / "out")
        made.write(prompt="Say {topic}")
        made.rows([{"id": f"1{EVIL}", "topic": "one", COLUMN: EVIL}, {"id": f"2{EVIL}", "topic": "two", COLUMN: 1}])
        yield made


@pytest.mark.parametrize("way", ["pipes", "terminal"])
def test_no_command_sends_a_control_character(job: CountedJob, pipeline, way: str) -> None:
    pipeline("run", job.path, "--quiet")
    for command, *options in COMMANDS:
        if way == "terminal":
            text = on_terminal(job.folder, command, "job.toml", *options)
        else:
            ran = pipeline(command, job.path, *options)
            text = ran.out + ran.err
            assert "Traceback" not in text, text
        assert not CONTROLS.findall(text), (command, options, text)
        assert text


def test_what_is_hidden_is_made_visible(job: CountedJob, pipeline) -> None:
    pipeline("run", job.path, "--quiet")
    assert f"(such as 2{SEEN})" in pipeline("status", job.path).out
    assert SEEN in pipeline("query", job.path, "select answer from results").out.replace("\n", "")
    assert f"(such as 2{SEEN})" in on_terminal(job.folder, "status", "job.toml")


def test_json_on_a_terminal_means_the_same(job: CountedJob, pipeline) -> None:
    pipeline("run", job.path, "--quiet")
    told = on_terminal(job.folder, "query", "job.toml", "select answer from results", "--format", "json")
    assert json.loads(told) == [{"answer": EVIL}]
    assert not CONTROLS.findall(on_terminal(job.folder, "query", "job.toml", "from results", "--format", "csv"))


def test_data_files_keep_what_was_said(job: CountedJob, pipeline, tmp_path: Path) -> None:
    pipeline("run", job.path, "--quiet")
    sql = f'select id, answer, "{COLUMN}" from results'
    wanted = [f"1{EVIL}", EVIL, EVIL]
    for form, option in (
        ("csv", ()),
        ("csv", ("-o", tmp_path / "rows")),
        ("json", ()),
        ("json", ("-o", tmp_path / "rows")),
    ):
        ran = pipeline("query", job.path, sql, "--format", form, *option)
        text = (tmp_path / "rows").read_bytes().decode() if option else ran.out
        found = json.loads(text)[0] if form == "json" else next(csv.DictReader(io.StringIO(text, newline="")))
        assert list(found.values()) == wanted, (form, option)
        assert list(found)[-1] == COLUMN
    assert job.sql(f'select id, answer, "{COLUMN}" from results') == [tuple(wanted)]


def test_a_line_end_in_an_id_makes_no_line_of_its_own(job: CountedJob, pipeline) -> None:
    job.rows([{"id": "two\nexit 0: the manifest is answered", "topic": "two"}])
    ran = pipeline("run", job.path, "--quiet")
    assert "\nexit 0" not in ran.err
    assert "\nexit 0" not in pipeline("status", job.path).out


def on_terminal(folder: Path, *arguments: str) -> str:
    """All that a terminal receives from a command, without what draws the display."""
    master, slave = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "TERM": "dumb", "COLUMNS": "200"}
    command = [sys.executable, "-m", "pipeline", *arguments]
    done = subprocess.Popen(command, cwd=folder, env=environment, stdout=slave, stderr=slave, stdin=slave)
    os.close(slave)
    received = b""
    while chunk := _read(master):
        received += chunk
    os.close(master)
    done.wait(60)
    return received.decode().replace("\r\n", "\n")


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # the other end is closed, and all is read
        return b""
