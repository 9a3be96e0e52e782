"""The rate controller on the board of tests/bench: one seed of each kind of service, no kind below its floor."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))

from control.scenarios import SCENARIOS
from control.simulator import Simulation, score

FLOORS = {
    "50/s 0.2 s": (0.95, 0.02),
    "50/s 1 s": (0.95, 0.03),
    "50/s 3 s": (0.95, 0.013),
    "50/s model quick": (0.95, 0.02),
    "5/s 0.2 s": (0.95, 0.03),
    "500/s 0.2 s": (0.95, 0.025),
    "50/s 5 % chance": (0.88, 0.06),
    "50/s 10 % chance": (0.85, 0.06),
    "50>25": (0.94, 0.03),
    "50>100": (0.85, 0.02),
    "bucket 50+200": (0.95, 0.08),
    "600/min sliding": (0.955, 0.08),
    "600/min fixed": (0.9, 0.08),
    "600/min waits": (0.955, 0.06),
    "3000/min model": (0.91, 0.03),
    "16 slots 0.2 s": (0.9, 0.08),
    "16 slots model": (0.9, 0.08),
    "600k tokens/min": (0.95, 0.12),
}
"""Least share used, most refused by the limit, the start included."""


@pytest.mark.parametrize("name", FLOORS)
def test_a_quota_is_found_whatever_way_it_is_counted(name: str) -> None:
    found = score(Simulation(SCENARIOS[name], seed=1).run(), SCENARIOS[name])
    least, most = FLOORS[name]
    assert found.used >= least
    assert found.refused <= most


@pytest.mark.parametrize(("name", "most"), [("50>25", 5.0), ("50>25 model", 5.0), ("50>100", 25.0)])
def test_a_changed_quota_is_found_again(name: str, most: float) -> None:
    assert score(Simulation(SCENARIOS[name], seed=1).run(), SCENARIOS[name]).recovered <= most


@pytest.mark.parametrize("name", ["600/min sliding", "600/min fixed"])
def test_a_minute_is_not_overrun_once_it_is_known(name: str) -> None:
    found = score(Simulation(SCENARIOS[name], seed=1).run(), SCENARIOS[name])
    assert found.late <= 0.01
    assert found.storm <= 3  # in the second in which a higher limit is tried: see bench_control.py


def test_a_rate_that_slots_hold_back_is_no_quota_found() -> None:
    simulation = Simulation(SCENARIOS["16 slots 0.2 s"], seed=1)
    simulation.run()
    learnt = simulation.controller.learnt
    assert (learnt.slots, learnt.per_second) == (16, None)


@pytest.mark.parametrize("seed", [0, 7])
def test_chance_refusals_at_the_start_are_no_low_limit(seed: int) -> None:
    """Of the first twelve requests of seed 7 chance refuses four."""
    found = score(Simulation(SCENARIOS["50/s 10 % chance"], seed=seed).run(), SCENARIOS["50/s 10 % chance"])
    assert found.used >= 0.9
