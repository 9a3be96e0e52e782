"""Answers as services send them, with whatever a network, a proxy and a gateway put around them; all from one seed."""

from __future__ import annotations

import base64
import json
import struct
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

from pipeline.types import Reply, Request, TaskName

Form = Literal["native", "cumulative", "chat", "vector"]

WORDS = ["A ", "cat", " sits", "猫", "🐱", "é", "\n", '"', "\\", "{", "}", "data: ", "[DONE]", "<b>", "\t", "\u2028",
         "\ufeff", "0", "ha", "ha", "-", "--", "event: error", ": x", "null", "'"]  # fmt: skip
BLANKS = [b"\n", b"\r\n", b" ", b"\t", b"\n" * 40, b" " * 3_000, b"\xef\xbb\xbf", b": keep-alive\n\n", b":\r\n\r\n"]
PINGS = [b": ping\n\n", b":\n", b"\n", b"\r\n\r\n",
         b'event: ping\ndata: {"type":"ping"}\n\n', b"event:heartbeat\ndata:{}\n\n",
         b'data: {"type":"status","text":"still working"}\n\n', b"data: working\n\n", b"retry: 500\n\n", b"id: 77\n\n",
         b'event: trace\ndata: {"trace":"x"}\n\n', b"data:\n\n", b"data: null\n\n", b"event: ping\n\n"]  # fmt: skip
ERRORS = [b'data: {"error":{"message":"late","code":429}}\n\n', b'error: {"code":500,"message":"late"}\n\n',
          b"event:error\n:HTTP_STATUS/500\ndata:{\"code\":\"InternalError\",\"message\":\"late\"}\n\n",
          b'event: error\ndata: late\n\n', b'data: {"choices":[{"index":0,"delta":', b"data: {'a'\n\n",
          b"<html>late</html>",
          b'data: {"choices":[3]}\n\n', b"\x00\xff\n\n"]  # fmt: skip


@dataclass
class Case:
    """One response: what is asked, the bytes, where the answer is whole, and what must come out."""

    provider: str
    form: Form
    stream: bool
    task: TaskName
    body: bytes
    whole_at: int
    text: str | None
    vector: bytes | None
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def request(self) -> Request:
        return Request(task=self.task, model="m", stream=self.stream, parameters=self.parameters)

    def is_answer(self, found: object) -> bool:
        return isinstance(found, Reply) and found.text == self.text and found.embedding == self.vector


def case(rng: Random) -> Case:
    """An answer that is received whole, somewhere in its body."""
    form: Form = rng.choice(["native", "cumulative", "chat", "chat", "vector"])
    provider = "dashscope" if form in ("native", "cumulative") else rng.choice(["dashscope", "openai", "qianfan"])
    if form == "vector":
        return _vector(rng, provider)
    pieces = [_piece(rng) for _ in range(rng.randint(1, 12))]
    if not "".join(pieces).strip():
        pieces.append("x")
    if rng.random() < 0.4:
        body, whole_at = _whole(rng, form, "".join(pieces))
        return _case(provider, form, False, body, whole_at, "".join(pieces))
    body, whole_at = _stream(rng, form, pieces)
    return _case(provider, form, True, body, whole_at, "".join(pieces))


def cuts(rng: Random, body: bytes) -> list[bytes]:
    """The body in chunks, cut anywhere."""
    count = rng.choice([0, 1, 3, 20])
    places = sorted({rng.randrange(len(body) + 1) for _ in range(count)})
    return [body[a:b] for a, b in zip([0, *places], [*places, len(body)], strict=True)]


def _case(provider: str, form: Form, stream: bool, body: bytes, whole_at: int, text: str) -> Case:
    parameters = {} if form == "chat" else {"incremental_output": form == "native"}
    shown = "".join("\ufffd" if "\ud800" <= sign <= "\udfff" else sign for sign in text)
    return Case(provider, form, stream, "ask", body, whole_at, shown, None, parameters)


def _piece(rng: Random) -> str:
    words = "".join(rng.choice(WORDS) for _ in range(rng.randint(1, 4)))
    return words + "\ud83d " if rng.random() < 0.1 else words


