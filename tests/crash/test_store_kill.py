"""kill -9 at chosen and random points, again and again: nothing kept is lost, nothing stands twice."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from support.store_disk import rounds
from support.store_records import rows

HERE = Path(__file__).parent


@pytest.mark.parametrize("seed", [1, 2])
def test_a_job_killed_again_and_again_ends_with_every_row_once(tmp_path: Path, seed: int) -> None:
    kills = rounds(5)
    total = kills * 4
    output, log = tmp_path / "out", tmp_path / "log"
    path = os.pathsep.join([str(HERE.parent), str(HERE.parent.parent)])
    command = [sys.executable, str(HERE / "store_rounds.py"), str(output), str(log), str(seed), str(total), str(kills)]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": path}, capture_output=True, timeout=600)
    notes = Counter(tuple(line.split()) for line in log.read_text().splitlines())

    shown = "select id, 'results' from results union all select id, 'failures' from failures"
    found = dict(rows(output, shown))
    assert len(rows(output, shown)) == len(found) == total
    assert found == {f"{n}": "failures" if n % 5 == 4 else "results" for n in range(total)}
    twice = rows(output, "select seq from versions group by seq having count(*) > 1")
    assert twice == []

    sent = {note[1]: times for note, times in notes.items() if note[0] == "sent"}
    kept = {note[1]: times for note, times in notes.items() if note[0] == "kept"}
    # One row was in flight at each kill: no more than that may have been sent twice, and none that was kept.
    assert sum(sent.values()) - total <= kills
    assert set(kept.values()) == {1}
    assert notes[("done",)] < kills + 1  # some rounds were killed, else this shows nothing
