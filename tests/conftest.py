"""What tests of whole commands share: child processes to kill, and a service that counts what it is asked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.commands import Nursery
from support.counting_server import CountingServer


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    with Nursery(tmp_path_factory.mktemp("stderr")) as nursery:
        yield nursery


@pytest.fixture
def server() -> Iterator[CountingServer]:
    with CountingServer() as server:
        yield server
