"""DashScope: native generation and multimodal embedding, and its OpenAI-compatible mode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.errors import Fault
from pipeline.providers import LocalFiles, checks, dashscope_native, embeddings
from pipeline.providers.body import post, uses_oss
from pipeline.providers.dashscope_native import NativeAccumulator, stream_mode
from pipeline.providers.embeddings import VectorAccumulator
from pipeline.providers.model import Model
from pipeline.providers.openai_chat import PATH as CHAT_PATH
from pipeline.providers.openai_chat import ChatAccumulator, chat_body
from pipeline.providers.parameter_bounds import renamed
from pipeline.providers.reader import Accumulator, WireReader
from pipeline.types import Endpoint, HttpRequest, Reader, Reply, Request

PROTOCOLS: tuple[str, ...] = ("native", "openai")
ANSWER_FORM = "json_object"
DEFAULT_BASE_URLS: Mapping[str, str] = {
    "native": "https://dashscope.aliyuncs.com/api/v1",
    "openai": "https://dashscope.aliyuncs.com/compatible-mode/v1",
}
KEY_ENV = "DASHSCOPE_API_KEY"
COMPAT_CODES = True
PARAMETERS = "dashscope"
OPEN_PARAMETERS = False
THINKING_ON_TOP = True
CURRENCY = "CNY"
PART_FORMS = {"native": "native", "openai": "compatible"}
FRAME_LISTS = True
FPS = (0.1, 10.0)
"""The lowest and highest `fps` that a frame list may state (PROTOCOLS.md §3.2)."""
_ANSWER = frozenset({"choices", "data", "output"})
MAX_BODY = 64 * 1024 * 1024  # PROTOCOLS.md §3.7: the gateway answers 413 to a larger body


def default_endpoint(protocol: str) -> str:
    """Returns Beijing's base URL for a protocol. `provider.base_url` names other regions (PROTOCOLS.md §0.4)."""
    return DEFAULT_BASE_URLS[protocol]


def local_files(model: Model, endpoint: Endpoint) -> LocalFiles:
    """Tells how local files are sent: native as an upload (`oss://`), compatible as base64.

    Models that take URLs only, such as Llama, refuse local files (PROTOCOLS.md trap 20).
    """
    if model.urls_only:
        return "refuse"
    return "upload" if endpoint.protocol == "native" else "base64"


def check_endpoint(model: Model, endpoint: Endpoint) -> None:
    """Raises Fault (`Local.BaseUrl`, `Local.Protocol`) for an endpoint that cannot serve any request of the job."""
    checks.endpoint_fits(model, endpoint, {"native": "/api/v1", "openai": "/compatible-mode/v1"})


def check(request: Request, model: Model, endpoint: Endpoint) -> None:
    """Raises Fault (`Local.…`) for a request that DashScope would refuse, or would charge for without use."""
    check_endpoint(model, endpoint)
    checks.common(request, model, endpoint, local_files(model, endpoint))
    checks.parameters_fit(request, model, endpoint)
    checks.part_options(request, model, endpoint)
    checks.fps_within(request, *FPS)
    if endpoint.protocol != "native":
        checks.no_factors(request)
        checks.one_text(request, "DashScope's OpenAI-compatible mode embeds")


def encode(request: Request, model: Model, endpoint: Endpoint) -> HttpRequest:
    """Returns the HTTP request for a request whose media are loaded.

    Raises the same faults as `check`, and Fault (`Local.BodyTooLarge`).
    """
    check(request, model, endpoint)
    parameters = renamed(request.parameters, model, endpoint.protocol)
    path, body = (
        _native(request, parameters, model) if endpoint.protocol == "native" else _compatible(request, parameters)
    )
    return checks.body_fits(post(endpoint, path, body, _headers(request, endpoint)), MAX_BODY)


def _native(request: Request, parameters: Mapping[str, Any], model: Model) -> tuple[str, dict[str, Any]]:
    if request.embeds:
        return embeddings.NATIVE_PATH, embeddings.native_body(request, parameters, model)
    if dashscope_native.asks_for_increments(request, model):
        parameters = {**parameters, "incremental_output": True}
    return dashscope_native.PATH, dashscope_native.generation_body(request, parameters)


def _compatible(request: Request, parameters: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    if request.embeds:
        return embeddings.OPENAI_PATH, embeddings.openai_body(request, parameters)
    return CHAT_PATH, chat_body(request, parameters, "compatible")


def _headers(request: Request, endpoint: Endpoint) -> tuple[tuple[str, str], ...]:
    headers: list[tuple[str, str]] = []
    if endpoint.workspace:
        headers.append(("X-DashScope-WorkSpace", endpoint.workspace))
    if uses_oss(request):
        headers.append(("X-DashScope-OssResourceResolve", "enable"))
    if endpoint.protocol == "native" and request.stream and not request.embeds:
        headers.append(("X-DashScope-SSE", "enable"))
        headers.append(("Accept", "text/event-stream"))
        headers.append(("X-Accel-Buffering", "no"))
    return tuple(headers)


def reader(request: Request, model: Model, status: int, headers: Mapping[str, str]) -> Reader:
    """Returns a decoder for both protocols. The first object of an answer shows the protocol of the answer."""
    return WireReader("dashscope", model, status, headers, _EitherAccumulator(request, model))


class _EitherAccumulator:
    """Picks the accumulator by the first object of the answer: `choices` at the top means the compatible mode."""

    def __init__(self, request: Request, model: Model) -> None:
        self._request = request
        self._model = model
        self._chosen: Accumulator | None = None

    def add(self, body: dict[str, Any], *, stream: bool) -> None:
        if self._chosen is None and stream and _ANSWER.isdisjoint(body):
            return  # This frame comes before the first piece of the answer.
        if self._chosen is None:
            self._chosen = self._pick(body)
        self._chosen.add(body, stream=stream)

    def _pick(self, body: dict[str, Any]) -> Accumulator:
        if self._request.embeds:
            return VectorAccumulator()
        if "choices" in body and "output" not in body:
            return ChatAccumulator(self._request, whole_needs_reason=True)
        return NativeAccumulator(self._request, mode=stream_mode(self._request, self._model))

    def finished(self) -> bool:
        return self._chosen is not None and self._chosen.finished()

    def closed(self) -> bool:
        return self._chosen is not None and self._chosen.closed()

    def reply(self) -> Reply:
        return self._chosen.reply() if self._chosen is not None else Reply()

    def judge(self, reply: Reply, *, stream: bool) -> Fault | None:
        return self._chosen.judge(reply, stream=stream) if self._chosen is not None else None
