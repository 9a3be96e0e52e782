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

from pipeline.dispatch.answers import Answers
from pipeline.dispatch.belief import Belief
from pipeline.dispatch.found import Learnt
from pipeline.dispatch.minute import PROBE, Minute
from pipeline.dispatch.rounds import Rounds
from pipeline.dispatch.sends import MINUTE, Sends, Sent
from pipeline.dispatch.start import FIRST, Start, ramped

MARGIN = 0.035
"""Below the limit: arrivals are jittered by up to 10 ms, a hundredth of 50 a second, and answers of 3 s are late."""
TOUCH = 500
"""Answers until the limit is touched: a touch costs one to three refusals, so that less than a hundredth is refused."""
DOUBTFUL, CHECK, CHECK_ANSWERS = 0.01, 0.05, 150
"""Where chance is believed to refuse more than a hundredth, the rate is so much lower for so many of each 500 answers:
refusals that stop there were the limit's, and the limit is lower than was believed."""
GROWTH = 0.1
"""The rate is at most so far above what was taken of late: no second refuses more than a tenth of the quota."""
CHANCES = (0.001, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15)
"""Shares of requests that chance may refuse. More than the last is a limit, whatever its cause."""
FIRST_SLOTS = 2
GAIN = 1.4
"""Starts per round trip for each slot while the slots double: 2 ln 2, what even pacing needs to double them."""
MOST = 1024
PACED_SECONDS = 10.0
"""A rate that the user gives paces the starts: enough slots for answers that take as long is harmless."""
LATE = 1.25
"""Refusals take up to a quarter longer than their mean."""
LEARN_SECONDS = 0.1
"""Answers are learnt together for so long: 10 updates a second, of some 100 µs each, once a limit was seen."""
RECENT_SECONDS = 5.0
"""Seconds after which a rate that was taken counts for a third: what was possible may not be possible any more."""
SEEN = 1.25
"""A limit is found only if the rate came near it. A limit that is so many times what was taken was never reached."""
SLOT_EDGE = 0.25
"""A belief of 17.1 slots means 16: the request that makes 17 in flight is refused as often as it is taken."""
ENOUGH = 3
"""Refusals until a limit is believed: chance may refuse one or two of the first requests."""
SURE = 20
"""Answers that the first refusal is weighed against: those at the highest load before it."""


