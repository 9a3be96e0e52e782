"""The services' dialects: Request → HTTP request, HTTP response → Reply or Fault. Pure: no await, no I/O.

A provider is a module here, or an object that another distribution names as an entry point of the group
`pipeline.providers`. A provider declares all that shared code asks: see `Provider` and `DECLARED`.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from pipeline.errors import JobError
from pipeline.job.values import did_you_mean, for_message

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


_NEEDED = ("PROTOCOLS", "DEFAULT_BASE_URLS", "KEY_ENV", "default_endpoint", "local_files", "check_endpoint", "check",
           "encode", "reader")  # fmt: skip


@functools.cache
def load(name: str) -> Provider:
    """The provider of that name: a built-in one, else the one of an entry point.

    Raises JobError with the known names, or naming the distribution whose provider cannot be used.
    """
    if name in NAMES:
        return cast("Provider", importlib.import_module(f"pipeline.providers.{name}"))
    for point in entry_points(group=GROUP, name=name):
        return _loaded(point)
    known = names()
    found = f"found {for_message(name)}, expected one of {', '.join(known)}{did_you_mean(name, known)}"
    raise JobError(f"provider.name: {found}")


def names() -> tuple[str, ...]:
    """The names of all providers: the built-in ones, then those of entry points."""
    others = sorted(point.name for point in entry_points(group=GROUP) if point.name not in NAMES)
    return (*NAMES, *others)


def declared(name: str, key: str) -> Any:
    """What the provider of that name declares under a key of DECLARED."""
    return getattr(load(name), key, DECLARED[key])


def _loaded(point: EntryPoint) -> Provider:
    origin = "an unknown distribution" if point.dist is None else f"{point.dist.name} {point.dist.version}"
    where = f"provider.name: {point.name!r} is a provider of {origin} ({point.value})"
    try:
        found = point.load()
    except Exception as error:
        raise JobError(f"{where}, which cannot be loaded: {type(error).__name__}: {error}") from error
    missing = [name for name in _NEEDED if not hasattr(found, name)]
    if missing:
        raise JobError(f"{where}, which lacks {', '.join(missing)}")
    return cast("Provider", found)
