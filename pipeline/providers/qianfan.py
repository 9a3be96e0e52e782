"""The provider for Baidu Qianfan v2: chat with text and pictures (ERNIE 4.5, Llama 4), and embeddings of texts."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.providers import LocalFiles, checks
from pipeline.providers.body import post
from pipeline.providers.embeddings import OPENAI_PATH, VectorAccumulator, qianfan_body
from pipeline.providers.model import Model
from pipeline.providers.openai_chat import PATH, ChatAccumulator, chat_body
from pipeline.providers.parameter_bounds import renamed
from pipeline.providers.reader import WireReader
from pipeline.types import Endpoint, HttpRequest, Reader, Request

PROTOCOLS: tuple[str, ...] = ("openai",)
DEFAULT_BASE_URLS: Mapping[str, str] = {"openai": "https://qianfan.baidubce.com/v2"}
KEY_ENV = "QIANFAN_API_KEY"
PARAMETERS = "qianfan"
OPEN_PARAMETERS = False
THINKING_ON_TOP = True
CURRENCY = "CNY"
PART_FORMS = {"openai": "qianfan"}


def default_endpoint(protocol: str) -> str:
    """Returns the base URL of the OpenAI sample on Qianfan's page.

    `qianfan.bj.baidubce.com` works as well (PROTOCOLS.md trap 46).
    """
    return DEFAULT_BASE_URLS[protocol]


def local_files(model: Model, endpoint: Endpoint) -> LocalFiles:
    """Tells how local files are sent: as base64 `data:` URLs, or not at all if the model takes URLs only.

    Qianfan takes JPG, JPEG, PNG and BMP of at most 10 MB decoded (PROTOCOLS.md §4.2).
    """
    return "refuse" if model.urls_only else "base64"


def check_endpoint(model: Model, endpoint: Endpoint) -> None:
    """Raises Fault (`Local.BaseUrl`, `Local.Protocol`) for an endpoint that cannot serve any request of the job."""
    checks.endpoint_fits(model, endpoint, {})


def check(request: Request, model: Model, endpoint: Endpoint) -> None:
    """Raises Fault (`Local.…`) for a request that Qianfan would refuse."""
    check_endpoint(model, endpoint)
    checks.common(request, model, endpoint, local_files(model, endpoint))
    checks.no_frames(request, "Qianfan")
    checks.qianfan_extras(request, model)
    checks.parameters_fit(request, model, endpoint)
    checks.part_options(request, model, endpoint)
    checks.no_factors(request)
    checks.one_text(request, "Qianfan embeds")


def encode(request: Request, model: Model, endpoint: Endpoint) -> HttpRequest:
    """Returns the HTTP request for a request whose media are loaded. A workspace is sent as the `appid` header.

    Raises the same faults as `check`.
    """
    check(request, model, endpoint)
    parameters = renamed(request.parameters, model, endpoint.protocol)
    headers = (("appid", endpoint.workspace),) if endpoint.workspace else ()
    if request.embeds:
        return post(endpoint, OPENAI_PATH, qianfan_body(request, parameters), headers)
    return post(endpoint, PATH, chat_body(request, parameters, "qianfan"), headers)


def reader(request: Request, model: Model, status: int, headers: Mapping[str, str]) -> Reader:
    """Returns a decoder for one response, whole or streamed. It reads all three error shapes, also under HTTP 200."""
    if request.embeds:
        return WireReader("qianfan", model, status, headers, VectorAccumulator())
    return WireReader("qianfan", model, status, headers, ChatAccumulator(request, whole_needs_reason=False))
