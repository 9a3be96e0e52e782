"""A conversation as any of the chat protocols brings it: what the models are asked, and what it costs in tokens."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any

import msgspec

from pipeline.offline import tokens
from pipeline.offline.media import Picture
from pipeline.offline.models import answering

ROLES = ("system", "user", "assistant")


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One message: its texts joined, its pictures, or the frames of one video."""

    role: str
    text: str = ""
    pictures: tuple[Picture, ...] = ()
    frames: tuple[Picture, ...] = ()
    fps: float | None = None


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """`parameters` under the service's own names, checked. `most`: tokens after which the answer is cut, or None."""

    model: str
    turns: tuple[Turn, ...]
    parameters: Mapping[str, Any]
    most: int | None = None


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens: `pictures` and `frames` are contained in `taken`."""

    taken: int
    given: int
    pictures: int = 0
    frames: int = 0


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """The answer: its text, why it ended (`stop` or `length`), its tokens, and read pieces for the OCR tasks."""

    text: str
    finish: str
    counted: Counted
    read: tuple[Any, ...] | None = None


def asked(conversation: Conversation) -> answering.Asked:
    """The last question with its own pictures, else with the newest ones shown before it."""
    last = conversation.turns[-1]
    shown = next((turn for turn in reversed(conversation.turns) if turn.pictures or turn.frames), last)
    return answering.Asked(
        model=conversation.model,
        prompt=last.text,
        pictures=tuple(one.data for one in shown.pictures),
        frames=tuple(one.data for one in shown.frames),
        fps=shown.fps,
    )


def finish(conversation: Conversation, text: str, read: tuple[Any, ...] | None = None) -> Said:
    """Cuts the text at the token limit and counts; JSON where the caller asked for JSON."""
    if _wants_json(conversation.parameters):
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
    """ChatML as the Qwen-VL page adds up: 5 a message, 3 for the answer, 11 for a default system message."""
    grid = tokens.grid_of(conversation.model)
    pictures = frames = marks = 0
    high = bool(conversation.parameters.get("vl_high_resolution_images"))
    for turn in conversation.turns:
        if grid is None:
            continue
        pictures += sum(tokens.picture_tokens(p.width, p.height, grid, high_resolution=high) for p in turn.pictures)
        frames += tokens.video_tokens([(p.width, p.height) for p in turn.frames], grid)
        marks += 2 * (len(turn.pictures) + bool(turn.frames))
        if grid.counted:
            pictures += 2 * len(turn.pictures)
            frames += 2 * bool(turn.frames)
    inside = 0 if grid is not None and grid.counted else marks
    words = sum(tokens.text_tokens(turn.text) + 5 for turn in conversation.turns) + 3
    system = 0 if any(turn.role == "system" for turn in conversation.turns) else 11
    return Counted(taken=system + words + pictures + frames + inside, given=given, pictures=pictures, frames=frames)


def pieces(text: str) -> list[str]:
    """The text in about a dozen pieces, as a stream brings it; one empty piece for an empty text."""
    step = max(4, ceil(len(text) / 12))
    return [text[start : start + step] for start in range(0, len(text), step)] or [""]
