"""The protocol of upload certificates: signed policies, and a bounded store in memory that answers like OSS."""

from __future__ import annotations

import hmac
import re
import time
from base64 import b64decode, b64encode
from collections import OrderedDict
from hashlib import sha256
from secrets import token_bytes, token_hex
from threading import Lock
from typing import Any

import msgspec

from pipeline.offline.error_replies import Refusal

_BOUNDARY = re.compile(r"""boundary=(?:"([^"]{1,200})"|([^\s;]{1,200}))""", re.IGNORECASE)
_NAME = re.compile(rb'content-disposition:[^\r\n]*?;\s*name="([^"]*)"', re.IGNORECASE)
_MOST_FIELDS = 64


class Malformed(ValueError):
    """Raised for a body that is not a form. The message says why."""


def fields_of(content_type: str, body: bytes) -> dict[str, bytes]:
    """Returns field name → bytes. Of two fields with the same name, the first counts. Raises Malformed."""
    match = _BOUNDARY.search(content_type)
    if not content_type.lower().startswith("multipart/form-data") or match is None:
        raise Malformed("The body of your POST request is not well-formed multipart/form-data.")
    mark = b"--" + (match[1] or match[2]).encode("latin-1")
    parts = (b"\r\n" + body).split(b"\r\n" + mark)
    if len(parts) < 3 or not parts[-1].startswith(b"--") or len(parts) > _MOST_FIELDS:
        raise Malformed("The body of your POST request is not well-formed multipart/form-data.")
    found: dict[str, bytes] = {}
    for part in parts[1:-1]:
        head, separator, content = part.partition(b"\r\n\r\n")
        name = _NAME.search(head)
        if not separator or name is None:
            raise Malformed("A part of the form has no name.")
        found.setdefault(name[1].decode("utf-8", "replace"), content)
    return found


OSS_PATH = "/oss/"
MAX_FILE_BYTES = 100 * 1024 * 1024
_STORE_BYTES = 512 * 1024 * 1024
_EXPIRES_SECONDS = 300
_ACCESS_ID = "LTAI-embedded-service"


class _Policy(msgspec.Struct, frozen=True):
    """The limits of a certificate: its end (`until`, Unix seconds), its folder and its model."""

    until: float
    folder: str
    model: str


class _Object(msgspec.Struct, frozen=True):
    """The files uploaded under one key, in the order of their uploads, and the model for which they were uploaded."""

    model: str
    bodies: tuple[bytes, ...]


class OssFault(Exception):
    """An upload that OSS refuses, with the HTTP status, code and message of the XML answer."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message

    def body(self) -> bytes:
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n<Error>\n'
            f"  <Code>{self.code}</Code>\n  <Message>{self.message}</Message>\n</Error>\n"
        ).encode()


class Store:
    """Keeps objects by key. Drops the oldest files when all files together are larger than the bound. Thread-safe.

    Two files with the same name in one call of the official SDK 2.0.2 get the same key: the SDK asks for one
    certificate a call, and names an object by its file. The real OSS refuses the second file, because its certificate
    forbids overwriting. Here the certificate allows overwriting and both files are kept. A request that names the key
    twice gets one file after the other.
    """

    def __init__(self, *, expires: float = _EXPIRES_SECONDS, bound: int = _STORE_BYTES) -> None:
        self._expires = expires
        self._bound = bound
        self._secret = token_bytes(32)
        self._lock = Lock()
        self.size = 0  # bytes of all objects
        self._objects: OrderedDict[str, _Object] = OrderedDict()

    def certificate(self, model: str, host: str, request_id: str) -> dict[str, Any]:
        """Returns the answer to `GET /api/v1/uploads?action=getPolicy&model=…`. Raises Refusal.

        `host` is the address to which uploads are posted.
        """
        if not model:
            raise Refusal("model-empty")
        folder = f"dashscope-instant/{token_hex(8)}/{time.strftime('%Y-%m-%d')}/{token_hex(8)}"
        policy = b64encode(msgspec.json.encode(_Policy(time.time() + self._expires, folder, model))).decode()
        data = {
            "policy": policy,
            "signature": self._sign(policy),
            "upload_dir": folder,
            "upload_host": host,
            "expire_in_seconds": int(self._expires),
            "max_file_size_mb": MAX_FILE_BYTES // 2**20,
            "capacity_limit_mb": 999999999,
            "oss_access_key_id": _ACCESS_ID,
            "x_oss_object_acl": "private",
            "x_oss_forbid_overwrite": "false",
        }
        return {"request_id": request_id, "data": data}

    def post(self, content_type: str, body: bytes) -> None:
        """Stores the file of a form upload. Raises OssFault."""
        try:
            fields = fields_of(content_type, body)
        except Malformed as error:
            raise OssFault(400, "MalformedPOSTRequest", str(error)) from error
        policy = self._checked(fields)
        key, data = fields["key"].decode("utf-8", "replace"), fields["file"]
        if not key.startswith(policy.folder + "/"):
            raise OssFault(403, "AccessDenied", "Invalid according to Policy: Policy Condition failed")
        if len(data) > MAX_FILE_BYTES:
            raise OssFault(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
        with self._lock:
            if key in self._objects and fields.get("x-oss-forbid-overwrite") == b"true":
                raise OssFault(
                    409, "FileAlreadyExists", "The object you specified already exists and can not be overwritten."
                )
            self._keep(key, policy.model, data)

    def _checked(self, fields: dict[str, bytes]) -> _Policy:
        for name in ("OSSAccessKeyId", "Signature", "policy", "key", "file"):
            if name not in fields:
                raise OssFault(400, "InvalidArgument", f"The form has no field {name}")
        policy = fields["policy"].decode("latin-1")
        if not hmac.compare_digest(self._sign(policy).encode(), fields["Signature"]):
            raise OssFault(403, "SignatureDoesNotMatch", "The request signature we calculated does not match yours.")
        found = msgspec.json.decode(b64decode(policy), type=_Policy)
        if time.time() >= found.until:
            raise OssFault(403, "AccessDenied", "Invalid according to Policy: Policy expired.")
        return found

    def _keep(self, key: str, model: str, data: bytes) -> None:
        old = self._objects.pop(key, None)
        self._objects[key] = _Object(model, (*(old.bodies if old else ()), data))
        self.size += len(data)
        while self.size > self._bound:
            oldest, kept = next(iter(self._objects.items()))
            if len(self._objects) == len(kept.bodies) == 1:
                return
            self.size -= len(kept.bodies[0])
            del self._objects[oldest]
            if len(kept.bodies) > 1:
                self._objects[oldest] = _Object(kept.model, kept.bodies[1:])
                self._objects.move_to_end(oldest, last=False)

    def find(self, reference: str, model: str, time: int = 0) -> bytes | None:
        """Returns the bytes of `oss://<key>` if they were uploaded for this model, else None.

        `time`: how often the request has named this key before. Files under one key are handed out in their order.
        """
        with self._lock:
            kept = self._objects.get(reference.removeprefix("oss://"))
        return kept.bodies[time % len(kept.bodies)] if kept is not None and kept.model == model else None

    def _sign(self, policy: str) -> str:
        return b64encode(hmac.digest(self._secret, policy.encode(), sha256)).decode()
