"""The belief about a limit that the service does not name: a probability for each limit of a ladder. Every answer
changes the probabilities."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np

LADDER_STEP = 0.005
"""Relative distance between two neighbouring limits of the ladder."""
LADDER_REACH = 2.0
"""How far the ladder reaches up and down, as a natural logarithm: a factor of 7. The ladder follows the load."""
EDGE = 0.004
"""Relative distance from a limit within which a service may take or refuse a request. Requests arrive up to 10 ms later
than they start."""
LIKELY = 0.6
"""Probability that the limit in use is too high. While the limit is unsure, a lower rate would teach nothing new."""
JUMPS = 0.03
"""Probability in each second that the limit changes to any limit of the ladder."""
RARE = 0.02
"""Weight of rare events: each larger share of chance refusals, compared with the smallest share, and a limit that is
gone after it changes."""
SHARE = 0.03
"""Probability that a service refuses by share, before an answer is seen. The value is low, because refusals by share
and refusals by chance look alike at one load. With 0.02, one of ten pairs of runs on one quota took the limit's
refusals for chance."""
NEW_CHANCE = 0.004
"""Probability in each second that the share of chance refusals changes. The way of refusing changes with the same
probability."""
KNOWN = 0.05
"""Relative distance by which a limit may have moved since an earlier run found the limit."""

LEAST_TOTAL = 1e-250
"""Below this sum, weights lose their digits."""

Array = Any


class Belief:
    """Weights over (way, chance, limit); their sum is 1. The last rung of the ladder stands for no limit.

    A service refuses in one of two ways. With `edge`, the service refuses every request above the limit (sliding
    windows, slots). With `share`, the service refuses the share of requests that starts too fast (buckets, fixed
    windows). In addition, the service refuses a part of the requests by chance.

    load: the middle of the ladder at the beginning. chances: shares of chance refusals, the most likely share first.
    ways: how many of the two ways are possible: 1 (only `edge`) or 2. unlimited: the probability that there is no
    limit, before a limit is seen. leak: the least share of the requests above a limit that the service takes
    nevertheless.
    """

    def __init__(self, load: float, *, chances: tuple[float, ...], ways: int, unlimited: float, leak: float) -> None:
        self._center = math.log(load)
        self._offsets = np.arange(-LADDER_REACH, LADDER_REACH, LADDER_STEP)
        self._chances = np.array(chances)[None, :, None]
        usual = np.full(len(chances), RARE)
        usual[0] = 1.0
        self._usual = (usual / usual.sum())[None, :, None]
        self._way = np.array([1 - SHARE, SHARE] if ways == 2 else [1.0])[:, None, None]
        self._weights = self._way * self._usual * np.ones(len(self._offsets))
        self._weights *= (1 - unlimited) / len(self._offsets)
        self._weights[:, :, -1:] += self._way * self._usual * unlimited
        self._leak = leak

    @property
    def limit(self) -> float:
        """Returns the limit in use. The true limit is lower with the probability `LIKELY`. Infinite if there is
        probably no limit."""
        sums = np.cumsum(self._weights.sum(axis=(0, 1)))
        rung = int(np.searchsorted(sums, LIKELY))
        if rung >= len(sums) - 1:
            return math.inf
        below = float(sums[rung - 1]) if rung else 0.0
        part = (LIKELY - below) / max(1e-12, float(sums[rung]) - below) - 0.5
        return math.exp(self._center + float(self._offsets[rung]) + LADDER_STEP * part)

    @property
    def chance(self) -> float:
        """Returns the share of requests that chance refuses."""
        return float((self._weights * self._chances).sum())

    def refusal(self, counted: float, sent: float, unsure: float = 0.0) -> Array:
        """Returns, for each weight, the probability that a request is refused. counted: the load as the service counts
        the load, including this request. sent: the load as it was sent. unsure: the variance of `counted`."""
        ladder = self._center + self._offsets
        edge = EDGE + 0.5 * math.sqrt(max(0.0, unsure)) / counted
        over = np.empty((len(self._weights), 1, len(ladder)))
        over[0, 0] = (1 - self._leak) / (1 + np.exp(np.clip((ladder - math.log(counted)) / edge, -30, 30)))
        if len(over) > 1:
            over[1, 0] = np.clip(1 - np.exp(ladder) / sent, 0, 1 - self._leak)
        over[:, :, -1] = 0.0
        return self._chances + (1 - self._chances) * over

    def mean(self, refusal: Array) -> float:
        """Returns the expected value of a quantity that is given for each weight."""
        return float((self._weights * refusal).sum())

    def see(self, likelihood: Array) -> None:
        """Learns from an event. likelihood: the event's probability under each weight. If no weight explains the event,
        learns nothing."""
        weights = self._weights * likelihood
        total = weights.sum()
        if total > LEAST_TOTAL:
            self._weights = weights / total

    def expect(self, limit: float, chance: float) -> None:
        """Learns what an earlier run found: the limit, known to about a tenth, and the share of chance refusals."""
        distance = (self._center + self._offsets - math.log(limit)) / KNOWN
        nearest = np.where(np.abs(self._chances - chance) <= np.abs(self._chances - chance).min(), 1.0, 0.1)
        near = np.exp(-np.minimum(distance**2 / 2, 30))
        near[-1] = 1e-3
        self.see(near * nearest)

    def copy(self) -> Belief:
        """Returns a copy that learns nothing of what the original learns later."""
        other = copy.copy(self)
        other._weights = self._weights.copy()
        return other

    def age(self, seconds: float, load: float) -> None:
        """Lets `seconds` pass, in which the limit, the share of chance and the way of refusing may have changed. load:
        the highest load of late."""
        weights, part = self._weights, min(1.0, seconds)
        total = weights.sum(axis=2, keepdims=True)
        jumped = np.empty_like(weights)
        jumped[:, :, :-1] = (1 - RARE) * total / (weights.shape[2] - 1)
        jumped[:, :, -1:] = RARE * total
        weights = (1 - JUMPS * part) * weights + JUMPS * part * jumped
        new = NEW_CHANCE * part
        weights = (1 - new) * weights + new * self._usual * weights.sum(axis=1, keepdims=True)
        weights = (1 - new) * weights + new * self._way * weights.sum(axis=0, keepdims=True)
        self._weights = weights / weights.sum()
        self._follow(load)

    def _follow(self, load: float) -> None:
        """Moves the ladder when the load comes near an end of the ladder. A limit far from the load cannot be told from
        no limit."""
        rungs = round((math.log(load) - self._center) / LADDER_STEP)
        if abs(rungs) < LADDER_REACH / 2 / LADDER_STEP:
            return
        moved = np.full_like(self._weights, 1e-9 / self._weights.size)
        size = moved.shape[2] - 1
        self._center += rungs * LADDER_STEP
        rungs = max(-size, min(size, rungs))
        if rungs > 0:
            moved[:, :, : size - rungs] += self._weights[:, :, rungs:size]
        else:
            moved[:, :, -rungs:size] += self._weights[:, :, : size + rungs]
        moved[:, :, -1] += self._weights[:, :, -1]
        self._weights = moved / moved.sum()
