"""Request forms beyond the captures: names, options, order, and the sizes of what is sent."""

from __future__ import annotations

import base64
import json

import pytest

from pipeline.errors import Fault
from pipeline.providers import load, models
from pipeline.providers.edit_distance import distance, meant
from pipeline.types import Audio, EmbedItem, Endpoint, Image, Loaded, Media, Request, Secret, Text, Turn, Video

PICTURE = Loaded(kind="image", source="x", body=b'\x00\xff"\\', mime="image/png")
URL = Loaded(kind="image", source="x", url='https://example.com/ä "q".png')
KEY = "sk-very-secret-key"


def send(request, provider="dashscope", protocol="native"):
    endpoint = Endpoint(
        provider=provider, base_url=load(provider).default_endpoint(protocol), key=Secret(KEY), protocol=protocol
    )
    http = load(provider).encode(request, models.find(provider, request.model), endpoint)
    assert KEY not in repr(http)
    return http, json.loads(http.body)


def asking(*parts, model="qwen-vl-max-latest", **rest):
    return Request(task="ask", model=model, turns=(Turn(role="user", parts=tuple(parts)),), **rest)


def embedding(*items, model, **parameters):
    return Request(task="embed", model=model, items=tuple(items), parameters=parameters)


def test_a_picture_is_spliced_in_as_valid_json_with_its_own_type():
    """Trap 57: the type of the data URL is the one of the bytes, as loading found it."""
    _, body = send(asking(Image(PICTURE), Text('say "x"\n')))
    head, _, data = body["input"]["messages"][0]["content"][0]["image"].partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(data) == b'\x00\xff"\\'
    assert body["input"]["messages"][0]["content"][1] == {"text": 'say "x"\n'}


def test_a_url_goes_as_it_is():
    _, body = send(asking(Image(URL)))
    assert body["input"]["messages"][0]["content"] == [{"image": URL.url}]


@pytest.mark.parametrize("provider", ["dashscope", "openai", "qianfan"])
def test_what_was_not_loaded_is_refused_not_sent(provider):
    lost = asking(Image(Media(kind="image", ref="a", path="/a.png")), model="m")
    with pytest.raises(Fault) as caught:
        send(lost, provider, "openai")
    assert caught.value.code == "Local.NotLoaded"


@pytest.mark.parametrize(
    ("model", "provider", "protocol", "given", "sent"),
    [
        ("llama3.2-11b-vision", "dashscope", "native", "max_tokens", "max_new_tokens"),
        ("llama3.2-11b-vision", "dashscope", "native", "max_new_tokens", "max_new_tokens"),
        ("qwen-vl-max", "dashscope", "native", "max_completion_tokens", "max_tokens"),
        ("qwen-vl-max", "dashscope", "native", "max_new_tokens", "max_tokens"),
        ("qwen-vl-max", "dashscope", "openai", "max_completion_tokens", "max_completion_tokens"),
        ("qwen-vl-max", "dashscope", "openai", "max_tokens", "max_tokens"),
        ("ernie-4.5-8k-preview", "qianfan", "openai", "max_tokens", "max_tokens"),
        ("ernie-4.5-8k-preview", "qianfan", "openai", "max_new_tokens", "max_completion_tokens"),
        ("anything", "openai", "openai", "max_new_tokens", "max_new_tokens"),
    ],
)
def test_trap_26_one_bound_on_the_output_under_the_models_own_name(model, provider, protocol, given, sent):
    _, body = send(asking(Image(URL), model=model, parameters={given: 99}), provider, protocol)
    table = body["parameters"] if protocol == "native" else body
    names = {"max_tokens", "max_completion_tokens", "max_new_tokens"}
    assert {name: table[name] for name in names & set(table)} == {sent: 99}


def test_traps_28_and_30_frames_and_pixel_options_stand_where_each_protocol_has_them():
    parts = (Image(URL), Video(frames=(URL,) * 4, fps=0.5), Text("x"))
    parameters = {"max_pixels": 200_000, "total_pixels": 900_000, "temperature": 0.5}
    _, native = send(asking(*parts, parameters=parameters))
    frames = [URL.url] * 4
    assert native["input"]["messages"][0]["content"][:2] == [
        {"image": URL.url, "max_pixels": 200_000},
        {"video": frames, "fps": 0.5, "max_pixels": 200_000, "total_pixels": 900_000},
    ]
    assert native["parameters"] == {"temperature": 0.5}
    _, compatible = send(asking(*parts, parameters=parameters), protocol="openai")
    assert compatible["messages"][0]["content"][:2] == [
        {"type": "image_url", "image_url": {"url": URL.url}, "max_pixels": 200_000},
        {"type": "video", "video": frames, "fps": 0.5, "max_pixels": 200_000, "total_pixels": 900_000},
    ]
    assert compatible["temperature"] == 0.5


def test_detail_stands_inside_the_picture_for_all_or_one_by_one():
    parts = (Image(URL), Image(URL), Text("x"))
    for detail, expected in [("low", ["low", "low"]), (["high"], ["high", None]), ([None, "low"], [None, "low"])]:
        request = asking(*parts, model="ernie-4.5-8k-preview", parameters={"detail": detail})
        _, body = send(request, "qianfan", "openai")
        assert [p["image_url"].get("detail") for p in body["messages"][0]["content"][:2]] == expected
        assert "detail" not in body


