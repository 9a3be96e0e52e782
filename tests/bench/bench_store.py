"""Measures the store: appending, sealing against pyarrow's defaults and DuckDB's COPY, and planning a million rows.

python tests/bench/bench_store.py [append|seal|embed|plan]
"""

from __future__ import annotations

import hashlib
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.store import AnswerRecord, Store
from pipeline.store.datasets import schema
from pipeline.store.diff import ManifestDiff
from pipeline.store.disk import DISK, Files
from pipeline.store.journal import replay, segments
from pipeline.store.maintenance import compact
from pipeline.store.part_writer import write_part
from pipeline.store.parts import part_name
from pipeline.store.read import connect
from pipeline.store.record_tables import sealed_rows

COMMON: dict[str, Any] = {
    "provider": "dashscope",
    "model": "qwen3-vl-plus",
    "run_id": "20261121T060000Z-abcdef",
    "attempt_count": 1,
    "latency_ms": 1234,
    "input_tokens": 1300,
    "output_tokens": 60,
    "media_tokens": 1200,
    "cost": 0.0012,
    "currency": "CNY",
    "request_id": "7a9c1d2e-0000-4000-8000-123456789abc",
    "finish_reason": "stop",
    "finished_at": 1_790_000_000_123_456,
}
MILLION = 1_000_000


