"""Replies of the OpenAI-compatible chat, whole or as a stream (protocol reference §3.6, §4.3)."""

from __future__ import annotations

from typing import Any

from pipeline.errors import Fault
from pipeline.providers import endings, usage
from pipeline.providers.ocr_reply import unfenced
from pipeline.providers.safe_text import clean, without_data
from pipeline.types import Reply, Request, Usage

_KNOWN_TOP = frozenset(
    {
        "choices",
        "code",
        "created",
        "error",
        "id",
        "is_truncated",
        "message",
        "model",
        "msg",
        "need_clear_history",
        "object",
        "request_id",
        "service_tier",
        "system_fingerprint",
        "usage",
    }
)
_KNOWN_CHOICE = frozenset({"index", "message", "delta", "finish_reason", "text", "stop_reason", "token_ids"})
_KNOWN_MESSAGE = frozenset({"role", "content", "reasoning_content", "reasoning", "refusal"})
_FLAG = ("flag", "ban_round")
_NO_FLAG = (None, 0, "0", False)


class ChatAccumulator:
    """Collects a chat answer. A stream's deltas are joined; the chunk with usage has no choices (trap 8). A safety flag
    that was raised stays raised, with the turn that it is about, whatever a later chunk says.

    whole_needs_reason: a whole answer without a finish reason is taken for a part of one (DashScope, trap 55).
    """

    def __init__(self, request: Request, *, whole_needs_reason: bool) -> None:
        self._task = request.task
        self._whole_needs_reason = whole_needs_reason
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._refusals: list[str] = []
        self._usage: Any = None
        self._closed = False
        self._finish: str | None = None
        self._request_id: str | None = None
        self._model: str | None = None
        self._extra: dict[str, Any] = {}

    def add(self, body: dict[str, Any], *, stream: bool) -> None:
        if not stream and not body.get("choices"):
            raise ValueError("no choices")
        identity = body.get("request_id") or body.get("id")
        if isinstance(identity, str):
            self._request_id = identity
        if isinstance(body.get("model"), str):
            self._model = body["model"]
        choices = body.get("choices") or []
        if body.get("usage") is not None:
            self._usage = body["usage"]
            self._closed = True
        if choices:
            self._closed = False
        self._keep(body, _KNOWN_TOP)
        for choice in choices:
            if choice.get("index") in (0, None):
                self._choice(choice, stream)

    def _choice(self, choice: dict[str, Any], stream: bool) -> None:
        if (reason := choice.get("finish_reason")) is not None:
            self._finish = endings.later(self._finish, reason)
        self._keep(choice, _KNOWN_CHOICE)
        message = (choice.get("delta") or choice.get("message") or {}) if stream else choice["message"]
        self._texts.extend(_texts(message.get("content")))
        self._thoughts.extend(_texts(message.get("reasoning_content") or message.get("reasoning")))
        self._refusals.extend(_texts(message.get("refusal")))
        self._keep(message, _KNOWN_MESSAGE)

    def _keep(self, table: dict[str, Any], known: frozenset[str]) -> None:
        raised: bool | None = None
        for key, value in table.items():
            if key in known or value is None or value == []:
                continue
            if key in _FLAG:
                raised = self._extra.get("flag") not in _NO_FLAG if raised is None else raised
                if raised:
                    continue
            self._extra[key] = without_data(value)

    def finished(self) -> bool:
        return self._finish not in (None, endings.FAILED)

    def closed(self) -> bool:
        """The usage in a chunk of its own comes last (protocol reference §3.6)."""
        return self._closed

    def reply(self) -> Reply:
        extra = {key: value for key, value in self._extra.items() if not (key == "flag" and value in _NO_FLAG)}
        if self._thoughts:
            extra["reasoning"] = "".join(self._thoughts)
        if self._refusals:
            extra["refusal"] = "".join(self._refusals)
        text = "".join(self._texts) if self._texts else None
        if self._task == "ocr" and text:
            text, fence = unfenced(text)
            extra.update(fence)
        return Reply(
            text=text,
            usage=usage.read(self._usage) if self._usage is not None else Usage(),
            finish_reason=self._finish,
            request_id=self._request_id,
            model=self._model,
            extra=extra,
        )

    def judge(self, reply: Reply, *, stream: bool) -> Fault | None:
        """A safety flag (trap 44), a content filter or a refusal in place of an answer; a part of an answer."""
        flag = reply.extra.get("flag")
        if flag is not None:
            turn = reply.extra.get("ban_round")
            return Fault(
                "blocked", f"flag {clean(str(flag), 20)}", f"the service flagged the content; ban_round: {turn}"
            )
        if not reply.text and (words := reply.extra.get("refusal")):
            return Fault("blocked", "refusal", clean(words))
        return endings.judged(reply.finish_reason, needed=self._whole_needs_reason and not stream)


def _texts(content: Any) -> list[str]:
    """The texts of a `content`: a string, or a list of parts."""
    if content is None:
        return []
    if isinstance(content, str):
        return [content]
    return [part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)]
