"""What tests of whole commands share: child processes to kill, and a service that counts what it is asked."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from support.commands import ChildProcesses
from support.counting_server import CountingServer

settings.register_profile("no deadline", deadline=None)  # a slow machine is no fault of an example
settings.load_profile("no deadline")


@pytest.fixture(scope="session", autouse=True)
def hang_up_ends() -> Iterator[None]:
    """Children inherit an ignored SIGHUP, as under nohup: the tests of signals need the usual one."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture(scope="session")
def runtime_folders() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture(autouse=True)
def own_runtime(runtime_folders: Path) -> Iterator[Path]:
    """The folder of the ledgers: no test meets the quota or the pauses of another one."""
    folder = Path(tempfile.mkdtemp(dir=runtime_folders))
    names = ("XDG_RUNTIME_DIR", "XDG_STATE_HOME")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, str(folder)))
    yield folder
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value


@pytest.fixture(scope="module")
def child_processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChildProcesses]:
    with ChildProcesses(tmp_path_factory.mktemp("stderr")) as child_processes:
        yield child_processes


@pytest.fixture
def server() -> Iterator[CountingServer]:
    with CountingServer() as server:
        yield server
