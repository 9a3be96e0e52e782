"""The embedded service refuses what the hosted ones refuse, with their statuses, codes and words."""

from __future__ import annotations

import io
from base64 import b64encode
from typing import Any

import pytest
from PIL import Image
from support.offline import DATA, EMBEDDING, GENERATION, KEY, Called, app, call, data_uri, native

CHAT = "/compatible-mode/v1/chat/completions"
QIANFAN = "/v2/chat/completions"
TEXT = {"text": "Describe this picture."}


@pytest.fixture(scope="module")
def service() -> Any:
    return app(wrong_keys=frozenset({"sk-wrong"}), models_offline=frozenset({"gone"}))


def drawn(width: int, height: int, form: str = "PNG") -> str:
    file = io.BytesIO()
    Image.new("L", (width, height), 128).save(file, form)
    return f"data:image/{form.lower()};base64,{b64encode(file.getvalue()).decode()}"


def openai(*content: Any, model: str = "qwen-vl-max", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": list(content)}], **more}


def image_url(url: str, **more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, **more}}


def contents(*items: Any, model: str = "multimodal-embedding-one-peace-v1", **parameters: Any) -> dict[str, Any]:
    return {"model": model, "input": {"contents": list(items)}, "parameters": parameters}


def error(found: Called) -> tuple[int, str]:
    body = found.json
    return found.status, (body.get("error") or body)["code"]


CAT = {"image": data_uri("photos/chelsea.jpg")}


@pytest.mark.parametrize(
    ("path", "code"),
    [(GENERATION, "InvalidApiKey"), (CHAT, "invalid_api_key"), (QIANFAN, "invalid_iam_token")],
)
def test_a_missing_or_wrong_key_is_a_401_in_each_protocols_own_words(service: Any, path: str, code: str) -> None:
    for headers in ({"Accept": "*/*"}, {"Authorization": "Bearer sk-wrong"}, {"Authorization": "sk-test"}):
        assert error(call(service, path, {}, headers=headers)) == (401, code)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "BadRequest.IllegalInput"),
        ([], "BadRequest.IllegalInput"),
        ({"input": {"messages": []}}, "BadRequest.EmptyModel"),
        ({"model": "m"}, "BadRequest.EmptyInput"),
        (native(TEXT, temperature=2.0), "InvalidParameter"),
        (native(TEXT, top_p=0), "InvalidParameter"),
        (native(TEXT, seed=-1), "InvalidParameter"),
        (native(TEXT, max_tokens=0), "InvalidParameter"),
        (native(TEXT, ocr_options={"task": "advanced_recognition"}), "InvalidParameter"),
        (native(TEXT, response_format={"type": "json_object"}), "InvalidParameter"),
        (native({"text": "a", "image": "b"}), "InvalidParameter"),
        (native({"image": "https://example.com/a.jpg"}), "InvalidParameter"),
        (native({"image": "file:///etc/hosts"}), "InvalidParameter"),
        (native({"image": "http://[bad"}), "InvalidParameter"),
        (native({"image": "data:,plain"}), "InvalidParameter"),
        (native({"image": "data:image/png;base64,%%"}), "InvalidParameter"),
        (native(TEXT, max_tokens=10**400), "InvalidParameter"),
        (native({"image": "oss://nowhere/a.jpg"}), "InvalidParameter"),
        (native({"image": drawn(10, 100)}), "InvalidParameter"),
        (native({"image": drawn(3000, 12)}), "InvalidParameter"),
        (native({"image": drawn(1100, 1100)}, model="qwen-vl-plus"), "InvalidParameter"),
        (native({"image": drawn(64, 64, "GIF")}), "InvalidParameter"),
        (native({"image": data_uri("photos/chelsea.jpg", "image/png")}), "InvalidParameter"),
        (native({"video": [CAT["image"]] * 3}), "InvalidParameter"),
        (native({"video": [CAT["image"]] * 4}, model="qwen-vl-ocr"), "InvalidParameter"),
        (native({"audio": "https://example.com/a.wav"}), "InvalidParameter"),
        (native(TEXT, model="llama3.2-11b-vision"), "InvalidParameter"),
        (native(CAT, model="llama3.2-11b-vision"), "InvalidParameter"),
        (native(TEXT, model="qvq-max"), "InvalidParameter"),
    ],
)
def test_what_the_native_generation_refuses(service: Any, body: Any, code: str) -> None:
    assert error(call(service, GENERATION, body)) == (400, code)