def _written(rng: Random, value: Any) -> bytes:
    """JSON with escapes or without; half a surrogate pair always escaped."""
    text = json.dumps(value, ensure_ascii=rng.random() < 0.5, separators=rng.choice([(",", ":"), (", ", ": ")]))
    return "".join(rf"\u{ord(sign):04x}" if "\ud800" <= sign <= "\udfff" else sign for sign in text).encode()


def _noise(rng: Random) -> dict[str, Any]:
    """Fields beside an answer that mean nothing."""
    fields: list[tuple[str, Any]] = [
        ("code", None), ("code", ""), ("message", ""), ("error", None), ("error", {}), ("object", "x"), ("note", "n"),
        ("request_id", "r"), ("created", 1), ("code", 200),
    ]  # fmt: skip
    return dict(rng.sample(fields, rng.randint(0, 3)))


def _whole(rng: Random, form: Form, text: str) -> tuple[bytes, int]:
    if form == "chat":
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        value = {**_noise(rng), "choices": [choice], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}
    else:
        choice = {"message": {"role": "assistant", "content": [{"text": text}]}, "finish_reason": "stop"}
        value = {**_noise(rng), "output": {"choices": [choice]}, "usage": {"input_tokens": 7, "output_tokens": 3}}
    return _around(rng, _written(rng, value))


def _vector(rng: Random, provider: str) -> Case:
    numbers = [rng.randint(-8, 8) / 8 for _ in range(rng.randint(1, 9))]
    packed = struct.pack(f"<{len(numbers)}f", *numbers)
    if provider == "dashscope":
        output: dict[str, Any] = (
            {"embedding": numbers} if rng.random() < 0.5 else {"embeddings": [{"embedding": numbers}]}
        )
        value = {"output": output, "usage": {"total_usage": 1}, **_noise(rng)}
    else:
        given = numbers if rng.random() < 0.5 else base64.b64encode(packed).decode()
        value = {"data": [{"index": 0, "embedding": given}], **_noise(rng)}
    body, whole_at = _around(rng, _written(rng, value))
    return Case(provider, "vector", False, "embed", body, whole_at, None, packed)


def _around(rng: Random, content: bytes) -> tuple[bytes, int]:
    before = b"".join(rng.choice(BLANKS) for _ in range(rng.randint(0, 4)))
    after = b"".join(rng.choice([b"\n", b" ", b"\r\n\r\n", b"<!-- x -->", b"\x00"]) for _ in range(rng.randint(0, 3)))
    return before + content + after, len(before) + len(content)


def _stream(rng: Random, form: Form, pieces: list[str]) -> tuple[bytes, int]:
    end = rng.choice([b"\n", b"\r\n"])
    parts = [rng.choice(BLANKS) for _ in range(rng.randint(0, 3))]
    so_far = ""
    for number, piece in enumerate(pieces, 1):
        parts += [rng.choice(PINGS) for _ in range(rng.randint(0, 2))]
        so_far += piece
        last = number == len(pieces)
        parts.append(_event(rng, _frame(form, piece, so_far, number, last), number, end))
    whole_at = len(b"".join(parts))
    if form == "chat" and rng.random() < 0.6:
        parts.append(_event(rng, {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}, 99, end))
    if rng.random() < 0.6:
        parts.append(rng.choice([b"data: [DONE]\n\n", b"data:[DONE]\n", b"event:done\ndata:{}\n\n", b"data: [DONE]"]))
    parts += [rng.choice([*PINGS, *ERRORS]) for _ in range(rng.randint(0, 3))]
    return b"".join(parts), whole_at


def _frame(form: Form, piece: str, so_far: str, number: int, last: bool) -> dict[str, Any]:
    if form == "chat":
        return {
            "id": "r",
            "choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": "stop" if last else None}],
        }
    content = [{"text": piece if form == "native" else so_far}]
    choice = {"message": {"content": content}, "finish_reason": "stop" if last else "null"}
    return {"output": {"choices": [choice]}, "usage": {"input_tokens": 7, "output_tokens": number}}


def _event(rng: Random, value: dict[str, Any], number: int, end: bytes) -> bytes:
    lines = [b"id:%d" % number, rng.choice([b"event:result", b"event: message"]), b":HTTP_STATUS/200"]
    chosen = [line for line in lines if rng.random() < 0.4]
    data = rng.choice([b"data:", b"data: ", b"data:  "]) + _written(rng, value)
    return end.join([*chosen, data, b"", b""])
