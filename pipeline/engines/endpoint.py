"""Where a job's requests go and with which key."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.errors import JobError
from pipeline.job.load import Spec
from pipeline.providers import Provider
from pipeline.types import Endpoint, Secret

OFFLINE_ORIGIN = "http://embedded.invalid"
"""Never resolved: the in-process transport answers for it."""


def endpoint(spec: Spec, provider: Provider, *, keyless: bool = False) -> Endpoint:
    """The endpoint of a job: its own base_url or the provider's, with the key from the environment or a file.

    Offline, base_url and key are ignored. keyless: no key is asked for, because nothing will be sent.
    Raises JobError where the key is missing, with what to set.
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
    return Endpoint(
        provider=section.name,
        base_url=base.rstrip("/"),
        key=Secret("") if keyless else _key(spec, provider),
        protocol=protocol,
        workspace=section.workspace,
    )


def _key(spec: Spec, provider: Provider) -> Secret:
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


def _from_file(spec: Spec, name: str) -> Secret:
    path = spec.path.parent / Path(name).expanduser()
    try:
        value = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise spec.fail(f"provider.api_key_file: {path} cannot be read: {reason}") from None
    if not value:
        raise spec.fail(f"provider.api_key_file: {path} is empty")
    return _checked(spec, value, f"the file {path}")


def _checked(spec: Spec, value: str, where: str) -> Secret:
    """A key with a space or a line break would break the header, and the error would print it."""
    if not value.isascii() or any(character.isspace() or not character.isprintable() for character in value):
        raise JobError(f"{spec.name}: {where} holds something that is no key (white space or special characters)")
    return Secret(value)
