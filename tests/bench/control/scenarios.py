"""The scenarios of the board: what the service counts, how long answers take, what chance refuses."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import msgspec

from control.services import Bucket, Fixed, Free, Quota, Service, Sliding, Slots

Latency = Callable[[random.Random], float]


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """capacity: units per second that can be taken. chance: share refused whatever the rate. quick: seconds after which
    refusals are back, None = as long as answers. waits: refusals say how long to wait. change: when the quota changes.
    warm: seconds that do not count for `used`. named: slots that the user names."""

    service: Callable[[], Service]
    latency: Latency
    capacity: Quota
    seconds: float = 120.0
    warm: float = 10.0
    chance: Quota = lambda now: 0.0
    quick: float | None = None
    waits: bool = False
    size: Callable[[random.Random], float] = lambda rng: 1.0
    change: float | None = None
    named: int | None = None


def flat(value: float) -> Quota:
    return lambda now: value


def step(before: float, at: float, after: float, until: float = math.inf) -> Quota:
    return lambda now: after if at <= now < until else before


def about(seconds: float) -> Latency:
    return lambda rng: seconds * rng.uniform(0.9, 1.1)


def model(rng: random.Random) -> float:
    """A language model's: 1 to 30 s, half of them under 4 s."""
    return min(30.0, max(1.0, rng.lognormvariate(math.log(4.0), 0.7)))


def tokens(rng: random.Random) -> float:
    return 20_000.0 if rng.random() < 0.02 else float(int(rng.lognormvariate(7.0, 0.6)))


def second(quota: float | Quota, latency: Latency, chance: float | Quota = 0.0, **more: object) -> Scenario:
    """A quota of any second."""
    limit = quota if callable(quota) else flat(quota)
    noise = chance if callable(chance) else flat(chance)
    kept: dict[str, object] = {
        "service": lambda: Sliding(limit),
        "latency": latency,
        "capacity": lambda now: limit(now) * (1 - noise(now)),
        "chance": noise,
    }
    return Scenario(**{**kept, **more})  # type: ignore[arg-type]


def minute(service: Callable[[], Service], quota: float, latency: Latency, **more: object) -> Scenario:
    kept: dict[str, object] = {"service": service, "latency": latency, "capacity": flat(quota), "seconds": 360.0}
    return Scenario(**{**kept, "warm": 60.0, **more})  # type: ignore[arg-type]


LONG = {"seconds": 180.0, "warm": 20.0}
SCENARIOS: dict[str, Scenario] = {
    "50/s 20 ms": second(50, about(0.02)),
    "50/s 0.2 s": second(50, about(0.2)),
    "50/s 1 s": second(50, about(1.0)),
    "50/s 3 s": second(50, about(3.0)),
    "50/s 0.2 s quick": second(50, about(0.2), quick=0.05),
    "50/s model quick": second(50, model, quick=0.2, **LONG),
    "50/s model slow": second(50, model, **LONG),
    "5/s 0.2 s": second(5, about(0.2), seconds=180.0),
    "5/s model": second(5, model, quick=0.2, seconds=240.0, warm=20.0),
    "500/s 0.2 s": second(500, about(0.2), seconds=40.0),
    "500/s 1 s": second(500, about(1.0), seconds=60.0),
    "50/s 2 % chance": second(50, about(0.2), 0.02),
    "50/s 5 % chance": second(50, about(0.2), 0.05),
    "50/s 10 % chance": second(50, about(0.2), 0.10),
    "50/s 5 % model": second(50, model, 0.05, quick=0.2, **LONG),
    "5/s 5 % model": second(5, model, 0.05, quick=0.2, seconds=300.0, warm=20.0),
    "50>25": second(step(50, 40, 25), about(0.2), change=40.0),
    "50>40": second(step(50, 40, 40), about(0.2), change=40.0),
    "50>100": second(step(50, 40, 100), about(0.2), change=40.0),
    "50>25 model": second(step(50, 60, 25), model, quick=0.2, change=60.0, **LONG),
    "50>100 model": second(step(50, 60, 100), model, quick=0.2, change=60.0, **LONG),
    "50>25 5 %": second(step(50, 40, 25), about(0.2), 0.05, change=40.0),
    "50>100 5 %": second(step(50, 40, 100), about(0.2), 0.05, change=40.0),
    "half for 2 min": second(step(50, 60, 25, 180), about(0.2), seconds=260.0, change=180.0),
    "chance 0>10 %": second(50, about(0.2), step(0.0, 40, 0.1, 80), seconds=140.0),
    "bucket 50+200": Scenario(service=lambda: Bucket(flat(50), 200), latency=about(0.2), capacity=flat(50)),
    "600/min sliding": minute(lambda: Sliding(flat(10), 60.0), 10, about(0.2)),
    "600/min fixed": minute(lambda: Fixed(flat(10)), 10, about(0.2)),
    "3000/min model": minute(lambda: Sliding(flat(50), 60.0), 50, model, quick=0.2),
    "600/min waits": minute(lambda: Sliding(flat(10), 60.0), 10, about(0.2), waits=True),
    "16 slots 0.2 s": Scenario(
        service=lambda: Slots(16), latency=about(0.2), capacity=flat(80), seconds=90.0, quick=0.05
    ),
    "16 slots model": Scenario(
        service=lambda: Slots(16), latency=model, capacity=flat(16 / 5.03), seconds=240.0, warm=30.0, quick=0.2
    ),
    "queue of 32": Scenario(service=lambda: Slots(32, queues=True), latency=about(1.0), capacity=flat(32)),
    "free, 64 named, 5 %": Scenario(
        service=Free, latency=about(0.2), capacity=flat(320 * 0.95), seconds=40.0, named=64, chance=flat(0.05)
    ),
    "free 1 s": Scenario(service=Free, latency=about(1.0), capacity=flat(1024), seconds=30.0),
    "free 1 s 5 %": Scenario(
        service=Free, latency=about(1.0), capacity=flat(1024 * 0.95), seconds=60.0, chance=flat(0.05)
    ),
    "600k tokens/min": Scenario(
        service=lambda: Bucket(flat(10_000), 60_000), latency=model, capacity=flat(10_000), seconds=240.0, warm=30.0,
        quick=0.2, size=tokens,
    ),
}  # fmt: skip
