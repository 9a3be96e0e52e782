"""nginx as it comes with the system, before the embedded service, on loopback ports and in a folder of its own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.client import serving

from pipeline.offline.service_options import ServiceOptions

LATENCY_MS = 200
CONFIG = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 1024; }}
http {{
    log_format plain "$status $request_time";
    access_log {folder}/access.log plain;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_max_body_size 50m;
    limit_req_zone $server_port zone=requests:1m rate=10r/s;
    limit_conn_zone $server_port zone=connections:1m;
    upstream service {{ server {service}; keepalive 64; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            {limit}
            proxy_pass http://service;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host 127.0.0.1;
        }}
    }}
}}
"""


@dataclass
class Gateway:
    """`folder` is for the test's own files too."""

    folder: Path
    url: str = ""
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, service: str, limit: str) -> None:
        """nginx with the directives `limit`, before the service at the URL `service`."""
        program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
        assert program is not None, "these tests need nginx: apt-get install nginx-light"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        config = self.folder / "nginx.conf"
        address = service.removeprefix("http://")
        config.write_text(CONFIG.format(folder=self.folder, port=port, service=address, limit=limit))
        self._processes.append(subprocess.Popen([program, "-p", self.folder, "-c", config]))
        self.url = f"http://127.0.0.1:{port}"
        self._wait_until_up(port)

    def statuses(self) -> Counter[int]:
        """How many requests were given which status so far."""
        return Counter(status for status, _ in self._requests())

    def seconds(self) -> float:
        """How long all requests that were let through took together."""
        return sum(seconds for status, seconds in self._requests() if status == 200)

    def stop(self) -> None:
        for process in self._processes:
            process.terminate()
            process.wait(20)

    def _requests(self) -> list[tuple[int, float]]:
        lines = [line.split() for line in (self.folder / "access.log").read_text().splitlines()]
        return [(int(status), float(seconds)) for status, seconds in lines]

    def _wait_until_up(self, port: int) -> None:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError(f"nginx did not start: {(self.folder / 'error.log').read_text()}")


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path)
    try:
        yield gateway
    finally:
        gateway.stop()


@pytest.fixture
def service() -> Iterator[str]:
    """The embedded service, which answers after 200 ms."""
    with serving(ServiceOptions(latency_ms=LATENCY_MS)) as service:
        yield service.url
