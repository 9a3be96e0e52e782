"""Random requests, models, prices and replies within the published rules: the budget is never passed."""

from __future__ import annotations

import math

import anyio
import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from pipeline.dispatch.budget import Budget, Spent
from pipeline.providers import models
from pipeline.providers.cost import cost, expected, worst_case
from pipeline.providers.image_tokens import PixelOptions, frame_cap, image_cap, image_tokens, video_tokens
from pipeline.providers.model import Model
from pipeline.providers.prices import Price, Tier
from pipeline.providers.tokens import count, estimate, fewest
from pipeline.types import Image, Loaded, Part, Request, Text, Turn, Usage, Video

NAMES = (
    "qwen-vl-max-2024-08-09", "qwen2.5-vl-7b-instruct", "qwen3-vl-plus", "qwen3-vl-32b-thinking", "qwen3.7-plus",
    "qwen-vl-ocr",
)  # fmt: skip
RATE = st.floats(0.001, 100).map(lambda rate: round(rate, 3))


def loaded(size: tuple[int, int]) -> Loaded:
    return Loaded(kind="image", source="x", url="https://x/y.png", width=size[0], height=size[1])


SIZES = st.tuples(st.integers(1, 6_000), st.integers(1, 6_000)).map(loaded)
WORDS = st.text(st.characters(codec="utf-8"), max_size=200).map(Text)
FRAMES = st.lists(SIZES, min_size=4, max_size=12).map(lambda frames: Video(frames=tuple(frames)))
PARTS: st.SearchStrategy[Part] = st.one_of(WORDS, SIZES.map(Image), FRAMES)


@st.composite
def prices(draw: st.DrawFn) -> Price:
    ends = sorted(draw(st.sets(st.integers(1, 200) | st.integers(1, 50_000), max_size=3)))
    tiers = tuple(
        Tier(up_to=end, input=draw(RATE), output=draw(RATE | st.none()), cached=draw(RATE | st.none())) for end in ends
    )
    optional = RATE | st.none()
    return Price(
        tiers=tiers,
        input=draw(RATE if not tiers else optional),
        output=draw(optional),
        cached=draw(optional),
        media_input=draw(optional),
        media_output=draw(optional),
        per=draw(st.sampled_from([1, 1_000, 1_000_000])),
    )


@st.composite
def questions(draw: st.DrawFn) -> tuple[Request, Model]:
    model = msgspec.structs.replace(models.find("dashscope", draw(st.sampled_from(NAMES))), price=draw(prices()))
    turns = [Turn(role="user", parts=tuple(draw(st.lists(PARTS, min_size=1, max_size=4))))]
    if draw(st.booleans()):
        turns.insert(0, Turn(role="system", parts=(draw(WORDS),)))
    chosen = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "max_tokens": st.integers(1, 2_000),
                "thinking_budget": st.integers(0, 5_000),
                "enable_thinking": st.booleans(),
                "vl_high_resolution_images": st.booleans(),
                "max_pixels": st.integers(10_000, 4_000_000),
                "temperature": st.floats(0, 1),
            },
        )
    )
    return Request(task="ask", model=model.name, turns=tuple(turns), parameters=chosen), model


def round_up(size: Loaded, patch: int, cap: float) -> int:
    """The rule as the pages put it in words: sides rounded up, at most the cap."""
    width, height = size.width or 0, size.height or 0
    if math.ceil(width / patch) * math.ceil(height / patch) * patch**2 > cap:
        return 0  # Above the cap the pages' examples follow the other rule.
    return math.ceil(width / patch) * math.ceil(height / patch)


