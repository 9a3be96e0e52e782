"""Checks of addresses: whether a URL can be sent unchanged, and whether a host is private."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

import aiohttp
import aiohttp.abc

from pipeline.errors import Fault, refusal

_VALID = re.compile(
    r"https?://[A-Za-z0-9\-._~:\[\]@!$&'()*+,;=%]+"
    r"(?:[/?#](?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*)?",
    re.IGNORECASE,
)
"""The http and https URLs that RFC 3986 allows."""

_NAT64 = ip_network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address


def is_valid(url: str) -> bool:
    """Tells whether every character of an http(s) URL is allowed at its place. A valid URL is sent unchanged."""
    return _VALID.fullmatch(url) is not None


def is_private(address: str) -> bool:
    """Tells whether an IP address belongs to this machine, to its networks or to no network at all (IANA's
    special-purpose registries, as Python's ipaddress has them). Checks IPv4 addresses inside IPv6 addresses too."""
    try:
        found: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if inner is None and found in _NAT64:
            inner = IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            found = inner
    return not found.is_global or found.is_multicast


def private_address(host: str, address: str) -> Fault:
    """Returns the refusal of a host at a private address."""
    where = host if host == address else f"{host} ({address})"
    return refusal(
        "PrivateAddress",
        f"{where} is an address of this machine or of a private network, which is not fetched; "
        "set media.private = true if it is meant",
    )


class PublicResolver(aiohttp.abc.AbstractResolver):
    """A resolver of host names that refuses a name with only private addresses. proxies: hosts that are always
    allowed."""

    def __init__(self, proxies: frozenset[str]) -> None:
        self._inner = aiohttp.ThreadedResolver()
        self._proxies = proxies

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[Any]:
        """Returns the public addresses of `host`, as aiohttp's own resolver does; for a proxy, all addresses. Raises
        Fault `Local.PrivateAddress`."""
        found = await self._inner.resolve(host, port, family)
        if host in self._proxies:
            return found
        public = [one for one in found if not is_private(one["host"])]
        if found and not public:
            raise private_address(host, found[0]["host"])
        return public

    async def close(self) -> None:
        await self._inner.close()
