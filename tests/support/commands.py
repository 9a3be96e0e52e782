"""Whole commands in child processes that may be killed: forked from one process that has everything imported.

Run as a program, this file is that process: one JSON order a line on stdin, one JSON reply a line on stdout.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]
ENVIRONMENT = {"OPENAI_API_KEY": "sk-counting", "PYTHONPATH": str(TESTS)}


_HEAVY = (
    "anyio._backends._asyncio",
    "anyio._core._signals",
    "duckdb",
    "importlib.readers",
    "pipeline.api",
    "pipeline.dispatch.http",
    "pipeline.run.local",
    "pipeline.run.maintenance",
    "pipeline.providers.openai",
    "pyarrow.compute",
    "pyarrow.parquet",
    "tenacity",
)
"""Imported once: a command then starts in some 20 ms, and as a user who may not read the interpreter's own files."""


class Child:
    """One command under way. `code` is its exit code, negative for the signal that killed it."""

    def __init__(self, child_processes: ChildProcesses, pid: int, stderr: Path) -> None:
        self.pid = pid
        self._nursery = child_processes
        self._stderr = stderr
        self._code: int | None = None
        self._pidfd = os.pidfd_open(pid)
        self._poll = select.poll()
        self._poll.register(self._pidfd, select.POLLIN)

    @property
    def err(self) -> str:
        return self._stderr.read_text()

    @property
    def last(self) -> str:
        return self.err.strip().splitlines()[-1]

    def ended(self, seconds: float) -> bool:
        """Waits so long at most for the end."""
        if self._code is None and self._poll.poll(seconds * 1000):
            self._code = self._nursery.order(wait=self.pid)["code"]
            os.close(self._pidfd)
        return self._code is not None

    def wait(self, seconds: float = 60.0) -> int:
        assert self.ended(seconds), f"the command is still running: {self.err}"
        assert self._code is not None
        return self._code

    def signal(self, number: signal.Signals) -> None:
        signal.pidfd_send_signal(self._pidfd, number)

    def kill(self) -> int:
        """kill -9, unless it has ended by itself."""
        if not self.ended(0):
            self.signal(signal.SIGKILL)
        return self.wait()


class ChildProcesses:
    """The process that commands are forked from. Use as a context manager; `folder` takes their stderr.

    under: a command line that starts it, such as `unshare -m`, for all commands to run under.
    """

    def __init__(self, folder: Path, under: Sequence[str] = ()) -> None:
        self._folder = folder
        self._under = under
        self._count = 0

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> ChildProcesses:
        self._process = subprocess.Popen(
            [*self._under, sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **ENVIRONMENT},
            text=True,
        )
        self.order(ready=True)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def order(self, **what: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(what, default=str), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def start(self, *arguments: Any, **how: Any) -> Child:
        """`pipeline ARGUMENTS`. how: `output` and `rules` (see breaking.py), `uid`, `clock`: seconds it is off."""
        self._count += 1
        stderr = self._folder / f"stderr-{self._count}"
        reply = self.order(arguments=[str(argument) for argument in arguments], stderr=stderr, **how)
        return Child(self, reply["pid"], stderr)

    def run(self, *arguments: Any, **how: Any) -> Child:
        child = self.start(*arguments, **how)
        child.wait()
        return child


def _serve() -> None:
    from pipeline.cli import main

    for name in _HEAVY:
        importlib.import_module(name)
    _read_data()
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            _, status = os.waitpid(order["wait"], 0)
            reply = {"code": os.waitstatus_to_exitcode(status)}
        elif "ready" in order:
            reply = order
        else:
            pid = os.fork()
            if pid == 0:
                _become(order, main)
            reply = {"pid": pid}
        print(json.dumps(reply), flush=True)


def _read_data() -> None:
    """Models, bounds and SQL are read by a first plan; a user who may not read these sources finds them here."""
    from pipeline import Job

    with tempfile.TemporaryDirectory() as folder:
        manifest, job = Path(folder) / "one.jsonl", Path(folder) / "one.toml"
        manifest.write_text('{"id": "a", "prompt": "a"}\n')
        provider = '[provider]\nname = "openai"\nmodel = "m"\nbase_url = "http://127.0.0.1:9/v1"\n'
        job.write_text(f'task = "ask"\nmanifest = "one.jsonl"\noutput = "out"\n{provider}')
        Job.load(job).plan()


def _become(order: dict[str, Any], main: Any) -> None:
    """The forked child: the command, with its own stderr, and what the test wants broken."""
    code = 99
    try:
        os.setsid()
        fd = os.open(order["stderr"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(fd, 2)
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        os.dup2(0, 1)
        if order.get("clock"):
            _set_clock(order["clock"])
        if order.get("uid"):
            os.setgroups([])
            os.setgid(order["uid"])
            os.setuid(order["uid"])
            os.environ["HOME"] = "/nonexistent"
        if order.get("rules"):
            from support.breaking import broken

            broken(order["output"], order["rules"])
        main(order["arguments"])
    except SystemExit as stop:
        code = int(stop.code or 0)
    finally:
        sys.stderr.flush()
        os._exit(code)


def _set_clock(off: float) -> None:
    now, now_ns = time.time, time.time_ns
    time.time = lambda: now() + off
    time.time_ns = lambda: now_ns() + round(off * 1e9)


if __name__ == "__main__":
    _serve()
