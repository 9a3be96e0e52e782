"""The OpenAI-compatible chat: request bodies, and replies whole or as a stream (PROTOCOLS.md §3.6, §4.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.errors import Fault, refusal
from pipeline.providers import reply_fields
from pipeline.providers.body import data_url, media_value, number, plain_base64
from pipeline.providers.media_options import Form, PartOptions, options
from pipeline.providers.reply_fields import unfenced
from pipeline.providers.safe_text import clean, without_data
from pipeline.types import Audio, Image, Loaded, Media, Part, Reply, Request, Text, Turn, Usage, VideoFile

PATH = "/chat/completions"
_AUDIO_FORMATS = {
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/flac": "flac",
}
_AUDIO_ENDINGS = ("wav", "mp3", "flac", "aac", "amr", "3gp", "3gpp", "m4a", "ogg")


def chat_body(request: Request, parameters: Mapping[str, Any], form: Form) -> dict[str, Any]:
    """Returns `{model, messages, stream?, stream_options?, …parameters at the top level}`.

    A system or assistant turn of texts only is a string; a user turn is a list of parts (PROTOCOLS.md §3.5, §4.2,
    trap 61). For Qianfan, a turn of texts after the first user turn is a string, as on Qianfan's page. A message holds
    only `role` and `content` (PROTOCOLS.md trap 49). A stream asks for usage unless `stream_options` is given.
    """
    part_options, rest = options(parameters, form)
    messages: list[dict[str, Any]] = []
    for turn in request.turns:
        later = form == "qianfan" and any(message["role"] == "user" for message in messages)
        messages.append(_message(turn, part_options, form, string=turn.role != "user" or later))
    body: dict[str, Any] = {"model": request.model, "messages": messages}
    if request.stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    body.update(rest)
    return body


def _message(turn: Turn, part_options: PartOptions, form: Form, *, string: bool) -> dict[str, Any]:
    if string and all(isinstance(part, Text) and not part.options for part in turn.parts):
        return {"role": turn.role, "content": "\n".join(part.text for part in turn.parts if isinstance(part, Text))}
    return {"role": turn.role, "content": [chat_part(part, part_options, form) for part in turn.parts]}


def chat_part(part: Part, part_options: PartOptions, form: Form) -> dict[str, Any]:
    """Returns one part: `text`, `image_url`, `video`, `video_url` or a sound.

    Pixel options stand beside an `image_url`; `detail` stands inside it (PROTOCOLS.md trap 30). Raises Fault
    (`Local.Frames`, `Local.Sound`).
    """
    chosen = part_options.of(part)
    if isinstance(part, Text):
        return {"type": "text", "text": part.text, **chosen}
    if isinstance(part, Image):
        inner: dict[str, Any] = {"url": media_value(part.media)}
        if "detail" in chosen:
            inner["detail"] = chosen.pop("detail")
        return {"type": "image_url", "image_url": inner, **chosen}
    if isinstance(part, Audio):
        return {**_audio(part.media, form), **chosen}
    if isinstance(part, VideoFile):
        return _video_file(part, chosen, form)
    if form == "qianfan":
        raise refusal("Frames", "Qianfan takes no frame lists")
    video: dict[str, Any] = {"type": "video", "video": [media_value(frame) for frame in part.frames]}
    if part.fps is not None:
        chosen["fps"] = number(part.fps)
    return {**video, **chosen}


def _video_file(part: VideoFile, chosen: dict[str, Any], form: Form) -> dict[str, Any]:
    """Returns a `video_url`. The options stand beside it, for Qianfan inside it (PROTOCOLS.md §3.5, §4.2)."""
    inner: dict[str, Any] = {"url": media_value(part.media)}
    if form == "qianfan":
        return {"type": "video_url", "video_url": {**inner, **chosen}}
    return {"type": "video_url", "video_url": inner, **chosen}


def _audio(media: Media | Loaded, form: Form) -> dict[str, Any]:
    """Returns an `input_audio` or an `audio_url`.

    DashScope takes a URL or a `data:` URL in `data` (Qwen-Omni page of Model Studio's help). Other servers take plain
    base64 there, and a URL as `audio_url` (vLLM). Raises Fault (`Local.Sound`).
    """
    if isinstance(media, Loaded) and media.body is not None and media.url is None:
        kind = _AUDIO_FORMATS.get(media.mime or "")
        if kind is None:
            raise refusal("Sound", f"a sound of type {media.mime} has no name in this protocol; send wav, mp3 or flac")
        data = data_url(media.body, "") if form == "compatible" else plain_base64(media.body)
        return {"type": "input_audio", "input_audio": {"data": data, "format": kind}}
    if form == "compatible":
        return {"type": "input_audio", "input_audio": {"data": media_value(media), "format": _format_of(media)}}
    return {"type": "audio_url", "audio_url": {"url": media_value(media)}}


def _format_of(media: Media | Loaded) -> str:
    """Returns the format that the ending of a sound's URL names, or mp3 if the URL has no known ending."""
    path = (media.url or "").split("?")[0].lower()
    return next((kind for kind in _AUDIO_ENDINGS if path.endswith(f".{kind}")), "mp3")


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
    """Collects a chat answer.

    The deltas of a stream are joined; the chunk with usage has no choices (PROTOCOLS.md trap 8). A raised safety flag
    stays raised, with the turn that it is about, even if a later chunk has no flag. whole_needs_reason: a whole answer
    without a finish reason counts as a part of an answer (PROTOCOLS.md trap 55).
    """

    def __init__(self, request: Request, *, whole_needs_reason: bool) -> None:
        self._positions = request.positions
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
            self._finish = reply_fields.later(self._finish, reason)
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
        return self._finish not in (None, reply_fields.FAILED)

    def closed(self) -> bool:
        """Tells whether usage came in a chunk of its own, which comes last in a stream (PROTOCOLS.md §3.6)."""
        return self._closed

    def reply(self) -> Reply:
        extra = {key: value for key, value in self._extra.items() if not (key == "flag" and value in _NO_FLAG)}
        if self._thoughts:
            extra["reasoning"] = "".join(self._thoughts)
        if self._refusals:
            extra["refusal"] = "".join(self._refusals)
        text = "".join(self._texts) if self._texts else None
        if self._positions and text:
            text, fence = unfenced(text)
            extra.update(fence)
        return Reply(
            text=text,
            usage=reply_fields.read(self._usage) if self._usage is not None else Usage(),
            finish_reason=self._finish,
            request_id=self._request_id,
            model=self._model,
            extra=extra,
        )

    def judge(self, reply: Reply, *, stream: bool) -> Fault | None:
        """Returns the fault for a safety flag (PROTOCOLS.md trap 44), a content filter, a refusal or a partial answer.

        Returns None for a good answer.
        """
        flag = reply.extra.get("flag")
        if flag is not None:
            turn = reply.extra.get("ban_round")
            return Fault(
                "blocked", f"flag {clean(str(flag), 20)}", f"the service flagged the content; ban_round: {turn}"
            )
        if not reply.text and (words := reply.extra.get("refusal")):
            return Fault("blocked", "refusal", clean(words))
        return reply_fields.judged(reply.finish_reason, needed=self._whole_needs_reason and not stream)


def _texts(content: Any) -> list[str]:
    """Returns the texts of a `content`, which is a string or a list of parts."""
    if content is None:
        return []
    if isinstance(content, str):
        return [content]
    return [part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)]
