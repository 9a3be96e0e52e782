"""The dialects of the services: Request → HTTP request, HTTP response → Reply or Fault. Pure: no await, no I/O.

A provider is a module here, or an object that another distribution names as an entry point of the group
`pipeline.providers`. Shared code asks a provider only for the attributes in `Provider` and `DECLARED`.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from pipeline.job.entry_points import Extensible

if TYPE_CHECKING:
    from pipeline.providers.model import Model
    from pipeline.types import Endpoint, HttpRequest, Reader, Request

NAMES = ("dashscope", "openai", "qianfan")
"""The built-in providers: the modules of these names."""
GROUP = "pipeline.providers"
"""The group of entry points under which other distributions name their providers."""
LocalFiles = Literal["upload", "base64", "refuse"]

DECLARED: Mapping[str, Any] = MappingProxyType(
    {
        "ERROR_TABLES": (),  # names of providers whose error tables are searched after the provider's own table
        "ERRORS": (),  # the provider's own published errors, in the form of the rows of errors.json
        "COMPAT_CODES": False,  # an error is also known by the `compat_code` of its row
        "PARAMETERS": "openai",  # the table of parameters.toml that holds the published parameters
        "OPEN_PARAMETERS": True,  # unknown parameters are passed on, also to a known model
        "THINKING_ON_TOP": False,  # the tokens that a model thinks come on top of the bound on its output
        "CURRENCY": "USD",  # the currency of the line that a message proposes for a missing price
        "PART_FORMS": {},  # protocol → the form of a part's options (media_options.Form); "openai" if not named
        "ANSWER_FORM": "prompt",  # the form of a schema for the answer, unless the model or the job names one
        "FRAME_LISTS": False,  # a list of frames is sent as one video
    }
)
"""The attributes that a provider may declare beside `Provider`, each with its default."""


class Provider(Protocol):
    """The attributes that each provider has. `PROTOCOLS` names the wire protocols, the default protocol first."""

    PROTOCOLS: tuple[str, ...]
    DEFAULT_BASE_URLS: Mapping[str, str]
    KEY_ENV: str

    def default_endpoint(self, protocol: str) -> str:
        """Returns the base URL for a job that names no base URL, without a trailing slash."""
        ...

    def local_files(self, model: Model, endpoint: Endpoint) -> LocalFiles:
        """Tells how the loaded bytes of an image or audio reach the service."""
        ...

    def check_endpoint(self, model: Model, endpoint: Endpoint) -> None:
        """Raises Fault (`Local.…`) if model, protocol and base URL do not go together. `check` calls this too."""
        ...

    def check(self, request: Request, model: Model, endpoint: Endpoint) -> None:
        """Raises Fault (`Local.…`) for a request that must not be sent. Media may be unresolved or loaded."""
        ...

    def encode(self, request: Request, model: Model, endpoint: Endpoint) -> HttpRequest:
        """Returns the HTTP request to send. All media are Loaded. Equal requests give equal bytes.

        Raises the same faults as `check`.
        """
        ...

    def reader(self, request: Request, model: Model, status: int, headers: Mapping[str, str]) -> Reader:
        """Returns a decoder for one response. `headers` have lower-case names."""
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
    """Returns the provider of that name: a built-in provider, else the provider of an entry point. Raises JobError."""
    if name in NAMES:
        return cast("Provider", importlib.import_module(f"pipeline.providers.{name}"))
    return cast("Provider", _PROVIDERS.brought(name))


def names() -> tuple[str, ...]:
    """Returns the names of all providers: the built-in providers, then the providers of entry points."""
    return _PROVIDERS.names()


def declared(name: str, key: str) -> Any:
    """Returns the value that a provider declares under a key of DECLARED, or the default of the key."""
    return getattr(load(name), key, DECLARED[key])
