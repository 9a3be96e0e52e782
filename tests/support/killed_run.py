"""A run that is killed in its middle, resumed, and started once more."""

from __future__ import annotations

from pathlib import Path

from support.commands import ChildProcesses
from support.counting_server import CountingServer


def killed_half_way(
    child_processes: ChildProcesses, server: CountingServer, job: Path, count: int, concurrency: int
) -> int:
    """Kills a run over `count` rows half way. The second run must send the rest alone, and the third run nothing.

    Rows that were in flight at the kill, `concurrency` at most, may be sent again. Gives how often the second run asked
    the row that it asked most often.
    """
    child = child_processes.start("run", job)
    assert server.wait_asked(count // 2, 60), child.err
    child.kill()
    server.wait_idle()
    before = sum(asked.answered for asked in server.asked)
    server.forget()
    again = child_processes.run("run", job)
    assert again.wait() == 0, again.err
    assert count - before <= len(server.asked) <= count - before + concurrency
    most = max(server.times_asked().values())
    server.forget()
    assert "nothing to send" in child_processes.run("run", job).err
    assert server.asked == []
    return most
