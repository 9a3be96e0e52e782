"""What an answer costs follows from its usage and its price; the most it can cost is known before it is sent."""

from __future__ import annotations

import msgspec
import pytest

from pipeline.providers import models, reply_fields
from pipeline.providers.budgets import budget_problem
from pipeline.providers.cost import cost, expected, worst_case
from pipeline.providers.prices import region_of
from pipeline.tasks import facts
from pipeline.types import Audio, EmbedItem, Image, Loaded, Request, Text, Turn, Usage, VideoFile

CHINA = "https://dashscope.aliyuncs.com/api/v1"
PICTURE = Image(Loaded(kind="image", source="x", url="https://x/y.png", width=512, height=512))
CLIP = VideoFile(Loaded(kind="video", source="x", url="https://x/y.mp4"))
SOUND = Audio(Loaded(kind="audio", source="x", url="https://x/y.wav"))


def asking(*parts, **parameters):
    return Request(task="ask", model="m", turns=(Turn(role="user", parts=parts),), parameters=parameters)


def model(name="qwen3-vl-plus", provider="dashscope", **changes):
    return msgspec.structs.replace(models.find(provider, name), **changes)


def priced(**fields):
    return models.find("openai", "m", {"m": {"price": {"per": 1, **fields}, "max_output_tokens": 10}})


def test_every_tier_has_its_own_cached_price():
    plus = model()
    used = Usage(input_tokens=100_000, output_tokens=1_000, cached_tokens=40_000)
    assert cost(used, plus)[0] == pytest.approx((60_000 * 1.5 + 40_000 * 0.3 + 1_000 * 15) / 1e6)


def test_input_beyond_the_last_tier_has_its_price():
    used = Usage(input_tokens=300_000, output_tokens=0)
    assert cost(used, model())[0] == pytest.approx(300_000 * 3 / 1e6)


def test_sounds_and_pictures_cost_what_their_kind_costs():
    omni = model("qwen3-omni-flash")
    used = Usage(input_tokens=1_000, media_tokens=900, output_tokens=10)
    of = {"pictures": asking(PICTURE, Text("x")), "sounds": asking(SOUND, Text("x")), "text": asking(Text("x"))}
    got = {kind: cost(used, omni, request)[0] * 1e6 for kind, request in of.items()}
    assert got == pytest.approx({
        "pictures": 100 * 1.8 + 900 * 3.3 + 10 * 6.9,
        "sounds": 100 * 1.8 + 900 * 15.8 + 10 * 6.9,
        "text": 1_000 * 1.8 + 10 * 6.9,
    })  # fmt: skip


def test_kinds_that_the_usage_does_not_tell_apart_have_no_cost():
    omni = model("qwen3-omni-flash")
    both = asking(PICTURE, SOUND, Text("x"))
    assert cost(Usage(input_tokens=9, media_tokens=5, output_tokens=1), omni, both) == (None, None)
    assert cost(Usage(input_tokens=9, output_tokens=1), omni, asking(SOUND, Text("x"))) == (None, None)


def test_a_reply_to_a_marked_part_has_the_prices_of_the_marked_cache():
    used = Usage(input_tokens=10_000, output_tokens=0, cached_tokens=4_000, written_tokens=1_000)
    marked = asking(Text("x", options={"cache_control": {"type": "ephemeral"}}))
    amount = (5_000 + 4_000 * 0.1 + 1_000 * 1.25) / 1e6
    assert cost(used, model(), marked)[0] == pytest.approx(amount)
    assert worst_case(marked, model()) > worst_case(asking(Text("x")), model())


def test_sounds_that_the_usage_tells_apart_have_their_own_price():
    omni = model("qwen3-omni-flash")
    details = {"text_tokens": 100, "image_tokens": 600, "audio_tokens": 300}
    used = reply_fields.read({"input_tokens": 1_000, "output_tokens": 10, "input_tokens_details": details})
    amount = (100 * 1.8 + 600 * 3.3 + 300 * 15.8 + 10 * 6.9) / 1e6
    assert cost(used, omni, asking(PICTURE, SOUND, Text("x")))[0] == pytest.approx(amount)
    assert cost(used, omni, asking(CLIP, Text("x")))[0] == pytest.approx(amount)