def best(rounds: int, work: Callable[[], object]) -> float:
    """Seconds of the fastest of some rounds."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def captions(count: int) -> list[AnswerRecord]:
    text = "A tabby cat lies on a grey sofa beside a folded newspaper, looking at the camera. " * 2
    return [
        AnswerRecord(
            **COMMON,
            id=f"images/2026/11/{number:08d}.jpg",
            fingerprint=hashlib.sha256(str(number).encode()).hexdigest(),
            source=(f"/data/images/2026/11/{number:08d}.jpg",),
            own={"caption": text},
            columns={"category": "cats", "night": number},
        )
        for number in range(count)
    ]


def vectors(count: int) -> list[AnswerRecord]:
    floats = np.random.default_rng(1).standard_normal((count, 1536), np.float32)
    return [
        AnswerRecord(
            **COMMON,
            id=f"images/2026/11/{number:08d}.jpg",
            fingerprint=hashlib.sha256(str(number).encode()).hexdigest(),
            source=(f"/data/images/2026/11/{number:08d}.jpg",),
            own={"embedding": floats[number].tobytes(), "modalities": ["image"]},
        )
        for number in range(count)
    ]


def bench_append() -> None:
    for name, records in (("captions", captions(4_000)), ("vectors", vectors(4_000))):
        task: Any = "caption" if name == "captions" else "embed"
        with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder), task, run_id="r") as store:

            def work(store: Store = store, records: list[AnswerRecord] = records) -> None:
                for record in records:
                    store.answer(record)

            print(f"append {name}: {best(3, work) / len(records) * 1e6:.1f} µs a row")
            print(f"  sync: {best(1, store.sync) * 1e3:.0f} ms")


def bench_seal() -> None:
    for name, records in (("vectors", vectors(4_000)), ("captions", captions(4_000))):
        task: Any = "embed" if name == "vectors" else "caption"
        with tempfile.TemporaryDirectory() as text:
            folder = Path(text)
            store = Store.open(folder / "out", task, run_id="r")
            for record in records:
                store.answer(record)
            store.journal.rotate()
            (path, *_) = segments(folder / "out" / "journal")
            entries = list(replay(path))
            table = pa.concat_tables(sealed_rows("results", entries, task, {}).tables)
            path.unlink()
            store.close()
            _compare(folder, name, entries, table, task)


class Unsynced(Files):
    """A disk without syncs: neither pyarrow nor COPY makes any, so none is compared."""

    def datasync(self, fd: int) -> None:
        pass

    def sync_folder(self, path: Path) -> None:
        pass


def least_cpu(rounds: int, work: Callable[[], object]) -> float:
    """CPU seconds of the cheapest of some rounds, over all threads."""
    times = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


def _compare(folder: Path, name: str, entries: list[Any], table: pa.Table, task: Any) -> None:
    def ours() -> None:
        write_part(Unsynced(), folder / "ours.parquet", table)

    def defaults() -> None:
        pq.write_table(table, folder / "defaults.parquet")

    connection = duckdb.connect()
    connection.register("sealed", table)

    def copy() -> None:
        connection.execute(f"copy (select * from sealed) to '{folder}/copy.parquet' (format parquet)")

    times = {label: least_cpu(9, work) for label, work in (("ours", ours), ("defaults", defaults), ("copy", copy))}
    walls = {label: best(9, work) for label, work in (("ours", ours), ("defaults", defaults), ("copy", copy))}
    build = least_cpu(3, lambda: list(sealed_rows("results", entries, task, {}).tables))
    synced = best(5, lambda: write_part(DISK, folder / "ours.parquet", table))
    size = {path.stem: path.stat().st_size / 2**20 for path in folder.glob("*.parquet")}
    print(f"seal {len(entries)} {name}, nothing synced (from records to Arrow {build * 1e3:.0f} ms of CPU before that)")
    for label, seconds in times.items():
        shares = f"{seconds / times['ours']:.1f} × ours of CPU, {walls[label] / walls['ours']:.1f} × of time"
        print(f"  {label}: {seconds * 1e3:.0f} ms of CPU, {walls[label] * 1e3:.0f} ms; {shares}; {size[label]:.1f} MB")
    print(f"  ours synced: {synced * 1e3:.0f} ms")


def identity(number: int) -> tuple[str, str]:
    id_ = f"images/2026/{number:08d}.jpg"
    return id_, hashlib.sha256(id_.encode()).hexdigest()[:32]


def fill(output: Path, rows: int, step: int = 100_000) -> None:
    """An output with `rows` answers."""
    Store.open(output, "caption", run_id="r").close()
    fixed = schema("results", "caption")
    for first in range(0, rows, step):
        pairs = [identity(number) for number in range(first, first + step)]
        values: dict[str, Any] = {
            "id": [pair[0] for pair in pairs],
            "fingerprint": [pair[1] for pair in pairs],
            "seq": list(range(first + 1, first + step + 1)),
            "caption": [f"a cat on a sofa, number {number}" for number in range(step)],
            "finished_at": [COMMON["finished_at"]] * step,
        }
        arrays = [pa.array(values.get(field.name, [None] * step), field.type) for field in fixed]
        part = output / "results" / part_name(first + 1, first + step)
        write_part(DISK, part, pa.Table.from_arrays(arrays, schema=fixed))


def first_pass(rows: int, step: int = 16_384) -> Iterator[pa.RecordBatch]:
    for first in range(0, rows, step):
        numbers = range(first, min(first + step, rows))
        pairs = [identity(number) for number in numbers]
        yield pa.record_batch(
            {
                "ordinal": pa.array(numbers, pa.int64()),
                "id": [pair[0] for pair in pairs],
                "given": [True] * len(pairs),
                "where": [f"photos.jsonl:{number}" for number in numbers],
                "fingerprint": [pair[1] for pair in pairs],
                "stamp": pa.nulls(len(pairs), pa.string()),
                "lasting": pa.nulls(len(pairs), pa.bool_()),
            }
        )


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def counted(output: Path, view: str) -> list[Any]:
    return connect(output, "caption").sql(f"select count(*) from {view}").fetchall()


def bench_plan() -> None:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder)
        fill(output, MILLION)
        making = best(1, lambda: [None for _ in first_pass(MILLION)])
        before, began = peak(), time.perf_counter()
        with ManifestDiff(output, "caption") as diff:
            diff.load(first_pass(MILLION))
            counts, states, marks = diff.counts(), diff.states(), diff.manifest_state()
            assert (counts.done, len(states), marks.count, diff.duplicates()) == (MILLION, MILLION, 0, [])
        spent = time.perf_counter() - began - making
        print(f"plan a million done rows: {spent:.1f} s, peak {before} → {peak()} MB")
        for view in ("results", "failures"):
            seconds = best(2, partial(counted, output, view))
            print(f"  count {view}: {seconds:.2f} s")


def bench_embed(rows: int = 100_000, step: int = 2_000) -> None:
    """Seals and merges vectors as a bulk run does: CPU a row, and the peak memory of the process."""
    with tempfile.TemporaryDirectory() as folder:
        records, before, began = vectors(step), peak(), time.process_time()
        with Store.open(Path(folder), "embed", run_id="r", files=Unsynced()) as store:
            for first in range(0, rows, step):
                for number, record in enumerate(records, first):
                    store.answer(msgspec.structs.replace(record, id=f"images/2026/11/{number:08d}.jpg"))
                    if store.seal_due():
                        store.seal()
        print(
            f"write {rows} vectors: {(time.process_time() - began) / rows * 1e6:.1f} µs a row, {before} → {peak()} MB"
        )
        before, began = peak(), time.process_time()
        done = compact(Path(folder), "embed", run_id="r", files=Unsynced())
        spent = (time.process_time() - began) / rows * 1e6
        print(f"  compact {done.before} → {done.after} parts: {spent:.1f} µs a row, {before} → {peak()} MB")


BENCHES = {"append": bench_append, "seal": bench_seal, "embed": bench_embed, "plan": bench_plan}

if __name__ == "__main__":
    for choice in sys.argv[1:] or BENCHES:
        BENCHES[choice]()
