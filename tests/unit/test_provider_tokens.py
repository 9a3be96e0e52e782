"""Token counts are the ones the services printed; costs follow from counts and prices, and are None without them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pipeline.providers import cost, models, tokens
from pipeline.providers.image_tokens import PixelOptions, image_tokens, video_tokens
from pipeline.providers.media_options import MARGIN, image_limits
from pipeline.providers.prices import Price, Tier
from pipeline.types import EmbedItem, Image, Loaded, Request, Text, Turn, Usage, Video

MAX = models.find("dashscope", "qwen-vl-max-2024-08-09")  # the version of the printed samples
OLD, NEW = MAX.tokens, models.find("dashscope", "qwen3-vl-plus").tokens
OCR = models.find("dashscope", "qwen-vl-ocr").tokens


def picture(width=None, height=None):
    return Loaded(kind="image", source="x", url="https://x/y.png", width=width, height=height)


def asking(*parts, model="qwen-vl-max", system=None, **parameters):
    turns: tuple[Turn, ...] = (Turn(role="user", parts=tuple(parts)),)
    if system:
        turns = (Turn(role="system", parts=(Text(system),)), *turns)
    return Request(task="ask", model=model, turns=turns, parameters=parameters)


@pytest.mark.parametrize(
    ("size", "count"),
    [
        ((3000, 2000), 1247), ((1536, 1024), 1247), ((1024, 1024), 1225), ((512, 512), 324), ((28, 28), 4),
        ((100, 100), 16), ((1920, 1080), 1222), ((3840, 2160), 1222), ((3000, 4000), 1230),
    ],
)  # fmt: skip
def test_trap_13_pictures_count_as_printed_under_the_default_cap(size: tuple[int, int], count):
    assert image_tokens(*size, OLD) == count


@pytest.mark.parametrize(
    ("size", "count"),
    [((3000, 4000), 15301), ((1024, 1024), 1369), ((1920, 1080), 2691), ((3840, 2160), 10549), ((512, 512), 324)],
)
def test_the_high_resolution_switch_lifts_the_cap(size: tuple[int, int], count):
    assert image_tokens(*size, OLD, PixelOptions(high_resolution=True)) == count


@pytest.mark.parametrize(("frames", "count"), [(4, 1440), (8, 2880), (16, 5760), (64, 23040), (768, 46080)])
def test_frames_count_in_pairs_under_a_falling_cap(frames, count):
    assert video_tokens([(1920, 1080)] * frames, OLD) == count


@pytest.mark.parametrize(
    ("size", "count"), [((512, 512), 361), ((3000, 2000), 1247), ((1024, 1024), 1225), ((28, 28), 4), ((800, 600), 638)]
)
def test_at_most_a_picture_counts_by_the_larger_rule(size: tuple[int, int], count):
    assert image_tokens(*size, OLD, reading="most") == count


def test_at_most_frames_count_by_the_largest_of_them():
    sizes = [(280, 280), (560, 560), (280, 280), (280, 280)]
    assert video_tokens(sizes, OLD) == 2 * 12 * 12
    assert video_tokens(sizes, OLD, reading="most") == 2 * 20 * 20


@pytest.mark.parametrize("marked", [MAX, models.find("dashscope", "qwen3-vl-plus")])
def test_media_tokens_are_those_of_the_reply(marked):
    asked = asking(Image(picture(3000, 2000)), Image(picture(1024, 1024)), Text("这些是什么"))
    stated = sum(image_tokens(*size, marked.tokens) for size in [(3000, 2000), (1024, 1024)])  # type: ignore[misc]
    assert tokens.media_tokens(asked, marked) == stated
    assert tokens.media_tokens(asking(Image(picture(3000, 2000)), Text("x")), MAX) == 1247
    assert tokens.media_tokens(asking(Text("x")), MAX) == 0
    assert tokens.media_tokens(asking(Image(picture(9, 9))), models.find("openai", "m")) is None


def test_a_list_of_values_counts_picture_by_picture():
    pictures = [Image(picture(3000, 4000)), Image(picture(3000, 4000))]
    each = tokens.estimate(asking(*pictures, max_pixels=[100_352, 1_003_520]), MAX)
    one = tokens.estimate(asking(pictures[0], max_pixels=100_352), MAX)
    assert each == one + 1230 + 2


def test_four_large_frames_are_1440_tokens_and_an_odd_frame_counts_as_a_pair():
    assert video_tokens([(3840, 2160)] * 4, OLD) == 1440
    assert video_tokens([(3840, 2160)] * 3, OLD) == 1440


def test_the_32_pixel_families_count_their_markers_in():
    assert image_tokens(6000, 3000, OCR, PixelOptions(max_pixels=8_388_608)) == 64 * 128 + 2
    assert OCR is not None
    older = msgspec.structs.replace(OCR, patch=28, max_pixels=6_422_528)
    assert image_tokens(1500, 1734, older) == 54 * 62 + 2
    assert image_tokens(1024, 1024, NEW) == 32 * 32 + 2
    assert image_tokens(32, 32, NEW) == 64 + 2


@pytest.mark.parametrize(
    ("request_", "printed"),
    [
        (asking(Image(picture(3000, 2000)), Text("这是什么?")), 1271),
        (asking(Image(picture(3000, 2000)), Image(picture(1024, 1024)), Text("这些是什么")), 2497),
        (asking(Video(frames=(picture(3840, 2160),) * 4), Text("描述这个视频的具体过程")), 1466),
    ],
)
def test_the_upper_estimate_of_a_request_is_above_the_printed_count_and_near_it(request_, printed):
    found = tokens.estimate(request_, MAX)
    assert printed <= found <= printed * 1.04
    assert tokens.estimate(request_, MAX, upper=False) <= found


def test_a_picture_of_unknown_size_counts_with_the_most_it_can_have():
    unknown = tokens.estimate(asking(Image(picture()), Text("x")), MAX)
    for size in [(3000, 2000), (1024, 1024), (4000, 4001), (9000, 50)]:
        assert tokens.estimate(asking(Image(picture(*size)), Text("x")), MAX) <= unknown


def test_the_parameters_of_a_request_count_in_its_estimate():
    whole = asking(Image(picture(3000, 4000)), Text("x"))
    high = asking(Image(picture(3000, 4000)), Text("x"), vl_high_resolution_images=True)
    small = asking(Image(picture(3000, 4000)), Text("x"), max_pixels=100_352)
    assert tokens.estimate(high, MAX) - tokens.estimate(whole, MAX) == 15444 - 1230
    expected = tokens.estimate(high, MAX, upper=False) - tokens.estimate(whole, MAX, upper=False)
    assert expected == 15301 - 1230
    assert tokens.estimate(small, MAX) < 200


def test_what_has_no_rule_has_no_count():
    llama = models.find("dashscope", "llama3.2-90b-vision-instruct")
    assert tokens.estimate(asking(Image(picture(10, 10))), llama) is None
    assert image_tokens(10, 10, None) is None
    assert tokens.estimate(asking(Text("words only")), llama) is not None


def test_text_counts_with_its_bytes_at_most():
    assert tokens.text_tokens("这是什么?") == len("这是什么?".encode())
    assert tokens.text_tokens("what is this", upper=False) == 3
    assert tokens.text_tokens("\ud800") == 3


def test_a_printed_sample_costs_what_its_price_says():
    amount, currency = cost.cost(Usage(input_tokens=1270, output_tokens=54), MAX)
    assert amount is not None
    assert (round(amount, 8), currency) == (0.02648, "CNY")


@pytest.mark.parametrize("usage", [Usage(), Usage(input_tokens=5), Usage(output_tokens=5), Usage(input_units=4)])
def test_an_answer_that_was_not_counted_has_no_cost(usage):
    assert cost.cost(usage, MAX) == (None, None)


def test_a_model_without_a_price_has_no_cost():
    unpriced = models.find("dashscope", "llama3.2-90b-vision-instruct")
    assert cost.cost(Usage(input_tokens=1, output_tokens=1), unpriced) == (None, None)


def test_the_worst_case_is_never_below_what_an_answer_can_cost():
    request = asking(Image(picture(3000, 2000)), Text("这是什么?"), max_tokens=100)
    worst = cost.worst_case(request, MAX)
    real, _ = cost.cost(Usage(input_tokens=1271, output_tokens=100), MAX)
    assert real <= worst <= real * 1.1
    assert cost.worst_case(asking(Text("x")), MAX) > cost.worst_case(asking(Text("x"), max_tokens=10), MAX)


def test_the_worst_case_is_unknown_without_a_bound_on_input_or_output():
    priced: dict[str, dict[str, Any]] = {
        "m": {"price": {"input": 1.0}},
        "n": {"price": {"input": 1.0}, "max_output_tokens": 10},
    }
    open_end = models.find("openai", "m", priced)
    assert cost.worst_case(asking(Text("x"), model="m"), open_end) is None
    assert cost.worst_case(asking(Text("x"), model="m", max_tokens=5), open_end) is not None
    bounded = models.find("openai", "n", priced)
    assert cost.worst_case(asking(Image(picture(5, 5)), model="n"), bounded) is None


def test_tiers_bill_by_the_length_of_the_input_and_cached_tokens_by_their_price():
    tiers = (Tier(up_to=1000, input=1.0, output=2.0), Tier(up_to=5000, input=3.0))
    price = Price(input=9.0, cached=0.5, tiers=tiers, per=1)
    model = msgspec.structs.replace(MAX, price=price)
    assert cost.cost(Usage(input_tokens=1000, output_tokens=1), model)[0] == 1002
    assert cost.cost(Usage(input_tokens=1001, output_tokens=1), model)[0] == 3 * 1001 + 3
    assert cost.cost(Usage(input_tokens=6000, output_tokens=1), model)[0] == 9 * 6001
    assert cost.cost(Usage(input_tokens=100, output_tokens=0, cached_tokens=40), model)[0] == 60 + 20


def test_an_embedding_is_billed_by_tokens_or_by_units():
    one = models.find("dashscope", "multimodal-embedding-one-peace-v1", {
        "multimodal-embedding-one-peace-v1": {"price": {"input": 2.0, "per": 1, "basis": "units"}}})  # fmt: skip
    assert cost.cost(Usage(input_units=4), one) == (8.0, "CNY")
    new = models.find("dashscope", "qwen3-vl-embedding", {"qwen3-vl-embedding": {"price": {"input": 1.0, "per": 1}}})
    assert cost.cost(Usage(input_tokens=7), new) == (7.0, "CNY")
    text = Request(task="embed", model=new.name, items=(EmbedItem(part=Text("abc")),))
    assert cost.worst_case(text, new) == 3.0


def test_fitting_takes_away_only_what_the_request_does_not_look_at():
    def useful(parameters):
        return image_limits(MAX, "upload", parameters).useful_pixels

    assert useful({}) == round(1_003_520 * MARGIN)
    assert useful({"vl_high_resolution_images": True}) == round(12_845_056 * MARGIN)
    assert useful({"max_pixels": 2_000_000}) == round(2_000_000 * MARGIN)
    assert image_limits(MAX, "upload", {}).max_encoded_bytes is None
    assert image_limits(MAX, "base64", {}).max_encoded_bytes == 10_485_760


@pytest.mark.parametrize("size", [(3000, 2000), (4000, 3000), (1024, 1024), (6000, 4000), (1280, 960)])
def test_a_fitted_picture_counts_the_tokens_of_the_original(size):
    width, height = size
    most = image_limits(MAX, "upload", {}).useful_pixels
    scale = min(1.0, (most / (width * height)) ** 0.5)
    sent = image_tokens(round(width * scale), round(height * scale), MAX.tokens)
    assert sent == image_tokens(width, height, MAX.tokens)
