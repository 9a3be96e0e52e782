"""Opens the local files that a manifest refers to: only plain files, within the bounds of the manifest's folder."""

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

# A bound for memory: 256 MiB is an uncompressed 8-bit RGB picture of 89 megapixels. No service takes a tenth of that.
MAX_FILE_BYTES = 256 * 1024 * 1024
# A video is hashed in pieces and decoded from its file. The bound is the largest video that a service takes (2 GB,
# §3.7).
MAX_VIDEO_BYTES = 2 * 1024 * 1024 * 1024


def digest(media: Media, *, confine: str | None = None) -> str | None:
    """Returns the SHA-256 (hex) of the original bytes, read in pieces; None for a URL.

    Raises the same errors as `opened`.
    """
    if media.url is not None:
        return None
    if media.data is not None:
        return hashlib.sha256(media.data).hexdigest()
    with opened(media, confine) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read(media: Media, *, confine: str | None = None) -> bytes:
    """Returns the original bytes of a local file, of a file in an archive, or of a data: URL."""
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
    """Returns all bytes of a file. Of a file that grows meanwhile, reading stops after MAX_FILE_BYTES.

    One system call reads the size that was found. Python's file object first allocates memory for the bound, which was
    100 of the 110 µs that a 200 KB picture took.
    """
    body = os.read(descriptor, size + 1)
    while len(body) != size and len(body) <= MAX_FILE_BYTES and (more := os.read(descriptor, 1 << 20)):
        body += more
    return body


def file_size(media: Media) -> int:
    """Returns how many bytes a local file, or a file in an archive, has. Raises Fault if it is not found."""
    if media.member is not None:
        return found_member(media).size or 0
    try:
        return facts_of(media).st_size
    except OSError as error:
        raise _file_fault(error, media.path or "", public(media)) from None


def facts_of(media: Media) -> os.stat_result:
    """Returns the size and times of a local file. Raises OSError."""
    path = media.path or ""
    try:
        return os.stat(path)  # noqa: PTH116 - a Path object for each file doubles the time
    except FileNotFoundError:
        other = other_form(path)
        if other is None:
            raise
        return os.stat(other)  # noqa: PTH116


def found_member(media: Media) -> Member:
    """Returns the member of an archive with its place; a reference in a table has only the name of the member.

    Raises Fault if the archive or the member is not found.
    """
    if media.member is not None and media.member.offset is not None:
        return media.member
    with _member(media, None) as (archive, entry):
        return archive.member(entry)


def on_disk(path: str) -> str:
    """Returns the path as the disk spells it. Only the Unicode form of names may differ; else the path is unchanged."""
    return path if path.isascii() or os.path.lexists(path) else other_form(path) or path


def opened(media: Media, confine: str | None) -> BufferedReader | BytesIO:
    """Opens a plain file that is not empty and not too large, for reading. Opens nothing else; waits for no pipe.

    Raises Fault `Local.MissingFile`, `Local.NoPermission`, `Local.NotAFile`, `Local.EmptyFile`, `Local.TooLarge`,
    `Local.OutsideManifest`, `Local.UnreadableFile`; for a file in an archive also `Local.MissingMember`,
    `Local.ChangedArchive`, `Local.DamagedArchive`, and the same errors as `Archive.read`.
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
    """Yields the open archive of a medium, and the medium's entry in it. Raises the same errors as `opened`."""
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
    """Opens a file under the same checks as `opened`; returns its descriptor and its size.

    Makes few system calls: in a thread, each system call costs a change of threads.
    """
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
    """Returns the path of an open file with all links resolved."""
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115 - one call, and for the file that was opened
    except OSError:
        return os.path.realpath(path)


def _check_within(real: str, root: str, name: str) -> None:
    folders = (root, *root.beside) if isinstance(root, Root) else (root,)
    # If the real path is below the folder as spelled, the folder's own links need not be resolved.
    if any(inside(real, folder) for folder in folders):
        return
    if not any(inside(real, os.path.realpath(folder)) for folder in folders):
        raise refusal(
            "OutsideManifest", f"{name}: a link leads out of the manifest's folder {root}, to {real}; {WIDEN}"
        )


def _check_kind(facts: os.stat_result, name: str, most: int | None) -> None:
    """Raises Fault unless the facts are of a plain file with 1 to `most` bytes.

    `most` is None for an archive: only its members are read, so the archive may have any size.
    """
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
