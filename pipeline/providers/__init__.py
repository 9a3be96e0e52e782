"""The services' dialects: Request → HTTP request, HTTP response → Reply or Fault. Pure: no await, no I/O."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, Protocol, cast

from pipeline.errors import JobError

if TYPE_CHECKING:
    from pipeline.providers.models import Model
    from pipeline.types import Endpoint, HttpRequest, Reader, Request

NAMES = ("dashscope", "openai", "qianfan")
LocalFiles = Literal["upload", "base64", "refuse"]


class Provider(Protocol):
    """What a provider module offers. `PROTOCOLS` names its wire protocols, the default one first."""

    PROTOCOLS: tuple[str, ...]
    DEFAULT_BASE_URLS: Mapping[str, str]
    KEY_ENV: str

    def default_endpoint(self, protocol: str) -> str:
        """The base URL used when the job names none, without a trailing slash."""
        ...

    def local_files(self, model: Model, endpoint: Endpoint) -> LocalFiles:
        """How a picture or sound whose bytes we hold reaches the service."""
        ...

    def check_endpoint(self, model: Model, endpoint: Endpoint) -> None:
        """Raises Fault (`Local.…`) where model, protocol and base URL do not go together; `check` does it too."""
        ...

    def check(self, request: Request, model: Model, endpoint: Endpoint) -> None:
        """Raises Fault (`Local.…`) for what must not be sent. Media may be unresolved or loaded."""
        ...

    def encode(self, request: Request, model: Model, endpoint: Endpoint) -> HttpRequest:
        """The exchange to make. All media are Loaded; equal requests give equal bytes. Raises Fault as `check` does."""
        ...

    def reader(self, request: Request, model: Model, status: int, headers: Mapping[str, str]) -> Reader:
        """A decoder for one response. `headers` have lower-case names."""
        ...


def load(name: str) -> Provider:
    """The provider module of that name. Raises JobError naming the nearest one."""
    if name not in NAMES:
        near = difflib.get_close_matches(name, NAMES, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise JobError(f"provider.name: {name!r} is not one of {', '.join(NAMES)}{hint}")
    return cast("Provider", importlib.import_module(f"pipeline.providers.{name}"))
