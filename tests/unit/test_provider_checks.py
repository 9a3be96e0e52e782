"""What must not be sent is refused before it is, with a code of ours and words that say what to do."""

from __future__ import annotations

import pytest

from pipeline.errors import Fault
from pipeline.providers import checks, load, models
from pipeline.providers.parameters import check_parameters
from pipeline.types import Audio, EmbedItem, Endpoint, Image, Loaded, Media, Request, Secret, Text, Turn, Video

URL = Loaded(kind="image", source="x", url="https://example.com/a.png")
LOCAL = Media(kind="image", ref="a.png", path="/pictures/a.png")
SOUND = Loaded(kind="audio", source="x", url="https://example.com/a.flac", seconds=16.0)
ONE_PEACE = "multimodal-embedding-one-peace-v1"


def endpoint(provider="dashscope", protocol="native", **changes):
    base = load(provider).default_endpoint(protocol)
    found = {"base_url": base, **changes}
    return Endpoint(provider=provider, key=Secret("k"), protocol=protocol, **found)


def user(*parts):
    return Turn(role="user", parts=tuple(parts))


def asking(*parts, model="qwen-vl-max", **rest):
    return Request(task="ask", model=model, turns=(user(*parts),), **rest)


def embedding(*items, model=ONE_PEACE, **parameters):
    found = tuple(item if isinstance(item, EmbedItem) else EmbedItem(part=item) for item in items)
    return Request(task="embed", model=model, items=found, parameters=parameters)


def refused(request, provider="dashscope", protocol="native", **changes):
    model = models.find(provider, request.model)
    try:
        load(provider).check(request, model, endpoint(provider, protocol, **changes))
    except Fault as fault:
        return fault.code if (fault.kind, fault.retry) == ("rejected", "no") else repr(fault)
    return None


FRAMES = Video(frames=(URL,) * 4)
LLAMA, LLAMA4, ERNIE = "llama3.2-90b-vision-instruct", "llama-4-scout-17b-16e-instruct", "ernie-4.5-8k-preview"


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (asking(Text("hi"), model=LLAMA), "Local.NeedsPicture"),
        (asking(Image(LOCAL), model=LLAMA), "Local.UrlsOnly"),
        (asking(Image(Loaded(kind="image", source="x", body=b"x")), model=LLAMA), "Local.UrlsOnly"),
        (asking(FRAMES, Image(URL), model=LLAMA), "Local.Frames"),
        (asking(Image(URL), model=LLAMA), None),
        (asking(Image(URL), Text("hi")), None),
        (asking(Text("hi")), None),
        (asking(Image(LOCAL), Text("hi")), None),
        (asking(FRAMES, Text("hi"), model="qwen-vl-max-latest"), None),
        (asking(Video(frames=(URL,) * 3), model="qwen-vl-max-latest"), "Local.Frames"),
        (asking(Video(frames=(URL,) * 768), model="qwen-vl-max-latest"), None),
        (asking(Video(frames=(URL,) * 769), model="qwen-vl-max-latest"), "Local.Frames"),
        (asking(Video(frames=(URL,) * 513), model="qwen3-vl-plus"), "Local.Frames"),
        (asking(FRAMES, model="qwen-vl-plus"), "Local.Frames"),
        (asking(Video(frames=(URL,) * 4, fps=11.0)), "Local.Fps"),
        (asking(Video(frames=())), "Local.Frames"),
        (asking(Text("  ")), "Local.Empty"),
        (asking(), "Local.Empty"),
        (Request(task="ask", model="qwen-vl-max"), "Local.Empty"),
        (asking(Text("hi"), model=ONE_PEACE), "Local.Task"),
        (asking(Audio(SOUND)), "Local.Sound"),
        (asking(Image(Loaded(kind="image", source="x", url="file:///etc/passwd"))), "Local.Url"),
        (asking(Text("hi"), model="qvq-max"), "Local.StreamOnly"),
        (asking(Text("hi"), model="qvq-max", stream=True), None),
        (asking(Text("hi"), model="never-heard-of"), None),
    ],
)
def test_generation_requests_over_native(request_, code):
    assert refused(request_) == code


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (embedding(Text("a")), None),
        (embedding(Image(URL), Text("a"), Audio(Loaded(kind="audio", source="x", url="https://x/a.wav"))), None),
        (embedding(), "Local.Empty"),
        (embedding(Text("")), "Local.Empty"),
        (embedding(Text("字" * 70)), None),
        (embedding(Text("字" * 71)), "Local.TextTooLong"),
        (embedding(Text("字" * 71), auto_truncation=True), None),
        (embedding(Audio(SOUND)), "Local.SoundTooLong"),
        (embedding(Audio(SOUND), auto_truncation=True), None),
        (embedding(EmbedItem(part=Text("a"), factor=0.0)), "Local.Factor"),
        (embedding(EmbedItem(part=Text("a"), factor=-1.0)), "Local.Factor"),
        (embedding(EmbedItem(part=Text("a"), factor=float("nan"))), "Local.Factor"),
        (embedding(EmbedItem(part=Text("a"), factor=0.5)), None),
        (embedding(Text("a"), model="qwen-vl-max"), "Local.Task"),
        (embedding(Text("字" * 71), model="qwen3-vl-embedding"), None),
        (embedding(Text("a"), model="qwen3-vl-embedding", dimension=1000), "Local.Parameter"),
        (embedding(Text("a"), model="qwen3-vl-embedding", dimension=1024), None),
    ],
)
def test_trap_18_embedding_requests(request_, code):
    assert refused(request_) == code