def test_a_video_file_is_bound_by_what_is_taken_at_the_dearest_rate():
    omni = model("qwen3-omni-flash", max_input_tokens=5_000, max_output_tokens=10)
    assert worst_case(asking(CLIP, Text("x")), omni) * 1e6 == pytest.approx(5_000 * 15.8 + 10 * 6.9)
    assert expected(asking(CLIP, Text("x")), omni, 10.0) is None


def test_answers_to_media_may_cost_more_than_those_to_text():
    turbo = model("qwen-omni-turbo")
    used = Usage(input_tokens=0, media_tokens=0, output_tokens=1_000_000)
    assert cost(used, turbo, asking(PICTURE, Text("x")))[0] == 4.5
    assert cost(used, turbo, asking(Text("x")))[0] == 1.6


def test_an_embedding_of_a_picture_costs_what_pictures_cost():
    vectors = model("qwen3-vl-embedding")
    picture = Request(task="embed", model="m", items=(EmbedItem(part=PICTURE),))
    assert cost(Usage(input_tokens=100, media_tokens=100), vectors, picture)[0] == pytest.approx(100 * 1.8 / 1e6)
    text = Request(task="embed", model="m", items=(EmbedItem(part=Text("abc")),))
    assert cost(Usage(input_tokens=100), vectors, text)[0] == pytest.approx(100 * 0.7 / 1e6)


THINKS = {"qwen3.7-plus": 262_144, "qwen3-vl-32b-thinking": 81_920}


@pytest.mark.parametrize(("name", "most"), THINKS.items())
def test_what_a_model_thinks_comes_on_top_of_its_bound(name, most):
    plus = model(name)
    bare = worst_case(asking(Text("x"), max_tokens=100, thinking_budget=0), plus)
    assert worst_case(asking(Text("x"), max_tokens=100), plus) > bare
    rate = (plus.price.tiers[0] if plus.price.tiers else plus.price).output
    assert worst_case(asking(Text("x"), max_tokens=100), plus) - bare == pytest.approx(most * rate / 1e6)
    budget = worst_case(asking(Text("x"), max_tokens=100, thinking_budget=1_000), plus)
    assert budget - bare == pytest.approx(1_000 * rate / 1e6)


def test_a_model_that_does_not_think_is_bound_by_its_answer_alone():
    off = asking(Text("x"), max_tokens=100, enable_thinking=False)
    for name in ("qwen3-vl-plus", "qwen3.7-plus"):
        plus = model(name)
        assert worst_case(off, plus) == worst_case(asking(Text("x"), max_tokens=100, thinking_budget=0), plus)
    assert worst_case(asking(Text("x"), max_tokens=100), model()) == worst_case(off, model())
    assert worst_case(asking(Text("x"), enable_thinking=True), model()) > worst_case(asking(Text("x")), model())


def test_input_that_cannot_be_counted_is_bound_by_what_is_taken():
    ernie = model("ernie-4.5-8k-preview", "qianfan")
    assert worst_case(asking(PICTURE, Text("x"), max_tokens=10), ernie) == pytest.approx((8_192 * 4 + 10 * 16) / 1e6)


def test_tools_and_schemas_count_in_the_most_an_answer_costs():
    flat = priced(input=1.0, output=0)
    bare = worst_case(asking(Text("x")), flat)
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    tool = {"type": "function", "function": {"name": "look", "description": "looks up " * 50}}
    assert worst_case(asking(Text("x"), response_format=schema), flat) >= bare + len(msgspec.json.encode(schema))
    assert worst_case(asking(Text("x"), tools=[tool]), flat) >= bare + len(msgspec.json.encode([tool]))


FEES = [
    ("dashscope", "qwen3-vl-plus", {"enable_search": True}),
    ("dashscope", "qwen3-vl-plus", {"tools": [{"type": "web_search"}]}),
    ("qianfan", "ernie-4.5-8k-preview", {"web_search": {"enable": True}}),
    ("openai", "gpt-4o", {"service_tier": "priority"}),
    ("openai", "gpt-4o", {"web_search_options": {}, "prediction": {"type": "content", "content": "x"}}),
    ("openai", "gpt-4o", {"some_new_switch": 3}),
    ("openai", "gpt-4o", {"extra_body": {"some_new_switch": 3}}),
]


