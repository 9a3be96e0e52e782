"""What a person is told when a file, an address or a folder is not what the command needs: exit 2 and a sentence."""

from __future__ import annotations

import datetime
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.commands import ENVIRONMENT
from support.counted_job import CountedJob
from support.counting_server import CountingServer, Told

from pipeline.run.run_options import until_seconds


@contextmanager
def served() -> Iterator[int]:
    """The port of `pipeline serve`."""
    line = [sys.executable, "-m", "pipeline", "serve", "--port", "0"]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        found = re.search(r"127\.0\.0\.1:(\d+)", process.stderr.readline())
        assert found is not None
        try:
            yield int(found[1])
        finally:
            process.terminate()
            process.stderr.read()


def command(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "pipeline", *map(str, arguments)]
    env = {**os.environ, **ENVIRONMENT, **environment}
    return subprocess.run(line, capture_output=True, text=True, env=env, timeout=60, check=False)


def refused(words: str, *arguments: object, **environment: str) -> None:
    ran = command(*arguments, **environment)
    assert ran.returncode == 2, ran.stderr
    assert words in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.fixture
def job(tmp_path: Path, server: CountingServer) -> CountedJob:
    made = CountedJob(tmp_path, server)
    made.numbered(30)
    return made


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://user:secret-pw@127.0.0.1:9/v1", "a login does not belong"),
        ("http://127.0.0.1:9\\\\@example.invalid/v1", "a login does not belong"),
        ("http://example.invalid\\\\x/v1", "no backslash"),
        ("http://[::1/v1", "this is no address"),
        ("http://127.0.0.1:99999/v1", "this is no address"),
        ("http://127.0.0.1:9/v1?x=y", "what follows ? or #"),
        ("ftp://127.0.0.1/v1", "expected http"),
    ],
)
def test_an_address_that_misleads_is_refused(address: str, words: str, job: CountedJob) -> None:
    for name in ("run", "plan"):
        ran = command(name, job.path, "--set", f'provider.base_url="{address}"')
        assert (ran.returncode, words in ran.stderr, "Traceback" in ran.stderr) == (2, True, False), ran.stderr
        assert "secret-pw" not in ran.stderr


def test_files_that_never_end_are_refused(job: CountedJob) -> None:
    refused("it is a device", "run", job.path, "--set", "provider.api_key_file=/dev/zero")
    big = job.folder / "big"
    big.write_bytes(b"x" * 100_000)
    refused("it is larger than 65,536 bytes", "run", job.path, "--set", f"provider.api_key_file={big}")
    refused("it is a device", "run", "/dev/zero")


def test_a_missing_authority_file_is_named(job: CountedJob) -> None:
    refused("SSL_CERT_FILE names /nowhere.pem", "run", job.path, SSL_CERT_FILE="/nowhere.pem")
    refused("REQUESTS_CA_BUNDLE names", "run", job.path, SSL_CERT_FILE="", REQUESTS_CA_BUNDLE=str(job.path))


@pytest.mark.parametrize("option", ["--rpm=nan", "--rpm=inf", "--tpm=0", "--latency=nan", "--latency=-1"])
def test_serve_refuses_what_is_no_number(option: str) -> None:
    refused("Invalid value", "serve", "--port", "0", option)


def test_a_limit_says_what_was_not_sent(job: CountedJob) -> None:
    ran = command("run", job.path, "--limit", 0)
    assert ran.returncode == 0
    assert "nothing to send: 30 rows, 0 done, 30 not sent" in ran.stderr
    assert "exit 0: done, 30 rows not sent yet; next: pipeline run" in ran.stderr
    ran = command("run", job.path, "--limit", 10)
    assert "exit 0: done, 20 rows not sent yet; next: pipeline run" in ran.stderr
    assert "exit 0: the manifest is answered" in command("run", job.path).stderr


def test_a_folder_of_others_is_left_alone(job: CountedJob) -> None:
    other = job.folder / "theirs"
    (other / "journal").mkdir(parents=True)
    (other / "journal" / "mine.journal").write_text("mine")
    (other / "journal" / ".draft.tmp").write_text("mine")
    for output in (other, job.folder, "/"):
        refused("is not an output of pipeline", "run", job.path, "--output", output)
    assert sorted(path.name for path in other.rglob("*")) == [".draft.tmp", "journal", "mine.journal"]
    refused("the output is empty", "run", job.path, "--output", "")
    empty = job.folder / "empty"
    empty.mkdir()
    assert command("run", job.path, "--output", empty).returncode == 0
    assert command("run", job.path, "--output", empty).returncode == 0


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(("day", "hours"), [((2026, 3, 28), 7), ((2026, 10, 24), 9), ((2026, 6, 1), 8)])
def test_until_means_the_clock_on_the_wall(day: tuple[int, int, int], hours: int) -> None:
    assert until_seconds("06:00", datetime.datetime(*day, 22, 0)) == hours * 3600


def test_a_pause_of_a_day_stops_the_run_at_once(job: CountedJob, server: CountingServer) -> None:
    server.script = lambda asked, n: Told(status=429, headers="Retry-After: 99999999999\r\n")
    ran = command("run", job.path, "--quiet")
    assert ran.returncode == 4, ran.stderr
    assert "the service asks for a pause until" in ran.stderr
    assert job.sql("select count(*) from failures") == [(0,)]


def test_a_limit_below_what_is_left_is_not_believed(job: CountedJob, server: CountingServer) -> None:
    told = "x-ratelimit-limit-requests: 1\r\nx-ratelimit-remaining-requests: 500\r\n"
    server.script = lambda asked, n: Told(headers=told + "x-ratelimit-reset-requests: 24h\r\n")
    assert command("run", job.path, "--quiet").returncode == 0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("Host: 127.0.0.1\r\n", 200),
        ("Host: localhost:8765\r\nOrigin: http://localhost:3000\r\n", 200),
        ("Host: evil.invalid\r\n", 403),
        ("Host: 127.0.0.1\r\nOrigin: http://evil.invalid\r\n", 403),
        ("Host: 127.0.0.1.evil.invalid\r\n", 403),
        ("Host: 127.0.0.1\r\nOrigin: null\r\n", 403),
    ],
)
def test_serve_answers_this_machine_alone(headers: str, status: int) -> None:
    with served() as port, socket.create_connection(("127.0.0.1", port), 20) as client:
        client.sendall(f"GET /samples/cat.jpg HTTP/1.1\r\n{headers}Connection: close\r\n\r\n".encode())
        assert client.makefile("rb").readline().split()[1] == str(status).encode()
