"""A walk over every provider and protocol: each form it claims, each error class, and no key anywhere."""

from __future__ import annotations

import json
import traceback

import msgspec
import pytest

from pipeline.errors import Fault
from pipeline.providers import NAMES, load, models
from pipeline.types import EmbedItem, Endpoint, Image, Loaded, Request, Secret, Text, Turn, Video

KEY = "bce-v3/ALTAK-secret/and-more-of-it"
URL = Loaded(kind="image", source="x", url="https://example.com/a.jpg", width=640, height=480)
BYTES = Loaded(kind="image", source="x", body=b"\xff\xd8\xff", mime="image/jpeg", width=640, height=480)
WAYS = [(name, protocol) for name in NAMES for protocol in load(name).PROTOCOLS]
SYSTEM = Turn(role="system", parts=(Text("Be brief."),))
SAID = Turn(role="assistant", parts=(Text("A dog."),))


def user(*parts):
    return Turn(role="user", parts=tuple(parts))


TURNS = {
    "a picture and a text": (user(Image(URL), Text("what")),),
    "a picture from bytes": (user(Image(BYTES), Text("what")),),
    "a picture alone": (user(Image(URL)),),
    "a text alone": (user(Text("what")),),
    "several pictures": (user(Image(URL), Image(BYTES), Image(URL), Text("what")),),
    "a system message": (SYSTEM, user(Image(URL), Text("what"))),
    "several turns": (user(Image(URL), Text("what")), SAID, user(Text("and now"))),
    "frames": (user(Video(frames=(URL,) * 4, fps=2.0), Text("what")),),
}
CLAIMS = [(*way, form) for way in WAYS for form in TURNS if not (way[0] == "qianfan" and form == "frames")]


def endpoint(name, protocol):
    base = load(name).default_endpoint(protocol)
    return Endpoint(provider=name, base_url=base, key=Secret(KEY), protocol=protocol)


def reader_of(name, request, status, headers=None):
    return load(name).reader(request, models.find(name, request.model), status, headers or {})


def answer(protocol, text):
    if protocol == "native":
        message = {"role": "assistant", "content": [{"text": text}]}
        return {"output": {"choices": [{"message": message, "finish_reason": "stop"}]}, "request_id": "r"}
    return {"id": "r", "choices": [{"index": 0, "message": {"content": text}, "finish_reason": "stop"}]}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("name", "protocol", "form"), CLAIMS)
def test_each_claimed_form_is_sent_twice_alike_with_the_key_in_one_header_only(name, protocol, form, stream):
    request = Request(task="caption", model="some-model", turns=TURNS[form], stream=stream)
    model = models.find(name, "some-model")
    place = endpoint(name, protocol)
    http = load(name).encode(request, model, place)
    assert http == load(name).encode(request, model, place)
    assert http.method == "POST"
    assert http.url.startswith(place.base_url + "/")
    assert [header for header, value in http.headers if KEY in value] == ["Authorization"]
    assert KEY.encode() not in http.body
    assert KEY not in repr(http) + repr(place) + repr(request)
    body = json.loads(http.body)
    assert body["model"] == "some-model"
    assert stream == ("X-DashScope-SSE" in dict(http.headers) or body.get("stream") is True)
    texts = [part.text for turn in TURNS[form] for part in turn.parts if isinstance(part, Text)]
    assert all(text in http.body.decode() for text in texts)


@pytest.mark.parametrize(("name", "protocol"), WAYS)
def test_an_answer_and_its_stream_read_alike(name, protocol):
    request = Request(task="caption", model="some-model")
    whole = reader_of(name, request, 200)
    whole.feed(json.dumps(answer(protocol, "a dog")).encode())
    streamed = reader_of(name, request, 200)
    for text, finish in (("a ", None), ("dog", "stop")):
        frame = answer(protocol, text)
        choice = frame["output"]["choices"][0] if protocol == "native" else frame["choices"][0]
        choice["finish_reason"] = finish
        if protocol == "openai":
            choice["delta"] = choice.pop("message")
        streamed.feed(f"data: {json.dumps(frame)}\n\n".encode())
    assert whole.end() == streamed.end()


ERRORS = [
    (401, {"dashscope": "InvalidApiKey", "openai": "invalid_api_key", "qianfan": "invalid_iam_token"}, "account"),
    (
        429,
        {"dashscope": "Throttling", "openai": "rate_limit_exceeded", "qianfan": "tpm_rate_limit_exceeded"},
        "throttled",
    ),
    (500, {"dashscope": "SystemError", "openai": "server_error", "qianfan": "internal_error"}, "transient"),
    (400, {"dashscope": "BadRequest.EmptyInput", "openai": "bad", "qianfan": "invalid_messages"}, "rejected"),
    (400, {"dashscope": "DataInspectionFailed", "openai": "content_filter", "qianfan": "image_url_unsafe"}, "blocked"),
    (404, {"dashscope": "ModelNotFound", "openai": "model_not_found", "qianfan": "model_offline"}, "account"),
]


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize(("status", "codes", "kind"), ERRORS)
@pytest.mark.parametrize("name", NAMES)
def test_each_error_class_is_told_in_each_shape_and_shows_no_key(name, status, codes, kind, nested):
    said = {"code": codes[name], "message": f"no: Bearer {KEY} and {KEY}", "request_id": "r"}
    reader = reader_of(name, Request(task="caption", model="some-model"), status)
    reader.feed(json.dumps({"error": said, "request_id": "r"} if nested else said).encode())
    with pytest.raises(Fault) as caught:
        reader.end()
    fault = caught.value
    assert (fault.kind, fault.code, fault.http_status, fault.request_id) == (kind, codes[name], status, "r")
    shown = "".join(traceback.format_exception(fault)) + repr(fault) + fault.message
    assert "ALTAK-secret" not in shown


@pytest.mark.parametrize(("name", "protocol"), WAYS)
def test_a_text_is_embedded_by_every_provider(name, protocol):
    request = Request(task="embed", model="some-model", items=(EmbedItem(part=Text("a")),))
    http = load(name).encode(request, models.find(name, "some-model"), endpoint(name, protocol))
    assert http.url.endswith("multimodal-embedding/multimodal-embedding" if protocol == "native" else "/embeddings")


def test_a_certificate_and_an_endpoint_cannot_be_printed_with_their_secrets():
    place = endpoint("dashscope", "native")
    with pytest.raises((TypeError, msgspec.ValidationError)):
        msgspec.json.encode(place)
    assert "ALTAK" not in f"{place}"
