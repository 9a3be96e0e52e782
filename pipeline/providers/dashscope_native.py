"""DashScope's native generation: request bodies and replies, whole or as a stream (PROTOCOLS.md §1–§3).

The mode of a stream is declared by the abilities of the model and by the request. The declaration is used even if the
frames look different, for two frames in a row can look the same in both modes ("ha", "haha"; "1", "10", "100"), and a
wrong guess loses text without a message. The declaration is given up only if it cannot be true:

| declared | given up | what a wrong declaration costs |
| --- | --- | --- |
| replace: the model cannot do increments (Llama 3.2) | never | – |
| cumulative: the request asked for no increments | a frame continues nothing: all frames are joined | the beginning |
| incremental: asked for, or the model's only mode | every frame begins with the frame before, and the text is more \
than a repeated sign or number; or the last frame is repeated without a new token | the text several times over |

Source: PROTOCOLS.md §2.4, §3.4, traps 4 and 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import takewhile
from typing import Any, Literal

from pipeline.errors import Fault
from pipeline.providers import reply_fields
from pipeline.providers.body import media_value, number
from pipeline.providers.media_options import PartOptions, options
from pipeline.providers.model import Model
from pipeline.providers.reply_fields import read_blocks, unfenced
from pipeline.providers.safe_text import without_data
from pipeline.types import Audio, Block, Image, Part, Reply, Request, Text, Usage, Video

Mode = Literal["replace", "cumulative", "incremental"]

BEYOND_DOUBT = 4
"""An incremental stream counts as cumulative if its frames have grown this often and the text has more different
characters than this. A model does write increments such as "1", "10", "100", "1000", "10000" or a growing row of
dashes, which have few different characters."""

SHARED = 8
"""A rewritten frame shares at least this many characters with the start of the frame before, and at least half of that
frame."""


class TextFlow:
    """Collects the text of frames.

    While each frame begins with the frame before, only the last frame and the lengths are held. Memory and time stay
    linear in the number of bytes received.
    """

    __slots__ = ("_deltas", "_growths", "_last", "_lengths", "_mode", "_repeated", "_tokens")

    def __init__(self, mode: Mode) -> None:
        self._mode = mode
        self._last = ""
        self._lengths: list[int] = []
        self._growths = 0
        self._deltas: list[str] | None = None
        self._tokens: list[int] = []
        self._repeated = False

    def add(self, text: str, tokens: object = None) -> None:
        """Adds the text of the next frame. tokens: the running total of output tokens that stands beside the text."""
        if not text:
            return
        if self._deltas is not None:
            self._deltas.append(text)
        elif self._mode == "replace":
            self._last = text
        elif text.startswith(self._last):
            self._fits(text, tokens)
        elif self._mode == "cumulative" and self._rewrites(text):
            self._lengths = [len(text)]
            self._last = text
        else:
            self._deltas = [self._last[:length] for length in self._lengths]
            self._deltas.append(text)

    def text(self) -> str:
        if self._deltas is not None:
            return "".join(self._deltas)
        if self._mode == "incremental" and not self._cumulative_beyond_doubt():
            return "".join(self._last[:length] for length in self._lengths)
        return self._last

    def _fits(self, text: str, tokens: object) -> None:
        grown = len(text) > len(self._last)
        self._growths += grown and bool(self._lengths)
        self._repeated = not grown and len(self._tokens) > 1 and tokens == self._tokens[-1]
        if isinstance(tokens, int) and (not self._tokens or tokens > self._tokens[-1]):
            self._tokens = [*self._tokens[-1:], tokens]
        self._lengths.append(len(text))
        self._last = text

    def _rewrites(self, text: str) -> bool:
        """Tells whether a frame is a correction of the text so far: a completed character or a corrected word."""
        last = self._last
        if text.startswith(last.rstrip("\ufffd")):
            return True
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(last, text, strict=False)))
        if shared >= SHARED and 2 * shared >= len(last):
            return True
        return self._growths >= BEYOND_DOUBT - 1 and len(text) >= len(last)

    def _cumulative_beyond_doubt(self) -> bool:
        if self._repeated and self._growths > 1:
            return True
        return self._growths >= BEYOND_DOUBT and len(set(self._last)) > BEYOND_DOUBT


PATH = "/services/aigc/multimodal-generation/generation"
_KNOWN_TOP = frozenset({"output", "usage", "request_id", "code", "message", "status_code"})
_KNOWN_OUTPUT = frozenset({"choices", "text", "finish_reason", "audio"})
_KNOWN_CHOICE = frozenset({"message", "finish_reason", "index"})
_KNOWN_MESSAGE = frozenset({"role", "content", "reasoning_content"})
_KNOWN_ITEM = frozenset({"text", "ocr_result"})


def generation_body(request: Request, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `{model, input: {messages}, parameters}`.

    Contents are lists of parts in every role. `parameters` is always present. Picture and video options go to the
    parts that they belong to.
    """
    part_options, rest = options(parameters, "native")
    messages = [
        {"role": turn.role, "content": [_part(part, part_options) for part in turn.parts]} for turn in request.turns
    ]
    return {"model": request.model, "input": {"messages": messages}, "parameters": rest}


