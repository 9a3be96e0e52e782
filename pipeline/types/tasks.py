"""What a task declares of itself."""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

TaskName = str
"""The name of a task: of a module in `pipeline/tasks`, or of an entry point of the group `pipeline.tasks`."""

Capability = Literal["caption", "ocr", "embed", "ask"]
"""What a model is for, in the words of the model tables."""


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

    A column of type "vector" is called `embedding`: readers of outputs know vectors by this name.

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
