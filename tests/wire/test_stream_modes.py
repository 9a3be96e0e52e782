"""The two modes of a native stream: what was declared wins, and is overruled only when it cannot be true."""

from __future__ import annotations

import json

import pytest
from support.captures import exchanges, reply_bytes

from pipeline.providers import load, models
from pipeline.types import Endpoint, Image, Loaded, Request, Secret, Text, Turn

PICTURE = Image(Loaded(kind="image", source="x", url="https://example.com/a.jpg"))
INCREMENTS = {"incremental_output": True}


def frames(*texts, tokens=None):
    """A native stream of these texts; the last frame ends it. `tokens`: the running count in each frame."""
    found = []
    for number, text in enumerate(texts, 1):
        message = {"role": "assistant", "content": [{"text": text}]}
        choice = {"message": message, "finish_reason": "stop" if number == len(texts) else "null"}
        body = {"output": {"choices": [choice]}, "request_id": "r"}
        if tokens:
            body["usage"] = {"input_tokens": 9, "output_tokens": tokens[number - 1]}
        found.append(b"id:%d\nevent:result\n:HTTP_STATUS/200\ndata:%s\n\n" % (number, json.dumps(body).encode()))
    return b"".join(found)


REWRITTEN = ("A cat", "A cat \ufffd", "A cat 🐱 sits", "A cat 🐱 sits.")


@pytest.mark.parametrize("model", ["llama3.2-11b-vision", "llama3.2-90b-vision-instruct", "qwen-vl-max"])
def test_a_rewritten_frame_of_a_cumulative_model_replaces(model, decode):
    assert decode(frames(*REWRITTEN), model=model).text == "A cat 🐱 sits."


def test_a_cumulative_only_model_never_joins_frames(decode):
    for texts in (("\ufffd", "🐱", "🐱 cat"), ("a dog", "The dog"), ("x", "The", "The dog sits"), ("7", "7")):
        assert decode(frames(*texts), model="llama3.2-11b-vision").text == texts[-1]
        asked = decode(frames(*texts), model="llama3.2-11b-vision", parameters=INCREMENTS, stream=True)
        assert asked.text == texts[-1], "what the model cannot do is not believed for being asked"


GROWING = [
    ("-", "--", "---", "-----", "\nNAME"),
    ("1", "10", "100", "1000", " grams"),
    ("|", "||", "|||", "||||", "|||||"),
    ("1", "10", "100", "1000", "10000", "100000"),
    ("ha", "haha"),
    ("A", "A b", "A b c"),
]


@pytest.mark.parametrize("texts", GROWING)
@pytest.mark.parametrize(("model", "parameters"), [("qwen3-vl-plus", {}), ("qwen-vl-max", INCREMENTS)])
def test_increments_that_look_cumulative_are_all_joined(texts, model, parameters, decode):
    found = decode(frames(*texts), model=model, parameters=parameters, stream=True)
    assert found.text == "".join(texts)


@pytest.mark.parametrize("texts", [*GROWING, ("7", "7"), ("好", "好", "好"), ("no", " ", "no")])
def test_increments_of_an_unknown_model_are_believed(texts, decode):
    assert decode(frames(*texts), model="qwen9-vl-new", stream=True).text == "".join(texts)


def test_increments_asked_for_and_cumulative_beyond_doubt(decode):
    words = ["A", "dog", "and", "a", "girl", "sit", "on", "the", "beach"]
    whole = [" ".join(words[: end + 1]) for end in range(len(words))]
    for texts in (whole, [*whole, whole[-1]]):
        assert decode(frames(*texts), model="qwen9-vl-new", stream=True).text == whole[-1]


def test_a_last_frame_repeated_without_a_new_token_is_cumulative(decode):
    """What a server that ignores the wish for increments sends; PROTOCOLS.md trap 5."""
    captured = reply_bytes(exchanges("ds202__mm_stream_incremental_false_llama")[0]["server_reply"])
    for model, parameters in (("qwen9-vl-new", {}), ("qwen-vl-max", INCREMENTS), ("qwen3-vl-plus", {})):
        assert decode(captured, model=model, parameters=parameters, stream=True).text == "这是一张照片"
    texts = ("-", "--", "----", "----")
    assert decode(frames(*texts, tokens=(1, 2, 3, 4)), model="qwen3-vl-plus").text == "".join(texts)


def test_a_row_that_asks_for_whole_texts_gets_the_last_one(decode):
    parameters = {"incremental_output": False}
    for texts in (REWRITTEN, ("7", "7"), ("The dog sat", "The dog sits down")):
        assert decode(frames(*texts), model="qwen9-vl-new", parameters=parameters, stream=True).text == texts[-1]


def test_increments_against_the_declaration_are_not_lost(decode):
    pieces = ("It ", "is ", "a ", "dog", ".")
    assert decode(frames(*pieces), model="qwen-vl-max").text == "It is a dog."
    shrinking = ("-", "--", "---", "-----", "\n")
    assert decode(frames(*shrinking), model="qwen-vl-max").text == "".join(shrinking)


def test_thoughts_follow_the_same_mode(decode):
    def thinking(*parts):
        found = []
        for number, part in enumerate(parts, 1):
            message = {"role": "assistant", "content": [], "reasoning_content": part}
            choice = {"message": message, "finish_reason": "stop" if number == len(parts) else "null"}
            found.append(b"data:" + json.dumps({"output": {"choices": [choice]}}).encode() + b"\n\n")
        return b"".join(found)

    assert decode(thinking("1", "10", "100"), model="qwen3-vl-plus").extra["reasoning"] == "110100"
    assert decode(thinking("A \ufffd", "A 🐱"), model="llama3.2-11b-vision").extra["reasoning"] == "A 🐱"


def sent(model, *, stream=True, tables=None, **parameters):
    """The parameters that go over the wire."""
    turns = (Turn(role="user", parts=(PICTURE, Text("What is it?"))),)
    request = Request(task="ask", model=model, turns=turns, parameters=parameters, stream=stream)
    endpoint = Endpoint(
        provider="dashscope", base_url="https://x.example/api/v1", key=Secret("sk-fake-0000"), protocol="native"
    )
    http = load("dashscope").encode(request, models.find("dashscope", model, tables), endpoint)
    return json.loads(http.body)["parameters"]


def test_a_stream_of_an_unknown_mode_asks_for_increments():
    assert sent("qwen9-vl-new") == {"incremental_output": True}
    assert sent("qwen9-vl-new", top_k=3) == {"incremental_output": True, "top_k": 3}
    assert sent("qwen3.6-plus") == {"incremental_output": True}


def test_nothing_is_asked_where_the_mode_is_known_or_said():
    assert sent("qwen9-vl-new", stream=False) == {}
    assert sent("qwen9-vl-new", incremental_output=False) == {"incremental_output": False}
    for model in ("qwen3-vl-plus", "qwen-vl-max", "llama3.2-11b-vision"):
        assert sent(model) == {}
    refused = {"mine": {"bounds": {"incremental_output": {"refused": True}}}}
    assert sent("mine", tables=refused) == {}
    assert sent("mine", tables={"mine": {"incremental": "refused"}}) == {}
