"""Embeddings: DashScope's native contents, OpenAI's `/embeddings`, and vectors as float32 bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pybase64

from pipeline.errors import Fault
from pipeline.providers import reply_fields
from pipeline.providers.body import media_value, number
from pipeline.providers.media_options import options
from pipeline.providers.model import Model
from pipeline.providers.openai_chat import chat_part
from pipeline.providers.safe_text import without_data
from pipeline.types import Audio, EmbedItem, Image, Reply, Request, Text, Usage

NATIVE_PATH = "/services/embeddings/multimodal-embedding/multimodal-embedding"
OPENAI_PATH = "/embeddings"
_FUSED = ("fusion", "fused")
_KNOWN_NATIVE = frozenset({"output", "usage", "request_id", "code", "message", "status_code"})
_KNOWN_OPENAI = frozenset({"object", "data", "model", "usage", "id", "created", "request_id"})


def native_body(request: Request, parameters: Mapping[str, Any], model: Model) -> dict[str, Any]:
    """Returns `{model, input: {contents}, parameters}`.

    Each item has one key that names its kind; `factor` is a number (PROTOCOLS.md trap 16). If the model fuses only
    when asked, several items get `enable_fusion` (PROTOCOLS.md §5.5).
    """
    sent = dict(parameters)
    if len(request.items) > 1 and model.fusion == "parameter":
        sent.setdefault("enable_fusion", True)
    contents = [_content(item) for item in request.items]
    return {"model": request.model, "input": {"contents": contents}, "parameters": sent}


def _content(item: EmbedItem) -> dict[str, Any]:
    part = item.part
    content: dict[str, Any]
    if isinstance(part, Text):
        content = {"text": part.text}
    else:
        kind = "image" if isinstance(part, Image) else "audio" if isinstance(part, Audio) else "video"
        content = {kind: media_value(part.media), **part.options}
    if item.factor is not None:
        content["factor"] = number(item.factor)
    return content


def openai_body(request: Request, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `{model, input, encoding_format, …}` for one text.

    For pictures and sounds, and for several items that a server fuses, one user message takes the place of `input`, as
    in vLLM's embeddings API (its EmbeddingChatRequest). The body asks for base64, as the official client does. A
    server that has no base64 gives numbers.
    """
    part_options, rest = options(parameters, "openai")
    body: dict[str, Any] = {"model": request.model}
    if len(request.items) == 1 and isinstance(part := request.items[0].part, Text):
        body["input"] = part.text
    else:
        content = [chat_part(item.part, part_options, "openai") for item in request.items]
        body["messages"] = [{"role": "user", "content": content}]
    body["encoding_format"] = "base64"
    body.update(rest)
    return body


def qianfan_body(request: Request, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `{model, input: [text], …}`. Qianfan takes a list of texts and gives numbers only."""
    texts = [item.part.text for item in request.items if isinstance(item.part, Text)]
    return {"model": request.model, "input": texts, **parameters}


def vector(value: Any) -> bytes:
    """Returns a vector as little-endian float32 bytes, from a list of numbers or from base64 of such bytes.

    Raises ValueError or TypeError for anything else, also for an empty vector or a number that is not finite.
    """
    import numpy as np

    if isinstance(value, str):
        content = pybase64.b64decode(value, validate=True)
        array = np.frombuffer(content, dtype="<f4")
    else:
        numbers = np.asarray(value)
        if numbers.ndim != 1 or numbers.dtype.kind not in "iuf":
            raise TypeError("a vector that is no list of numbers")
        with np.errstate(over="ignore"):
            array = numbers.astype("<f4")
    if not array.size or not np.isfinite(array).all():
        raise ValueError("a vector that is empty or not finite")
    return array.tobytes()


class VectorAccumulator:
    """Collects an embedding answer.

    The answer has the native form (`output.embedding` or `output.embeddings[]`, PROTOCOLS.md trap 14) or OpenAI's form.
    """

    def __init__(self) -> None:
        self._reply: Reply | None = None
        self._vectors = 0

    def add(self, body: dict[str, Any], *, stream: bool) -> None:
        native = isinstance(body.get("output"), dict)
        found = _native_vectors(body["output"]) if native else list(body["data"])
        chosen = _chosen(found)
        self._vectors = 1 if chosen.get("type") in _FUSED else len(found)
        known = _KNOWN_NATIVE if native else _KNOWN_OPENAI
        extra = {key: without_data(v) for key, v in body.items() if key not in known and v is not None}
        stated = body.get("usage")
        if isinstance(stated, dict) and "total_usage" in stated:
            extra["usage"] = stated
        identity = body.get("request_id") or body.get("id")
        self._reply = Reply(
            embedding=vector(chosen["embedding"]),
            usage=reply_fields.read_embedding(stated) if stated is not None else Usage(),
            request_id=identity if isinstance(identity, str) else None,
            model=body.get("model") if isinstance(body.get("model"), str) else None,
            extra=extra,
        )

    def finished(self) -> bool:
        return self._reply is not None

    def closed(self) -> bool:
        return self.finished()

    def reply(self) -> Reply:
        if self._reply is None:
            raise ValueError("no vector")
        return self._reply

    def judge(self, reply: Reply, *, stream: bool) -> Fault | None:
        if self._vectors > 1:
            words = f"the service gave {self._vectors} vectors and none for the whole; give one item per row"
            return Fault("rejected", "Local.SeveralVectors", words)
        return None


def _native_vectors(output: dict[str, Any]) -> list[dict[str, Any]]:
    if output.get("embedding") is not None:
        return [{"embedding": output["embedding"]}]
    return list(output["embeddings"])


def _chosen(found: list[dict[str, Any]]) -> dict[str, Any]:
    fused = next((item for item in found if item.get("type") in _FUSED), None)
    return fused or found[0]
