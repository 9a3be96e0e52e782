"""The rate controller, which finds how many requests a service takes, per second and in flight, whatever way the
service counts.

The idea: a service refuses requests above a limit, and refuses some requests by chance. Each request has two loads when
it is sent: the requests that the service took in the second before, and the requests in flight. An answer says that the
limit is not below the load. A refusal says that the limit is below the load, or that chance refused the request. Bayes'
rule keeps, for each limit on a ladder and each share of chance, how well the pair explains the answers so far
(`Belief`). One ladder is for the rate, and one ladder is for the requests in flight. A refusal that one ladder explains
is not blamed on the other.

The rate in force lies a little below the believed limit. The longer no limit refuses, the closer the rate comes to the
believed limit. So the rate touches a limit about once in 500 answers, and finds a raised limit. With chance refusals,
the belief is wide and moves slowly. Without chance refusals, the belief is sharp. Requests are judged in the order of
sending, after the time in which a refusal would have come back. Otherwise quick refusals beside slow answers would
count for too much.

There are three more rules. If the service takes no request any more, the service counts by the minute (`Minute`). If
chance is believed to refuse, the rate is lower from time to time, to see whether the refusals stop. While the slots
double, higher rates are tried for a second each (`Start`).
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
"""Relative distance of the rate below the limit. The times of arrival vary by up to 10 ms (a hundredth at 50 requests a
second), and answers that take 3 s come late."""
TOUCH = 500
"""Answers until the rate touches the limit. A touch costs one to three refusals, so less than a hundredth of the
requests is refused."""
DOUBTFUL, CHECK, CHECK_ANSWERS = 0.01, 0.05, 150
"""The check of chance. If chance is believed to refuse more than DOUBTFUL of the requests, the rate is lower by CHECK
for CHECK_ANSWERS of each 500 answers. If the refusals stop then, the limit caused them, and the limit is lower than was
believed. With a CHECK of 0.035, two runs on one quota take the limit's refusals for chance more often."""
GROWTH = 0.1
"""Share by which the rate may exceed the rate that was taken lately. So no second refuses more than a tenth of the
quota."""
GAIN = 1.4
"""Starts per round trip for each slot while the slots double. Even pacing needs 2 ln 2 to double the slots."""
LEARN_SECONDS = 0.1
"""Seconds of answers that are learnt together once a limit was seen: 10 updates a second, of some 100 µs each."""
RECENT_SECONDS = 5.0
"""Seconds after which a rate that was taken counts for a third, because that rate may not be possible any more."""
SLOT_EDGE = 0.25
"""Is subtracted from the believed slots. A belief of 17.1 slots means 16: the request that makes 17 in flight is
refused as often as it is taken."""
ENOUGH = 3
"""Refusals that are needed until a limit is believed, because chance may refuse one or two of the first requests."""


class RateController:
    """The rate and the concurrency in force for one account. ceiling: the user's starts per second. concurrency: the
    user's slots. All times are of one monotonic clock, in seconds. started: when the request was sent."""

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
        """Returns the concurrency in force."""
        found = self._most_slots - SLOT_EDGE + (self._quiet >= TOUCH)
        return max(1, int(min(self._concurrency.limit(now, self.rate), found)))

    def ramp(self, now: float) -> float:
        """Returns the seconds until `limit` has grown by itself; infinite if `limit` does not grow by itself."""
        return self._concurrency.ramp(now)

    @property
    def ceiling(self) -> float | None:
        """Returns the starts per second that the rate never passes; None = no ceiling."""
        return self._ceiling

    @ceiling.setter
    def ceiling(self, ceiling: float | None) -> None:
        """Sets the limit that the user or the service names. If no limit was found yet, the rate is this ceiling at
        once."""
        self._ceiling = ceiling
        if ceiling is not None:
            self.rate = ceiling if self.rate is None or self._limits is None else min(self.rate, ceiling)

    def recall(self, learnt: Learnt) -> None:
        """Begins with the quota that an earlier run found. A limit that is too high costs some refusals. A limit that
        is too low costs some seconds."""
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
        """Returns what is known of the quota now."""
        minute = None if math.isinf(self._minute.limit) else self._minute.limit
        limit = math.inf if self._limits is None else self._limits.found[0]
        return Learnt(
            # If the rate never came near a limit, the limit was not found.
            per_second=limit if minute is None and limit < (1 + GROWTH) * self._recent else None,
            per_minute=minute,
            slots=None if math.isinf(self._most_slots) else max(1, int(self._most_slots - SLOT_EDGE)),
            chance=self._chance,
            latency=self._concurrency.latency,
        )

    def began(self, now: float) -> None:
        """Counts a request that starts at `now`."""
        if math.isinf(self._learnt_at):
            self._learnt_at = now
        self._concurrency.began(now)
        self._sends.began(now)

    def resumed(self, at: float) -> None:
        """Begins gently again at `at`, when the account's pause ends."""
        self._concurrency.resumed(at)
        self._minute.paused(at)

    def lost(self, started: float) -> None:
        """Counts a request that ended without saying anything about a limit."""
        self._sends.ended(started, refused=None)

    def answered(self, now: float, started: float, *, slot_bound: bool, rate_bound: bool) -> None:
        """Learns that the service took a request. slot_bound, rate_bound: what held the queue back."""
        in_flight = self._sends.in_flight
        self._concurrency.answered(now - started, in_flight, slot_bound=slot_bound, rate_bound=rate_bound)
        self._sends.ended(started, refused=False)
        self._hear(now)
        self._decide(now)

    def throttled(self, now: float, started: float, *, busy: bool = False) -> bool:
        """Learns that the service refused a request for its rate, or for the requests in flight. busy: the service
        named no quota. Returns True if the service takes no request any more and no quota can be the reason: an
        outage."""
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
        """Learns from the requests whose results are known by now, in the order of sending."""
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
        """Learns the answers that came since the last learning."""
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
        """Learns one refusal. Returns how likely chance refused the request. after_all: the request had counted as
        taken."""
        if self._limits is None:
            self._limits = Limits(sent.counted, sent.slots)
            self._limits.were_taken(self._answers)
        chance = self._limits.refused(sent, self._sends.unsure, after_all=after_all)
        if chance < 0.5:
            self._quiet = 0
        self._think()
        return chance

    def _forget(self) -> None:
        """Undoes what was learnt from refusals whose cause was the minute or an outage."""
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
        """Sets the rate in force."""
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
