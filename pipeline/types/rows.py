"""What the manifest gives: a row, its media as they are named, and earlier turns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

MediaKind = Literal["image", "audio", "video"]


class Member(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A file inside an archive. `name` as the archive has it. Where it was found: `offset` of its header in bytes,
    `size` of its content, `mark`: changes when the content may have changed; None where it was not looked for yet."""

    name: str
    offset: int | None = None
    size: int | None = None
    mark: str = ""


class Media(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One picture, sound or video file as the manifest names it, not loaded yet.

    Exactly one of `path` (absolute, local), `url` (http, https or oss) and `data` (the decoded bytes of a `data:`
    URL, with its declared type in `mime`) is set; with a `member`, `path` is the archive that holds it. `ref` is the
    text of the manifest; it may hold a signature or picture data, so it is shown only through
    `pipeline.media.redact.public`.
    """

    kind: MediaKind
    ref: str
    path: str | None = None
    url: str | None = None
    data: bytes | None = None
    mime: str | None = None
    member: Member | None = None

    def __repr__(self) -> str:
        place = self.path or (self.url or "data:").split("?")[0]
        return f"Media({self.kind}, {place})"


class FrameSource(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Frames named as a folder or a glob (absolute), listed only when the row is sent or compared."""

    ref: str
    pattern: str
    max_frames: int | None = None


class Frames(msgspec.Struct, frozen=True, kw_only=True):
    """One video as pictures in order. `fps`: the frames were taken 1/fps seconds apart."""

    images: tuple[Media, ...] | FrameSource
    fps: float | None = None
    max_frames: int | None = None


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One part of `contents`: a text, a picture, a sound, a video file, or frames.

    `factor` (> 0) weights the part of an embedding. `options`: the service's own options of this part, under the
    service's names (`detail`, `min_pixels`, `fps`, …).
    """

    content: Media | str | Frames
    factor: float | None = None
    options: Mapping[str, Any] = {}


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """An earlier turn of a conversation, as the manifest gives it.

    A turn of pictures and a text has `images` and `text`. A turn with anything else has `items` alone, in order.
    """

    role: Literal["system", "user", "assistant"]
    text: str | None = None
    images: tuple[Media, ...] = ()
    items: tuple[Item, ...] = ()


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why a manifest line cannot become a request: it becomes a failure row with this code and message."""

    code: str
    message: str


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One input.

    `ordinal` counts rows of the whole manifest from 0; `where` names file and line for people ("photos.jsonl:17").
    `given` tells an id written in the manifest from a derived one. `columns` are the fields that are not ours, in
    manifest order. `raw` is the row as read (field name → value), for the failures' `row` column.
    `videos` are video files, each with its options. `prompts` are asked one after the other, each with the answers
    before it. A row with a `problem` is never sent.
    """

    ordinal: int
    where: str
    id: str
    given: bool
    images: tuple[Media, ...] = ()
    frames: Frames | None = None
    videos: tuple[Item, ...] = ()
    audio: tuple[Media, ...] = ()
    text: str | None = None
    contents: tuple[Item, ...] = ()
    prompt: str | None = None
    prompts: tuple[str, ...] = ()
    system: str | None = None
    parameters: Mapping[str, Any] = {}
    messages: tuple[Message, ...] = ()
    columns: Mapping[str, Any] = {}
    raw: Mapping[str, Any] = {}
    problem: Problem | None = None

    def __repr__(self) -> str:
        """Without the fields: they may hold picture data and signed URLs."""
        return f"Row({self.where}, id={self.id!r})"
