"""Turns texts of a manifest into Media: paths, `file://`, http(s), `oss://`, `data:` and base64. Opens no file."""

from __future__ import annotations

import binascii
import os
import re
from urllib.parse import unquote, unquote_to_bytes

from pipeline.errors import refusal
from pipeline.job.file import no_file_name
from pipeline.media import formats
from pipeline.media.paths import Root, split_reference
from pipeline.types import Media, MediaKind, Member

# No service takes a body above 64 MiB with base64 in it (PROTOCOLS.md §3.7, "whole body"). So a longer text cannot be
# sent.
MAX_DATA_URL_CHARS = 64 * 1024 * 1024

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_REMOTE = ("http", "https", "oss")


def to_media(ref: str, kind: MediaKind, base: str) -> Media:
    """Returns the Media that `ref` names.

    Relative paths begin in `base` (absolute, symlinks not resolved). If `base` is a Root, more folders may be allowed.
    Raises Fault `Local.BadReference` (empty, unknown scheme, a URL without a host, broken data: URL or base64),
    `Local.BadName` (a name that no file can have), `Local.TooLarge` (a data: URL that is too long) and
    `Local.OutsideManifest` (a relative path that leaves `base`).
    """
    if ref.startswith(("https://", "http://", "oss://")):
        return _remote(ref, kind)
    if len(ref) >= formats.LEAST and (found := _bare_base64(ref, kind)) is not None:
        return found
    scheme = _scheme(ref)
    if scheme is None:
        return _local(ref, kind, base)
    if scheme == "data":
        mime, data = _data(ref)
        return Media(kind=kind, ref=ref, data=data, mime=mime)
    if scheme == "file":
        return _local(ref, kind, base)
    if scheme in _REMOTE:
        return _remote(ref.strip(), kind)
    raise refusal(
        "BadReference",
        f"{redact_for_message(ref)}: {scheme}:// is not taken; a path, file://, http(s)://, oss:// or data: is",
    )


def _bare_base64(ref: str, kind: MediaKind) -> Media | None:
    """Returns the Media of a text that is base64 of a file without `data:` before it; None if the text may be a path.

    Raises Fault `Local.BadReference` if the text is neither a path nor base64 that can be read.
    """
    if formats.of_media(ref):
        data = formats.decoded(ref) if len(ref) <= MAX_DATA_URL_CHARS else None
        if data is None:
            raise refusal("BadReference", f"{len(ref):,} characters of base64 that cannot be decoded to their end")
        return Media(kind=kind, ref="data:,", data=data)
    if formats.too_long_for_a_path(ref):
        raise refusal(
            "BadReference",
            f"{len(ref):,} characters that look like base64, but not of a picture; expected a path, a URL, "
            "data:image/png;base64,… or the base64 of a picture file",
        )
    return None


def to_path(ref: str, base: str) -> str:
    """Returns the absolute local path of a path or a `file://` URL.

    If the reference names a member of an archive, `#member` follows the path. Raises the same errors as `to_media`.
    """
    path, member = _place(ref, base)
    return path if member is None else f"{path}#{member}"


def _local(ref: str, kind: MediaKind, base: str) -> Media:
    path, member = _place(ref, base)
    return Media(kind=kind, ref=ref, path=path, member=None if member is None else Member(name=member))


def _place(ref: str, base: str) -> tuple[str, str | None]:
    """Returns (absolute path, name of the member in the archive at this path, or None)."""
    text, member = split_reference(_file_path(ref) if _scheme(ref) == "file" else ref)
    return _path(text, ref, base), member


def _path(text: str, ref: str, base: str) -> str:
    if not text.strip():
        raise refusal("BadReference", "an empty path")
    if "\x00" in text:
        raise refusal("BadReference", f"{redact_for_message(ref)}: a path cannot hold a NUL character")
    reason = None if text.isascii() and base.isascii() else no_file_name(f"{base}/{text}")
    if reason is not None:
        raise refusal("BadName", f"{redact_for_message(ref)}: {reason}")
    if text.startswith("/") or _DRIVE.match(text):
        return text
    path = os.path.normpath(f"{base}/{text}")
    if inside(path, base):
        return path
    if isinstance(base, Root) and base.beside:
        path = os.path.normpath(f"{base.beside[0]}/{text}")
        if any(inside(path, folder) for folder in (base, *base.beside)):
            return path
    raise refusal("OutsideManifest", f"{redact_for_message(ref)} leads out of {_bounds(base)}; {WIDEN}")


