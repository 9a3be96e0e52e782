"""Any OpenAI-compatible server: chat completions and embeddings (vLLM, llama.cpp, Ollama, LiteLLM, OpenAI …)."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.providers import LocalFiles, checks
from pipeline.providers.body import post
from pipeline.providers.embeddings import OPENAI_PATH, VectorAccumulator, openai_body
from pipeline.providers.model import Model
from pipeline.providers.openai_chat import PATH as CHAT_PATH
from pipeline.providers.openai_chat import ChatAccumulator, chat_body
from pipeline.providers.parameter_bounds import renamed
from pipeline.providers.reader import WireReader
from pipeline.types import Endpoint, HttpRequest, Reader, Request

PROTOCOLS: tuple[str, ...] = ("openai",)
ANSWER_FORM = "json_schema"
DEFAULT_BASE_URLS: Mapping[str, str] = {"openai": "https://api.openai.com/v1"}
KEY_ENV = "OPENAI_API_KEY"
ERROR_TABLES = ("dashscope", "qianfan")  # gateways pass on the errors of the services behind them


def default_endpoint(protocol: str) -> str:
    """Returns OpenAI's own base URL. For any other server, `provider.base_url` names the address."""
    return DEFAULT_BASE_URLS[protocol]


def local_files(model: Model, endpoint: Endpoint) -> LocalFiles:
    """Tells how local files are sent: as base64 `data:` URLs, or not at all if the model takes URLs only."""
    return "refuse" if model.urls_only else "base64"


def check_endpoint(model: Model, endpoint: Endpoint) -> None:
    """Raises Fault (`Local.BaseUrl`, `Local.Protocol`, `Local.Workspace`) for an endpoint that cannot serve the job."""
    checks.endpoint_fits(model, endpoint, {})
    checks.no_workspace(endpoint)


def check(request: Request, model: Model, endpoint: Endpoint) -> None:
    """Raises Fault (`Local.…`) for a request that no OpenAI-compatible server takes, or that the model refuses."""
    check_endpoint(model, endpoint)
    checks.common(request, model, endpoint, local_files(model, endpoint))
    checks.parameters_fit(request, model, endpoint)
    checks.part_options(request, model, endpoint)
    checks.no_factors(request)


def encode(request: Request, model: Model, endpoint: Endpoint) -> HttpRequest:
    """Returns the HTTP request for a request whose media are loaded. Raises the same faults as `check`."""
    check(request, model, endpoint)
    parameters = renamed(request.parameters, model, endpoint.protocol)
    if request.embeds:
        return post(endpoint, OPENAI_PATH, openai_body(request, parameters))
    return post(endpoint, CHAT_PATH, chat_body(request, parameters, "openai"))


def reader(request: Request, model: Model, status: int, headers: Mapping[str, str]) -> Reader:
    """Returns a decoder for one response, whole or streamed."""
    if request.embeds:
        return WireReader("openai", model, status, headers, VectorAccumulator())
    return WireReader("openai", model, status, headers, ChatAccumulator(request, whole_needs_reason=False))
