"""kill -9 at any moment of run, reprocess, compact and export over archives: bounds as for a run alone."""

from __future__ import annotations

import json
import random
import signal
from pathlib import Path

from support.archives import archived
from support.commands import Child, ChildProcesses
from support.counted_job import CountedJob
from support.counting_server import Asked, CountingServer, Told, answer_to
from support.pictures import drawn, encoded
from support.store_disk import rounds

CONCURRENCY = 8
PER_SHARD, SHARDS = 60, 2


def rejected_once(luck: random.Random) -> object:
    """Every 7th row is rejected when it is asked first, so that `reprocess` has something to do."""

    def script(asked: Asked, n: int) -> Told:
        if n == 1 and int(asked.id) % 7 == 3:
            return Told(400, code="odd_input", seconds=luck.uniform(0, 0.01))
        return Told(seconds=luck.uniform(0, 0.01))

    return script


class Campaign:
    """One output over shards of its own; `kept`: ids with any outcome on disk, which never become fewer."""

    def __init__(self, folder: Path, server: CountingServer) -> None:
        picture = encoded(drawn(16, 16))
        self.ids = {}
        for shard in range(SHARDS):
            members = []
            for number in range(PER_SHARD):
                key = f"{shard * PER_SHARD + number:03}"
                members += [(f"{key}.jpg", picture + key.encode()), (f"{key}.json", json.dumps({"key": key}).encode())]
                self.ids[f"{shard}.tar#{key}.jpg"] = key
            archived(folder / "shards" / f"{shard}.tar", members)
        self.job = CountedJob(folder, server)
        self.job.write(prompt="Say [{key}]")
        self.job.path.write_text(self.job.path.read_text().replace("rows.jsonl", "shards"))
        self.server, self.kept = server, set[str]()
        self.kills = self.lost = self.seen = 0
        self.exported = folder / "all.csv"

    def start(self, command: str, child_processes: ChildProcesses) -> Child:
        options: dict[str, list[object]] = {"reprocess": ["--where", "true"], "export": [self.exported]}
        more = options.get(command, [])
        return child_processes.start(
            command, self.job.path, *more, *(["--quiet"] if command in ("run", "reprocess") else [])
        )

    def after(self, child: Child, command: str) -> None:
        self.server.wait_idle()
        kept = set(self.job.on_disk())
        assert kept >= self.kept
        asked = self.server.asked[self.seen :]
        by_key = {key: id_ for id_, key in self.ids.items()}
        lost = {one.id for one in asked if by_key[one.id] not in kept}
        killed = child.wait() == -signal.SIGKILL
        assert len(lost) <= (CONCURRENCY if killed else 0)
        assert child.wait() in (0, 1, -signal.SIGKILL), child.err
        if command == "export" and self.exported.exists():
            assert self.exported.read_bytes().endswith(b"\n")  # a whole file, or none
        self.kills += killed
        self.lost += len(lost)
        self.seen, self.kept = len(self.server.asked), kept

    def closes(self, child_processes: ChildProcesses) -> None:
        """Run and reprocess once more by themselves: every row has its own answer, and the bill is in order."""
        for command in ("run", "reprocess", "run", "compact"):
            child = self.start(command, child_processes)
            child.wait()
            self.after(child, command)
        assert self.job.sql("select count(*) from failures") == [(0,)]
        answers = dict(self.job.sql("select id, answer from results"))
        assert answers == {id_: answer_to("m1", f"Say [{key}]") for id_, key in self.ids.items()}
        once = len(self.ids) + sum(one.status == 400 for one in self.server.asked)
        assert len(self.server.asked) - once <= self.kills * CONCURRENCY


def test_any_command_over_archives_may_be_killed(
    tmp_path: Path, child_processes: ChildProcesses, server: CountingServer
) -> None:
    luck = random.Random(20261127)
    server.script = rejected_once(luck)  # type: ignore[assignment]
    played, kills = 0, 0
    while played < rounds(8):
        folder = tmp_path / f"{played}"
        folder.mkdir()
        server.forget()
        campaign = Campaign(folder, server)
        for _ in range(luck.randint(4, 12)):
            command = luck.choice(("run", "run", "run", "reprocess", "compact", "export"))
            child = campaign.start(command, child_processes)
            child.ended(luck.uniform(0.0, 0.6))
            child.kill()
            campaign.after(child, command)
            played += 1
        campaign.closes(child_processes)
        kills += campaign.kills
    print(f"{played} rounds, {kills} kills")
