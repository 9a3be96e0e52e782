"""Makes references safe to show and store: URLs lose signatures and passwords, a hash replaces the data of `data:`."""

from __future__ import annotations

import hashlib
import re
from typing import Any
from urllib.parse import unquote_plus

from pipeline.errors import Fault
from pipeline.media import formats
from pipeline.media.refs import is_data, to_media
from pipeline.types import Media

# Parameters that grant access. They are dropped in every URL: they are secret, and they change with every signing while
# the file stays the same. Names are compared in lower case.
SECRETS: dict[str, str] = {
    "signature": "OSS, AWS v2, Google v2, CloudFront, OBS",
    "x-oss-signature": "Alibaba Cloud OSS v4",
    "x-amz-signature": "AWS v4 and what speaks it (MinIO, R2, …)",
    "x-goog-signature": "Google Cloud Storage v4",
    "q-signature": "Tencent COS",
    "sig": "Azure shared access signature",
    "authorization": "Baidu BOS (bce-auth-v1/…)",
    "auth_key": "Alibaba Cloud CDN",
    "wssecret": "Wangsu CDN",
    "security-token": "OSS with temporary credentials",
    "x-oss-security-token": "OSS v4 with temporary credentials",
    "x-amz-security-token": "AWS with temporary credentials",
    "x-bce-security-token": "BOS with temporary credentials",
    "x-cos-security-token": "COS with temporary credentials",
    "x-obs-security-token": "OBS with temporary credentials",
    "token": "Qiniu, Firebase, and many self-made servers",
    "access_token": "OAuth 2.0 bearer token in a query (RFC 6750)",
    "ossaccesskeyid": "OSS v1: names the account",
    "awsaccesskeyid": "AWS v2: names the account",
    "googleaccessid": "Google v2: names the account",
    "accesskeyid": "OBS: names the account",
    "api_key": "keys of self-made servers",
    "apikey": "keys of self-made servers",
    "api-key": "keys of self-made servers",
}

# Parameters that belong to a signature, but mean something else elsewhere (`?st=2` may be a page number). They are
# dropped only in a URL that also has one of the named secrets. `x-oss-process` and `response-*` are kept: they change
# the file that is served.
COMPANIONS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("signature", "ossaccesskeyid", "awsaccesskeyid", "googleaccessid", "accesskeyid"): (
        "expires",
        "key-pair-id",
        "policy",
        "hash-algorithm",
        "x-oss-signature-version",
    ),
    ("x-oss-signature",): (
        "x-oss-signature-version",
        "x-oss-credential",
        "x-oss-date",
        "x-oss-expires",
        "x-oss-additional-headers",
    ),
    ("x-amz-signature",): (
        "x-amz-algorithm",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-expires",
        "x-amz-signedheaders",
        "x-amz-content-sha256",
        "x-amz-checksum-mode",
        "x-id",
    ),
    ("x-goog-signature",): (
        "x-goog-algorithm",
        "x-goog-credential",
        "x-goog-date",
        "x-goog-expires",
        "x-goog-signedheaders",
    ),
    ("q-signature",): (
        "q-sign-algorithm",
        "q-ak",
        "q-sign-time",
        "q-key-time",
        "q-header-list",
        "q-url-param-list",
    ),
    ("sig",): (
        "sv",
        "ss",
        "srt",
        "sp",
        "se",
        "st",
        "spr",
        "sr",
        "si",
        "sip",
        "skoid",
        "sktid",
        "skt",
        "ske",
        "sks",
        "skv",
        "saoid",
        "suoid",
        "scid",
        "sdd",
        "ses",
    ),
    ("token",): ("e", "expires", "expire"),
    ("wssecret",): ("wstime",),
}


def public(media: Media) -> str:
    """Returns a reference without signature and without data.

    This is the URL after `unsigned`, or `data:<mime>;sha256=<hex>`, or the absolute path. The path of an archive is
    followed by `#member`.
    """
    if media.url is not None:
        return unsigned(media.url)
    if media.data is not None and not is_data(media.ref):
        return str(redacted(media.ref))
    if media.data is not None:
        return f"data:{media.mime or ''};sha256={hashlib.sha256(media.data).hexdigest()}"
    if media.member is not None:
        return f"{media.path}#{media.member.name}"
    return media.path if media.path is not None else ""


def unsigned(url: str) -> str:
    """Returns a URL without user name, password, fragment and signing parameters. Changes no other letter."""
    # A fast way out: most URLs have none of these signs, and a million URLs may be examined before a run.
    if "?" not in url and "@" not in url and "#" not in url:
        return url
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    rest = rest.partition("#")[0]
    address, mark, query = rest.partition("?")
    host, slash, path = address.partition("/")
    address = host.rpartition("@")[2] + slash + path
    kept = _kept(query) if mark else ""
    return f"{scheme}://{address}" + (f"?{kept}" if kept else "")


def redacted(value: Any) -> Any:
    """Returns a manifest value as it may be stored. Values in lists and tables are treated in the same way.

    A URL becomes `unsigned`. A hash replaces the data of a `data:` URL, also inside a longer text, and a text that is
    base64 of a file. Bytes become their count.
    """
    if isinstance(value, str):
        return _redacted_text(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{len(value)} bytes>"
    if isinstance(value, dict):
        return {key: redacted(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [redacted(item) for item in value]
    return value


def _redacted_text(text: str) -> str:
    start = text.lstrip()[:8].lower()
    if start.startswith("data:") and "," in text:
        try:
            return public(to_media(text, "image", "/"))
        except Fault:
            return f"data:;sha256={hashlib.sha256(text.encode(errors='replace')).hexdigest()}"
    if start.startswith(("http://", "https://")):
        return unsigned(text.strip())
    if formats.of_media(text):
        return formats.by_hash(text)
    return _INNER_DATA.sub(_by_hash, text) if "data:" in text else text


# A data: URL inside a longer text, for example in a JSON list that is cut off in a CSV cell.
_INNER_DATA = re.compile(r"data:([\w.+-]*/?[\w.+-]*)(?:;[\w=.-]+)*,[A-Za-z0-9+/=_%-]{32,}")


def _by_hash(found: re.Match[str]) -> str:
    return f"data:{found[1]};sha256={hashlib.sha256(found[0].encode()).hexdigest()}"


def _kept(query: str) -> str:
    parts = [(unquote_plus(part.partition("=")[0]).lower(), part) for part in query.split("&")]
    names = {name for name, _ in parts}
    dropped = names & SECRETS.keys()
    for markers, companions in COMPANIONS.items():
        if not names.isdisjoint(markers):
            dropped = dropped.union(companions)
    return "&".join(part for name, part in parts if name not in dropped)
