"""The values that pass between the rooms: frozen, and free of I/O.

manifest line → Row → Request → HttpRequest ═ wire ═ Reply → Answer or Failure → journal
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from pipeline.errors import Fault

TaskName = str
"""The name of a task: of a module in `pipeline/tasks`, or of an entry point of the group `pipeline.tasks`."""

Capability = Literal["caption", "ocr", "embed", "ask"]
"""What a model is for, in the words of the model tables."""

MediaKind = Literal["image", "audio", "video"]


class Secret:
    """A key that no repr, log or traceback can print. `reveal()` is called only where a header is built."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


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


class MediaLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What a model takes, as data. None means not known: nothing is refused or changed for its sake.

    formats: Pillow format names ("JPEG", "PNG", …) for pictures, container names ("WAV", "MP3", "FLAC") for sound and
    ("MP4", "MKV", …) for video. Bytes are of the file; `max_encoded_bytes` is of its base64 form. Sides and areas are
    in pixels, `max_ratio` is long side ÷ short side, `max_seconds` the length of a sound.
    `useful_pixels`: an area above which the service downscales anyway, so that fitting may do it before sending.
    """

    formats: tuple[str, ...] | None = None
    max_bytes: int | None = None
    max_encoded_bytes: int | None = None
    max_pixels: int | None = None
    min_side: int | None = None
    max_side: int | None = None
    max_ratio: float | None = None
    max_seconds: float | None = None
    useful_pixels: int | None = None


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """One picture or sound ready to be sent: either `url` as it goes to the service, or the bytes to send.

    `sha256` (hex) is of the original bytes, None where they were never loaded. `width` and `height` are of what is
    sent; `original_width`, `original_height` of the original picture with its EXIF orientation applied.
    `name` is a file name for uploads, without folders. `changed` says in words what fitting did, or None.
    `source` is the public form of the reference (no signature, no data), as stored in the `source` column.
    `cut`: the picture lacks its end, and is sent on purpose. `page`: of a document, counted from 1.
    """

    kind: MediaKind
    source: str
    url: str | None = None
    body: bytes | None = None
    mime: str | None = None
    name: str | None = None
    sha256: str | None = None
    width: int | None = None
    height: int | None = None
    original_width: int | None = None
    original_height: int | None = None
    seconds: float | None = None
    changed: str | None = None
    cut: bool = False
    page: int | None = None

    def __repr__(self) -> str:
        return f"Loaded({self.kind}, {self.source}, {len(self.body or b'')} bytes)"


class Text(msgspec.Struct, frozen=True, tag="text"):
    text: str
    options: Mapping[str, Any] = {}


class Image(msgspec.Struct, frozen=True, tag="image"):
    media: Media | Loaded
    options: Mapping[str, Any] = {}


class Audio(msgspec.Struct, frozen=True, tag="audio"):
    media: Media | Loaded
    options: Mapping[str, Any] = {}


class Video(msgspec.Struct, frozen=True, tag="video"):
    """A frame list in order; `fps` as the frames were taken, None = the service's default."""

    frames: tuple[Media | Loaded, ...]
    fps: float | None = None
    options: Mapping[str, Any] = {}


class VideoFile(msgspec.Struct, frozen=True, tag="video_file"):
    """A video as a file or URL. `options` may hold `fps`: how densely the service samples it."""

    media: Media | Loaded
    options: Mapping[str, Any] = {}


Part = Text | Image | Audio | Video | VideoFile
"""`options` of a part are the service's own, under the service's names; the parameters' options of parts stand behind
them."""


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One message of the conversation, its parts in the order in which they go on the wire."""

    role: Literal["system", "user", "assistant"]
    parts: tuple[Part, ...]


class EmbedItem(msgspec.Struct, frozen=True, kw_only=True):
    """One item of an embedding request; `part` is Text, Image, Audio or VideoFile."""

    part: Text | Image | Audio | VideoFile
    factor: float | None = None


ColumnType = Literal[
    "text",
    "number",
    "whole number",
    "yes or no",
    "list of text",
    "list of number",
    "list of whole number",
    "list of yes or no",
    "blocks",
    "vector",
]
"""What a column of an answer holds. blocks: words with positions. vector: float32, all of one length."""


class TaskColumn(NamedTuple):
    """A column of a task's results. `meaning` is one sentence for the reference."""

    name: str
    type: ColumnType
    meaning: str


class TaskFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What other packages must know of a task.

    columns: the result's columns of its own. capability: what a model must be able to do. takes_audio: a row may have
    `audio`. needs_image: a row without an image, frame list or video is refused. asks: the row or the job gives the
    question. pages: the pages of a document are images of one question, each page is a question of its own, or None: a
    document is not taken. may_be_empty: an answer without text is right.
    """

    columns: tuple[TaskColumn, ...]
    capability: Capability
    takes_audio: bool = False
    needs_image: bool = True
    asks: bool = False
    pages: Literal["together", "each"] | None = None
    may_be_empty: bool = False

    @property
    def embeds(self) -> bool:
        """The answer is a vector, and a request has items instead of turns."""
        return self.capability == "embed"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked, independent of any wire protocol.

    `turns` of a conversation (a system turn first, if any; the last one is the user's), or `items` to embed.
    `capability`: as in TaskFacts; None: the task's own name.
    `follow_ups` are questions still to be asked after this one, each with the answers before it.
    `parameters` stand under the service's own names. `response_format`: the parameter of that name for the last
    question. `pages`, in a plan alone: the pages of the document that stands in the request; each is asked by itself.
    """

    task: TaskName
    model: str
    turns: tuple[Turn, ...] = ()
    items: tuple[EmbedItem, ...] = ()
    follow_ups: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = {}
    stream: bool = False
    capability: Capability | None = None
    response_format: Mapping[str, Any] | None = None
    pages: tuple[Loaded, ...] = ()

    @property
    def needs(self) -> str:
        """The capability that a model must have, in the words of the model tables."""
        return self.capability or self.task

    @property
    def embeds(self) -> bool:
        """Whether the answer is a vector."""
        return self.needs == "embed"

    @property
    def positions(self) -> bool:
        """Whether a reply may give the positions of words."""
        return self.needs == "ocr"


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where a provider is reached. `base_url` has no trailing slash; `protocol` is `native` or `openai`.

    `headers` go with every request to the service, uploads included; none of them carries the key.
    """

    provider: str
    base_url: str
    key: Secret
    protocol: str = "openai"
    workspace: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One exchange to make. The repr shows neither header values nor the body. `redirects`: a 3xx is refused, or comes
    back as any other answer; it is never followed."""

    method: Literal["GET", "POST"]
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    redirects: Literal["refuse", "return"] = "refuse"

    def __repr__(self) -> str:
        names = ", ".join(name for name, _ in self.headers)
        return f"HttpRequest({self.method} {self.url.split('?')[0]}, headers: {names}, {len(self.body)} bytes)"


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens as the service counted them; None is not known, never 0. `media_tokens` are contained in `input_tokens`.

    `input_units` is the weighted usage of an embedding service that bills no tokens (ONE-PEACE's `total_usage`).
    `audio_tokens` are the part of `media_tokens` that is sound. `cached_tokens` are the part of `input_tokens` that was
    read from the service's cache, `written_tokens` the part that was written to it.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    media_tokens: int | None = None
    audio_tokens: int | None = None
    cached_tokens: int | None = None
    written_tokens: int | None = None
    input_units: int | None = None


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of read text; `polygon` is four (x, y) points in pixels of the picture that was sent. `page`: of a
    document, counted from 1."""

    text: str
    score: float | None = None
    polygon: tuple[tuple[float, float], ...] | None = None
    page: int | None = None


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What was decoded from a whole answer.

    `embedding` is little-endian float32, 4 bytes a dimension. `extra` is whatever else the reply carried and a user
    may want (search results, flag, extracted fields, reasoning), JSON-able, without picture data.
    """

    text: str | None = None
    blocks: tuple[Block, ...] | None = None
    embedding: bytes | None = None
    usage: Usage = Usage()
    finish_reason: str | None = None
    request_id: str | None = None
    model: str | None = None
    extra: Mapping[str, Any] = {}


class Reader(Protocol):
    """Decodes one HTTP response as it arrives. `feed` never raises; `end` gives the reply or raises Fault.

    `feed` is true for a chunk after which the answer is whole, though the body may go on: its end need not be waited
    for long. `complete` is False when the connection was cut before the body's end.
    """

    def feed(self, chunk: bytes) -> bool | None: ...

    def end(self, *, complete: bool = True) -> Reply: ...


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One trip on the wire, counted from 1. `started_at`: µs since the epoch, UTC. `cost`: None = not known."""

    attempt: int
    started_at: int
    latency_ms: int
    http_status: int | None = None
    fault: str | None = None
    code: str | None = None
    request_id: str | None = None
    usage: Usage = Usage()
    cost: float | None = None
    currency: str | None = None


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """A call that ended in a reply."""

    reply: Reply
    attempts: tuple[Attempt, ...]


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """A call that ended in a fault. `attempts` is empty when nothing was sent."""

    fault: Fault
    attempts: tuple[Attempt, ...] = ()


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """A row that was not sent or not finished because the run stopped. `attempts` already made are kept."""

    attempts: tuple[Attempt, ...] = ()


Ending = Answered | Failed | Left
