"""Finds how fast and how many at once a service takes requests, whatever way it counts them.

The idea: a service refuses what goes above a limit, and some requests by chance. So each request has a load when it is
sent: how many requests the service took in the second up to it, and how many are in flight. An answer says that the
limit is not below the load; a refusal says that it is, or that chance refused it. Bayes' rule keeps, for each limit on
a ladder and each share of chance, how well it explains the answers so far (`Belief`); one ladder is for the rate, one
for the requests in flight, and what the one explains is not blamed on the other. The rate in force lies a little below
the limit that is believed, and comes up to that limit the longer no limit refuses: so a limit is touched about once in
500 answers, and a raised limit is found. With chance refusals the belief is wide and moves slowly, without chance
refusals the belief is sharp. Requests are judged in the order of sending, once their refusal would be back: otherwise
quick refusals beside slow answers count for too much.

Three rules stand besides. When the service takes nothing at all any more, the service counts by the minute (`Minute`).
Where chance is believed to refuse, the rate is lower from time to time, to see whether the refusals stop. Until a limit
is believed, higher rates are tried for a second each (`Start`).
"""

from __future__ import annotations

import math

from pipeline.dispatch.answers import Answers, Limits
from pipeline.dispatch.found import Learnt
from pipeline.dispatch.minute import PROBE, Minute
from pipeline.dispatch.rounds import Concurrency, Usual
from pipeline.dispatch.sends import MINUTE, Sends, Sent
from pipeline.dispatch.start import FIRST, FIRST_SLOTS, Start

MARGIN = 0.035
"""Below the limit: arrivals are jittered by up to 10 ms, a hundredth of 50 a second, and answers of 3 s are late."""
TOUCH = 500
"""Answers until the limit is touched: a touch costs one to three refusals, so that less than a hundredth is refused."""
DOUBTFUL, CHECK, CHECK_ANSWERS = 0.01, 0.05, 150
"""Where chance is believed to refuse more than a hundredth, the rate is so much lower for so many of each 500 answers:
refusals that stop there were the limit's, and the limit is lower than was believed. With 0.035, two runs on one
quota take the limit's refusals for chance more often."""
GROWTH = 0.1
"""The rate is at most so far above what was taken of late: no second refuses more than a tenth of the quota."""
GAIN = 1.4
"""Starts per round trip for each slot while the slots double: 2 ln 2, what even pacing needs to double them."""
LEARN_SECONDS = 0.1
"""Answers are learnt together for so long: 10 updates a second, of some 100 µs each, once a limit was seen."""
RECENT_SECONDS = 5.0
"""Seconds after which a rate that was taken counts for a third: what was possible may not be possible any more."""
SLOT_EDGE = 0.25
"""A belief of 17.1 slots means 16: the request that makes 17 in flight is refused as often as it is taken."""
ENOUGH = 3
"""Refusals until a limit is believed: chance may refuse one or two of the first requests."""