@pytest.mark.parametrize(
    ("request_", "provider", "code"),
    [
        (asking(Image(URL), model=ERNIE), "qianfan", None),
        (asking(Text("hi"), model=ERNIE), "qianfan", None),
        (asking(FRAMES, model="some-model"), "qianfan", "Local.Frames"),
        (asking(Text("hi"), model=LLAMA4, parameters={"web_search": {"enable": True}}), "qianfan", "Local.Parameter"),
        (asking(Image(URL), model=LLAMA4, parameters={"detail": "high"}), "qianfan", "Local.Parameter"),
        (asking(Text("hi"), model=ERNIE, parameters={"web_search": {"enable": True}}), "qianfan", None),
        (asking(Text("hi"), model=ERNIE, parameters={"max_completion_tokens": 1}), "qianfan", "Local.Parameter"),
        (asking(Text("hi"), model=ERNIE, parameters={"max_tokens": 8193}), "qianfan", "Local.Parameter"),
        (asking(Image(Loaded(kind="image", source="x", url="oss://a/b")), model=ERNIE), "qianfan", "Local.Oss"),
        (asking(Image(Loaded(kind="image", source="x", url="oss://a/b")), model="m"), "openai", "Local.Oss"),
        (asking(Image(LOCAL), model="m"), "openai", None),
        (embedding(Text("a"), model="m"), "openai", None),
        (embedding(EmbedItem(part=Text("a"), factor=2.0), model="m"), "openai", "Local.Factor"),
        (asking(Text("hi"), model=LLAMA), "dashscope", "Local.Protocol"),
        (embedding(Text("a")), "dashscope", "Local.Protocol"),
    ],
)
def test_traps_25_and_45_requests_over_the_openai_shapes(request_, provider, code):
    assert refused(request_, provider, "openai") == code


def test_trap_62_the_last_turn_is_the_users_and_a_system_message_stands_first():
    say = Turn(role="assistant", parts=(Text("yes"),))
    system = Turn(role="system", parts=(Text("be brief"),))
    for turns in [(user(Text("a")), say), (user(Text("a")), system), (user(Text("a")), system, user(Text("b")))]:
        assert refused(Request(task="ask", model="qwen-vl-max", turns=turns)) == "Local.Turns"
    assert (
        refused(Request(task="ask", model="qwen-vl-max", turns=(system, user(Text("a")), say, user(Text("b"))))) is None
    )


def test_a_picture_anywhere_in_the_conversation_satisfies_llama():
    turns = (user(Image(URL), Text("a")), Turn(role="assistant", parts=(Text("b"),)), user(Text("c")))
    assert refused(Request(task="ask", model=LLAMA, turns=turns)) is None


def test_a_base_url_of_the_other_protocol_is_refused():
    request = asking(Text("hi"))
    assert refused(request, base_url="https://dashscope.aliyuncs.com/compatible-mode/v1") == "Local.BaseUrl"
    assert refused(request, protocol="openai", base_url="https://x/api/v1/") == "Local.BaseUrl"
    assert refused(request, base_url="https://ws.cn-beijing.maas.aliyuncs.com/api/v1") is None


def test_a_workspace_means_nothing_to_other_servers():
    assert refused(asking(Text("hi"), model="m"), "openai", "openai", workspace="w") == "Local.Workspace"


