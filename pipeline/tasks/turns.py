"""What caption, ocr and ask share: a row's pictures, earlier turns and prompt as the turns of one conversation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.errors import refusal
from pipeline.job.schema import Job
from pipeline.tasks.prompts import DefaultPrompt, render
from pipeline.types import FrameSource, Image, Message, Part, Request, Row, TaskName, Text, Turn, Video


def conversation(task: TaskName, row: Row, job: Job, default: DefaultPrompt | None) -> Request:
    """The request of a row: system, earlier turns, then the row's pictures, frames and prompt as the user's turn.

    Frame folders are listed by now (`row.frames.pictures` is a tuple). Raises Fault (Local.NoPrompt, Local.NoInput,
    Local.AudioNotTaken, Local.UnknownColumn) for a row that asks nothing.
    """
    system, prompt = prompts(row, job)
    if prompt is None:
        if default is None:
            raise refusal("NoPrompt", "there is nothing to ask: give the row a `prompt`, or the job a [prompt] text")
        prompt = default.text
    if row.audio or row.contents:
        raise refusal("AudioNotTaken", f"`audio` and `contents` are for embed, not for {task}")
    parts = _pictures(row)
    if not parts and task != "ask":
        raise refusal("NoInput", "the row has no picture: give it `image`, `images` or `frames`")
    if prompt:
        parts.append(Text(prompt))
    turns = [Turn(role="system", parts=(Text(system),))] if system else []
    turns += [_earlier(message) for message in row.messages]
    turns.append(Turn(role="user", parts=tuple(parts)))
    return Request(
        task=task, model=job.provider.model, turns=tuple(turns), parameters=parameters(row, job),
        stream=job.provider.stream,
    )  # fmt: skip


def prompts(row: Row, job: Job) -> tuple[str | None, str | None]:
    """(system, prompt) of a row as sent, None where the built-in default stands. Row prompts are literal."""
    system, prompt = row.system, row.prompt
    if system is None and job.prompt.system is not None:
        system = render(job.prompt.system, row.raw)
    if prompt is None and job.prompt.text is not None:
        prompt = render(job.prompt.text, row.raw)
    return system, prompt


def parameters(row: Row, job: Job) -> Mapping[str, Any]:
    """The job's parameters with the row's own over them."""
    return {**job.provider.parameters, **row.parameters} if row.parameters else job.provider.parameters


def _pictures(row: Row) -> list[Part]:
    parts: list[Part] = [Image(media) for media in row.images]
    if row.frames is not None:
        pictures = row.frames.pictures
        if isinstance(pictures, FrameSource):
            raise TypeError("frame folders are listed before a row is asked")
        parts.append(Video(frames=tuple(pictures), fps=row.frames.fps))
    return parts


def _earlier(message: Message) -> Turn:
    parts: list[Part] = [Image(media) for media in message.images]
    if message.text is not None:
        parts.append(Text(message.text))
    return Turn(role=message.role, parts=tuple(parts))
