"""Built-in prices are of a region, with date and source; what no table names is not known."""

from __future__ import annotations

import datetime

import msgspec
import pytest

from pipeline.providers import models, prices
from pipeline.providers.prices import Price, Tier, age, old, region_of

DATA = prices._data()
ENTRIES = [
    (service, region, name)
    for service, regions in DATA["prices"].items()
    for region, table in regions.items()
    for name in table
]
CHINA = "https://dashscope.aliyuncs.com/api/v1"


@pytest.mark.parametrize(("service", "region", "name"), ENTRIES)
def test_every_price_has_amounts_a_date_and_a_source(service, region, name):
    place = next(found for found in prices.regions() if (found.service, found.name) == (service, region))
    price = msgspec.convert(prices.built_in(place, name), Price)
    assert price.source
    assert (price.currency, price.region) == (place.currency, region)
    assert 0 <= age(price, datetime.date(2026, 11, 27)) < 1000
    tiers = price.tiers or (Tier(up_to=1, input=price.input or 0.0, output=price.output, cached=price.cached),)
    for tier in tiers:
        assert 0 < tier.input < 100
        assert tier.output is None or tier.input <= tier.output
        assert tier.cached is None or tier.cached < tier.input
    assert [tier.input for tier in tiers] == sorted(tier.input for tier in tiers)
    assert price.batch is None or 0 < price.batch < 1


def test_every_region_with_prices_is_one_that_a_host_belongs_to():
    named = {(service, region) for service, region, _ in ENTRIES}
    assert named <= {(region.service, region.name) for region in prices.regions() if region.currency}


@pytest.mark.parametrize(
    ("base_url", "region"),
    [
        (CHINA, "mainland"),
        ("https://dashscope.aliyuncs.com/compatible-mode/v1", "mainland"),
        ("https://ws-1.cn-beijing.maas.aliyuncs.com/api/v1", "mainland"),
        ("https://dashscope-intl.aliyuncs.com/api/v1", "international"),
        ("https://ws-1.ap-southeast-1.maas.aliyuncs.com/api/v1", "international"),
        ("https://dashscope-us.aliyuncs.com/api/v1", "us"),
        ("https://qianfan.bj.baidubce.com/v2", "mainland"),
        ("https://api.openai.com/v1", "global"),
        ("https://token-plan.cn-beijing.maas.aliyuncs.com/compatible-mode/v1", "plan"),
        ("https://coding-intl.dashscope.aliyuncs.com/v1", "plan"),
        ("https://ws-1.eu-central-1.maas.aliyuncs.com/api/v1", None),
        ("http://127.0.0.1:8765/api/v1", None),
        ("https://dashscope.aliyuncs.com.example.org/api/v1", None),
    ],
)
def test_the_region_is_told_by_the_host_of_the_base_url(base_url, region):
    found = region_of(base_url)
    assert (found.name if found else None) == region


def test_a_model_costs_what_the_table_of_its_region_says():
    china = models.find("dashscope", "qwen3-vl-plus", base_url=CHINA).price
    abroad = models.find("dashscope", "qwen3-vl-plus", base_url="https://dashscope-intl.aliyuncs.com/api/v1").price
    assert (china.currency, china.tiers[0].input, china.tiers[0].output) == ("CNY", 1.0, 10.0)
    assert (abroad.currency, abroad.tiers[0].input, abroad.tiers[0].output) == ("USD", 0.2, 1.6)
    assert models.find("dashscope", "qwen3-vl-plus").price == china


def test_the_same_host_has_the_same_prices_under_any_provider():
    own = models.find("dashscope", "qwen3.7-plus", base_url=CHINA).price
    assert models.find("openai", "qwen3.7-plus", base_url=CHINA).price == own


@pytest.mark.parametrize(
    "base_url",
    ["http://127.0.0.1:1/api/v1", "https://gateway.example/v1", "https://token-plan.cn-beijing.maas.aliyuncs.com/v1"],
)
def test_nothing_is_charged_by_a_host_of_unknown_prices(base_url):
    assert models.find("dashscope", "qwen3-vl-plus", base_url=base_url).price is None


def test_a_snapshot_has_a_price_only_where_the_table_names_it():
    abroad = "https://dashscope-intl.aliyuncs.com/api/v1"
    assert models.find("dashscope", "qwen3-vl-plus-2025-09-23", base_url=abroad).price is not None
    assert models.find("dashscope", "qwen3-vl-plus-2025-09-23", base_url=CHINA).price is None


def test_a_users_price_goes_before_the_built_in_one():
    own = {"qwen3-vl-plus": {"price": {"input": 7, "currency": "EUR"}}}
    price = models.find("dashscope", "qwen3-vl-plus", own, base_url=CHINA).price
    assert (price.input, price.currency, price.tiers, price.source) == (7, "EUR", (), None)


@pytest.mark.parametrize(
    ("date", "is_old"),
    [
        ("2026-11-27", False),
        ("2026-05-29", False),
        ("2026-05-27", True),
        ("2024", True),
        (None, False),
        ("soon", False),
    ],
)
def test_a_price_of_half_a_year_ago_is_old(date, is_old):
    assert old(Price(input=1.0, date=date), datetime.date(2026, 11, 27)) is is_old


@pytest.mark.parametrize("fields", [{}, {"tiers": [{"up_to": 2, "input": 1.0}, {"up_to": 1, "input": 1.0}]}])
def test_a_price_without_amounts_or_order_is_refused(fields):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(fields, Price)