def test_trap_63_an_ocr_model_with_history_is_warned_about_and_sent():
    turns = (Turn(role="system", parts=(Text("s"),)), user(Image(URL)))
    request = Request(task="ocr", model="qwen-vl-ocr", turns=turns)
    model = models.find("dashscope", "qwen-vl-ocr")
    assert refused(request) is None
    assert "ignores system messages" in checks.warnings(request, model)[0]
    assert checks.warnings(Request(task="ocr", model="qwen-vl-ocr", turns=turns[1:]), model) == []


def test_trap_66_a_retired_model_is_warned_about():
    found = checks.warnings(asking(Text("hi"), model=LLAMA), models.find("dashscope", LLAMA))
    assert found == [f"{LLAMA} was retired on 2025-07-02; use qwen3-vl-plus"]


def lines(parameters, model="qwen-vl-max", provider="dashscope", protocol="native"):
    return check_parameters(parameters, models.find(provider, model), endpoint(provider, protocol))


@pytest.mark.parametrize(
    ("parameters", "line"),
    [
        ({"temperature": 3}, "provider.parameters.temperature: 3 is outside [0, 2)"),
        ({"temperature": 2}, "provider.parameters.temperature: 2 is outside [0, 2)"),
        ({"temperature": True}, "provider.parameters.temperature: True is not a number"),
        ({"top_p": 0}, "provider.parameters.top_p: 0 is outside (0, 1]"),
        ({"repetition_penalty": 0}, "provider.parameters.repetition_penalty: 0 is outside (0, ∞)"),
        ({"max_tokens": 0}, "provider.parameters.max_tokens: 0 is outside [1, ∞)"),
        ({"max_tokens": 32_769}, "provider.parameters.max_tokens: 32769 is outside [1, 32768]"),
        ({"max_tokens": 1.5}, "provider.parameters.max_tokens: 1.5 is not a whole number"),
        ({"temprature": 1}, 'provider.parameters.temprature: unknown name; did you mean "temperature"?'),
        ({"max_token": 1}, 'provider.parameters.max_token: unknown name; did you mean "max_tokens"?'),
        ({"stream": True}, "provider.parameters.stream: is not a parameter here; it is provider.stream"),
        ({"ocr_options": {"task": "x"}}, "provider.parameters.ocr_options: qwen-vl-max is no OCR model; leave it out"),
        ({"max_tokens": 5, "max_new_tokens": 6},
         "provider.parameters: max_tokens and max_new_tokens mean the same and differ"),
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_named_with_what_was_found_and_expected(parameters, line):
    assert lines(parameters) == [line]


@pytest.mark.parametrize(
    "parameters",
    [{}, {"temperature": 0}, {"top_p": 1}, {"seed": 3407}, {"min_pixels": [3136, None]},
     {"max_tokens": 5, "max_completion_tokens": 5}, {"top_k": None}, {"stop": ["a"]}],
)  # fmt: skip
def test_a_right_parameter_passes(parameters):
    if "max_completion_tokens" in parameters:
        assert lines(parameters, protocol="openai") == []
    else:
        assert lines(parameters) == []


def test_an_unknown_parameter_of_a_known_model_must_be_declared():
    (line,) = lines({"sparkle": [1]})
    assert line.startswith("provider.parameters.sparkle: not among the published parameters")
    assert '[models."qwen-vl-max".bounds] sparkle = {}' in line
    declared = models.find("dashscope", "qwen-vl-max", {"qwen-vl-max": {"bounds": {"sparkle": {}}}})
    assert check_parameters({"sparkle": [1]}, declared, endpoint("dashscope", "native")) == []


def test_an_unknown_parameter_of_an_unknown_model_or_server_is_passed_on():
    assert lines({"sparkle": 1}, model="qwen-from-tomorrow") == []
    assert lines({"sparkle": 1}, model="my-model", provider="openai", protocol="openai") == []


def test_a_models_own_bounds_go_before_the_services():
    assert lines({"temperature": 3}, LLAMA) == []
    assert lines({"incremental_output": True}, LLAMA) != []
    assert "always True" in lines({"incremental_output": False}, "qwen3-vl-plus")[0]
    assert lines({"incremental_output": False}) == []


def test_servers_with_names_of_their_own_are_left_alone():
    own = {"min_p": 0.1, "top_a": 1, "mm_processor_kwargs": {}, "chat_template_kwargs": {"enable_thinking": False}}
    assert lines(own, "m", "openai", "openai") == []
