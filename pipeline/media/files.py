"""Opens the local files that a manifest refers to, and nothing but plain files within its folder's bounds."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader, BytesIO

from pipeline.errors import Fault, refusal
from pipeline.machine import pass_on
from pipeline.media.archive import Archive
from pipeline.media.paths import DamagedArchive, Entry, Root, advice, other_form
from pipeline.media.redact import public
from pipeline.media.refs import WIDEN, inside, is_relative
from pipeline.types import Media, Member

# A bound for memory: 256 MiB is an uncompressed 8-bit RGB picture of 89 megapixels. No service takes a tenth of it.
MAX_FILE_BYTES = 256 * 1024 * 1024
# A video is hashed in pieces and decoded from its file: the bound is the largest that a service takes (2 GB, §3.7).
MAX_VIDEO_BYTES = 2 * 1024 * 1024 * 1024


def digest(media: Media, *, confine: str | None = None) -> str | None:
    """SHA-256 (hex) of the original bytes, read in pieces; None for a URL. Raises Fault as `load` does for the file."""
    if media.url is not None:
        return None
    if media.data is not None:
        return hashlib.sha256(media.data).hexdigest()
    with opened(media, confine) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read(media: Media, *, confine: str | None = None) -> bytes:
    """The original bytes of a local file, of a file in an archive, or of a data: URL."""
    if media.data is not None:
        return media.data
    if media.member is not None:
        with _member(media, confine) as (archive, entry):
            return archive.read(entry, _most(media))
    descriptor, size = _open(media, confine)
    try:
        return _read(descriptor, size)
    except OSError as error:
        pass_on(error)
        raise refusal("UnreadableFile", f"{public(media)}: cannot be read: {error.strerror}") from None
    finally:
        os.close(descriptor)


def _read(descriptor: int, size: int) -> bytes:
    """All there is, up to the bound. One read of the size that was found: Python's file object would make room for the
    bound first, 100 of the 110 µs that a 200 KB picture took."""
    body = os.read(descriptor, size + 1)
    while len(body) != size and len(body) <= MAX_FILE_BYTES and (more := os.read(descriptor, 1 << 20)):
        body += more
    return body


def file_size(media: Media) -> int:
    """Bytes of a local file, or of a file in an archive."""
    if media.member is not None:
        return found_member(media).size or 0
    try:
        return facts_of(media).st_size
    except OSError as error:
        raise _file_fault(error, media.path or "", public(media)) from None


def facts_of(media: Media) -> os.stat_result:
    """Size and times of a local file. Raises OSError."""
    path = media.path or ""
    try:
        return os.stat(path)  # noqa: PTH116 - a Path object a file would double the time
    except FileNotFoundError:
        other = other_form(path)
        if other is None:
            raise
        return os.stat(other)  # noqa: PTH116


def found_member(media: Media) -> Member:
    """The member of an archive with its place: a reference in a table has its name alone. Raises Fault."""
    if media.member is not None and media.member.offset is not None:
        return media.member
    with _member(media, None) as (archive, entry):
        return archive.member(entry)


def on_disk(path: str) -> str:
    """The path as it is spelled on the disk, where only the Unicode form of its names differs; else as it is."""
    return path if path.isascii() or os.path.lexists(path) else other_form(path) or path


def opened(media: Media, confine: str | None) -> BufferedReader | BytesIO:
    """A plain, non-empty file of bearable size, open for reading; nothing else is opened, and no pipe is waited for.

    Raises Fault `Local.MissingFile`, `Local.NoPermission`, `Local.NotAFile`, `Local.EmptyFile`, `Local.TooLarge`,
    `Local.OutsideManifest`, `Local.UnreadableFile`; for a file in an archive also `Local.MissingMember`,
    `Local.ChangedArchive`, `Local.DamagedArchive`, and as `Archive.read`.
    """
    descriptor, _ = _open(media, confine)
    if media.member is None:
        return os.fdopen(descriptor, "rb")
    try:
        with _as_faults(media):
            archive, entry = _found(descriptor, media)
            return archive.opened(entry, _most(media))
    except BaseException:
        os.close(descriptor)
        raise


def _most(media: Media) -> int:
    return MAX_VIDEO_BYTES if media.kind == "video" else MAX_FILE_BYTES


@contextmanager
def _member(media: Media, confine: str | None) -> Iterator[tuple[Archive, Entry]]:
    """The open archive of a medium, and the medium's entry in it. Raises as `opened`."""
    descriptor, _ = _open(media, confine)
    try:
        with _as_faults(media):
            yield _found(descriptor, media)
    finally:
        os.close(descriptor)


