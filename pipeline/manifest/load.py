"""Loads one picture or sound to be sent: reads it once, checks that it is one, and fits it to the model."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from typing import Literal

from pipeline.errors import Fault, refusal
from pipeline.manifest.fit import fit
from pipeline.manifest.references import inside, is_relative
from pipeline.manifest.refs import public
from pipeline.manifest.sniff import PICTURE_FORMATS, SOUND_FORMATS
from pipeline.manifest.sound import check_sound
from pipeline.types import Loaded, Media, MediaLimits

# A bound for memory: 256 MiB is an uncompressed 8-bit RGB picture of 89 megapixels. No service takes a tenth of it.
MAX_FILE_BYTES = 256 * 1024 * 1024

_UNSAFE = re.compile(r"[\x00-\x1f\x7f/\\]")


def load(
    media: Media,
    limits: MediaLimits,
    *,
    resize: Literal["fit", "off"] = "fit",
    confine: str | None = None,
    upright: bool = False,
) -> Loaded:
    """What goes to the service for `media`: the URL as it is (http, https, oss), else the bytes, fitted to `limits`.

    `confine`: the manifest's folder (`Manifest.root`). A reference relative to it must not lead out of it through
    links; one that was written as an absolute path is the user's explicit word and may. `upright`: turn pictures by
    their EXIF orientation even where nothing else is to be done (for reading text, and for positions).
    Blocking: run it in a thread.
    Raises Fault `rejected` with a code `Local.…` that says what is wrong, with the numbers and the file's public name.
    """
    if media.url is not None:
        return Loaded(kind=media.kind, source=public(media), url=media.url)
    return from_bytes(read(media, confine=confine), media, limits, resize=resize, upright=upright)


def from_bytes(
    body: bytes, media: Media, limits: MediaLimits, *, resize: Literal["fit", "off"] = "fit", upright: bool = False
) -> Loaded:
    """As `load`, for bytes that are here already (a URL's picture that was fetched by us)."""
    source = public(media)
    sha256 = hashlib.sha256(body).hexdigest()
    if not body:
        raise refusal("EmptyFile", f"{source}: the file is empty")
    if media.kind == "audio":
        sound = check_sound(body, source, limits)
        ending, mime = SOUND_FORMATS[sound.format]
        return Loaded(
            kind="audio",
            source=source,
            body=body,
            mime=mime,
            name=_name(media, ending),
            sha256=sha256,
            seconds=sound.seconds,
        )
    fitted = fit(body, source, limits, resize=resize, upright=upright)
    ending, mime = PICTURE_FORMATS[fitted.format]
    return Loaded(
        kind="image",
        source=source,
        body=fitted.body,
        mime=mime,
        name=_name(media, ending),
        sha256=sha256,
        width=fitted.width,
        height=fitted.height,
        original_width=fitted.original_width,
        original_height=fitted.original_height,
        changed=fitted.changed,
    )


def digest(media: Media, *, confine: str | None = None) -> str | None:
    """SHA-256 (hex) of the original bytes, read in pieces; None for a URL. Raises Fault as `load` does for the file."""
    if media.url is not None:
        return None
    if media.data is not None:
        return hashlib.sha256(media.data).hexdigest()
    with os.fdopen(_open(media, confine), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read(media: Media, *, confine: str | None = None) -> bytes:
    """The original bytes of a local file or a data: URL."""
    if media.data is not None:
        return media.data
    try:
        with os.fdopen(_open(media, confine), "rb") as file:
            return file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise refusal("UnreadableFile", f"{public(media)}: cannot be read: {error.strerror}") from None


def _open(media: Media, confine: str | None) -> int:
    """A descriptor of a plain, non-empty file of bearable size; nothing else is opened, and no pipe is waited for."""
    path = media.path or ""
    name = public(media)
    try:
        if confine is not None and is_relative(media.ref):
            path = _confined(path, confine, name)
        facts = os.stat(path)  # noqa: PTH116
        _check_kind(facts, name)
        opened = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise _file_fault(error, path, name) from None
    try:
        _check_kind(os.fstat(opened), name)
    except Fault:
        os.close(opened)
        raise
    return opened


def _confined(path: str, folder: str, name: str) -> str:
    real = os.path.realpath(path, strict=True)
    if not inside(real, os.path.realpath(folder)):
        raise refusal(
            "OutsideManifest",
            f"{name}: a link leads out of the manifest's folder {folder}, to {real}; write that path if it is meant",
        )
    return real


def _check_kind(facts: os.stat_result, name: str) -> None:
    if stat.S_ISDIR(facts.st_mode):
        raise refusal("NotAFile", f"{name}: this is a folder; expected a file")
    if not stat.S_ISREG(facts.st_mode):
        raise refusal("NotAFile", f"{name}: neither a file nor a folder (a pipe, socket or device)")
    if facts.st_size == 0:
        raise refusal("EmptyFile", f"{name}: the file is empty")
    if facts.st_size > MAX_FILE_BYTES:
        raise refusal("TooLarge", f"{name}: {facts.st_size:,} bytes; more than {MAX_FILE_BYTES:,} are never read")


def _file_fault(error: OSError, path: str, name: str) -> Fault:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        hint = "; this is a Windows path" if re.match(r"[A-Za-z]:[\\/]", path) and os.name != "nt" else ""
        return refusal("MissingFile", f"{name}: there is no such file{hint}")
    if error.errno in (errno.EACCES, errno.EPERM):
        return refusal("NoPermission", f"{name}: no permission to read this file")
    return refusal("UnreadableFile", f"{name}: cannot be read: {error.strerror or error}")


def _name(media: Media, ending: str) -> str:
    """A file name for uploads: the original's stem with the ending of what is sent."""
    address = media.path or (media.url or "").split("?")[0].split("#")[0]
    base = _UNSAFE.sub("_", address.rstrip("/").rpartition("/")[2])
    stem = base.rpartition(".")[0] or base
    return (stem or media.kind) + ending