class RateController:
    """The rate and the concurrency in force for one account. ceiling: the user's starts per second; concurrency: the
    user's slots. Times are of one monotonic clock, in seconds; started: when the request was sent."""

    def __init__(self, ceiling: float | None, concurrency: int | None) -> None:
        self._ceiling = ceiling
        self._concurrency = Concurrency(concurrency, ceiling)
        self.rate: float | None = ceiling or (None if self._concurrency.named else FIRST)
        self._sends = Sends()
        self._answers = Answers()
        self._minute = Minute()
        self._start = Start()
        self._limits: Limits | None = None
        self._limit = self._most_slots = math.inf
        self._chance = 0.0
        self._refusals = self._quiet = self._told = 0
        self._recent = 0.0
        self._refusal_takes = Usual()
        self._kept: tuple[Limits | None, float] = None, 0.0
        self._learnt_at = -math.inf

    def limit(self, now: float) -> int:
        """The concurrency in force."""
        found = self._most_slots - SLOT_EDGE + (self._quiet >= TOUCH)
        return max(1, int(min(self._concurrency.limit(now, self.rate), found)))

    def ramp(self, now: float) -> float:
        """Seconds until `limit` has grown by itself; infinite when it does not."""
        return self._concurrency.ramp(now)

    @property
    def ceiling(self) -> float | None:
        """What the rate never passes."""
        return self._ceiling

    @ceiling.setter
    def ceiling(self, ceiling: float | None) -> None:
        """The user or the service names the limit: there is nothing to find slowly."""
        self._ceiling = ceiling
        if ceiling is not None:
            self.rate = ceiling if self.rate is None or self._limits is None else min(self.rate, ceiling)

    def recall(self, learnt: Learnt) -> None:
        """Begins where an earlier run ended. What is too high costs some refusals, what is too low some seconds."""
        self._concurrency.recall(learnt.latency)
        if learnt.per_second is not None or learnt.per_minute is not None:
            self._concurrency.doubling = False
        if learnt.per_minute is not None:
            self._minute.expect(learnt.per_minute)
        self._recent = max(learnt.per_second or 0.0, (learnt.per_minute or 0.0) / MINUTE)
        self._refusals = ENOUGH
        self._limits = Limits.recalled(learnt)
        self._think()
        self._decide(0.0)

    @property
    def learnt(self) -> Learnt:
        """What is known of the quota now."""
        minute = None if math.isinf(self._minute.limit) else self._minute.limit
        return Learnt(
            # A limit that the rate never came near was not found.
            per_second=self._limit if minute is None and self._limit < (1 + GROWTH) * self._recent else None,
            per_minute=minute,
            slots=None if math.isinf(self._most_slots) else max(1, int(self._most_slots - SLOT_EDGE)),
            chance=self._chance,
            latency=self._concurrency.latency,
        )

    def began(self, now: float) -> None:
        """A request starts."""
        if math.isinf(self._learnt_at):
            self._learnt_at = now
        self._concurrency.began(now)
        self._sends.began(now)

    def resumed(self, at: float) -> None:
        """The account is paused until `at`: begin gently again then."""
        self._concurrency.resumed(at)
        self._minute.paused(at)

    def lost(self, started: float) -> None:
        """A request is over that says nothing of a limit."""
        self._sends.ended(started, refused=None)

    def answered(self, now: float, started: float, *, slot_bound: bool, rate_bound: bool) -> None:
        """The service took a request. The flags say what held the queue back."""
        in_flight = self._sends.in_flight
        self._concurrency.answered(now - started, in_flight, slot_bound=slot_bound, rate_bound=rate_bound)
        self._sends.ended(started, refused=False)
        self._hear(now)
        self._decide(now)

    def throttled(self, now: float, started: float, *, busy: bool = False) -> bool:
        """The service refused a request for its rate, or for how many are in flight. `busy`: it did not name a quota.
        True where nothing at all is taken any more, and no quota can be why: an outage."""
        self._refusal_takes.add(now - started)
        self._refusals += 1
        sent = self._sends.ended(started, refused=True)
        if sent is not None:
            sent.busy = busy
        if sent is not None and sent.told:
            self._refused(sent, after_all=True)
            self._sends.uncount(sent)
        self._hear(now)
        self._decide(now)
        down, self._minute.down = self._minute.down, False
        return down

    def _hear(self, now: float) -> None:
        """Takes what is known by now of the requests, in the order of sending."""
        for sent in self._sends.told(now - (self._refusal_takes.most or self._concurrency.latency)):
            taken, chance = sent.sent - sent.refused, 0.0
            if taken:
                if self._minute.taken(self._sends.in_minute):
                    self._sends.turn()
                self._quiet += taken
                self._told += taken
                self._answers.add(sent, taken)
            if sent.refused and not self._minute.row:
                self._kept = self._limits and self._limits.copy(), self._recent
            if sent.refused and not self._minute.refused(sent, self._sends.in_minute, self._sends.in_second):
                self._learn(sent.at)
                chance = sum(self._refused(sent) for _ in range(sent.refused))
            elif sent.at - self._learnt_at >= LEARN_SECONDS:
                self._learn(sent.at)
            if self._minute.fell:
                self._forget()
            self._sends.count(sent, taken, chance)

    def _learn(self, at: float) -> None:
        """Learns the answers since the last time."""
        passed, self._learnt_at = max(0.0, at - self._learnt_at), max(at, self._learnt_at)
        answers, self._answers = self._answers, self._answers.next(first=self._limits is None)
        self._recent = max(self._recent * math.exp(-passed / RECENT_SECONDS), answers.most)
        if self._limits is None:
            return
        if passed:
            self._limits.age(passed, self._recent, self._sends.in_flight)
        if answers.count:
            self._limits.taken(answers, self._sends.unsure)
        self._think()

    def _refused(self, sent: Sent, *, after_all: bool = False) -> float:
        """Learns one refusal; how likely it was chance."""
        if self._limits is None:
            self._limits = Limits(sent.counted, sent.slots)
            self._limits.were_taken(self._answers)
        chance = self._limits.refused(sent, self._sends.unsure, after_all=after_all)
        if chance < 0.5:
            self._quiet = 0
        self._think()
        return chance

    def _forget(self) -> None:
        """It was the minute, or an outage: what was learnt from its refusals is void."""
        self._limits, self._recent = self._kept
        self._minute.fell = False
        self._limit = self._most_slots = math.inf
        self._chance = 0.0
        if self._limits is not None:
            self._think()

    def _think(self) -> None:
        assert self._limits is not None
        limit, slots, self._chance = self._limits.found
        if self._refusals >= ENOUGH:
            self._limit, self._most_slots = limit, slots

    def _decide(self, now: float) -> None:
        """The rate in force."""
        margin = MARGIN * max(0.0, 1 - self._quiet / TOUCH)
        if self._chance > DOUBTFUL and self._told % TOUCH < CHECK_ANSWERS:
            margin = MARGIN + CHECK
        rate = self._limit * (1 - margin)
        slots = self._concurrency
        if slots.doubling:
            start = self._start.rate(now, self._sends.in_second, slots.latency)
            rate = min(rate, GAIN * slots.slots / max(slots.latency, 1e-3), start)
        elif not slots.named:
            known = 0.0 if math.isinf(self._minute.limit) else self._minute.limit / MINUTE
            rate = min(rate, max(FIRST_SLOTS, (1 + GROWTH) * max(self._recent, known) / (1 - self._chance)))
        self._sends.forget(now)
        rate = min(rate, self._minute.rate(now, self._sends.in_minute + len(self._sends.unsettled)))
        rate = min(rate, self._ceiling or math.inf)
        self.rate = None if math.isinf(rate) else max(rate, PROBE / 30)