class RateController:
    """The rate and the concurrency in force for one account. ceiling: the user's starts per second; concurrency: the
    user's slots. Times are of one monotonic clock, in seconds; started: when the request was sent."""

    def __init__(self, ceiling: float | None, concurrency: int | None) -> None:
        self._ceiling = ceiling
        self._named = concurrency is not None
        self._top = concurrency or MOST
        self._slots = float(
            self._top if self._named else min(self._top, FIRST_SLOTS + (ceiling or 0.0) * PACED_SECONDS)
        )
        self._doubling = not self._named
        self.rate: float | None = ceiling or (None if self._named else FIRST)
        self._sends = Sends()
        self._rate: Belief | None = None
        self._in_flight: Belief | None = None
        self._limit = self._most_slots = math.inf
        self._chance = 0.0
        self._kept: tuple[Belief | None, Belief | None] = None, None
        self._minute = Minute()
        self._rounds = Rounds()
        self._answers = Answers()
        self._refusals = 0
        self._recent = self._recent_kept = 0.0
        self._learnt_at = self._ramp_from = self._began = -math.inf
        self._quiet = self._told = 0
        self._start = Start()
        self._latency = self._refusal_takes = 0.0

    def limit(self, now: float) -> int:
        """The concurrency in force."""
        if self._named:
            slots = ramped(self._top, now - self._ramp_from)
        elif not self._latency:
            slots = int(self._slots + (FIRST * max(0.0, now - self._began) if not math.isinf(self._began) else 0))
        elif self._doubling or self.rate is None or self._rounds.best is None:
            slots = int(self._slots)
        else:
            # Never so few slots that they would hold back the rate in force.
            slots = min(self._top, max(int(self._slots), int(1.5 * self.rate * self._rounds.best) + 4))
        return max(1, int(min(slots, self._most_slots - SLOT_EDGE + (self._quiet >= TOUCH))))

    def ramp(self, now: float) -> float:
        """Seconds until `limit` has grown by itself; infinite when it does not."""
        if self._named:
            return 0.05 if self.limit(now) < self._top else math.inf
        return math.inf if self._latency else 1 / FIRST

    @property
    def ceiling(self) -> float | None:
        """What the rate never passes."""
        return self._ceiling

    @ceiling.setter
    def ceiling(self, ceiling: float | None) -> None:
        """The user or the service names the limit: there is nothing to find slowly."""
        self._ceiling = ceiling
        if ceiling is not None:
            self.rate = ceiling if self.rate is None or self._rate is None else min(self.rate, ceiling)

    def recall(self, learnt: Learnt) -> None:
        """Begins where an earlier run ended. What is too high costs some refusals, what is too low some seconds."""
        self._latency = self._rounds.best = max(learnt.latency, 1e-3)
        if learnt.per_minute is not None:
            self._minute.expect(learnt.per_minute)
        if learnt.per_second is not None:
            self._rate, self._recent = _rate_belief(learnt.per_second), learnt.per_second
            self._rate.expect(learnt.per_second, learnt.chance)
        if learnt.slots is not None:
            self._in_flight = _slots_belief(learnt.slots)
            self._in_flight.expect(learnt.slots + 0.5, 0.0)
        if (not self._named and learnt.per_second is not None) or learnt.per_minute is not None:
            self._doubling = False
        self._recent = max(self._recent, (learnt.per_minute or 0.0) / 60)
        self._refusals = ENOUGH
        self._rate = self._rate or _rate_belief(FIRST)
        self._in_flight = self._in_flight or _slots_belief(MOST)
        self._think()
        self._decide(0.0)

    @property
    def learnt(self) -> Learnt:
        """What is known of the quota now."""
        minute = None if math.isinf(self._minute.limit) else self._minute.limit
        second = self._limit if minute is None and self._limit < SEEN * self._recent else None
        return Learnt(
            per_second=second,
            per_minute=minute,
            slots=None if math.isinf(self._most_slots) else max(1, int(self._most_slots - SLOT_EDGE)),
            chance=self._chance,
            latency=self._latency,
        )

    def began(self, now: float) -> None:
        """A request starts."""
        if math.isinf(self._began):
            self._began = self._learnt_at = now
        if math.isinf(self._ramp_from):
            self._ramp_from = now
        self._sends.began(now)

    def resumed(self, at: float) -> None:
        """The account is paused until `at`: begin gently again then."""
        self._ramp_from = at
        self._minute.paused(at)

    def lost(self, started: float) -> None:
        """A request is over that says nothing of a limit."""
        self._sends.ended(started, refused=None)

    def answered(self, now: float, started: float, *, slot_bound: bool, rate_bound: bool) -> None:
        """The service took a request. The flags say what held the queue back."""
        if not self._latency and not self._named:
            self._slots = max(self._slots, min(self._top, self._sends.in_flight))
        self._latency += (now - started - self._latency) * (0.1 if self._latency else 1.0)
        self._sends.ended(started, refused=False)
        self._hear(now)
        if not self._named:
            self._grow(now - started, slot_bound, rate_bound)
        self._decide(now)

    def throttled(self, now: float, started: float, *, busy: bool = False) -> bool:
        """The service refused a request for its rate, or for how many are in flight. `busy`: it did not name a quota.
        True where nothing at all is taken any more, and no quota can be why: an outage."""
        self._refusal_takes += (now - started - self._refusal_takes) * (0.2 if self._refusal_takes else 1.0)
        self._refusals += 1
        sent = self._sends.ended(started, refused=True)
        if sent is not None:
            sent.busy = busy
        if sent is not None and sent.told:
            self._take_back(sent)
        self._hear(now)
        self._decide(now)
        down, self._minute.down = self._minute.down, False
        return down

    # What the answers teach.

    def _hear(self, now: float) -> None:
        for sent in self._sends.told(now - (LATE * self._refusal_takes or self._latency)):
            taken, chance = sent.sent - sent.refused, 0.0
            if taken:
                if self._minute.taken(self._sends.in_minute):
                    self._sends.turn()
                self._quiet += taken
                self._told += taken
                self._answers.add(sent, taken)
            if sent.refused and not self._minute.row:
                self._keep()
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
        answers, self._answers = self._answers, self._answers.next(first=self._rate is None)
        self._recent = max(self._recent * math.exp(-passed / RECENT_SECONDS), answers.most)
        if self._rate is None or self._in_flight is None:
            return
        if passed:
            self._rate.age(passed, max(1e-3, self._recent))
            self._in_flight.age(passed, max(1, self._sends.in_flight))
        if answers.count:
            answers.teach(self._rate, self._in_flight, self._sends.unsure)
        self._think()

    def _refused(self, sent: Sent) -> float:
        """Learns one refusal; how likely it was chance. What one limit explains is not blamed on the other."""
        if self._rate is None or self._in_flight is None:
            self._begin(sent)
        assert self._rate is not None
        assert self._in_flight is not None
        by_rate = self._rate.refusal(sent.counted, sent.total, self._sends.unsure)
        by_slots = self._in_flight.refusal(sent.slots, sent.slots)
        rate, slots = self._rate.mean(by_rate), self._in_flight.mean(by_slots)
        chance = self._rate.chance / (1 - (1 - rate) * (1 - slots))
        self._rate.see(1 - (1 - slots) * (1 - by_rate))
        self._in_flight.see(1 - (1 - rate) * (1 - by_slots))
        if chance < 0.5:
            self._quiet = 0
        self._think()
        return chance

    def _begin(self, sent: Sent) -> None:
        """The first refusal of all: limits below what was taken before are out of the question."""
        counted, total, slots = self._answers.highest
        self._rate = _rate_belief(sent.counted)
        self._in_flight = _slots_belief(sent.slots)
        self._rate.see((1 - self._rate.refusal(counted, total)) ** SURE)
        self._in_flight.see((1 - self._in_flight.refusal(slots, slots)) ** SURE)

    def _take_back(self, sent: Sent) -> None:
        """What counted as taken was refused after all."""
        if self._rate is not None and self._in_flight is not None:
            self._rate.see(1 / (1 - self._rate.refusal(sent.counted, sent.total)))
            self._in_flight.see(1 / (1 - self._in_flight.refusal(sent.slots, sent.slots)))
        self._refused(sent)
        self._sends.uncount(sent)

    def _keep(self) -> None:
        self._kept = self._rate and self._rate.copy(), self._in_flight and self._in_flight.copy()
        self._recent_kept = self._recent

    def _forget(self) -> None:
        """It was the minute, or an outage: what was learnt from its refusals is void."""
        self._rate, self._in_flight = self._kept
        self._recent = self._recent_kept
        self._minute.fell = False
        self._limit = self._most_slots = math.inf
        self._chance = 0.0
        if self._rate is not None:
            self._think()

    def _think(self) -> None:
        assert self._rate is not None
        assert self._in_flight is not None
        self._chance = self._rate.chance
        if self._refusals < ENOUGH:
            return
        self._limit = self._rate.limit
        self._most_slots = self._in_flight.limit

    # What follows from it.

    def _decide(self, now: float) -> None:
        margin = MARGIN * max(0.0, 1 - self._quiet / TOUCH)
        if self._chance > DOUBTFUL and self._told % TOUCH < CHECK_ANSWERS:
            margin = MARGIN + CHECK
        rate = self._limit * (1 - margin)
        if self._doubling:
            rate = min(
                rate,
                GAIN * self._slots / max(self._latency, 1e-3),
                self._start.rate(now, self._sends.in_second, self._latency),
            )
        elif not self._named:
            known = 0.0 if math.isinf(self._minute.limit) else self._minute.limit / MINUTE
            rate = min(rate, max(FIRST_SLOTS, (1 + GROWTH) * max(self._recent, known) / (1 - self._chance)))
        self._sends.forget(now)
        rate = min(rate, self._minute.rate(now, self._sends.in_minute + len(self._sends.unsettled)))
        rate = min(rate, self._ceiling or math.inf)
        self.rate = None if math.isinf(rate) else max(rate, PROBE / 30)

    def _grow(self, latency: float, slot_bound: bool, rate_bound: bool) -> None:
        """More slots while they are what holds us back, fewer when answers take several times as long as they could."""
        queueing = self._rounds.queueing(latency, self._slots)
        if queueing == "much":
            self._slots = max(4.0, self._slots * 0.85)
        if self._doubling and not queueing and (slot_bound or rate_bound):
            self._slots = min(self._top, self._slots + 1.0)
        elif not self._doubling and slot_bound and not queueing:
            self._slots = min(self._top, self._slots + 1.0 / self._slots)
        if queueing or self._slots >= self._top:
            self._doubling = False


def _rate_belief(load: float) -> Belief:
    return Belief(load, chances=CHANCES, ways=2, unlimited=0.5, leak=0.03)


def _slots_belief(load: float) -> Belief:
    """Fewer services count what is in flight. One that ends while another arrives makes room for it."""
    return Belief(load, chances=(0.0,), ways=1, unlimited=0.9, leak=0.4)
