"""A power cut at any moment: what was synced is found again, exactly once, whatever else the disk kept or lost."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from support.store_disk import PowerCut, Recording, Step, rounds
from support.store_records import answer, attempt, failure, keep, run

from pipeline.store import Store
from pipeline.store.maintenance import compact
from pipeline.store.parts import all_parts, live_parts


def note(disk: Recording, name: str, text: str) -> None:
    disk.steps.append(Step(f"note {name}", 0, Path(), None, text.encode()))


def two_nights(output: Path, disk: Recording) -> None:
    """Two runs with syncs, seals, a changing column and a compaction; notes say what was written and synced."""
    for night in range(2):
        with Store.open(output, "caption", run_id=f"run-{night}", files=disk) as store:
            store.start_run(run(f"run-{night}"))
            for number in range(6):
                id_ = f"{night}-{number}"
                store.attempt(attempt(id_))
                note(disk, "written", id_)
                column = {"c": number if night else f"text {number}"}
                if number % 3 == 2:
                    store.failure(failure(id_, columns=column))
                else:
                    store.answer(answer(id_, columns=column, stamp="s"))
                if number % 2:
                    store.sync()
                    note(disk, "synced", "")
                if number == 3:
                    store.seal()
            store.finish_run(run(f"run-{night}", finished_at=1))
        note(disk, "synced", "")
    compact(output, "caption", run_id="c", files=disk)


def ids_in(output: Path) -> list[str]:
    import pyarrow.parquet as pq

    found: list[str] = []
    for dataset in ("results", "failures"):
        for part in live_parts(all_parts(output / dataset)):
            found += pq.read_table(part.path, columns=["id"]).column("id").to_pylist()
    return sorted(found)


def test_every_synced_outcome_survives_a_power_cut_at_any_step(tmp_path: Path) -> None:
    disk = Recording()
    two_nights(tmp_path / "out", disk)
    luck = random.Random(7)
    cuts = range(len(disk.steps) + 1)
    chosen = sorted(luck.sample(cuts, min(len(cuts), rounds(36))))
    for cut in chosen:
        steps = disk.steps[:cut]
        notes = [step for step in steps if step.name.startswith("note")]
        last_sync = max((at for at, step in enumerate(notes) if step.name == "note synced"), default=0)
        certain = {step.data.decode() for step in notes[:last_sync] if step.name == "note written"}
        possible = {step.data.decode() for step in notes if step.name == "note written"}
        power = PowerCut(tmp_path / "out", [step for step in steps if not step.name.startswith("note")])
        for lucky in (None, luck):
            target = tmp_path / "after"
            power.restore(target, lucky)
            keep(target)
            found = ids_in(target)
            assert len(found) == len(set(found)), cut
            assert certain <= set(found) <= possible, cut
            shutil.rmtree(target)


def test_an_outcome_may_be_unsynced_for_one_interval_at_most(tmp_path: Path) -> None:
    """On a virtual clock: with a sync every 100 ms, whatever is older than that is certain."""
    disk = Recording()
    store = Store.open(tmp_path / "out", "caption", run_id="r", files=disk)
    written: dict[str, float] = {}
    clock = synced_at = 0.0
    for number in range(50):
        clock += 0.013
        store.answer(answer(f"{number}"))
        written[f"{number}"] = clock
        if clock - synced_at >= 0.1:
            store.sync()
            synced_at = clock
        target = tmp_path / f"after-{number}"
        PowerCut(tmp_path / "out", disk.steps).restore(target, None)
        segments = sorted((target / "journal").glob("*.journal"))
        from pipeline.store.journal import replay

        found = {entry.record.id for path in segments for entry in replay(path)}
        assert found >= {id_ for id_, when in written.items() if when <= clock - 0.113}
        shutil.rmtree(target)
    store.close()