def _part(part: Part, part_options: PartOptions) -> dict[str, Any]:
    chosen = part_options.of(part)
    if isinstance(part, Text):
        return {"text": part.text, **chosen}
    if isinstance(part, Video):
        if part.fps is not None:
            chosen["fps"] = number(part.fps)
        return {"video": [media_value(frame) for frame in part.frames], **chosen}
    kind = "image" if isinstance(part, Image) else "audio" if isinstance(part, Audio) else "video"
    return {kind: media_value(part.media), **chosen}


def asks_for_increments(request: Request, model: Model) -> bool:
    """Tells whether a stream must ask for increments.

    A stream must ask if the model's mode is not known and neither the row nor the job sets it. Without increments, a
    frame that repeats the frame before is ambiguous (`7` `7`, `好` `好`).
    """
    bound = model.bounds.get("incremental_output")
    return (
        request.stream
        and model.incremental is None
        and "incremental_output" not in request.parameters
        and not (bound is not None and bound.refused)
    )


def stream_mode(request: Request, model: Model) -> Mode:
    """Returns how the frames of a native stream must be read.

    The abilities of the model decide first, then the request, then the default of the model.
    """
    if model.incremental == "refused":
        return "replace"
    asked = request.parameters.get("incremental_output")
    if isinstance(asked, bool):
        return "incremental" if asked else "cumulative"
    if model.incremental == "default" or asks_for_increments(request, model):
        return "incremental"
    return "cumulative"


class NativeAccumulator:
    """Collects a native answer: one body, or frames in either stream mode."""

    def __init__(self, request: Request, *, mode: Mode) -> None:
        self._positions = request.positions
        self._text = TextFlow(mode)
        self._thoughts = TextFlow(mode)
        self._has_text = False
        self._usage: Any = None
        self._finish: str | None = None
        self._request_id: str | None = None
        self._blocks: tuple[Block, ...] | None = None
        self._extra: dict[str, Any] = {}

    def add(self, body: dict[str, Any], *, stream: bool) -> None:
        output = body.get("output")
        if stream and output is None:
            output = {}
        if not isinstance(output, dict):
            raise TypeError("no output")
        self._keep(body, _KNOWN_TOP)
        self._keep(output, _KNOWN_OUTPUT)
        if isinstance(identity := body.get("request_id"), str):
            self._request_id = identity
        if body.get("usage") is not None:
            self._usage = body["usage"]
        choices = output["choices"] if not stream else output.get("choices") or []
        for choice in choices[:1]:
            self._choice(choice)
        if not choices and not stream:
            raise ValueError("no choices")

    def _choice(self, choice: dict[str, Any]) -> None:
        self._keep(choice, _KNOWN_CHOICE)
        if (reason := choice.get("finish_reason")) not in reply_fields.OPEN:
            self._finish = reply_fields.later(self._finish, reason)
        message = choice.get("message") or {}
        self._keep(message, _KNOWN_MESSAGE)
        thought = message.get("reasoning_content")
        self._thoughts.add(thought if isinstance(thought, str) else "")
        content = message.get("content")
        if isinstance(content, str):
            content = [{"text": content}]
        texts = []
        for item in content or []:
            if isinstance(item.get("text"), str):
                texts.append(item["text"])
            self._ocr(item.get("ocr_result"))
            self._keep(item, _KNOWN_ITEM)
        self._has_text = self._has_text or bool(texts)
        tokens = self._usage.get("output_tokens") if isinstance(self._usage, dict) else None
        self._text.add("".join(texts), tokens)

    def _ocr(self, result: Any) -> None:
        if not isinstance(result, dict):
            return
        words = result.get("words_info")
        if isinstance(words, list):
            self._blocks = read_blocks(words)
        self._keep(result, frozenset({"words_info"}))

    def _keep(self, table: dict[str, Any], known: frozenset[str]) -> None:
        for key, value in table.items():
            if key not in known and value is not None:
                self._extra[key] = without_data(value)

    def finished(self) -> bool:
        return self._finish not in (None, reply_fields.FAILED)

    def closed(self) -> bool:
        """Returns False: in this protocol nothing but the finish reason marks the end."""
        return False

    def reply(self) -> Reply:
        extra = dict(self._extra)
        text: str | None = self._text.text() if self._has_text else None
        if thoughts := self._thoughts.text():
            extra["reasoning"] = thoughts
        if self._blocks:
            if text:
                extra["raw_text"] = text
            text = "\n".join(block.text for block in self._blocks)
        elif self._positions and text:
            text, fence = unfenced(text)
            extra.update(fence)
        return Reply(
            text=text,
            blocks=self._blocks,
            usage=reply_fields.read(self._usage) if self._usage is not None else Usage(),
            finish_reason=self._finish,
            request_id=self._request_id,
            extra=extra,
        )

    def judge(self, reply: Reply, *, stream: bool) -> Fault | None:
        """Returns a fault if a filter ended the answer, or if a whole answer has no finish reason; else None.

        A whole answer without a finish reason may be a part of an answer.
        """
        return reply_fields.judged(reply.finish_reason, needed=not stream)