def counted(request: Request, model: Model, up: bool) -> int:
    """The picture tokens of a service that counts by one of the two published rules."""
    rule, total = model.tokens, 0
    assert rule is not None
    asked = request.parameters
    pixels = PixelOptions(
        max_pixels=asked.get("max_pixels"),
        total_pixels=asked.get("total_pixels"),
        high_resolution=asked.get("vl_high_resolution_images") is True,
    )
    for part in (part for turn in request.turns for part in turn.parts):
        if isinstance(part, Image) and isinstance(part.media, Loaded):
            near = image_tokens(part.media.width or 0, part.media.height or 0, rule, pixels)
            assert near is not None
            other = round_up(part.media, rule.patch, image_cap(rule, pixels)) if up else 0
            total += max(near, other) + (0 if rule.markers_counted else rule.markers)
        elif isinstance(part, Video):
            sizes = [(frame.width or 0, frame.height or 0) for frame in part.frames if isinstance(frame, Loaded)]
            near = video_tokens(sizes, rule, pixels)
            if near is None:
                continue
            cap = frame_cap(rule, len(sizes), pixels)
            first = part.frames[0]
            assert isinstance(first, Loaded)
            other = round_up(first, rule.patch, cap) * math.ceil(len(sizes) / rule.frame_group) if up else 0
            total += max(near, other + (rule.markers if rule.markers_counted else 0) if other else 0)
            total += 0 if rule.markers_counted else rule.markers
    return total


def longest(request: Request, model: Model) -> int:
    """As the pages put it: an answer as long as asked for, and thoughts before it, with a bound of their own."""
    asked, most = request.parameters, model.max_output_tokens
    assert most is not None
    answer = min(asked.get("max_tokens", most), most)
    thinks = model.thinking == "always" or (
        model.thinking != "never"
        and asked.get("enable_thinking", model.thinking == "on" or "thinking_budget" in asked) is True
    )
    if not thinks:
        return answer
    assert model.max_thinking_tokens is not None
    return answer + min(asked.get("thinking_budget", model.max_thinking_tokens), model.max_thinking_tokens)


@st.composite
def replies(draw: st.DrawFn) -> tuple[Request, Model, Usage]:
    """A reply within the rules: pictures by either rule, a text token per byte at most, output within its bound."""
    request, model = draw(questions())
    media = counted(request, model, draw(st.booleans()))
    parts = [part for turn in request.turns for part in turn.parts]
    words = sum(len(part.text.encode()) for part in parts if isinstance(part, Text))
    frame = 5 * len(request.turns) + 3 + (0 if len(request.turns) > 1 else 11)
    most = longest(request, model)
    total = media + draw(st.integers(0, words)) + draw(st.integers(0, frame))
    return request, model, Usage(
        input_tokens=total,
        output_tokens=draw(st.integers(0, most)),
        media_tokens=media,
        cached_tokens=draw(st.none() | st.integers(0, total)),
    )  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(replies())
def test_no_reply_within_the_rules_costs_more_than_the_worst(told: tuple[Request, Model, Usage]) -> None:
    request, model, usage = told
    worst = worst_case(request, model)
    if any(isinstance(part, Video) for turn in request.turns for part in turn.parts) and worst is None:
        return  # A model whose frames have no rule and whose input has no limit.
    assert worst is not None
    amount, _ = cost(usage, model, request)
    assert amount is not None
    assert amount <= worst * (1 + 1e-9)


@settings(max_examples=300, deadline=None)
@given(questions(), st.floats(0, 20_000))
def test_the_worst_is_never_below_what_is_expected(told: tuple[Request, Model], output: float) -> None:
    request, model = told
    usual, worst = expected(request, model, output), worst_case(request, model)
    assert worst is not None
    if usual is not None:
        assert usual <= worst * (1 + 1e-9)
    least, most = fewest(request, model), estimate(request, model)
    if most is not None:
        assert least <= (estimate(request, model, upper=False) or 0) <= most
        assert count(request, model, "least").media is not None


@settings(max_examples=100, deadline=None)
@given(st.lists(replies(), min_size=1, max_size=8), st.floats(0.01, 2))
def test_what_is_spent_never_passes_the_budget(told: list[tuple[Request, Model, Usage]], share: float) -> None:
    worst = [worst_case(request, model) or 0.0 for request, model, _ in told]
    ceiling = share * sum(worst)

    async def main() -> None:
        budget = Budget(ceiling)

        async def one(index: int) -> None:
            request, model, usage = told[index]
            try:
                await budget.reserve(worst[index])
            except Spent:
                return
            await anyio.sleep(index % 3)
            budget.settle(worst[index], cost(usage, model, request)[0])

        async with anyio.create_task_group() as group:
            for index in range(len(told)):
                group.start_soon(one, index)
        assert budget.spent <= ceiling * (1 + 1e-9) + 1e-9
        assert budget.reserved == 0

    anyio.run(main, backend="trio", backend_options={"clock": MockClock(autojump_threshold=0)})
