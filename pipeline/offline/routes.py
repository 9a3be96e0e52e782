"""The paths of the service: the protocol of each path, and the function that answers."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from pipeline.offline import compatible, native, openai_vectors, qianfan, vectors
from pipeline.offline.error_replies import Protocol, Refusal, body_of, status_of
from pipeline.offline.fault_script import App, Scripted
from pipeline.offline.media import PATH as SAMPLES
from pipeline.offline.media import sample
from pipeline.offline.service import (
    Service,
    body_bytes,
    error_response,
    identity,
    in_model,
    in_reader,
    json_response,
    object_of,
)
from pipeline.offline.service_options import ServiceOptions
from pipeline.offline.upload_store import MAX_FILE_BYTES, OSS_PATH, OssFault

_GENERATION = "/api/v1/services/aigc/multimodal-generation/generation"
_EMBEDDING = "/api/v1/services/embeddings/multimodal-embedding/multimodal-embedding"
_FORM_BYTES = MAX_FILE_BYTES + 64 * 1024
_MODELS = ("qwen3-vl-plus", "qwen-vl-ocr", "multimodal-embedding-one-peace-v1", "qwen3-vl-embedding")

Endpoint = Callable[[Request], Awaitable[Response]]


def build(options: ServiceOptions) -> App:
    """Returns the app for all protocols. The scripted faults of the options apply to its model calls."""
    service = Service(options)
    routes = [
        Route(_GENERATION, _refusing(_native(service), "native"), methods=["POST"]),
        Route(_EMBEDDING, _refusing(_vectors(service), "native"), methods=["POST"]),
        Route("/api/v1/uploads", _refusing(_certificate(service), "native"), methods=["GET"]),
        Route(OSS_PATH, _oss(service), methods=["POST"]),
        Route(f"{SAMPLES}{{name}}", _sample, methods=["GET"]),
        Route("/v2/chat/completions", _refusing(_qianfan(service), "qianfan"), methods=["POST"]),
        Route("/v2/embeddings", _refusing(_qianfan_vectors(service), "qianfan"), methods=["POST"]),
    ]
    for base in ("/compatible-mode/v1", "/v1"):
        chat = _compatible(service, dashscope=base != "/v1")
        embeddings = _openai_vectors(service, messages=base == "/v1")
        routes += [
            Route(f"{base}/chat/completions", _refusing(chat, "compatible"), methods=["POST"]),
            Route(f"{base}/embeddings", _refusing(embeddings, "compatible"), methods=["POST"]),
            Route(f"{base}/models", _refusing(_models(service), "compatible"), methods=["GET"]),
        ]
    app = Starlette(routes=routes, exception_handlers={404: _no_path, 405: _no_path})
    return Scripted(app, service.plan)


def _refusing(answer: Callable[[Request, str], Awaitable[Response]], protocol: Protocol) -> Endpoint:
    """Gives each request its request id, and turns a Refusal into the error body of the protocol."""

    async def endpoint(request: Request) -> Response:
        request_id = identity(protocol)
        try:
            return await answer(request, request_id)
        except Refusal as refusal:
            return error_response(refusal, protocol, request_id)

    return endpoint


async def _sample(request: Request) -> Response:
    body = sample(request.path_params["name"])
    return await _no_path(request, HTTPException(404)) if body is None else Response(body, media_type="image/jpeg")


async def _no_path(request: Request, error: Exception) -> Response:
    kind = "method" if isinstance(error, HTTPException) and error.status_code == 405 else "path"
    path = request.url.path
    protocol: Protocol = "qianfan" if path.startswith("/v2") else "native" if path.startswith("/api") else "compatible"
    return error_response(Refusal(kind), protocol, identity(protocol))


def _native(service: Service) -> Callable[[Request, str], Awaitable[Response]]:
    async def answer(request: Request, request_id: str) -> Response:
        body = await object_of(request, service)
        stream = request.headers.get("x-dashscope-sse", "").lower() == "enable"
        await service.admit(request, stream=stream)
        service.available(body.get("model"))
        source = service.source(request, body.get("model"))
        conversation = await in_reader(lambda: native.read(body, source, stream=stream))
        said = await in_model(lambda: native.answer(conversation))
        service.settle(said.counted.taken + said.counted.given)
        if not stream:
            return json_response(native.reply(said, conversation, request_id), headers={"x-request-id": request_id})
        frames = native.frames(said, conversation, request_id)
        return _stream(request, frames, lambda refusal: _native_error(refusal, request_id))

    return answer


def _native_error(refusal: Refusal, request_id: str) -> bytes:
    return native.frame(3, "error", status_of(refusal, "native"), body_of(refusal, "native", request_id))


def _compatible(service: Service, *, dashscope: bool) -> Callable[[Request, str], Awaitable[Response]]:
    async def answer(request: Request, request_id: str) -> Response:
        body = await object_of(request, service)
        stream = bool(body.get("stream"))
        await service.admit(request, stream=stream)
        service.available(body.get("model"))
        source, created = service.source(request, body.get("model")), int(time.time())
        conversation = await in_reader(lambda: compatible.read(body, source, created=created, dashscope=dashscope))
        said = await in_model(lambda: native.answer(conversation))
        service.settle(said.counted.taken + said.counted.given)
        name = f"chatcmpl-{request_id}"
        if not stream:
            return json_response(compatible.reply(said, conversation, name), headers={"x-request-id": request_id})
        chunks = compatible.chunks(said, conversation, name)
        return _stream(request, chunks, lambda refusal: compatible.event(body_of(refusal, "compatible", request_id)))

    return answer


def _qianfan(service: Service) -> Callable[[Request, str], Awaitable[Response]]:
    async def answer(request: Request, request_id: str) -> Response:
        body = await object_of(request, service)
        stream = bool(body.get("stream"))
        await service.admit(request, stream=stream)
        service.available(body.get("model"))
        source, created = service.source(request, body.get("model")), int(time.time())
        conversation = await in_reader(lambda: qianfan.read(body, source, created=created))
        said = await in_model(lambda: native.answer(conversation))
        counted = qianfan.count(said, conversation)
        service.settle(counted.taken + counted.given)
        if not stream:
            return json_response(qianfan.reply(said, conversation, request_id), headers=service.headers())
        chunks = qianfan.chunks(said, conversation, request_id)
        return _stream(request, chunks, lambda refusal: compatible.event(body_of(refusal, "qianfan", request_id)))

    return answer


def _stream(request: Request, frames: Iterator[bytes], error: Callable[[Refusal], bytes]) -> Response:
    """Returns server-sent events. A scripted stream error replaces the third frame and ends the stream."""
    spoiled = request.scope.get("state", {}).get("fault") == "stream-error"

    async def body() -> AsyncIterator[bytes]:
        for number, frame in enumerate(frames, 1):
            if spoiled and number == 3:
                yield error(Refusal("rate"))
                return
            yield frame

    return StreamingResponse(body(), media_type="text/event-stream;charset=UTF-8")


def _vectors(service: Service) -> Callable[[Request, str], Awaitable[Response]]:
    async def answer(request: Request, request_id: str) -> Response:
        body = await object_of(request, service)
        await service.admit(request, stream=False)
        service.available(body.get("model"))
        source = service.source(request, body.get("model"))
        wanted = await in_reader(lambda: vectors.read(body, source))
        found = await in_model(lambda: vectors.compute(wanted))
        service.settle(vectors.cost(wanted))
        return json_response(vectors.reply(wanted, found, request_id), headers={"x-request-id": request_id})

    return answer


def _openai_vectors(service: Service, **taken: Any) -> Callable[[Request, str], Awaitable[Response]]:
    """Returns the answer function of `/embeddings`. `taken`: keyword arguments for `openai_vectors.read`."""

    async def answer(request: Request, request_id: str) -> Response:
        body = await object_of(request, service)
        await service.admit(request, stream=False)
        service.available(body.get("model"))
        source = service.source(request, body.get("model"))
        wanted = await in_reader(lambda: openai_vectors.read(body, source, **taken))
        found = await in_model(lambda: openai_vectors.reply(body, wanted, request_id))
        service.settle(found["usage"]["total_tokens"])
        return json_response(found, headers={"x-request-id": request_id})

    return answer


def _qianfan_vectors(service: Service) -> Callable[[Request, str], Awaitable[Response]]:
    return _openai_vectors(service, single=False, encodings=(None, "float"))


def _models(service: Service) -> Callable[[Request, str], Awaitable[Response]]:
    async def answer(request: Request, _request_id: str) -> Response:
        service.authorize(request)
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "embedded-service"} for name in _MODELS]
        return json_response({"object": "list", "data": data})

    return answer


def _certificate(service: Service) -> Callable[[Request, str], Awaitable[Response]]:
    async def answer(request: Request, request_id: str) -> Response:
        service.authorize(request)
        if request.query_params.get("action") != "getPolicy":
            raise Refusal("parameter", "Parameter action should be getPolicy.")
        host = str(request.url.replace(path=OSS_PATH, query=""))
        return json_response(service.store.certificate(request.query_params.get("model", ""), host, request_id))

    return answer


def _oss(service: Service) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        try:
            body = await body_bytes(request, _FORM_BYTES)
            service.store.post(request.headers.get("content-type", ""), body)
        except Refusal:
            fault = OssFault(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
            return Response(fault.body(), fault.status, media_type="application/xml")
        except OssFault as fault:
            return Response(fault.body(), fault.status, media_type="application/xml")
        return Response(b"", 200)

    return endpoint
