"""Counts the input tokens of a request before it is sent: pictures and videos by a rule, text by an estimate."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from pipeline.providers.body import parts
from pipeline.providers.image_tokens import (
    Reading,
    frame_cap,
    image_cap,
    image_tokens,
    pixel_options,
    stated_markers,
    video_tokens,
)
from pipeline.providers.media_options import PartOptions
from pipeline.providers.model import Model, TokenRule
from pipeline.types import Audio, Image, Loaded, Media, Part, Request, Text, Video

_TURN_OVERHEAD = 5
_REQUEST_OVERHEAD = 3
_DEFAULT_SYSTEM = 11
_TEMPLATE_SLACK = 8
_TASK_PROMPT = 1_000
"""More tokens than any prompt that the service adds for a task of `ocr_options` (PROTOCOLS.md §3.10)."""
_CHARACTERS_A_TOKEN = 16
"""More characters per token than any running text has, so that the fewest tokens are never counted too high."""
_SHORT = 1_024
"""A text of at most this many characters counts as 0 tokens where the fewest tokens are counted."""


class Count(NamedTuple):
    """Input tokens of a request by kind; None if the request has this kind and it cannot be counted."""

    words: int
    media: int | None
    audio: int | None

    @property
    def total(self) -> int | None:
        return None if self.media is None or self.audio is None else self.words + self.media + self.audio


def text_tokens(text: str, *, upper: bool = True) -> int:
    """Returns an estimate of the tokens of a text, without a tokenizer.

    `upper`: one token per UTF-8 byte, which no byte-level vocabulary exceeds. Some vocabularies read the text composed
    (NFC), and a few signs of music and of Indian scripts are longer then: the longer form counts. Otherwise the
    expected number: one token per four ASCII characters and one per other character.
    """
    if upper:
        as_is = len(text.encode("utf-8", "surrogatepass"))
        if text.isascii() or unicodedata.is_normalized("NFC", text):
            return as_is
        return max(as_is, len(unicodedata.normalize("NFC", text).encode("utf-8", "surrogatepass")))
    ascii_count = len(text) if text.isascii() else sum(character.isascii() for character in text)
    return math.ceil(ascii_count / 4) + len(text) - ascii_count


_RUN = re.compile(r"(.)\1{3,}", re.DOTALL)


def _words(text: str, reading: Reading, tokenizer: Callable[[str], int] | None) -> int:
    if tokenizer is not None and reading == "expected":
        return tokenizer(text)
    if reading == "least":
        return len(_RUN.sub("", text)) // _CHARACTERS_A_TOKEN if len(text) > _SHORT else 0
    return text_tokens(text, upper=reading == "most")


def estimate(request: Request, model: Model, *, upper: bool = True) -> int | None:
    """Returns the input tokens of a whole request, or None if its pictures, videos or sounds cannot be counted.

    The number is an upper bound (`upper`) or the expected number. A picture of unknown size (a URL that the service
    fetches) counts with the most tokens that a picture can have.
    """
    return count(request, model, "most" if upper else "expected").total


def fewest(request: Request, model: Model) -> int:
    """Returns the fewest input tokens that the request can have.

    A request that the model takes is therefore never counted above the limit of the model.
    """
    found = count(request, model, "least")
    return found.words + (found.media or 0) + (found.audio or 0)


def media_tokens(request: Request, model: Model) -> int | None:
    """Returns the picture and video tokens as the reply will state them; 0 without pictures and videos.

    Returns None if these tokens, or the tokens of sounds, cannot be counted.
    """
    rule = model.tokens
    found = count(request, model, "expected")
    if found.media is None or found.audio is None or rule is None:
        return None if found.media is None or found.audio is None else 0
    images = sum(isinstance(part, Image | Video) for part in parts(request))
    return found.media - (0 if rule.markers_counted else rule.markers * images)


def count(request: Request, model: Model, reading: Reading, tokenizer: Callable[[str], int] | None = None) -> Count:
    """Returns the input tokens by kind. `tokenizer`: counts the texts for the reading "expected".

    The frame of a chat counts 5 per turn, 3 at the end and 11 for the default system message. The reading "most" adds
    8 for differences between templates, and the tokens of tools, schemas and tasks (PROTOCOLS.md §3.8). The reading
    "least" counts no frame.
    """
    words = _frame(request, reading)
    media: int | None = 0
    audio: int | None = 0
    given = request.parameters
    shared = {name: given[name] for name in _COUNTED if name in given} if given else given
    options = PartOptions(shared, shared)
    for part in parts(request):
        if isinstance(part, Text):
            words += _words(part.text, reading, tokenizer)
        elif isinstance(part, Audio):
            audio = None
        else:
            chosen = options.of(part) if shared or part.options else part.options
            counted = _seen(part, model.tokens, chosen, reading)
            if counted is None and reading == "expected" and isinstance(part, Image):
                counted = model.image_tokens
            media = None if media is None or counted is None else media + counted
    return Count(words, media, audio)


def _frame(request: Request, reading: Reading) -> int:
    if reading == "least" or request.embeds:
        return 0 if reading != "most" else _described(request.parameters)
    system = 0 if request.turns and request.turns[0].role == "system" else _DEFAULT_SYSTEM
    total = _TURN_OVERHEAD * len(request.turns) + _REQUEST_OVERHEAD + system
    return total + (_TEMPLATE_SLACK + _described(request.parameters) if reading == "most" else 0)


def _described(parameters: Mapping[str, Any]) -> int:
    """Returns the most tokens that tools, schemas and instructions among the parameters can add to the input."""
    total = 0
    for name, value in parameters.items():
        if isinstance(value, int | float) or name in _COUNTED:
            continue
        if isinstance(value, str):
            total += text_tokens(value)
        elif isinstance(value, Mapping | list | tuple):
            total += len(msgspec.json.encode(value))
        if name == "ocr_options":
            total += _TASK_PROMPT
    return total


_COUNTED = frozenset({"min_pixels", "max_pixels", "total_pixels", "vl_high_resolution_images"})


def _seen(part: Part, rule: TokenRule | None, options: Mapping[str, Any], reading: Reading) -> int | None:
    """Returns the input tokens of a picture or frame list, with its markers, or None if they cannot be counted.

    A video file cannot be counted, because the service takes the frames out of the file.
    """
    if rule is None or not isinstance(part, Image | Video):
        return None
    counted = _image(part, rule, options, reading) if isinstance(part, Image) else _video(part, rule, options, reading)
    return None if counted is None else counted + (0 if rule.markers_counted else rule.markers)


def _image(part: Image, rule: TokenRule, options: Mapping[str, Any], reading: Reading) -> int | None:
    pixels, size = pixel_options(options), _size(part.media)
    if size is None:
        return _unsized(image_cap(rule, pixels), rule, reading)
    return image_tokens(*size, rule, pixels, reading=reading)


def _video(part: Video, rule: TokenRule, options: Mapping[str, Any], reading: Reading) -> int | None:
    pixels = pixel_options(options)
    sizes = [size for frame in part.frames if (size := _size(frame)) is not None]
    if sizes and len(sizes) == len(part.frames):
        return video_tokens(sizes, rule, pixels, reading=reading)
    if rule.frame_max_pixels is None or not part.frames:
        return None
    groups = math.ceil(len(part.frames) / rule.frame_group)
    return groups * _unsized(frame_cap(rule, len(part.frames), pixels), rule, reading)


def _unsized(pixels: float, rule: TokenRule, reading: Reading) -> int:
    """Returns the tokens of a picture of unknown size: the most that it can have, or 1 for the reading "least"."""
    return 1 if reading == "least" else int(pixels // rule.patch**2) + stated_markers(rule)


def _size(media: Media | Loaded) -> tuple[int, int] | None:
    if isinstance(media, Loaded) and media.width and media.height:
        return media.width, media.height
    return None
