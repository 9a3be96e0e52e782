"""The services' dialects: Request → HTTP request, HTTP response → Reply or Fault. Pure: no await, no I/O.

A provider is a module here, or an object that another distribution names as an entry point of the group
`pipeline.providers`. A provider declares all that shared code asks: see `Provider` and `DECLARED`.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from pipeline.job.entry_points import Extensible

if TYPE_CHECKING:
    from pipeline.providers.models import Model
    from pipeline.types import Endpoint, HttpRequest, Reader, Request

NAMES = ("dashscope", "openai", "qianfan")
"""The built-in providers: the modules of these names."""
GROUP = "pipeline.providers"
"""The group of entry points under which other distributions name their providers."""
LocalFiles = Literal["upload", "base64", "refuse"]

DECLARED: Mapping[str, Any] = MappingProxyType(
    {
        "ERROR_TABLES": (),  # the error tables that are looked into after the provider's own, by provider name
        "ERRORS": (),  # the provider's own published errors, in the form of the rows of errors.json
        "COMPAT_CODES": False,  # an error is also known by the `compat_code` of its row
        "PARAMETERS": "openai",  # the table of parameters.toml that holds the published parameters
        "OPEN_PARAMETERS": True,  # unknown parameters are passed on, also to a known model
        "THINKING_ON_TOP": False,  # what a model thinks comes on top of the bound on its output
        "CURRENCY": "USD",  # of the line that a message proposes for a missing price
        "PART_FORMS": {},  # by protocol, how the options of a part are written (media_options.Form); else "openai"
        "ANSWER_FORM": "prompt",  # how a schema is sent unless the model or the job says: AnswerSection.form
        "FRAME_LISTS": False,  # a list of frames is sent as one video
    }
)
"""What a provider may declare beside `Provider`, with what holds where it declares nothing."""


class Provider(Protocol):
    """What a provider module offers. `PROTOCOLS` names its wire protocols, the default one first."""

    PROTOCOLS: tuple[str, ...]
    DEFAULT_BASE_URLS: Mapping[str, str]
    KEY_ENV: str

    def default_endpoint(self, protocol: str) -> str:
        """The base URL used when the job names none, without a trailing slash."""
        ...

    def local_files(self, model: Model, endpoint: Endpoint) -> LocalFiles:
        """How an image or audio whose bytes are loaded reaches the service."""
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


_PROVIDERS = Extensible(
    "provider.name",
    GROUP,
    NAMES,
    (
        "PROTOCOLS",
        "DEFAULT_BASE_URLS",
        "KEY_ENV",
        "default_endpoint",
        "local_files",
        "check_endpoint",
        "check",
        "encode",
        "reader",
    ),
)


@functools.cache
def load(name: str) -> Provider:
    """The provider of that name: a built-in one, else the one of an entry point. Raises JobError."""
    if name in NAMES:
        return cast("Provider", importlib.import_module(f"pipeline.providers.{name}"))
    return cast("Provider", _PROVIDERS.brought(name))


def names() -> tuple[str, ...]:
    """The names of all providers: the built-in ones, then those of entry points."""
    return _PROVIDERS.names()


def declared(name: str, key: str) -> Any:
    """What the provider of that name declares under a key of DECLARED."""
    return getattr(load(name), key, DECLARED[key])