def _found(descriptor: int, media: Media) -> tuple[Archive, Entry]:
    member = media.member
    assert member is not None
    archive = Archive(descriptor, media.path or "", public(media))
    if member.offset is not None:
        return archive, archive.entry_of(member)
    from pipeline.media.archive import find

    entry = find(archive, member.name)
    if entry is None:
        raise refusal("MissingMember", f"{public(media)}: the archive holds no member of this name")
    return archive, entry


@contextmanager
def _as_faults(media: Media) -> Iterator[None]:
    try:
        yield
    except DamagedArchive as error:
        raise refusal("DamagedArchive", f"{media.path}: {error.reason}") from None
    except OSError as error:
        pass_on(error)
        raise refusal("UnreadableFile", f"{public(media)}: cannot be read: {error.strerror or error}") from None


def _open(media: Media, confine: str | None) -> tuple[int, int]:
    """As `opened`: the descriptor and the size. In a thread, each call of the system costs a change of threads."""
    path, name = on_disk(media.path or ""), public(media)
    try:
        most = _most(media) if media.member is None else None
        _check_kind(os.stat(path), name, most)  # noqa: PTH116
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise _file_fault(error, path, name) from None
    try:
        facts = os.fstat(descriptor)
        _check_kind(facts, name, most)
        if confine is not None and is_relative(media.ref):
            _check_within(_real(descriptor, path), confine, name)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, facts.st_size


def _real(descriptor: int, path: str) -> str:
    """Where an open file really lies."""
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115 - one call, and of what was opened
    except OSError:
        return os.path.realpath(path)


def _check_within(real: str, root: str, name: str) -> None:
    folders = (root, *root.beside) if isinstance(root, Root) else (root,)
    # A real path below the folder as spelled needs no look at the folder's own links.
    if any(inside(real, folder) for folder in folders):
        return
    if not any(inside(real, os.path.realpath(folder)) for folder in folders):
        raise refusal(
            "OutsideManifest", f"{name}: a link leads out of the manifest's folder {root}, to {real}; {WIDEN}"
        )


def _check_kind(facts: os.stat_result, name: str, most: int | None) -> None:
    """`most`: bytes; None for an archive, of which only members are read."""
    if stat.S_ISDIR(facts.st_mode):
        raise refusal("NotAFile", f"{name}: this is a folder; expected a file")
    if not stat.S_ISREG(facts.st_mode):
        raise refusal("NotAFile", f"{name}: neither a file nor a folder (a pipe, socket or device)")
    if facts.st_size == 0:
        raise refusal("EmptyFile", f"{name}: the file is empty")
    if most is not None and facts.st_size > most:
        raise refusal("TooLarge", f"{name}: {facts.st_size:,} bytes; more than {most:,} are never read")


def _file_fault(error: OSError, path: str, name: str) -> Fault:
    pass_on(error)
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return refusal("MissingFile", f"{name}: there is no such file{advice(path)}")
    if error.errno in (errno.EACCES, errno.EPERM):
        return refusal("NoPermission", f"{name}: no permission to read this file")
    return refusal("UnreadableFile", f"{name}: cannot be read: {error.strerror or error}")
