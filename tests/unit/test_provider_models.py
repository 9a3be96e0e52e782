"""Models are open names over data; a user's tables extend it and are checked to the key."""

from __future__ import annotations

import pytest

from pipeline.errors import JobError
from pipeline.providers import NAMES, load, models
from pipeline.providers.model import Model

DATA = models._data()
BUILT_IN = [(provider, name) for provider in DATA for name in DATA[provider].get("models", {})]


@pytest.mark.parametrize(("provider", "name"), BUILT_IN)
def test_every_built_in_model_reads_and_is_known(provider, name):
    model = models.find(provider, name)
    assert model.known
    assert model.tasks
    if model.price is not None:
        assert model.price.source
        assert model.price.date
    if model.tasks == ("embed",):
        assert model.dimensions


@pytest.mark.parametrize("provider", DATA)
def test_every_family_a_model_names_exists(provider):
    for table in DATA[provider].get("models", {}).values():
        assert table.get("family") is None or table["family"] in DATA[provider]["families"]


def test_an_unknown_model_has_no_invented_facts():
    model = models.find("openai", "Qwen/Whatever-7B")
    default = Model(name="Qwen/Whatever-7B", provider="openai")
    assert model == default
    assert not model.known
    assert model.media.max_bytes is None


def test_a_snapshot_of_a_documented_family_shares_its_token_rule_and_nothing_else():
    model = models.find("dashscope", "qwen3-vl-plus-2027-01-01")
    assert not model.known
    assert model.tokens == models.find("dashscope", "qwen3-vl-plus").tokens
    assert (model.price, model.max_output_tokens, model.frames, model.rpm) == (None, None, None, None)


def test_trap_27_the_small_llama_has_no_instruct_in_its_name():
    assert models.find("dashscope", "llama3.2-11b-vision").known
    assert not models.find("dashscope", "llama3.2-11b-vision-instruct").known


def test_a_users_table_adds_a_model_and_its_price():
    table = {"mine": {"price": {"input": 1.5, "output": 2, "currency": "EUR", "per": 1000}, "max_output_tokens": 100}}
    model = models.find("openai", "mine", table)
    assert model.known
    assert (model.price.input, model.price.output, model.price.currency) == (1.5, 2, "EUR")


def test_the_job_goes_before_the_user_wide_file_and_that_before_the_built_in():
    name = "qwen-vl-max"
    built_in = models.find("dashscope", name)
    wide = {name: {"rpm": 60, "max_output_tokens": 77}}
    own = {name: {"rpm": 30}}
    model = models.find("dashscope", name, own, wide)
    assert (model.rpm, model.max_output_tokens) == (30, 77)
    assert model.tokens == built_in.tokens


def test_a_nested_table_changes_only_what_it_names():
    model = models.find("dashscope", "qwen-vl-max", {"qwen-vl-max": {"media": {"max_bytes": 5}}})
    assert model.media.max_bytes == 5
    assert model.media.formats == models.find("dashscope", "qwen-vl-max").media.formats


def test_like_takes_over_the_facts_but_neither_price_nor_retirement_nor_rates():
    model = models.find("openai", "mine", {"mine": {"like": "qwen-vl-max", "rpm": 5}})
    assert model.tokens == models.find("dashscope", "qwen-vl-max").tokens
    assert (model.price, model.retired, model.rpm, model.tpm) == (None, None, 5, None)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"pric": {"input": 1}}, ["models.m.pric", '"price"']),
        ({"price": {"inptu": 1}}, ["models.m.price.inptu", '"input"']),
        ({"price": {"input": "dear"}}, ['models.m.price.input: found "dear", expected a number']),
        ({"media": {"max_byte": 1}}, ["models.m.media.max_byte", '"max_bytes"']),
        ({"bounds": {"top_p": {"maxi": 1}}}, ["models.m.bounds.top_p.maxi", '"max"']),
        ({"like": "qwen-vl-maxx"}, ["models.m.like", '"qwen-vl-max"']),
        ({"tasks": ["sing"]}, ["models.m", "sing"]),
        ({"zzzz": 1}, ["models.m.zzzz", "expected one of"]),
        ({"name": "other"}, ["models.m.name"]),
    ],
)
def test_a_table_that_does_not_fit_is_refused_with_path_and_nearest_name(table, words):
    with pytest.raises(JobError) as caught:
        models.check_tables({"m": table})
    assert all(word in str(caught.value) for word in words), caught.value


def test_the_dimension_is_the_asked_one_or_the_default():
    model = models.find("dashscope", "qwen3-vl-embedding")
    assert model.dimension({}) == 2560
    assert model.dimension({"dimension": 512}) == 512
    assert models.find("openai", "x").dimension({}) is None
    assert models.find("openai", "x").dimension({"dimensions": 256}) == 256
    assert models.find("dashscope", "multimodal-embedding-one-peace-v1").dimension({}) == 1536


@pytest.mark.parametrize("name", NAMES)
def test_every_provider_has_the_whole_seam(name):
    provider = load(name)
    for protocol in provider.PROTOCOLS:
        assert provider.default_endpoint(protocol).startswith("https://")
        assert not provider.default_endpoint(protocol).endswith("/")
    assert provider.KEY_ENV.endswith("_API_KEY")
    assert all(callable(getattr(provider, part)) for part in ("check", "encode", "reader", "local_files"))


def test_an_unknown_provider_is_refused_with_the_nearest_name():
    with pytest.raises(JobError, match='"dashscope"'):
        load("dashscop")
    with pytest.raises(JobError, match="openai"):
        load("os")


def test_traps_19_20_29_limits_differ_by_model():
    one = models.find("dashscope", "multimodal-embedding-one-peace-v1")
    assert one.media.max_bytes == 5 * 1024 * 1024
    assert "WEBP" not in one.media.formats
    assert models.find("dashscope", "qwen-vl-max").media.max_bytes == 10 * 1024 * 1024
    assert models.find("dashscope", "qwen-vl-max-latest").frame_limits.max == 768
    assert models.find("dashscope", "qwen3-vl-plus").frame_limits.max == 512
    assert "WEBP" not in models.find("qianfan", "ernie-4.5-8k-preview").media.formats
