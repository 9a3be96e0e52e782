"""The fault for each error of aiohttp."""

from __future__ import annotations

import aiohttp

from pipeline.dispatch.descriptors import exhausted
from pipeline.dispatch.transport import read_timeout
from pipeline.errors import Fault
from pipeline.job.schema import TimeoutsSection
from pipeline.machine import is_scarce, shortage
from pipeline.providers.faults import PROXY_HINT, PROXY_PASSWORD


def shortage_of(error: Exception) -> Fault | None:
    """Returns the fault if this machine had no descriptor or no memory for the connection, else None."""
    if is_scarce(error) or (isinstance(error, aiohttp.ClientConnectorDNSError) and exhausted()):
        return shortage(error)
    return None


def wire_fault(error: Exception, timeouts: TimeoutsSection) -> Fault | None:
    """Returns the fault for an error of the connection or of HTTP; None for a bug."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return Fault("account", "Local.CertificateRefused", f"{error.host}: {error.certificate_error}")
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            return _proxy_fault(error)
        case aiohttp.ClientConnectorError():
            return _transient("ConnectFailed", f"{error.host}:{error.port}: {_text_of(error.os_error)}")
        case aiohttp.ConnectionTimeoutError():
            return _transient("ConnectTimeout", f"no connection within {timeouts.connect:g} s (timeouts.connect)")
        case aiohttp.SocketTimeoutError():
            return read_timeout(timeouts.read)
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            return Fault("rejected", "Local.InvalidUrl", "the address is not an http(s) URL: correct provider.base_url")
        case aiohttp.ClientConnectionError() | ConnectionError():
            return _transient("Disconnected", f"the server hung up before answering: {_text_of(error)}")
        case aiohttp.ClientPayloadError() | aiohttp.ClientResponseError():
            return Fault("malformed", "Local.NotHttp", f"the answer is not HTTP: {type(error).__name__}", retry="yes")
        case aiohttp.ClientError() | OSError():
            return _transient("ConnectFailed", _text_of(error))
    return None


def _proxy_fault(error: aiohttp.ClientError) -> Fault:
    if getattr(error, "status", None) == PROXY_PASSWORD:
        return Fault("account", "Local.ProxyFailed", f"the proxy refused the connection (HTTP 407): {PROXY_HINT}")
    return _transient("ProxyFailed", f"the proxy refused the connection: {_text_of(error)}")


def _transient(name: str, message: str) -> Fault:
    return Fault("transient", f"Local.{name}", message, retry="yes")


def write_timeout(seconds: float) -> Fault:
    """Returns the fault of a request that was not sent within `timeouts.write`."""
    return _transient("WriteTimeout", f"the request could not be sent within {seconds:g} s (timeouts.write)")


def _text_of(error: BaseException) -> str:
    return (str(error) or type(error).__name__)[:200]
