"""The stamp of a row's local files: same path, size and time of change stand for same content."""

from __future__ import annotations

import hashlib
import os

from pipeline.errors import Fault
from pipeline.manifest.row_media import expand_frames, message_media, own_media
from pipeline.media.files import facts_of, found_member
from pipeline.types import Media, Row


def stat_key(row: Row) -> str | None:
    """32 hex digits over (absolute path, size, time of change in ns) of every local file in the row's order; of a
    file in an archive see `_of_member`.

    None when the row has no local file, has a problem, or one of its files is missing. Measured: 3 µs a file.
    """
    if row.problem is not None:
        return None
    digest = None
    try:
        row = expand_frames(row)
        for media in (*own_media(row), *message_media(row)):
            if media.path is None:
                continue
            digest = digest or hashlib.sha256()
            if media.member is not None:
                digest.update(_of_member(media))
                continue
            facts = facts_of(media)
            digest.update(os.fsencode(media.path) + b"\0%d\0%d\n" % (facts.st_size, facts.st_mtime_ns))
    except (OSError, Fault, ValueError):
        return None
    return None if digest is None else digest.hexdigest()[:32]


def _of_member(media: Media) -> bytes:
    """Path, name, size and mark of a file in an archive. The mark of a zip's member is its checksum; a tar has none, so
    that its own size and time of change stand for the contents. Raises Fault, OSError."""
    member = found_member(media)
    return os.fsencode(f"{media.path}\0{member.name}\0{member.size}\0{member.mark}\n")
