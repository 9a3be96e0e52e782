"""DashScope's upload protocol for local files: certificate, form upload, `oss://` reference (PROTOCOLS.md §1.7).

A certificate may serve many files until it expires. Every object name has a unique prefix, because two files with the
same name under one certificate would collide (PROTOCOLS.md trap 22). This module reads no file: the bytes are in
`Loaded.body`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from pipeline.errors import Fault, refusal
from pipeline.providers import error_body, faults, lenient_json
from pipeline.providers.error_body import ErrorInfo
from pipeline.providers.safe_text import clean, excerpt, hide
from pipeline.types import Endpoint, HttpRequest, Loaded

OBJECT_SECONDS = 48 * 3600
_XML_CODE = re.compile(rb"<Code>([^<]{1,100})</Code>")
_XML_MESSAGE = re.compile(rb"<Message>([^<]{1,1000})</Message>")
_XML_ID = re.compile(rb"<RequestId>([^<]{1,100})</RequestId>")
_UNSAFE_NAME = re.compile(r"[\x00-\x1f\x7f/\\]")


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """The right to upload. `expires_in`: seconds from the time of issue. The repr shows no signature."""

    policy: str
    signature: str
    directory: str
    host: str
    access_key_id: str
    acl: str
    forbid_overwrite: str
    expires_in: float
    max_bytes: int | None = None

    def __repr__(self) -> str:
        return f"Certificate({self.host}, {self.directory}, expires in {self.expires_in:g} s)"


def certificate_request(endpoint: Endpoint, model_name: str) -> HttpRequest:
    """Returns `GET …/uploads?action=getPolicy&model=…`. The model named here must be the model called later."""
    query = urlencode({"action": "getPolicy", "model": model_name}, quote_via=quote)
    headers = [("Authorization", f"Bearer {hide(endpoint.key)}"), ("Accept", "application/json")]
    if endpoint.workspace:
        headers.append(("X-DashScope-WorkSpace", endpoint.workspace))
    headers += endpoint.headers
    return HttpRequest(method="GET", url=f"{endpoint.base_url.rstrip('/')}/uploads?{query}", headers=tuple(headers))


def read_certificate(status: int, headers: Mapping[str, str], body: bytes) -> Certificate:
    """Returns the certificate in an answer. Raises Fault for an error of the service, or a cut or malformed answer."""
    cut = False
    try:
        value: Any = lenient_json.decode(body)
    except ValueError as error:
        value, cut = None, isinstance(error, lenient_json.Cut)
    info = error_body.find(value)
    if info is not None or status >= 300:
        raise faults.fault("dashscope", status, info or ErrorInfo(message=excerpt(body)), headers)
    if cut:
        words = "the upload certificate stopped in the middle"
        raise Fault("transient", "Local.StreamCut", words, http_status=status, retry="yes")
    try:
        data = value["data"]
        megabytes = data.get("max_file_size_mb")
        return Certificate(
            policy=_text(data, "policy"),
            signature=_text(data, "signature"),
            directory=_text(data, "upload_dir").rstrip("/"),
            host=_text(data, "upload_host"),
            access_key_id=_text(data, "oss_access_key_id"),
            acl=_text(data, "x_oss_object_acl"),
            forbid_overwrite=_text(data, "x_oss_forbid_overwrite"),
            expires_in=float(data["expire_in_seconds"]),
            max_bytes=int(megabytes) * 1024 * 1024 if megabytes is not None else None,
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        message = f"the upload certificate lacks what is needed ({type(error).__name__})"
        raise Fault("malformed", "Local.Malformed", message, http_status=status, retry="once") from None


def object_key(certificate: Certificate, loaded: Loaded, unique: str) -> str:
    """Returns the object name: the folder of the certificate, `unique`, and the file name, unquoted as in the SDK.

    Control characters and slashes in the file name become `_`.
    """
    name = _UNSAFE_NAME.sub("_", loaded.name or loaded.kind)
    return f"{certificate.directory}/{unique}-{name}"


def object_url(certificate: Certificate, loaded: Loaded, unique: str) -> str:
    """Returns the `oss://` reference of an uploaded file. The service keeps it for 48 hours (`OBJECT_SECONDS`)."""
    return f"oss://{object_key(certificate, loaded, unique)}"


def upload_request(certificate: Certificate, loaded: Loaded, unique: str) -> HttpRequest:
    """Returns the form upload: fields in the service's order, `key` before `file`, `file` last.

    The request has no Authorization header. The boundary is a hash of name and content, so equal input gives equal
    bytes. Raises Fault (`Local.TooLarge`, `Local.NotLoaded`).
    """
    content = loaded.body
    if content is None:
        raise refusal("NotLoaded", f"a {loaded.kind} was not loaded before its upload")
    if certificate.max_bytes is not None and len(content) > certificate.max_bytes:
        size = f"{len(content):,} bytes, the service takes {certificate.max_bytes:,} in an upload"
        raise refusal("TooLarge", f"the {loaded.kind} has {size}")
    mime = loaded.mime or "application/octet-stream"
    key = object_key(certificate, loaded, unique)
    fields = (
        ("OSSAccessKeyId", certificate.access_key_id),
        ("Signature", certificate.signature),
        ("policy", certificate.policy),
        ("key", key),
        ("x-oss-object-acl", certificate.acl),
        ("x-oss-forbid-overwrite", certificate.forbid_overwrite),
        ("success_action_status", "200"),
        ("x-oss-content-type", mime),
    )
    mark = hashlib.blake2b(key.encode() + (loaded.sha256 or "").encode() + content[:4096], digest_size=16).hexdigest()
    pieces = [f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields]
    filename = _quoted(key.rsplit("/", 1)[-1])
    disposition = f'Content-Disposition: form-data; name="file"; filename="{filename}"'
    head = f"--{mark}\r\n{disposition}\r\nContent-Type: {mime}\r\n\r\n"
    body = b"".join(("".join(pieces).encode(), head.encode(), content, f"\r\n--{mark}--\r\n".encode()))
    headers = (("Content-Type", f"multipart/form-data; boundary={mark}"), ("Accept", "application/json"))
    return HttpRequest(method="POST", url=certificate.host, headers=headers, body=body)


def check_upload(status: int, body: bytes) -> Fault | None:
    """Returns the fault of an answer to an upload, or None if the file was stored. OSS reports errors as XML.

    For an expired policy or an object name that is taken, a new certificate helps (`retry = "upload"`). 408, 429 and
    5xx are sent again.
    """
    if status == 200 or status == 204:
        return None
    code = _xml(_XML_CODE, body) or f"Http{status}"
    words = _xml(_XML_MESSAGE, body) or excerpt(body) or f"HTTP {status} without words"
    message = f"upload refused: {words}"
    request_id = _xml(_XML_ID, body)
    if "expired" in words.lower() or code == "FileAlreadyExists":
        return Fault("transient", code, message, http_status=status, retry="upload", request_id=request_id)
    if status == 429:
        return Fault("throttled", code, message, http_status=status, retry="yes", request_id=request_id)
    if status >= 500 or status == 408:
        return Fault("transient", code, message, http_status=status, retry="yes", request_id=request_id)
    if status in (401, 403):
        return Fault("account", code, message, http_status=status, request_id=request_id)
    return Fault("rejected", code, message, http_status=status, request_id=request_id)


def _text(data: Any, name: str) -> str:
    value = data[name]
    if not isinstance(value, str) or not value or "\r" in value or "\n" in value:
        raise ValueError(name)
    return value


def _quoted(name: str) -> str:
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _xml(pattern: re.Pattern[bytes], body: bytes) -> str | None:
    found = pattern.search(body[:8_192])
    return clean(found[1].decode("utf-8", "replace")) if found else None
