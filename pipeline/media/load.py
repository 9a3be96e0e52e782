"""Loads one image, audio or video file for sending, or tells from the header alone what would be sent."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import msgspec

from pipeline.errors import Fault, refusal
from pipeline.media.containers import VIDEO_FORMATS, check_audio, check_video, check_video_size
from pipeline.media.documents import Document, document, fitted_page, one_page, page_name, previewed
from pipeline.media.files import digest, file_size, read
from pipeline.media.fit import Fitted, fit
from pipeline.media.formats import AUDIO_FORMATS, IMAGE_FORMATS, is_cut
from pipeline.media.limits import USUAL, FitOptions, need, scaled, several_pages
from pipeline.media.pdf import is_pdf
from pipeline.media.probe import probe
from pipeline.media.redact import public
from pipeline.types import Loaded, Media, MediaLimits

__all__ = ["digest", "from_bytes", "load", "read"]

_UNSAFE = re.compile(r"[\x00-\x1f\x7f/\\]")


def load(media: Media, limits: MediaLimits, options: FitOptions = USUAL, *, confine: str | None = None) -> Loaded:
    """Returns what goes to the service for `media`: the unchanged URL (http, https, oss), or bytes fitted to `limits`.

    `confine`: the manifest's folder (`Manifest.root`). A relative reference must not lead out of this folder through
    links. An absolute path may: the user named that place explicitly.
    Blocking: run it in a thread.
    Raises Fault `rejected` with a code `Local.…`; its message gives the numbers and the file's public name.
    """
    if media.url is not None:
        return Loaded(kind=media.kind, source=public(media), url=media.url)
    if media.kind == "video" and media.path is not None:
        check_video_size(file_size(media), public(media), limits)
    return from_bytes(read(media, confine=confine), media, limits, options)


def from_bytes(body: bytes, media: Media, limits: MediaLimits, options: FitOptions = USUAL) -> Loaded:
    """Does the same as `load` for bytes that are already here (of a URL's picture that this program has fetched)."""
    source = public(media)
    sha256 = hashlib.sha256(body).hexdigest()
    if not body:
        raise refusal("EmptyFile", f"{source}: the file is empty")
    if media.kind == "audio":
        audio = check_audio(body, source, limits)
        ending, mime = AUDIO_FORMATS[audio.format]
        return Loaded(
            kind="audio",
            source=source,
            body=body,
            mime=mime,
            name=_name(media, ending),
            sha256=sha256,
            seconds=audio.seconds,
        )
    if media.kind == "video":
        ending, mime = VIDEO_FORMATS[check_video(body, source, limits)]
        return Loaded(kind="video", source=source, body=body, mime=mime, name=_name(media, ending), sha256=sha256)
    fitted = one_page(body, source, limits, options) if is_pdf(body) else fit(body, source, limits, options)
    cut = options.truncated == "send" and is_cut(body)
    return msgspec.structs.replace(_image(media, fitted, source), sha256=sha256, cut=cut)


def load_page(document: Document, index: int, limits: MediaLimits, options: FitOptions) -> Loaded:
    """Returns a page of a document in the form that `load` returns for a picture.

    `index` counts from 0; `page` of the result counts from 1. `sha256` is of the whole file.
    Blocking. Raises the same errors as `load`.
    """
    media = Media(kind="image", ref=document.name, path=document.name)
    fitted = fitted_page(document, index, limits, options)
    loaded = _image(media, fitted, page_name(document.name, index))
    name, dot, ending = (loaded.name or "").rpartition(".")
    return msgspec.structs.replace(
        loaded, name=f"{name}_{index + 1:03}{dot}{ending}", sha256=document.sha256, page=index + 1
    )


def _image(media: Media, fitted: Fitted, source: str) -> Loaded:
    ending, mime = IMAGE_FORMATS.get(fitted.format, ("", "application/octet-stream"))
    return Loaded(
        kind="image",
        source=source,
        body=fitted.body,
        mime=mime,
        name=_name(media, ending),
        width=fitted.width,
        height=fitted.height,
        original_width=fitted.original_width,
        original_height=fitted.original_height,
        changed=fitted.changed,
    )


def _name(media: Media, ending: str) -> str:
    """Returns a file name for uploads: the original's stem with the ending of the format that is sent."""
    address = media.member.name if media.member else media.path or (media.url or "").split("?")[0].split("#")[0]
    base = _UNSAFE.sub("_", address.rstrip("/").rpartition("/")[2])
    stem = base.rpartition(".")[0] or base
    return (stem or media.kind) + ending


def preview(
    media: Media, limits: MediaLimits, options: FitOptions = USUAL, *, confine: str | None = None
) -> tuple[int, int] | None:
    """Returns (width, height) in pixels of the picture that would be sent; None for a URL, whose file is not here.

    Decodes nothing. So damage is not seen, nor how many pixels a bound on bytes will cost.
    Raises Fault if the header alone shows that `load` would refuse the picture.
    """
    if media.url is not None:
        return None
    try:
        found = probe(media, confine=confine)
    except Fault as fault:
        if fault.code != "Local.NotAPicture" or (document := previewed_document(media, confine, options.dpi)) is None:
            raise
        if document.pages > 1:
            raise several_pages(document.name, document.pages) from None
        return previewed(document, limits, options)[0]
    if found.pages > 1:
        raise several_pages(public(media), found.pages)
    size = len(media.data) if media.data is not None else file_size(media)
    needed = need(found, size, public(media), limits, options)
    width, height = found.upright_width, found.upright_height
    return (width, height) if needed == "nothing" else scaled(width, height, limits)


def previewed_document(media: Media, confine: str | None, dpi: int) -> Document | None:
    """Returns the document of a file; None if the file is not a document.

    Raises the same errors as `documents.document` and `read`.
    """
    return document(read(media, confine=confine), public(media), dpi)


def preview_pages(found: Document, limits: MediaLimits, options: FitOptions) -> list[Loaded]:
    """Returns the pages of a document as they would be sent, without bytes. Raises the same errors as `preview`."""
    return [
        Loaded(kind="image", source=page_name(found.name, index), url="", width=width, height=height, page=index + 1)
        for index, (width, height) in enumerate(previewed(found, limits, options))
    ]


def original_coordinates(loaded: Loaded, polygon: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Converts (x, y) points from pixels of the image that was sent to pixels of the original image with its EXIF
    orientation applied.

    Both images are upright, so only the scale differs. If a size is unknown, the points are returned unchanged.
    """
    width, height = loaded.original_width, loaded.original_height
    if not (loaded.width and loaded.height and width and height):
        return tuple((x, y) for x, y in polygon)
    across, down = width / loaded.width, height / loaded.height
    return tuple((x * across, y * down) for x, y in polygon)