def is_relative(ref: str) -> bool:
    """Tells whether a reference is a path relative to the manifest. It must then stay within the manifest's folder."""
    scheme = _scheme(ref)
    if scheme == "file":
        ref = _file_path(ref)
    elif scheme is not None:
        return False
    return not ref.startswith("/") and _DRIVE.match(ref) is None


def is_data(ref: str) -> bool:
    """Tells whether a reference is a `data:` URL."""
    return ref.lstrip()[:5].lower() == "data:"


def is_remote(ref: str) -> bool:
    """Tells whether a reference has a scheme other than `file:`."""
    return _scheme(ref) not in (None, "file")


WIDEN = "[media] root names another folder where paths begin, and an absolute path may lead anywhere"
"""The advice for a relative path that leaves the manifest's folder."""


def _bounds(base: str) -> str:
    if isinstance(base, Root) and base.beside:
        return f"media.root {base} and the manifest's folder"
    return f"the manifest's folder {base}"


def inside(path: str, folder: str) -> bool:
    """Tells whether an absolute, normalised path is `folder` or is below `folder`. Compares only the spelling."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def redact_for_message(ref: str) -> str:
    """Returns a reference as a message may show it: shortened, without password, query (signature) and data."""
    if ref.lstrip()[:5].lower() == "data:":
        return "data: URL"
    text = ref.split("?", 1)[0] if "://" in ref else ref
    text = re.sub(r"//[^/@]*@", "//", text, count=1) if "://" in text else text
    text = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
    return text if len(text) <= 300 else text[:300] + "…"


def _scheme(ref: str) -> str | None:
    """Returns the scheme in lower case, or None. A drive letter is no scheme.

    Only `data:` and `file:` are schemes without `//`; any other `name:…` is part of a file name.
    """
    found = _SCHEME.match(ref.lstrip() if ref[:1].isspace() else ref)
    if found is None:
        return None
    scheme = found[1].lower()
    if scheme in ("data", "file"):
        return scheme
    return scheme if ref.lstrip().startswith("//", found.end()) else None


def _remote(ref: str, kind: MediaKind) -> Media:
    ref = ref.strip()
    host = ref.split("://", 1)[1].split("/", 1)[0].split("?", 1)[0]
    if not host or host.endswith("@") or host.startswith(":"):
        raise refusal("BadReference", f"{redact_for_message(ref)}: the URL names no host")
    if _CONTROL.search(ref):
        raise refusal("BadReference", f"{redact_for_message(ref)}: the URL holds a control character")
    return Media(kind=kind, ref=ref, url=ref)


def _file_path(ref: str) -> str:
    """Returns the path of a `file:` URL, absolute or relative.

    The forms are `file:///a`, `file://localhost/a`, `file:/a`, `file://D:/a` (two or three slashes), and the relative
    `file://a`. Only percent escapes are decoded: a `+` stays a plus (PROTOCOLS.md §1.7, trap 64). `file://host/…` looks
    like a relative path, and is read as a relative path, as the services' own samples do.
    """
    rest = ref.strip()[len("file:") :]
    if rest.startswith("//"):
        rest = rest[2:]
        if rest[:10].lower() == "localhost/":
            rest = rest[9:]
    rest = unquote(rest, errors="surrogateescape")
    return rest[1:] if _DRIVE.match(rest[1:]) and rest.startswith("/") else rest


def _data(ref: str) -> tuple[str | None, bytes]:
    """Returns (MIME type or None, bytes) of a data: URL, by RFC 2397: `data:[type][;attribute=value]…[;base64],data`.

    The base64 may lack padding, hold blanks or be URL-safe.
    """
    if len(ref) > MAX_DATA_URL_CHARS:
        raise refusal("TooLarge", f"a data: URL of {len(ref):,} characters; at most {MAX_DATA_URL_CHARS:,} are read")
    head, comma, payload = ref.lstrip()[5:].partition(",")
    if not comma:
        raise refusal("BadReference", "a data: URL without a comma; expected data:image/png;base64,…")
    fields = [field.strip() for field in head.split(";")]
    mime = fields[0].lower() or None
    if not any(field.lower() == "base64" for field in fields[1:]):
        return mime, unquote_to_bytes(payload)
    return mime, _base64(payload)


def _base64(payload: str) -> bytes:
    import pybase64

    if "%" in payload:
        payload = unquote(payload)
    text = "".join(payload.split()).translate({ord("-"): "+", ord("_"): "/"}).rstrip("=")
    try:
        decoded: bytes = pybase64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise refusal("BadReference", "a data: URL whose base64 cannot be decoded") from None
    return decoded