def test_a_missing_model_gone_model_and_roles_have_their_own_codes(service: Any) -> None:
    assert error(call(service, GENERATION, native(TEXT, model="gone"))) == (404, "ModelNotFound")
    odd = native(TEXT)
    odd["input"]["messages"][0]["role"] = "robot"
    assert error(call(service, GENERATION, odd)) == (400, "ServiceUnavailableError")
    odd["input"]["messages"][0]["role"] = "assistant"
    assert error(call(service, GENERATION, odd)) == (500, "InternalError.Algo")
    assert error(call(service, "/api/v1/nothing", {})) == (404, "NotFound")
    asynchronous = call(service, GENERATION, native(TEXT), headers={**KEY, "X-DashScope-Async": "enable"})
    assert error(asynchronous) == (403, "AccessDenied")


def test_a_data_uri_over_ten_megabytes_is_refused_by_its_encoded_size(service: Any) -> None:
    found = call(service, GENERATION, native({"image": "data:image/png;base64," + "A" * 10_485_764}))
    assert found.json["message"] == "Exceeded limit on max bytes per data-uri item : 10485760"


def test_a_broken_picture_is_refused_with_words_and_not_with_a_crash(service: Any) -> None:
    for name in ("truncated.jpg", "text_named.png", "empty.jpg", "bomb.png"):
        found = call(service, GENERATION, native({"image": data_uri(f"bad/{name}", "image/jpeg")}, model="qwen-vl-max"))
        assert error(found) == (400, "InvalidParameter")


def test_frames_of_a_video_are_bounded_by_the_model(service: Any) -> None:
    found = call(service, GENERATION, native({"video": [CAT["image"]] * 3}, model="qwen3-vl-plus"))
    assert "(4, 512)" in found.json["message"]
    old = call(service, GENERATION, native({"video": [CAT["image"]] * 3}, model="qwen-vl-max"))
    assert "(4, 768)" in old.json["message"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_native_frames_are_four_lines_and_end_with_a_finish_reason(service: Any, backend: str) -> None:
    headers = {**KEY, "X-DashScope-SSE": "enable"}
    found = call(service, GENERATION, native(CAT, TEXT, model="qwen-vl-max"), headers=headers, backend=backend)
    frames = found.body.decode().split("\n\n")
    assert frames.pop() == ""
    for number, frame in enumerate(frames, 1):
        identity, event, status, data = frame.split("\n")
        assert (identity, event, status) == (f"id:{number}", "event:result", ":HTTP_STATUS/200")
        assert data.startswith('data:{"output"')
    assert '"finish_reason":"null"' in frames[-2]
    assert '"finish_reason":"stop"' in frames[-1]
    assert found.finished


def test_picture_tokens_follow_the_published_rule(service: Any) -> None:
    picture = {"image": drawn(1500, 1000)}
    old = call(service, GENERATION, native(picture, TEXT, model="qwen-vl-max")).json["usage"]
    assert old["image_tokens"] == 1247
    assert "total_tokens" not in old
    new = call(service, GENERATION, native({"image": drawn(512, 512)}, TEXT)).json["usage"]
    assert new["image_tokens"] == 16 * 16 + 2


def test_the_answer_stops_at_the_token_limit(service: Any) -> None:
    found = call(service, GENERATION, native(CAT, TEXT, max_tokens=5)).json
    assert found["output"]["choices"][0]["finish_reason"] == "length"
    assert found["usage"]["output_tokens"] == 5


def test_the_ocr_model_gives_places_pairs_and_tables(service: Any) -> None:
    def content(path: str, **options: Any) -> Any:
        body = native({"image": data_uri(path)}, model="qwen-vl-ocr", ocr_options=options)
        return call(service, GENERATION, body).json["output"]["choices"][0]["message"]["content"][0]

    words = content("texts/sign_en.jpg", task="advanced_recognition")["ocr_result"]["words_info"]
    assert "City Museum" in words[0]["text"]
    assert len(words[0]["location"]) == 8
    assert len(words[0]["rotate_rect"]) == 5
    schema = {"result_schema": {"时间": "", "unknown": ""}}
    pairs = content("texts/poster_zh.jpg", task="key_information_extraction", task_config=schema)["ocr_result"]
    assert pairs["kv_result"] == {"时间": "正月十五晚六点", "unknown": ""}
    assert content("texts/receipt_zh.jpg", task="table_parsing")["text"].startswith("```html\n<table>")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (contents({"text": "a" * 71}), "Range of input length should be [1, 70]"),
        (contents({"text": "a", "factor": 0}), "factor"),
        (contents({"text": "a", "factor": "much"}), "factor"),
        (contents({"text": "a", "image": "b"}), "certain modal"),
        (contents({"video": "https://example.com/v.mp4"}), "no video input"),
        (contents({"image": drawn(32, 32)}), "not supported by this model"),
        (contents({"text": "a"}, model="qwen3-vl-embedding"), "only has vectors of dimension 1536"),
        (contents({"text": "a"}, model="qwen3-vl-embedding", dimension=7), "Range of dimension"),
        (contents({"text": "a"}, model="multimodal-embedding-v1"), "only has vectors of dimension 1536"),
    ],
)
def test_what_the_embedding_refuses(service: Any, body: Any, message: str) -> None:
    found = call(service, EMBEDDING, body)
    assert error(found) == (400, "InvalidParameter")
    assert message in found.json["message"]


