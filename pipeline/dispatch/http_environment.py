"""Proxies and certificate authorities that the environment names."""

from __future__ import annotations

import os
import ssl
import urllib.request
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from pipeline.errors import JobError
from pipeline.machine import pass_on


def tls_context() -> ssl.SSLContext:
    """Returns a context that verifies host and chain. Raises JobError for certificate authorities that cannot be
    read."""
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        place = os.environ.get(name)
        if place:
            return _authorities(name, place)
    return httpx.create_ssl_context()


def _authorities(name: str, place: str) -> ssl.SSLContext:
    """Returns a context with these certificate authorities. Raises JobError for a file that is missing or holds no
    certificates."""
    try:
        if Path(place).is_dir():
            return ssl.create_default_context(capath=place)
        return ssl.create_default_context(cafile=place)
    except OSError as error:  # an SSLError is an OSError
        pass_on(error)
        reason = error.strerror or error
        raise JobError(f"{name} names {place}, from which no certificates can be read: {reason}") from None


def environment_proxies() -> dict[str, str]:
    """Returns scheme → proxy URL. Raises JobError for a proxy other than http and https."""
    found: dict[str, str] = {}
    for scheme, address in urllib.request.getproxies_environment().items():
        if scheme == "no" or not address:
            continue
        if "://" not in address:
            address = f"http://{address}"
        if not address.startswith(("http://", "https://")):
            kind = address.split("://")[0]
            raise JobError(f"{scheme.upper()}_PROXY names a {kind} proxy; only http and https proxies are supported")
        found[scheme] = address
    return found


def proxy_for(url: str, proxies: Mapping[str, str]) -> str | None:
    """Returns the proxy for `url`, None if there is none. Loopback addresses and hosts in NO_PROXY have no proxy."""
    if not proxies:
        return None
    parts = urlsplit(url)
    host = parts.hostname or ""
    if _is_loopback(host) or urllib.request.proxy_bypass_environment(host):  # type: ignore[attr-defined]
        return None
    return proxies.get(parts.scheme) or proxies.get("all")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
