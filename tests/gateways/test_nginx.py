"""How much of what nginx lets through is used where it limits rates and connections; it answers 503 by default.

Each test prints a line: the share of the time that was needed at least, and the share of the requests that was refused.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support.commands import ChildProcesses

pytestmark = pytest.mark.gateways

ROWS = 400
RATE = 10.0
CONNECTIONS = 4
LIMITS = {
    "10 a second, burst 5": ("limit_req zone=requests burst=5; limit_req_status {status};", ROWS / RATE),
    "10 a second, burst 20": ("limit_req zone=requests burst=20; limit_req_status {status};", ROWS / RATE),
    "4 connections": ("limit_conn connections 4; limit_conn_status {status};", None),
}
"""The directives, and the seconds that 400 rows need at least; None: what nginx itself measured, on 4 connections."""
LEAST_USED = {"10 a second, burst 5": 0.85, "10 a second, burst 20": 0.85, "4 connections": 0.8}
"""Measured while other work was done: 96 %, 96 % and 88 to 93 %."""
JOB = """
task = "ask"
manifest = "rows.jsonl"
output = "out"
[provider]
name = "openai"
model = "qwen-vl-max"
base_url = "{url}/v1"
[prompt]
text = "Say {{topic}}"
"""


def run(child_processes: ChildProcesses, folder: Path, url: str) -> tuple[int, float]:
    """Exit code and seconds of a job of 400 rows with no limit set."""
    rows = [{"id": f"r{number}", "topic": f"topic {number}"} for number in range(ROWS)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "job.toml").write_text(JOB.format(url=url))
    began = time.monotonic()
    child = child_processes.start("run", folder / "job.toml", "--quiet")
    return child.wait(900.0), time.monotonic() - began


@pytest.mark.parametrize("status", [503, 429])
@pytest.mark.parametrize("limit", LIMITS)
def test_what_nginx_lets_through_is_used(
    gateway: Any, service: str, child_processes: ChildProcesses, tmp_path: Path, limit: str, status: int
) -> None:
    directives, least = LIMITS[limit]
    gateway.start(service, directives.format(status=status))
    code, took = run(child_processes, tmp_path, gateway.url)
    statuses: Counter[int] = gateway.statuses()
    least = least or gateway.seconds() / CONNECTIONS
    used, refused = least / took, statuses[status] / sum(statuses.values())
    print(f"\nnginx, {limit}, {status}: used {used:.0%}, refused {refused:.0%}, {took:.0f} s, {dict(statuses)}")
    assert code == 0, "every row is answered"
    assert statuses[200] == ROWS
    assert used >= LEAST_USED[limit]