def test_traps_49_50_61_history_is_rebuilt_for_each_protocol():
    turns = (
        Turn(role="system", parts=(Text("s"),)),
        Turn(role="user", parts=(Image(URL), Text("a"))),
        Turn(role="assistant", parts=(Text("b"),)),
        Turn(role="user", parts=(Text("c"),)),
    )
    request = Request(task="ask", model="qwen-vl-max", turns=turns)
    _, native = send(request)
    assert [m["content"] for m in native["input"]["messages"]][::2] == [[{"text": "s"}], [{"text": "b"}]]
    _, chat = send(request, protocol="openai")
    assert [m["content"] for m in chat["messages"]][::2] == ["s", "b"]
    assert all(set(message) == {"role", "content"} for message in chat["messages"])


def test_trap_16_a_factor_is_a_number():
    items = (EmbedItem(part=Text("a"), factor=5.0), EmbedItem(part=Text("b"), factor=0.5), EmbedItem(part=Text("c")))
    _, body = send(embedding(*items, model="multimodal-embedding-one-peace-v1"))
    assert body["input"]["contents"] == [{"text": "a", "factor": 5}, {"text": "b", "factor": 0.5}, {"text": "c"}]
    assert body["parameters"] == {}


def test_trap_24_encoding_changes_nothing_of_the_request():
    parameters = {"max_tokens": 5, "max_pixels": [100_000, None], "stop": ["a"]}
    request = asking(Image(URL), Text("x"), parameters=parameters)
    send(request)
    assert request.parameters == {"max_tokens": 5, "max_pixels": [100_000, None], "stop": ["a"]}
    assert request == asking(Image(URL), Text("x"), parameters=parameters)


def test_several_items_are_fused_where_the_model_must_be_asked():
    items = (EmbedItem(part=Text("a")), EmbedItem(part=Image(URL)))
    assert send(embedding(*items, model="qwen3-vl-embedding"))[1]["parameters"] == {"enable_fusion": True}
    assert send(embedding(items[0], model="qwen3-vl-embedding"))[1]["parameters"] == {}


def test_embeddings_of_other_servers_ask_for_base64_unless_told_otherwise():
    text = EmbedItem(part=Text("a"))
    _, body = send(embedding(text, model="m"), "openai", "openai")
    assert body == {"model": "m", "input": "a", "encoding_format": "base64"}
    _, told = send(embedding(text, model="m", encoding_format="float", dimensions=8), "openai", "openai")
    assert (told["encoding_format"], told["dimensions"]) == ("float", 8)


def test_a_picture_to_embed_goes_as_one_user_message_and_a_sound_as_plain_base64():
    sound = Loaded(kind="audio", source="x", body=b"RIFF", mime="audio/wav")
    items = (EmbedItem(part=Image(URL)), EmbedItem(part=Audio(sound)))
    _, body = send(embedding(*items, model="m"), "openai", "openai")
    content = body["messages"][0]["content"]
    assert content[0] == {"type": "image_url", "image_url": {"url": URL.url}}
    assert content[1] == {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}


def test_a_body_over_the_gateways_bound_is_refused():
    large = Loaded(kind="image", source="x", body=bytes(50 * 1024 * 1024), mime="image/png")
    with pytest.raises(Fault) as caught:
        send(asking(Image(large)))
    assert caught.value.code == "Local.BodyTooLarge"


def test_trap_46_a_base_url_is_taken_as_given():
    for base in ("https://qianfan.bj.baidubce.com/v2", "https://qianfan.baidubce.com/v2/"):
        endpoint = Endpoint(provider="qianfan", base_url=base, key=Secret("k"))
        http = load("qianfan").encode(asking(Text("x"), model="m"), models.find("qianfan", "m"), endpoint)
        assert http.url == base.rstrip("/") + "/chat/completions"


def test_traps_20_each_service_takes_local_files_its_own_way():
    def way(provider, protocol, model):
        endpoint = Endpoint(provider=provider, base_url="https://x", key=Secret("k"), protocol=protocol)
        return load(provider).local_files(models.find(provider, model), endpoint)

    assert way("dashscope", "native", "qwen-vl-max") == "upload"
    assert way("dashscope", "native", "multimodal-embedding-one-peace-v1") == "upload"
    assert way("dashscope", "native", "llama3.2-11b-vision") == "refuse"
    assert way("dashscope", "openai", "qwen-vl-max") == "base64"
    assert way("qianfan", "openai", "ernie-4.5-8k-preview") == "base64"
    assert way("openai", "openai", "m") == "base64"


def test_near_names_are_found_within_two_edits_and_short_ones_within_one():
    assert distance("temprature", "temperature") == 1
    assert distance("tpo_p", "top_p") == 1
    assert meant("max_tokns", ["max_tokens"]) == "max_tokens"
    assert meant("top", ["stop", "top_p"]) == "stop"
    assert meant("seat", ["stop"]) is None
