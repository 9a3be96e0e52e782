"""Seals so many segments, each in a thread of its own, and prints by how many MB the process has grown since the first.

`python -m support.sealing_threads OUTPUT SEALS`, in a process of its own; the threads stay until the end.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from support.store_records import answer, attempt

from pipeline.store import Store
from pipeline.store.store import SEAL_RECORDS


def anonymous_mb() -> float:
    """Memory of the process that no file backs (proc_pid_status(5): RssAnon, in kB)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon:"))


def main(output: Path, seals: int) -> None:
    grown: list[float] = []
    threads = [ThreadPoolExecutor(1) for _ in range(seals)]
    with Store.open(output, "caption", run_id="r") as store:
        for number, thread in enumerate(threads):
            for row in range(SEAL_RECORDS // 2):
                id_ = f"{number}-{row}"
                store.answer(answer(id_, text=f"a cat {id_}", columns={"topic": id_}), attempt(id_))
            thread.submit(store.seal).result()
            grown.append(anonymous_mb())
    print(round(grown[-1] - grown[0]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
