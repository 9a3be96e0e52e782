"""What is known to be refused, or to cost more than one answer, is refused before sending, with what is taken."""

from __future__ import annotations

import pytest

from pipeline.providers import models
from pipeline.providers.parameters import check_parameters
from pipeline.types import Endpoint, Secret


def problems(provider, model, protocol="openai", tables=None, **parameters):
    place = Endpoint(provider=provider, base_url="https://x", key=Secret("x"), protocol=protocol)
    return check_parameters(parameters, models.find(provider, model, tables), place)


QWEN, ERNIE = ("dashscope", "qwen3-vl-plus"), ("qianfan", "ernie-4.5-8k-preview")
SERVER = ("openai", "any/model")


@pytest.mark.parametrize(
    ("of", "protocol", "parameters", "expected"),
    [
        (QWEN, "native", {"seed": 2**63}, "seed: 9223372036854775808 is outside [0, 9223372036854775807]"),
        (QWEN, "native", {"seed": -1}, "seed: -1 is outside [0, "),
        (QWEN, "openai", {"seed": 2**31}, "seed: 2147483648 is outside [0, 2147483647]"),
        (QWEN, "openai", {"detail": "ultra"}, "detail: 'ultra' is not one of 'auto', 'low', 'high'"),
        (QWEN, "openai", {"detail": ["low", "ultra"]}, "detail: 'ultra' is not one of"),
        (QWEN, "native", {"detail": "low"}, "detail: qwen3-vl-plus does not take it"),
        (QWEN, "native", {"min_pixels": 9, "max_pixels": 8}, "min_pixels: 9 is more than max_pixels, which is 8"),
        (QWEN, "native", {"min_pixels": [4, 9], "max_pixels": [8, 8]}, "min_pixels: 9 is more than max_pixels"),
        (QWEN, "native", {"min_pixels": 9, "max_pixels": [99, 8]}, "min_pixels: 9 is more than max_pixels"),
        (QWEN, "native", {"max_pixels": "many"}, "max_pixels: 'many' is not a whole number"),
        (QWEN, "native", {"temperature": 2}, "temperature: 2 is outside [0, 2)"),
        (QWEN, "native", {"top_p": 0}, "top_p: 0 is outside (0, 1]"),
        (QWEN, "native", {"presence_penalty": 3}, "presence_penalty: 3 is outside [-2, 2]"),
        (QWEN, "native", {"thinking_budget": 81_921}, "thinking_budget: 81921 is outside [0, 81920]"),
        (QWEN, "native", {"result_format": "json"}, "result_format: 'json' is not one of"),
        (QWEN, "native", {"response_format": {"type": "xml"}}, "response_format: type: 'xml' is not one of"),
        (QWEN, "native", {"response_format": {"typ": "text"}}, 'typ: unknown name; did you mean "type"?'),
        (QWEN, "native", {"search_options": {"forced_search": "yes"}}, "forced_search: 'yes' is not true or false"),
        (QWEN, "native", {"stop": ["a", 3]}, "stop: texts and token ids in one list"),
        (QWEN, "native", {"max_tokens": 50_000}, "max_tokens: 50000 is outside [1, 32768]"),
        (ERNIE, "openai", {"temperature": 3}, "temperature: 3 is outside [0, 2]"),
        (ERNIE, "openai", {"penalty_score": 3}, "penalty_score: 3 is outside [1, 2]"),
        (ERNIE, "openai", {"web_search": {"enabled": True}}, 'enabled: unknown name; did you mean "enable"?'),
        (ERNIE, "openai", {"web_search": {"enable": "yes"}}, "enable: 'yes' is not true or false"),
        (ERNIE, "openai", {"web_search": {"enable_trace": True}}, "lacks 'enable'"),
        (ERNIE, "openai", {"web_search": True}, "web_search: True is not a table"),
        (ERNIE, "openai", {"detail": "ultra"}, "detail: 'ultra' is not one of"),
        (SERVER, "openai", {"detail": "ultra"}, "detail: 'ultra' is not one of"),
        (SERVER, "openai", {"frequency_penalty": 3}, "frequency_penalty: 3 is outside [-2, 2]"),
        (SERVER, "openai", {"min_tokens": 9, "max_tokens": 8}, "min_tokens: 9 is more than the bound"),
    ],
)  # fmt: skip
def test_a_value_outside_the_published_range_is_named(of: tuple[str, str], protocol, parameters, expected):
    found = problems(*of, protocol, **parameters)
    assert any(expected in problem for problem in found), found


@pytest.mark.parametrize(
    ("of", "protocol", "parameters"),
    [
        (QWEN, "native", {"seed": 2**63 - 1}),
        (QWEN, "native", {"seed": 0, "temperature": 1.99, "top_p": 1, "top_k": None, "stop": [1, 2]}),
        (QWEN, "openai", {"seed": 2**31 - 1, "detail": ["low", None, "high"]}),
        (QWEN, "native", {"min_pixels": 8, "max_pixels": 8}),
        (QWEN, "native", {"min_pixels": [4, None], "max_pixels": [8, 4]}),
        (ERNIE, "openai", {"web_search": {"enable": True, "enable_trace": False}, "temperature": 2, "detail": "auto"}),
        (SERVER, "openai", {"seed": -5, "temperature": 3, "detail": "original", "response_format": {"type": "regex"}}),
    ],
)
def test_what_the_services_take_is_not_refused(of: tuple[str, str], protocol, parameters):
    assert problems(*of, protocol, **parameters) == []


SEVERAL = [
    {"n": 4}, {"n": "2"}, {"n": 0}, {"n": True}, {"best_of": 3}, {"num_return_sequences": 2}, {"candidate_count": 2},
    {"extra_body": {"n": 4}}, {"options": {"sampling_params": {"best_of": 2}}},
    {"extra_body": {"extra_body": {"n": 2}}},
]  # fmt: skip


@pytest.mark.parametrize("parameters", SEVERAL)
@pytest.mark.parametrize(
    ("of", "protocol"), [(QWEN, "native"), (QWEN, "openai"), (ERNIE, "openai"), (SERVER, "openai")]
)
def test_asking_for_several_answers_at_once_is_refused(of: tuple[str, str], protocol, parameters):
    found = problems(*of, protocol, **parameters)
    assert any("asks for several answers at once" in problem and "[dedupe]" in problem for problem in found), found


@pytest.mark.parametrize("parameters", [{"n": 1}, {"n": None}, {"best_of": 1}, {"extra_body": {"n": 1}}])
def test_asking_for_one_answer_in_words_is_taken(parameters):
    assert problems(*SERVER, **parameters) == []


def test_a_user_can_declare_what_asks_for_several_answers():
    tables = {"any/model": {"bounds": {"samples": {"cost": "answers"}}}}
    assert "samples: 3 asks for several answers" in problems(*SERVER, tables=tables, samples=3)[0]
    assert problems(*SERVER, tables=tables, samples=1) == []


@pytest.mark.parametrize("parameters", [{"modalities": ["text", "audio"]}, {"audio": {"voice": "Cherry"}}])
def test_answers_in_sound_are_not_bought(parameters):
    assert problems("dashscope", "qwen3-omni-flash", **parameters)
