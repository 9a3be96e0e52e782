"""The steps of every request: key, scripted fault, quota (requests and tokens), latency, work in threads."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from math import ceil
from typing import Any, TypeVar
from uuid import uuid4

import anyio
import msgspec
from anyio.lowlevel import RunVar
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from pipeline.offline.error_replies import Protocol, Refusal, body_of, status_of
from pipeline.offline.fault_script import FaultScript
from pipeline.offline.limits import MAX_BODY_BYTES
from pipeline.offline.media import Source
from pipeline.offline.models import audio, image
from pipeline.offline.service_options import ServiceOptions
from pipeline.offline.upload_store import Store

_MINUTE = 60.0


class Window:
    """Adds up amounts over the last `seconds`. `fits` tells whether another amount stays within the limit."""

    def __init__(self, limit: int, seconds: float) -> None:
        self.limit = limit
        self.seconds = seconds
        self._events: deque[tuple[float, int]] = deque()
        self._sum = 0

    def fits(self, now: float, amount: int) -> bool:
        while self._events and self._events[0][0] <= now - self.seconds:
            self._sum -= self._events.popleft()[1]
        return self._sum + amount <= self.limit

    def add(self, now: float, amount: int) -> None:
        self._events.append((now, amount))
        self._sum += amount

    @property
    def left(self) -> int:
        return max(0, self.limit - self._sum)


class Quota:
    """Admits or refuses requests. A refused request is not counted. Tokens are counted when the answer is known."""

    def __init__(self, rpm: int | None, tpm: int | None, *, per_second: bool) -> None:
        self.requests: list[Window] = []
        if rpm is not None:
            self.requests.append(Window(rpm, _MINUTE))
            if per_second:
                self.requests.append(Window(max(1, ceil(rpm / 60)), 1.0))
        self.tokens = None if tpm is None else Window(tpm, _MINUTE)

    def admit(self, now: float) -> None:
        """Counts the request, or raises Refusal of kind `rate` or `token-rate`."""
        if not all(window.fits(now, 1) for window in self.requests):
            raise Refusal("rate")
        if self.tokens is not None and not self.tokens.fits(now, 1):
            raise Refusal("token-rate")
        for window in self.requests:
            window.add(now, 1)

    def settle(self, now: float, tokens: int) -> None:
        if self.tokens is not None:
            self.tokens.add(now, tokens)


T = TypeVar("T")

_READERS, _MODELS = 8, 2  # threads that load and check media; threads that run models, one per target-machine core
_limiters: RunVar[dict[int, anyio.CapacityLimiter]] = RunVar("offline_limiters")

_FAULT_REFUSALS = {
    "429": "rate",
    "429+retry-after": "rate",
    "stream-error": "rate",
    "500": "server",
    "502": "bad-gateway",
    "503": "unavailable",
    "504": "gateway",
    "401": "key-invalid",
    "arrears": "arrears",
    "model-gone": "model-gone",
    "inspection": "inspection",
}


class Service:
    """The state behind one app: options, quota, fault plan, uploads."""

    def __init__(self, options: ServiceOptions) -> None:
        self.options = options
        self.quota = Quota(options.rpm, options.tpm, per_second=options.per_second)
        self.plan = FaultScript(options)
        self.store = Store(expires=options.upload_expires)

    def authorize(self, request: Request) -> None:
        """Raises Refusal if the key is missing or is one of `wrong_keys`. Every other key is accepted."""
        header = request.headers.get("authorization", "")
        scheme, _, key = header.partition(" ")
        if not header or (scheme.lower() == "bearer" and not key.strip()):
            raise Refusal("key-missing")
        if scheme.lower() != "bearer" or key.strip() in self.options.wrong_keys:
            raise Refusal("key-invalid")

    async def admit(self, request: Request, *, stream: bool) -> None:
        """Applies scripted fault, header of asynchronous calls, quota and latency, in this order. Raises Refusal."""
        fault = request.scope.get("state", {}).get("fault", "ok")
        if fault in _FAULT_REFUSALS and not (fault == "stream-error" and stream):
            wait = self.options.retry_after if fault == "429+retry-after" else None
            raise Refusal(_FAULT_REFUSALS[fault], retry_after=wait)
        if request.headers.get("x-dashscope-async") == "enable":
            raise Refusal("asynchronous")
        self.quota.admit(anyio.current_time())
        if self.options.latency_ms:
            await anyio.sleep(self.options.latency_ms / 1000)

    def available(self, model: object) -> None:
        """Raises Refusal for a model that is in `models_offline` of the options."""
        if isinstance(model, str) and model in self.options.models_offline:
            raise Refusal("model-gone")

    def source(self, request: Request, model: object) -> Source:
        resolve = request.headers.get("x-dashscope-ossresourceresolve", "").lower() == "enable"
        named: Counter[str] = Counter()

        def stored(reference: str) -> bytes | None:
            named[reference] += 1
            return self.store.find(reference, str(model), named[reference] - 1)

        return Source(stored=stored, resolve=resolve, host=request.url.netloc)

    def settle(self, tokens: int) -> None:
        self.quota.settle(anyio.current_time(), tokens)

    def headers(self) -> dict[str, str]:
        """Returns Qianfan's rate-limit headers if a quota of requests is set, else {}."""
        if not self.quota.requests:
            return {}
        window = self.quota.requests[0]
        return {
            "X-Ratelimit-Limit-Requests": str(window.limit),
            "X-Ratelimit-Remaining-Requests": str(window.left),
        }


