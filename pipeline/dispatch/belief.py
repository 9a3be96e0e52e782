"""What is believed of a limit that nobody told us: a chance for each limit of a ladder, changed by every answer."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np

LADDER_STEP = 0.005
"""Relative distance of two limits that are told apart."""
LADDER_REACH = 2.0
"""How far the ladder goes each way, as a logarithm: a factor of 7. It follows the load."""
EDGE = 0.004
"""How far from a limit, relatively, a service may take or refuse: requests arrive up to 10 ms later than they start."""
LIKELY = 0.6
"""Chance that the limit in use is too high. While the limit is unsure, a lower rate would teach nothing new."""
JUMPS = 0.03
"""Chance in each second that a limit changes, to any on the ladder."""
RARE = 0.02
"""How likely something rare is: each share of chance, compared with nearly none, and a limit that is gone once it
changes."""
SHARE = 0.03
"""How likely a service refuses by share, before an answer is seen. It is low: at one load, refusals by share and by
chance look alike. With 0.02, one of ten pairs of runs on one quota took the limit's refusals for chance."""
NEW_CHANCE = 0.004
"""Chance in each second that the share of chance refusals changes, or the way of counting."""
KNOWN = 0.05
"""How far, relatively, a limit that was found before may have moved."""

LEAST_TOTAL = 1e-250
"""Below this, sums of weights lose their digits."""

Array = Any


class Belief:
    """Weights over (way, chance, limit), the sum 1. The last rung of the ladder stands for no limit.

    Two ways of refusing are known: `edge`, what comes above the limit is refused (sliding windows, slots), and `share`,
    so many are refused as start too fast (buckets, fixed windows). A part of the requests is refused by chance besides.

    load: where the ladder begins to look. chances: shares of chance refusals, from the likely one on. ways: how many
    of the two ways are possible, 1 or 2. unlimited: how likely there is no limit, before one is seen.
    leak: of the requests above a limit, how many are taken all the same, at least.
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
        """The limit in use: the true limit is lower with the chance `LIKELY`. Infinite where probably there is none."""
        sums = np.cumsum(self._weights.sum(axis=(0, 1)))
        rung = int(np.searchsorted(sums, LIKELY))
        if rung >= len(sums) - 1:
            return math.inf
        below = float(sums[rung - 1]) if rung else 0.0
        part = (LIKELY - below) / max(1e-12, float(sums[rung]) - below) - 0.5
        return math.exp(self._center + float(self._offsets[rung]) + LADDER_STEP * part)

    @property
    def chance(self) -> float:
        """The share of requests that is refused by chance."""
        return float((self._weights * self._chances).sum())

    def refusal(self, counted: float, sent: float, unsure: float = 0.0) -> Array:
        """How likely a request is refused, for each weight. counted: the load as the service counts it, this request
        included; sent: as it was sent. unsure: the variance of `counted`."""
        ladder = self._center + self._offsets
        edge = EDGE + 0.5 * math.sqrt(max(0.0, unsure)) / counted
        over = np.empty((len(self._weights), 1, len(ladder)))
        over[0, 0] = (1 - self._leak) / (1 + np.exp(np.clip((ladder - math.log(counted)) / edge, -30, 30)))
        if len(over) > 1:
            over[1, 0] = np.clip(1 - np.exp(ladder) / sent, 0, 1 - self._leak)
        over[:, :, -1] = 0.0
        return self._chances + (1 - self._chances) * over

    def mean(self, refusal: Array) -> float:
        """The expected value of what is given for each weight."""
        return float((self._weights * refusal).sum())

    def see(self, likelihood: Array) -> None:
        """Learns from something that was so likely under each weight. What no weight can explain teaches nothing."""
        weights = self._weights * likelihood
        total = weights.sum()
        if total > LEAST_TOTAL:
            self._weights = weights / total

    def expect(self, limit: float, chance: float) -> None:
        """Something is known from before: the limit to about a tenth, and the share of chance."""
        distance = (self._center + self._offsets - math.log(limit)) / KNOWN
        nearest = np.where(np.abs(self._chances - chance) <= np.abs(self._chances - chance).min(), 1.0, 0.1)
        near = np.exp(-np.minimum(distance**2 / 2, 30))
        near[-1] = 1e-3
        self.see(near * nearest)

    def copy(self) -> Belief:
        """One that learns nothing of what this one is told from now on."""
        other = copy.copy(self)
        other._weights = self._weights.copy()
        return other

    def age(self, seconds: float, load: float) -> None:
        """Time passed in which anything may have changed. load: the highest load of late."""
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
        """Moves the ladder when the load comes near its end: no limit far from the load can be told from none."""
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
