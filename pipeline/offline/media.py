"""Turns the references of a request into bytes, and checks these as the services do.

References are data: URIs, oss:// objects, loopback addresses and pictures that the service itself hosts. cat.jpg is
sample_data/photos/chelsea.jpg; its source and licence stand in sample_data/README.md.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Callable
from importlib import resources
from ipaddress import ip_address
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

import msgspec

from pipeline.offline.error_replies import Refusal
from pipeline.offline.limits import Limits
from pipeline.offline.models import audio, image
from pipeline.offline.tokens import Pixels

PATH = "/samples/"
NAMES = ("cat.jpg",)


def sample(name: str) -> bytes | None:
    """Returns the hosted picture of that name, a JPEG, or None for any other name."""
    return resources.files("pipeline.offline").joinpath("samples", name).read_bytes() if name in NAMES else None


def sample_at(url: str, host: str) -> bytes | None:
    """Returns the picture behind `url` if the service itself hosts the picture, else None.

    `host` is the address to which the request came. Raises ValueError for a malformed URL.
    """
    parts = urlsplit(url)
    if parts.netloc != host or not parts.path.startswith(PATH):
        return None
    return sample(parts.path.removeprefix(PATH))


_DATA = re.compile(r"data:(?P<mime>[^;,]*)(?:;[^;,]+)*?;base64,", re.IGNORECASE)
_FETCH_SECONDS = 10.0
_MOST_FETCHED = 256 * 1024 * 1024  # less than some services take by URL, because the file is held in memory
_MIMES = {
    "BMP": ("image/bmp", "image/x-ms-bmp"),
    "DIB": ("image/bmp",),
    "ICNS": ("image/icns", "image/x-icns"),
    "ICO": ("image/x-icon", "image/vnd.microsoft.icon"),
    "JPEG": ("image/jpeg", "image/jpg"),
    "JPEG2000": ("image/jp2", "image/j2k", "image/jpx"),
    "PNG": ("image/png", "image/apng"),
    "SGI": ("image/sgi",),
    "TIFF": ("image/tiff",),
    "WEBP": ("image/webp",),
    "GIF": ("image/gif",),
}


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """The places from which the media of a request may come.

    `stored` returns the bytes of an oss:// object, or None. `resolve`: the request has the header that allows oss://
    references. `host`: the address to which the request came, where the service hosts its own pictures.
    """

    stored: Callable[[str], bytes | None]
    resolve: bool = False
    host: str = ""


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """A checked picture: its bytes, the width and height in its header, and the pixel options of its part."""

    data: bytes
    width: int
    height: int
    pixels: Pixels = Pixels()


def load(reference: object, limits: Limits, source: Source) -> tuple[bytes, str | None]:
    """Returns the bytes behind a reference, and the type that a data: URI declares (else None). Blocking.

    Raises Refusal.
    """
    if not isinstance(reference, str) or not reference:
        raise Refusal("messages")
    scheme = reference.split(":", 1)[0].lower()
    if limits.urls_only and scheme not in ("http", "https"):
        raise Refusal("parameter", "This model takes pictures by http(s) URL only.")
    if scheme == "data":
        return _from_data(reference, limits)
    if scheme == "oss":
        return _from_store(reference, source), None
    if scheme in ("http", "https"):
        data = _hosted(reference, source) or _fetch(reference, min(limits.max_bytes, _MOST_FETCHED))
        if _MOST_FETCHED < len(data) <= limits.max_bytes:
            raise Refusal("parameter", f"The embedded service takes files of at most {_MOST_FETCHED:,} bytes.")
        return data, None
    raise Refusal("download", "The provided URL does not appear to be valid. Ensure it is correctly formatted.")


def image_of(reference: object, limits: Limits, source: Source) -> Image:
    """Returns a picture within the limits. Raises Refusal."""
    data, mime = load(reference, limits, source)
    if len(data) > limits.max_bytes:
        raise Refusal("parameter", "Multimodal file size is too large")
    try:
        header = image.header(data)
    except image.TooLarge as error:
        raise Refusal("picture-sides") from error
    except image.Unreadable as error:
        raise Refusal("picture") from error
    if header.format not in limits.formats:
        raise Refusal("picture")
    if mime is not None and limits.strict_mime and mime not in _MIMES.get(header.format, (mime,)):
        raise Refusal("parameter", f"The data URI declares {mime} but the picture is {_MIMES[header.format][0]}.")
    _check_sides(header, limits)
    return Image(data=data, width=header.width, height=header.height)


def _check_sides(header: image.Header, limits: Limits) -> None:
    short, long = sorted((header.width, header.height))
    if (
        short < limits.min_side
        or (limits.max_side is not None and long > limits.max_side)
        or (limits.max_ratio is not None and long > limits.max_ratio * short)
        or (limits.max_pixels is not None and short * long > limits.max_pixels)
    ):
        raise Refusal("picture-sides")


def audio_of(reference: object, limits: Limits, source: Source, *, cut: bool) -> tuple[bytes, float]:
    """Returns the bytes of a sound in a format that the model takes, and its seconds. Raises Refusal.

    A sound may be longer than the limit only if `cut`.
    """
    data, _mime = load(reference, limits, source)
    if len(data) > limits.max_bytes:
        raise Refusal("parameter", "Multimodal file size is too large")
    try:
        found = audio.header(data)
    except audio.NotAudio as error:
        raise Refusal("parameter", "The audio format is illegal and cannot be opened.") from error
    if found.format not in limits.sounds:
        raise Refusal("parameter", "The audio format is illegal and cannot be opened.")
    if limits.max_seconds is not None and found.seconds > limits.max_seconds and not cut:
        raise Refusal("parameter", f"The audio is too long: it should be at most {limits.max_seconds:g} seconds.")
    return data, found.seconds


def _from_data(reference: str, limits: Limits) -> tuple[bytes, str]:
    if not limits.data_uris:
        raise Refusal("parameter", "A data: URI is not supported by this model; upload the file or give a URL.")
    match = _DATA.match(reference)
    if match is None:
        raise Refusal("parameter", "The data URI is not of the form data:<type>;base64,<data>.")
    if len(reference) - match.end() > limits.data_bytes:
        raise Refusal("parameter", f"Exceeded limit on max bytes per data-uri item : {limits.data_bytes}")
    try:
        return b64decode(reference[match.end() :], validate=True), match["mime"].lower()
    except (binascii.Error, ValueError) as error:
        raise Refusal("parameter", "The data URI holds invalid base64.") from error


def _from_store(reference: str, source: Source) -> bytes:
    if not source.resolve:
        raise Refusal("download", "The provided URL does not appear to be valid. Ensure it is correctly formatted.")
    data = source.stored(reference)
    if data is None:
        raise Refusal("download")
    return data


def _hosted(url: str, source: Source) -> bytes | None:
    """Returns a picture that the service itself hosts, or None. The file is read, not fetched over the network."""
    try:
        return sample_at(url, source.host)
    except ValueError:
        return None


class _NoRedirect(HTTPRedirectHandler):
    """Refuses redirects: a loopback server must not lead to another host."""

    def redirect_request(self, *_args: object, **_named: object) -> None:
        return None


_opener: OpenerDirector = build_opener(ProxyHandler({}), _NoRedirect())


def _fetch(url: str, limit: int) -> bytes:
    """Fetches a loopback address: at most limit + 1 bytes, 10 s for each read.

    Raises Refusal (`download`) for any other address, and if the fetch fails.
    """
    if not _is_loopback(url):
        raise Refusal("download")
    try:
        request = Request(url, headers={"User-Agent": "multimodal-batch-offline"})  # noqa: S310 scheme checked above
        with _opener.open(request, timeout=_FETCH_SECONDS) as response:
            return bytes(response.read(limit + 1))
    except Exception as error:
        if isinstance(error, HTTPError):
            error.close()  # the answer with this status
        raise Refusal("download") from error


def _is_loopback(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