async def object_of(request: Request, service: Service) -> dict[str, Any]:
    """Returns the JSON object of the body, at most 64 MiB. Checks the key before decoding the body. Raises Refusal."""
    data = await body_bytes(request, MAX_BODY_BYTES)
    service.authorize(request)
    try:
        found = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Refusal("json") from error
    if not isinstance(found, dict):
        raise Refusal("json")
    return found


async def body_bytes(request: Request, most: int) -> bytes:
    """Returns the body. Raises Refusal if the body is longer than `most` bytes; the rest is read and dropped."""
    kept, size = [], 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size <= most:
                kept.append(chunk)
    except ClientDisconnect as error:
        raise Refusal("json") from error
    if size > most:
        raise Refusal("body")
    return b"".join(kept)


async def in_reader(work: Callable[[], T]) -> T:
    """Runs loading and checking in one of eight threads. Raises the same errors as `work`."""
    return await _in_thread(work, _READERS)


async def in_model(work: Callable[[], T]) -> T:
    """Runs model work in one of two threads. Raises Refusal for broken data, and the other errors of `work`."""
    try:
        return await _in_thread(work, _MODELS)
    except image.TooLarge as error:
        raise Refusal("picture-sides") from error
    except image.Unreadable as error:
        raise Refusal("picture") from error
    except audio.NotAudio as error:
        raise Refusal("parameter", "The audio format is illegal and cannot be opened.") from error


async def _in_thread(work: Callable[[], T], threads: int) -> T:
    limiters = _limiters.get({})
    if threads not in limiters:
        limiters[threads] = anyio.CapacityLimiter(threads)
        _limiters.set(limiters)
    return await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=limiters[threads])


def json_response(value: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(value), status, dict(headers or {}), "application/json")


def error_response(refusal: Refusal, protocol: Protocol, request_id: str) -> Response:
    headers = {"x-request-id": request_id}
    if refusal.retry_after is not None:
        headers["retry-after"] = f"{refusal.retry_after:g}"
    return json_response(body_of(refusal, protocol, request_id), status_of(refusal, protocol), headers)


def identity(protocol: Protocol) -> str:
    """Returns a new request id: a UUID, for Qianfan `as-` and ten characters."""
    return f"as-{uuid4().hex[:10]}" if protocol == "qianfan" else str(uuid4())