def test_truncation_is_a_choice_and_factors_may_be_strings(service: Any) -> None:
    found = call(service, EMBEDDING, contents({"text": "a" * 71, "factor": "0.5"}, auto_truncation=True)).json
    assert len(found["output"]["embedding"]) == 1536
    assert found["usage"] == {"text": {"measure": 1, "weight": 1}, "total_usage": 1}


def test_newer_embedding_models_answer_one_vector_an_item_or_one_fused(service: Any) -> None:
    items = ({"text": "a cat"}, {"image": drawn(64, 64)})
    apart = call(service, EMBEDDING, contents(*items, model="qwen3-vl-embedding", dimension=1536)).json["output"]
    assert [one["type"] for one in apart["embeddings"]] == ["text", "image"]
    body = contents(*items, model="qwen3-vl-embedding", dimension=1536, enable_fusion=True)
    fused = call(service, EMBEDDING, body).json["output"]["embeddings"]
    assert [one["type"] for one in fused] == ["fusion"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (openai({"type": "text", "text": "a"}, top_p=2), 400, "invalid_parameter_error"),
        (openai({"type": "sound"}), 400, "invalid_parameter_error"),
        (openai(image_url("https://example.com/a.png")), 400, "invalid_parameter_error"),
        (openai({"type": "text", "text": "a"}, model="llama3.2-11b-vision"), 404, "model_not_supported"),
        ({"model": "m", "messages": [{"role": "assistant", "content": "a"}]}, 500, "internal_error"),
    ],
)
def test_what_the_compatible_protocol_refuses(service: Any, body: Any, status: int, code: str) -> None:
    found = call(service, CHAT, body)
    assert error(found) == (status, code)
    assert found.json["request_id"] == found.headers["x-request-id"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (openai({"type": "text", "text": "a"}, max_completion_tokens=1), "invalid_argument"),
        (openai({"type": "text", "text": "a"}, max_tokens=8193), "invalid_argument"),
        (openai({"type": "text", "text": " "}), "invalid_messages"),
        (openai(image_url(CAT["image"], detail="sharp"), model="ernie-4.5-8k-preview"), "invalid_argument"),
        (openai(image_url("oss://a/b")), "invalid_image_url"),
        (openai(image_url(drawn(64, 4))), "invalid_image_url"),
        (openai(image_url(drawn(6000, 64))), "invalid_image_url"),
        (openai(image_url(drawn(64, 64, "WEBP"))), "invalid_image_url"),
        (openai(*[image_url(CAT["image"])] * 6, model="ernie-4.5-8k-preview"), "tokens_too_long"),
    ],
)
def test_what_qianfan_refuses(service: Any, body: Any, code: str) -> None:
    found = call(service, QIANFAN, body)
    assert error(found) == (400, code)
    assert found.json["id"].startswith("as-")


def test_qianfan_takes_a_picture_alone_and_says_flag_zero(service: Any) -> None:
    found = call(service, QIANFAN, openai(image_url(CAT["image"], detail="low"), model="ernie-4.5-8k-preview")).json
    assert found["choices"][0]["flag"] == 0
    assert "cat" in found["choices"][0]["message"]["content"]


def test_the_sample_pictures_are_taken_as_they_are(service: Any) -> None:
    for path in (DATA / "photos").glob("*.jpg"):
        found = call(service, GENERATION, native({"image": data_uri(f"photos/{path.name}")}, TEXT))
        assert found.status == 200, path.name
