"""What a store holds in memory: nothing that stays behind with the threads that sealed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
SEALS = 8
MOST_MB = 36
"""Threads that kept what they used grew the process by 58 MB in 8 seals; threads that give it back, by 16."""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the memory is read from /proc")
def test_sealing_in_many_threads_keeps_no_memory(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "support.sealing_threads", str(tmp_path / "out"), str(SEALS)]
    ran = subprocess.run(command, cwd=TESTS, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) < MOST_MB
