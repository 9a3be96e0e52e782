"""The endpoint of a job: the address of the service, the key and the extra headers."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.errors import JobError
from pipeline.job.file import read_small
from pipeline.job.load import LoadedJob
from pipeline.providers import Provider
from pipeline.types import Endpoint, Secret

MOST_KEY_BYTES = 64 * 1024

OFFLINE_ORIGIN = "http://embedded.invalid"
"""The origin of offline requests. The name is never resolved: the in-process transport answers the requests."""


def endpoint(spec: LoadedJob, provider: Provider, *, keyless: bool = False) -> Endpoint:
    """Returns the endpoint of a job: the job's base_url or the provider's, with the key from the environment or a file.

    Offline, base_url and key are ignored. keyless: no key is needed, because nothing will be sent. Raises JobError for
    a base_url or a header that cannot be used, and for a missing key; the error says what to set.
    """
    section = spec.job.provider
    protocol = section.protocol or provider.PROTOCOLS[0]
    base = section.base_url or provider.default_endpoint(protocol)
    if spec.offline:
        default = provider.default_endpoint(protocol)
        path = default.split("//", 1)[1].partition("/")[2]
        return Endpoint(
            provider=section.name, base_url=f"{OFFLINE_ORIGIN}/{path}", key=Secret("offline"), protocol=protocol
        )
    _check_address(spec, base)
    key = Secret("") if keyless else _key(spec, provider)
    return Endpoint(
        provider=section.name,
        base_url=base.rstrip("/"),
        key=key,
        protocol=protocol,
        workspace=section.workspace,
        headers=extra_headers(spec, key),
    )


_OURS = {
    "authorization": "the key comes from provider.api_key_env or provider.api_key_file",
    "proxy-authorization": "a proxy's login belongs in its address",
    "cookie": "no session is kept",
    "x-dashscope-workspace": "set provider.workspace",
    "x-dashscope-sse": "set provider.stream",
    "x-dashscope-ossresourceresolve": "it is sent where an upload is referred to",
    "x-dashscope-async": "answers are awaited",
    "appid": "set provider.workspace",
    **dict.fromkeys(
        ("host", "content-type", "content-length", "transfer-encoding", "connection", "accept-encoding", "te",
         "upgrade", "expect", "keep-alive", "trailer"),
        "it belongs to the connection",
    ),
}  # fmt: skip
"""Headers that a job cannot set, with the reason. Headers that could carry a key, such as `api-key`, are refused by the
words in `_KEY_WORDS`."""
_KEY_WORDS = ("api-key", "apikey", "api_key", "access-key", "secret-key")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def extra_headers(spec: LoadedJob, key: Secret) -> tuple[tuple[str, str], ...]:
    """Returns the job's `provider.headers`.

    Raises JobError for a name that is no header name, that stands in `_OURS`, that could carry a key or that is given
    twice. Raises JobError for a value that is no header text or contains the key.
    """
    found: list[tuple[str, str]] = []
    for name, value in spec.job.provider.headers.items():
        where, lower = f"provider.headers.{name}", name.lower()
        if not _TOKEN.fullmatch(name):
            raise spec.fail(f"{where}: this is no header name")
        if lower in _OURS:
            raise spec.fail(f"{where}: cannot be set here: {_OURS[lower]}")
        if any(word in lower for word in _KEY_WORDS):
            raise spec.fail(f"{where}: cannot be set here: a key is never written in a job; {_OURS['authorization']}")
        if not value.isascii() or not value.isprintable() or value != value.strip():
            raise spec.fail(f"{where}: expected printable ASCII text without outer blanks")
        if key.reveal() and key.reveal() in value:
            raise spec.fail(f"{where}: holds the key; the key goes out as the Authorization header alone")
        if lower in (other.lower() for other, _ in found):
            raise spec.fail(f"{where}: is given twice")
        found.append((name, value))
    return tuple(found)


def _check_address(spec: LoadedJob, base: str) -> None:
    """Raises JobError for a base_url that is no address, or that leads to another place than a reader expects.

    The error does not show a login in the address.
    """
    try:
        parts = urlsplit(base)
        host, _ = parts.hostname, parts.port
        problem = None if parts.scheme in ("http", "https") and host else "expected http(s)://host/path"
    except ValueError as error:
        raise spec.fail(f"provider.base_url: this is no address: {error}") from None
    if parts.username is not None or parts.password is not None:
        problem = "a login does not belong in the address; the key comes from provider.api_key_env"
    elif "\\" in base or any(letter.isspace() or not letter.isprintable() for letter in base):
        problem = "an address holds no backslash, white space or control character"
    elif parts.query or parts.fragment:
        problem = "what follows ? or # would stand in the middle of the address; leave it out"
    if problem is not None:
        raise spec.fail(f"provider.base_url: {problem}")


def _key(spec: LoadedJob, provider: Provider) -> Secret:
    section = spec.job.provider
    if section.api_key_file is not None:
        return _from_file(spec, section.api_key_file)
    name = section.api_key_env or provider.KEY_ENV
    value = os.environ.get(name, "").strip()
    if not value:
        raise spec.fail(
            f"the key variable {name} is not set: `export {name}=…`, name another in provider.api_key_env, "
            "or try the job without a key with --offline"
        )
    return _checked(spec, value, f"the variable {name}")


def _from_file(spec: LoadedJob, name: str) -> Secret:
    path = spec.path.parent / Path(name).expanduser()
    try:
        value = read_small(path, MOST_KEY_BYTES).decode("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise spec.fail(f"provider.api_key_file: {path} cannot be read: {reason}") from None
    if not value:
        raise spec.fail(f"provider.api_key_file: {path} is empty")
    return _checked(spec, value, f"the file {path}")


def _checked(spec: LoadedJob, value: str, where: str) -> Secret:
    """Returns the key. Raises JobError for a key with white space or special characters.

    A key with a space or a line break would break the header, and the header's error would print the key.
    """
    if not value.isascii() or any(character.isspace() or not character.isprintable() for character in value):
        raise JobError(f"{spec.name}: {where} holds something that is no key (white space or special characters)")
    return Secret(value)