@pytest.mark.parametrize(("provider", "name", "parameters"), FEES)
def test_what_may_cost_a_fee_has_no_known_cost_and_no_budget(provider, name, parameters):
    found = model(name, provider)
    request = asking(Text("x"), max_tokens=5, **parameters)
    assert cost(Usage(input_tokens=5, output_tokens=5), found, request) == (None, None)
    assert (worst_case(request, found), expected(request, found, 3)) == (None, None)
    why = budget_problem(found, facts("ask"), request.parameters, None)
    assert 'cost = "none" }' in why


@pytest.mark.parametrize(
    ("provider", "name", "parameters"),
    [
        ("dashscope", "qwen3-vl-plus", {"enable_search": False, "tools": [], "temperature": 1, "top_k": None}),
        ("qianfan", "ernie-4.5-8k-preview", {"web_search": {"enable": False}}),
        ("openai", "gpt-4o", {"service_tier": "default", "tools": [{"type": "function", "function": {}}]}),
    ],
)
def test_what_is_switched_off_costs_no_fee(provider, name, parameters):
    request = asking(Text("x"), max_tokens=5, **parameters)
    assert worst_case(request, model(name, provider)) is not None


def test_a_user_says_that_a_parameter_costs_nothing():
    tables = {"gpt-4o": {"bounds": {"some_new_switch": {"cost": "none"}}}}
    request = asking(Text("x"), some_new_switch=3)
    assert worst_case(request, models.find("openai", "gpt-4o", tables)) is not None


@pytest.mark.parametrize(
    ("of", "task", "parameters", "expected_words"),
    [
        (("dashscope", "qwen3.5-ocr"), "ocr", {},
         ["not known", '[models."qwen3.5-ocr"]\nprice = { input = …, output = …, currency = "CNY" }']),
        (("dashscope", "multimodal-embedding-one-peace-v1"), "embed", {},
         ['[models."multimodal-embedding-one-peace-v1"]\nprice = { input = …, currency = "CNY" }']),
        (("dashscope", "qwen3.8-omni-flash"), "ask", {}, ["known: international 0.15 in, 0.47 out USD, 2026-11-27"]),
        (("qianfan", "ernie-5.0"), "caption", {}, ["thinking_budget", '[models."ernie-5.0"]\nthinking = "never"']),
    ],
)  # fmt: skip
def test_why_a_budget_cannot_be_kept_is_said_with_the_line(of, task, parameters, expected_words):
    found = models.find(*of)
    why = budget_problem(found, facts(task), parameters, region_of(CHINA))
    assert all(word in why for word in expected_words), why


def test_a_model_without_an_end_asks_for_a_bound():
    open_end = models.find("openai", "m", {"m": {"price": {"input": 1.0}}})
    assert "set provider.parameters.max_tokens" in budget_problem(open_end, facts("ask"), {}, None)
    assert "max_input_tokens = …" in budget_problem(open_end, facts("caption"), {"max_tokens": 5}, None)
    assert budget_problem(open_end, facts("ask"), {"max_tokens": 5}, None) is None


@pytest.mark.parametrize("pictures", [1, 5, 50])
def test_pictures_counted_by_samples_are_expected_below_the_most(pictures):
    ernie = model("ernie-4.5-8k-preview", "qianfan")
    request = asking(*[PICTURE] * pictures, Text("x"))
    assert 0 < expected(request, ernie, 100.0) <= worst_case(request, ernie)


def test_an_embedding_of_a_model_of_ones_own_has_no_output_to_pay():
    own = priced(input=2.0, currency="CNY")
    embedded = Request(task="embed", model="m", items=(EmbedItem(part=Text("red")),))
    assert cost(Usage(input_tokens=3), own, embedded) == (6.0, "CNY")
    assert cost(Usage(input_tokens=3), own, asking(Text("red"))) == (None, None)
