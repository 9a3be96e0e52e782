"""The common part of caption, ocr and ask: turns a row's media, earlier turns and prompt into one conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.errors import refusal
from pipeline.job.schema import AnswerSection, JobFile
from pipeline.tasks.answer import FIELDS, instruction, response_format
from pipeline.tasks.prompts import DefaultPrompt, render
from pipeline.types import (
    Audio,
    Frames,
    FrameSource,
    Image,
    Item,
    MediaKind,
    Message,
    Part,
    Request,
    Row,
    TaskFacts,
    TaskName,
    Text,
    Turn,
    Video,
    VideoFile,
)


def conversation(task: TaskName, facts: TaskFacts, row: Row, job: JobFile, default: DefaultPrompt | None) -> Request:
    """Returns the request of a row: system, earlier turns, then the row's media, `contents` and prompt as the user's
    turn.

    A prompt of the row or the job stands last. The default prompt is for rows whose `contents` have no text. The first
    of `prompts` is asked in this request; the others are the request's `follow_ups`. Frame folders must be listed
    already. Raises Fault (Local.NoPrompt, Local.NoInput, Local.AudioNotTaken, Local.Factor, Local.UnknownColumn) for a
    row that asks nothing, or has an input that this task does not take.
    """
    system, prompt = prompts(row, job)
    follow_ups: tuple[str, ...] = ()
    if row.prompts:
        prompt, follow_ups = row.prompts[0], row.prompts[1:]
    parts = _own_parts(row)
    _refuse(task, facts, row, parts)
    if prompt is None and not any(isinstance(part, Text) for part in parts):
        default = default if job.answer is None else FIELDS
        if default is not None:
            prompt = default.text
        elif not row.contents:
            raise refusal("NoPrompt", "there is nothing to ask: give the row a `prompt`, or the job a [prompt] text")
    if prompt:
        parts.append(Text(prompt))
    if job.answer is not None:
        follow_ups = _with_instruction(job.answer, row, parts, follow_ups)
    turns = [Turn(role="system", parts=(Text(system),))] if system else []
    turns += [_earlier(message) for message in row.messages]
    turns.append(Turn(role="user", parts=tuple(parts)))
    return Request(
        task=task,
        capability=facts.capability,
        model=job.provider.model,
        turns=tuple(turns),
        follow_ups=follow_ups,
        parameters=parameters(row, job),
        stream=job.provider.stream,
        response_format=None if job.answer is None else response_format(job.answer),
    )


def _refuse(task: TaskName, facts: TaskFacts, row: Row, parts: Sequence[Part]) -> None:
    """Raises Fault for what the task does not take, and for a row without what the task needs."""
    if row.audio and not facts.takes_audio:
        raise refusal("AudioNotTaken", f"`audio` is for embed and ask, not for {task}")
    if facts.needs_image and not any(not isinstance(part, Text) for part in parts):
        raise refusal("NoInput", "the row has no picture: give it `image`, `images`, `frames`, `video` or `contents`")


def _with_instruction(
    answer: AnswerSection, row: Row, parts: list[Part], follow_ups: tuple[str, ...]
) -> tuple[str, ...]:
    """Puts the words that ask for the answer's fields behind the row's last question. Returns the follow-ups."""
    if "response_format" in row.parameters:
        raise refusal("AnswerFormat", "[answer] sets `response_format`; take it out of the row's parameters")
    if follow_ups:
        return (*follow_ups[:-1], f"{follow_ups[-1]}\n\n{instruction(answer)}")
    parts.append(Text(instruction(answer)))
    return ()


def prompts(row: Row, job: JobFile) -> tuple[str | None, str | None]:
    """Returns (system, prompt) of a row in the form that is sent.

    A prompt of the row is sent literally; a prompt of the job is rendered. None: the row and the job give no text, so
    that the built-in default counts, or the row has `prompts`. Raises Fault (Local.UnknownColumn).
    """
    system, prompt = row.system, row.prompt
    if system is None and job.prompt.system is not None:
        system = render(job.prompt.system, row.raw)
    if prompt is None and not row.prompts and job.prompt.text is not None:
        prompt = render(job.prompt.text, row.raw)
    return system, prompt


def parameters(row: Row, job: JobFile) -> Mapping[str, Any]:
    """Returns the job's parameters. The row's own parameters replace parameters with the same name."""
    return {**job.provider.parameters, **row.parameters} if row.parameters else job.provider.parameters


def part_of(item: Item) -> Part:
    """Returns one item of `contents` as a part of a request."""
    content = item.content
    if isinstance(content, str):
        return Text(content, item.options)
    if isinstance(content, Frames):
        return _video(content, item.options)
    return _KINDS[content.kind](content, item.options)


_KINDS: dict[MediaKind, type[Image] | type[Audio] | type[VideoFile]] = {
    "image": Image,
    "audio": Audio,
    "video": VideoFile,
}


def _own_parts(row: Row) -> list[Part]:
    """Returns the row's own media and `contents`, without its prompt. Raises Fault (Local.Factor)."""
    if row.frames is None and not (row.videos or row.audio or row.contents):
        return [Image(media) for media in row.images]
    if any(item.factor is not None for item in row.contents):
        raise refusal("Factor", "`factor` weights the parts of an embedding; leave it out for this task")
    parts: list[Part] = [Image(media) for media in row.images]
    if row.frames is not None:
        parts.append(_video(row.frames, {}))
    parts += [part_of(item) for item in row.videos]
    parts += [Audio(media) for media in row.audio]
    return parts + [part_of(item) for item in row.contents]


def _video(frames: Frames, options: Mapping[str, Any]) -> Video:
    if isinstance(frames.images, FrameSource):
        raise TypeError("frame folders are listed before a row is asked")
    return Video(frames=tuple(frames.images), fps=frames.fps, options=options)


def _earlier(message: Message) -> Turn:
    parts: list[Part] = [Image(media) for media in message.images]
    if message.text is not None:
        parts.append(Text(message.text))
    parts += [part_of(item) for item in message.items]
    return Turn(role=message.role, parts=tuple(parts))
