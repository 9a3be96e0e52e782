"""What tests of whole commands share: child processes to kill, and a service that counts what it is asked."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from blockbuster import BlockBuster
from hypothesis import settings
from support.commands import ChildProcesses
from support.counting_server import CountingServer

settings.register_profile("no deadline", deadline=None)  # a slow machine is no fault of an example
settings.load_profile("no deadline")

# Where code on the event loop may wait for the disk, by the end of the file's path.
BLOCKING = {
    "pipeline/run/local.py": {"execute", "execute_reprocess", "_execute"},  # before the first row and after the last
    "pipeline/dispatch/http.py": {"open_transport"},  # the certificates, before the first row
    "pipeline/store/journal.py": {"append"},  # a write into the page cache; the sync is in a thread
    "pipeline/dispatch/ledger_file.py": {"_change"},  # 4 KB in the runtime folder, under a lock that is not waited for
    "pipeline/report/progress.py": {"update"},  # the progress line
    "pipeline/report/metrics.py": {"update"},  # a small file every few seconds
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that is asked for more rounds may last as long as they take."""
    if "PIPELINE_CRASH_ROUNDS" in os.environ:
        for item in items:
            item.add_marker(pytest.mark.timeout(0))


@pytest.fixture(scope="session", autouse=True)
def hang_up_ends() -> Iterator[None]:
    """Children inherit an ignored SIGHUP, as under nohup: the tests of signals need the usual one."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture(scope="module")
def event_loop_goes_on() -> Iterator[None]:
    """A call of `pipeline` that blocks the event loop of a run in this process raises BlockingError.

    For modules that run jobs in this process, and not the embedded service: that one reads its tables on first use.
    """
    watch = BlockBuster("pipeline")
    for function in watch.functions.values():
        for file, names in BLOCKING.items():
            function.can_block_in(file, names)
    watch.activate()
    yield
    watch.deactivate()


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
