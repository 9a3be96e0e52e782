"""Request bodies of the OpenAI-compatible chat: DashScope's compatible mode, Qianfan and any other server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.errors import refusal
from pipeline.providers.body import data_url, media_value, number, plain_base64
from pipeline.providers.media_options import Form, PartOptions, options
from pipeline.types import Audio, Image, Loaded, Media, Part, Request, Text, Turn, VideoFile

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
    """`{model, messages, stream?, stream_options?, …parameters at the top level}`.

    System and assistant turns of texts only are strings, a user turn is a list of parts (protocol reference §3.5, §4.2,
    trap 61); Qianfan's page writes the text of a second round as a string, and so does this. Nothing but `role` and
    `content` stands in a message (trap 49). A stream asks for usage unless `stream_options` is given.
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
    """One part: `text`, `image_url` (pixel options beside it, `detail` inside it: trap 30), `video`, `video_url` or
    a sound."""
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
    """`video_url`: the options beside it, for Qianfan inside it (protocol reference §3.5, §4.2)."""
    inner: dict[str, Any] = {"url": media_value(part.media)}
    if form == "qianfan":
        return {"type": "video_url", "video_url": {**inner, **chosen}}
    return {"type": "video_url", "video_url": inner, **chosen}


def _audio(media: Media | Loaded, form: Form) -> dict[str, Any]:
    """`input_audio`. DashScope takes a URL or a `data:` URL in `data` (Qwen-Omni page of Model Studio's help); other
    servers take plain base64 there, and a URL as `audio_url` (vLLM)."""
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
    """The format that the ending of a sound's URL names; mp3 where the URL has no such ending."""
    path = (media.url or "").split("?")[0].lower()
    return next((kind for kind in _AUDIO_ENDINGS if path.endswith(f".{kind}")), "mp3")
