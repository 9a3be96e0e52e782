"""A conversation, in one form for all chat protocols: the question for the models, and the count of the tokens."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any

import msgspec

from pipeline.offline import tokens
from pipeline.offline.media import Image
from pipeline.offline.models import answering
from pipeline.offline.models.fields import schema_of
from pipeline.offline.part_reader import Audio, Part, Video

ROLES = ("system", "user", "assistant")
_QUOTED = 24


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One message. `parts` stand in the order in which they were sent; a text is a str."""

    role: str
    parts: tuple[Part, ...] = ()

    @property
    def text(self) -> str:
        return "\n".join(part for part in self.parts if isinstance(part, str))

    @property
    def images(self) -> tuple[Image, ...]:
        return tuple(part for part in self.parts if isinstance(part, Image))

    @property
    def videos(self) -> tuple[Video, ...]:
        return tuple(part for part in self.parts if isinstance(part, Video))

    @property
    def audio(self) -> tuple[Audio, ...]:
        return tuple(part for part in self.parts if isinstance(part, Audio))

    @property
    def has_media(self) -> bool:
        return any(not isinstance(part, str) for part in self.parts)


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """A checked conversation.

    `parameters` have the names that the service uses. `most`: the tokens after which the answer is cut, or None.
    """

    model: str
    turns: tuple[Turn, ...]
    parameters: Mapping[str, Any]
    most: int | None = None


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of the input (`taken`) and of the answer (`given`). `taken` includes `images`, `frames` and `sounds`."""

    taken: int
    given: int
    images: int = 0
    frames: int = 0
    sounds: int = 0


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """The answer: `text`, `finish` (`stop` or `length`), its tokens, and for the OCR tasks the content in `read`."""

    text: str
    finish: str
    counted: Counted
    read: tuple[Any, ...] | None = None


def asked(conversation: Conversation) -> answering.Asked:
    """Returns the last question with its own media, or with the newest earlier media if the question has no media."""
    last = conversation.turns[-1]
    shown = next((turn for turn in reversed(conversation.turns) if turn.has_media), last)
    return answering.Asked(
        model=conversation.model,
        prompt=last.text,
        images=tuple(one.data for one in shown.images),
        clips=tuple(_clip(video) for video in shown.videos),
        audio=tuple(one.data for one in shown.audio),
        order=_order(last),
        earlier=_earlier(conversation),
        estimated=bool(shown.audio) and not tokens.audio_rate(conversation.model)[1],
        schema=schema_of(conversation.parameters, last.text),
    )


def _clip(video: Video) -> answering.Clip:
    return answering.Clip(frames=tuple(one.data for one in video.frames), fps=video.fps, seconds=video.seconds)


def _order(turn: Turn) -> tuple[str, ...]:
    """Returns the names of the parts in order, such as `text “…”`, `picture 1`.

    Returns () for the usual order, media and then one text, and for a turn without media or without text.
    """
    texts = [place for place, part in enumerate(turn.parts) if isinstance(part, str)]
    if not turn.has_media or not texts or texts == [len(turn.parts) - 1]:
        return ()
    counts: dict[str, int] = {}
    found = []
    for part in turn.parts:
        if isinstance(part, str):
            found.append("text" if len(texts) == 1 else f"text “{_start(part)}”")
            continue
        kind = "picture" if isinstance(part, Image) else "video" if isinstance(part, Video) else "sound"
        counts[kind] = counts.get(kind, 0) + 1
        found.append(f"{kind} {counts[kind]}")
    return tuple(found)


def _start(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _QUOTED else flat[:_QUOTED].rstrip() + "…"


def _earlier(conversation: Conversation) -> tuple[tuple[str, str], ...]:
    """Returns each earlier question with its answer."""
    found: list[tuple[str, str]] = []
    question = ""
    for turn in conversation.turns[:-1]:
        if turn.role == "user":
            question = turn.text
        elif turn.role == "assistant":
            found.append((question, turn.text))
    return tuple(found)


def finish(conversation: Conversation, text: str, read: tuple[Any, ...] | None = None) -> Said:
    """Cuts the text at the token limit and counts the tokens. Wraps the text in JSON if the caller asked for JSON."""
    if _wants_json(conversation.parameters) and schema_of(conversation.parameters, conversation.turns[-1].text) is None:
        text = msgspec.json.encode({"answer": text}).decode()
    given, ending = tokens.text_tokens(text) + 1, "stop"
    if conversation.most is not None and given > conversation.most:
        text = text[: max(1, len(text) * conversation.most // given)]
        given, ending = conversation.most, "length"
    return Said(text=text, finish=ending, counted=_count(conversation, given), read=read)


def _wants_json(parameters: Mapping[str, Any]) -> bool:
    form = parameters.get("response_format")
    return isinstance(form, Mapping) and form.get("type") in ("json_object", "json_schema")


def _count(conversation: Conversation, given: int) -> Counted:
    """Counts the tokens of ChatML as the Qwen-VL page does: 5 a message, 3 for the answer, 11 for a default system
    message."""
    model = conversation.model
    grid = tokens.grid_of(model)
    words = sum(tokens.text_tokens(turn.text) + 5 for turn in conversation.turns) + 3
    system = 0 if any(turn.role == "system" for turn in conversation.turns) else 11
    heard = [audio for turn in conversation.turns for audio in turn.audio]
    sounds = sum(tokens.audio_tokens(sound.seconds, model) for sound in heard)
    if grid is None:
        return Counted(taken=system + words + sounds, given=given, sounds=sounds)
    high = bool(conversation.parameters.get("vl_high_resolution_images"))
    seen = [image for turn in conversation.turns for image in turn.images]
    films = [video for turn in conversation.turns for video in turn.videos]
    images = sum(
        tokens.image_tokens(one.width, one.height, grid, pixels=one.pixels, high_resolution=high) for one in seen
    )
    frames = sum(
        tokens.video_tokens([(one.width, one.height) for one in film.frames], grid, pixels=film.pixels)
        for film in films
    )
    marks = 2 * (len(seen) + len(films) + len(heard))
    if grid.counted:
        images, frames, marks = images + 2 * len(seen), frames + 2 * len(films), 2 * len(heard)
    taken = system + words + images + frames + sounds + marks
    return Counted(taken=taken, given=given, images=images, frames=frames, sounds=sounds)


def pieces(text: str) -> list[str]:
    """Returns the text in about a dozen pieces for a stream; one empty piece for an empty text."""
    step = max(4, ceil(len(text) / 12))
    return [text[start : start + step] for start in range(0, len(text), step)] or [""]
