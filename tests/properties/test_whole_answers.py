"""The rule: an answer that was received whole is kept, whatever stood around it, and never asked again by itself."""

from __future__ import annotations

import os
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.answers import Case, case, cuts

from pipeline.errors import Fault
from pipeline.providers import load, models
from pipeline.types import Reply

EXAMPLES = 20_000 if "PIPELINE_HEAVY_TESTS" in os.environ else 400
RANDOM = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
SEEDS = st.integers(0, 2**48)


def read(one: Case, chunks: list[bytes], complete: bool) -> Reply | Fault:
    reader = load(one.provider).reader(one.request, models.find(one.provider, "m"), 200, {})
    for chunk in chunks:
        reader.feed(chunk)
    try:
        return reader.end(complete=complete)
    except Fault as fault:
        return fault


@RANDOM
@given(SEEDS)
def test_an_answer_received_whole_is_kept(seed: int) -> None:
    rng = Random(seed)
    one = case(rng)
    end = rng.choice([len(one.body), rng.randint(one.whole_at, len(one.body))])
    body = one.body[:end]
    found = read(one, cuts(rng, body), complete=rng.random() < 0.5)
    assert one.is_answer(found), (found, body)


@RANDOM
@given(SEEDS)
def test_a_part_of_an_answer_is_never_taken_for_the_whole(seed: int) -> None:
    rng = Random(seed)
    one = case(rng)
    body = one.body[: rng.randrange(one.whole_at)]
    for complete in (True, False):
        found = read(one, cuts(rng, body), complete)
        if isinstance(found, Reply):
            assert one.is_answer(found), (found, body)
        elif "holds no answer" in found.message:
            assert (found.kind, found.reply) == ("malformed", None), "no piece of it came, but words of something else"
        else:
            assert (found.kind, found.retry) == ("transient", "yes"), (found, body)


@RANDOM
@given(SEEDS)
def test_cuts_of_the_network_change_nothing(seed: int) -> None:
    rng = Random(seed)
    one = case(rng)
    body = one.body[: rng.randint(0, len(one.body))]
    whole = read(one, [body], complete=True)
    crumbs = read(one, [body[at : at + 1] for at in range(len(body))], complete=True)
    if isinstance(whole, Reply):
        assert crumbs == whole
    else:
        assert isinstance(crumbs, Fault)
        assert (crumbs.kind, crumbs.code, crumbs.message) == (whole.kind, whole.code, whole.message)
