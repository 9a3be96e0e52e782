"""What is asked: loaded media, the parts of a request, and the exchange on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from pipeline.types.rows import Media, MediaKind
from pipeline.types.tasks import Capability, TaskName


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


class MediaLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What a model takes, as data. None means not known: nothing is refused or changed for its sake.

    formats: Pillow format names ("JPEG", "PNG", …) for pictures, container names ("WAV", "MP3", "FLAC") for sound and
    ("MP4", "MKV", …) for video. Bytes are of the file; `max_encoded_bytes` is of its base64 form. Sides and areas are
    in pixels, `max_ratio` is long side ÷ short side, `max_seconds` the length of a sound.
    `useful_pixels`: an area above which the service downscales anyway, so that fitting may do it before sending.
    `patch`, `max_patches`: a picture of more tokens, each of `patch` × `patch` pixels, is made smaller.
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
    patch: int | None = None
    max_patches: int | None = None

    @property
    def frame_pixels(self) -> int | None:
        """Returns the area in pixels of which a frame that is taken here needs no more; None: not known."""
        if self.patch is None or self.max_patches is None:
            return self.useful_pixels
        most = self.max_patches * self.patch**2
        return most if self.useful_pixels is None else min(most, self.useful_pixels)


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
