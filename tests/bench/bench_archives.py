"""Runs over archives and queries: time, CPU and peak memory by the number of members, and a kill -9 in the middle.

`python tests/bench/bench_archives.py 100000 tar` packs so many pictures of 4 KB, each with a JSON text, into shards of
10,000; runs `pipeline run` over them against a loopback server; kills a second run half way, and resumes it. `zip`
packs zips, `folder` leaves them as files, to compare; `sql` asks as many questions that a DuckDB query gives.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent
PER_SHARD = 10_000
JOB = """
output = "out"
provider = {{ name = "openai", model = "m", base_url = "http://127.0.0.1:{port}/1/v1" }}
limits = {{ concurrency = 64 }}
"""
ARCHIVES = 'task = "caption"\nmanifest = "shards"\nprompt = { text = "Describe {topic}." }\n'
SQL = """
task = "ask"
manifest = "sql:select 'r' || range as id, 'What is ' || range || '?' as prompt from range(MEMBERS)"
"""


def pack(folder: Path, members: int, kind: str) -> None:
    """The shards."""
    file = io.BytesIO()
    Image.effect_noise((64, 64), 90).convert("RGB").save(file, "JPEG")
    picture = file.getvalue()
    folder.mkdir()
    if kind == "folder":
        for number in range(members):
            (folder / f"topic={number:09}").mkdir()
            (folder / f"topic={number:09}/p.jpg").write_bytes(picture + b"%09d" % number)
        return
    for first in range(0, members, PER_SHARD):
        path = folder / f"{first // PER_SHARD:05}.{kind}"
        tar = tarfile.open(path, "w") if kind == "tar" else None  # noqa: SIM115
        packed = zipfile.ZipFile(path, "w") if kind == "zip" else None
        for number in range(first, min(members, first + PER_SHARD)):
            key = f"{number:09}"
            for name, body in (
                (f"{key}.jpg", picture + key.encode()),
                (f"{key}.json", b'{"topic": "%s"}' % key.encode()),
            ):
                if tar is not None:
                    entry = tarfile.TarInfo(name)
                    entry.size = len(body)
                    tar.addfile(entry, io.BytesIO(body))
                elif packed is not None:
                    packed.writestr(name, body)
        for archive in (tar, packed):
            if archive is not None:
                archive.close()


def run(folder: Path, kill_after: float | None = None) -> tuple[float, float, float, str]:
    """(seconds, CPU seconds, peak MB, last line) of a `pipeline run`, killed after so many seconds."""
    began = time.perf_counter()
    with (folder / "stderr").open("w+") as stderr:
        child = subprocess.Popen(
            [sys.executable, "-m", "pipeline", "run", "job.toml", "--quiet", "--summary", "summary.json"],
            cwd=folder,
            stderr=stderr,
            env={**os.environ, "OPENAI_API_KEY": "sk-fake"},
        )
        if kill_after is not None:
            time.sleep(kill_after)
            child.send_signal(signal.SIGKILL)
        _, _, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - began
        stderr.seek(0)
        lines = stderr.read().strip().splitlines()
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, " | ".join(lines[-4:])


def main(members: int, kind: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = subprocess.Popen([sys.executable, HERE / "bench_server.py"], stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        source = SQL.replace("MEMBERS", str(members)) if kind == "sql" else ARCHIVES
        (folder / "job.toml").write_text(source + JOB.format(port=server.stdout.readline().strip()))
        if kind != "sql":
            pack(folder / "shards", members, kind)
        try:
            whole = run(folder)
            report("whole run", members, whole)
            report("nothing to send", members, run(folder))
            (folder / "out").rename(folder / "first")
            report("killed half way", members, run(folder, whole[0] / 2))
            report("resumed", members, run(folder))
            print(json.loads((folder / "summary.json").read_text())["done"], "rows were done before it")
        finally:
            server.kill()
            server.wait()


def report(what: str, members: int, measured: tuple[float, float, float, str]) -> None:
    seconds, cpu, peak, last = measured
    print(
        f"{what:16} {members:>9,} rows {seconds:7.1f} s {cpu / members * 1e6:6.0f} µs CPU a row {peak:6.0f} MB  {last}"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
