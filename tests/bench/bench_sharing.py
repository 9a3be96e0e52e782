"""What equal questions cost: `python tests/bench/bench_sharing.py [index] [run ROWS QUESTIONS] …`.

`index`: bytes and microseconds of an entry, and of outcomes looked up in parts, at a million. `run`: a whole run over
ROWS rows with QUESTIONS different questions, against a server that answers at once, and a second one over as many new
rows that finds every answer in the parts.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
from bench_store import MILLION, fill, identity, peak

from pipeline import Job
from pipeline.store.fingerprints import FingerprintIndex
from pipeline.store.layout import Layout
from pipeline.store.lookup import outcomes

JOB = """
task = "ask"
manifest = "manifest.jsonl"
output = "out"
provider = {{ name = "openai", model = "m", base_url = "{base}/v1" }}
limits = {{ concurrency = 64 }}
"""


def fingerprint(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()[:32]


def bench_index() -> None:
    known, new = [identity(n)[1] for n in range(0, MILLION, 5)], [fingerprint(n) for n in range(200_000)]
    index = FingerprintIndex()
    began, longest = time.process_time(), 0.0
    for number in range(MILLION):
        text = f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}{number:016x}"
        before = time.perf_counter()
        if index.get(text) is None:
            index.add(text, number)
        longest = max(longest, time.perf_counter() - before)
    spent = (time.process_time() - began) / MILLION * 1e6
    print(f"a million looked up and added: {spent:.1f} µs each, the longest {longest * 1e3:.0f} ms")
    print(f"  {index.nbytes / MILLION:.1f} bytes each")
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout(Path(folder))
        fill(layout.output, MILLION)
        began = time.process_time()
        index = FingerprintIndex.load(layout)
        print(f"loaded from a million answers: {time.process_time() - began:.2f} s of CPU")
        for name, texts in (("known", known), ("unknown", new)):
            began = time.process_time()
            for text in texts:
                index.get(text)
            print(f"  {name}: {(time.process_time() - began) / len(texts) * 1e6:.1f} µs")
        for count in (1, 100, 2_000):
            seqs = random.Random(1).sample(range(1, MILLION), count)
            began = time.process_time()
            assert len(outcomes(layout, "caption", seqs)) == count
            print(f"  {count} outcomes found in the parts: {(time.process_time() - began) / count * 1e3:.2f} ms each")


def bench_run(rows: int, questions: int) -> None:
    os.environ["OPENAI_API_KEY"] = "sk-fake"
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "bench_server.py")], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    base = f"http://127.0.0.1:{server.stdout.readline().strip()}/20"
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "job.toml"
            path.write_text(JOB.format(base=base))
            for night in range(2):
                with (Path(folder) / "manifest.jsonl").open("wb") as manifest:
                    for number in range(night * rows, (night + 1) * rows):
                        row = {"id": f"r{number}", "prompt": f"Question {number % questions}?", "place": number}
                        manifest.write(msgspec.json.encode(row) + b"\n")
                cpu, wall = time.process_time(), time.perf_counter()
                summary = asyncio.run(Job.load(path).arun())
                cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
                assert summary.answered + summary.shared == rows, summary
                bought = f"{summary.answered:,} answered, {summary.shared:,} shared"
                print(f"{rows:,} rows, {bought}: {wall:.0f} s, {cpu / rows * 1e6:.0f} µs of CPU a row, {peak()} MB")
    finally:
        server.terminate()


if __name__ == "__main__":
    arguments = sys.argv[1:] or ["index"]
    if arguments[0] == "index":
        bench_index()
    else:
        bench_run(int(arguments[1]), int(arguments[2]))
