"""DashScope's native generation protocol: requests in, replies and SSE frames out. Also the tasks of qwen-vl-ocr."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

import msgspec

from pipeline.offline import error_replies, part_reader
from pipeline.offline.chat import ROLES, Conversation, Counted, Said, Turn, asked, finish, pieces
from pipeline.offline.error_replies import Refusal
from pipeline.offline.limits import chat_limits
from pipeline.offline.media import Source
from pipeline.offline.models import answering, ocr
from pipeline.offline.part_reader import Part, PartReader, check_kinds, reader

_KINDS = ("image", "video", "audio", "text")


def read(body: Mapping[str, Any], source: Source, *, stream: bool) -> Conversation:
    """Checks a request body and loads its media. Blocking. Raises Refusal with the error that the service gives."""
    model = model_of(body)
    messages = _input(body).get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refusal("input-empty")
    parameters = parameters_of(body)
    most = error_replies.native(model, parameters, stream=stream)
    limits = chat_limits(model)
    _check_roles(messages)
    media = reader(model, limits, source)
    turns = tuple(_turn(message, media) for message in messages)
    if limits.needs_image and not any(turn.images for turn in turns if turn.role == "user"):
        raise Refusal("messages", "The user messages must contain at least one image URL.")
    error_replies.json_wish(parameters, " ".join(turn.text for turn in turns))
    return Conversation(model=model, turns=turns, parameters=parameters, most=most)


def model_of(body: Mapping[str, Any]) -> str:
    model = body.get("model")
    if not isinstance(model, str) or not model.strip():
        raise Refusal("model-empty")
    return model


def parameters_of(body: Mapping[str, Any]) -> Mapping[str, Any]:
    parameters = body.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise Refusal("json")
    return parameters


def _input(body: Mapping[str, Any]) -> Mapping[str, Any]:
    given = body.get("input")
    if not isinstance(given, dict):
        raise Refusal("input-empty")
    return given


def _check_roles(messages: list[Any]) -> None:
    for message in messages:
        if not isinstance(message, dict) or message.get("role") not in ROLES or not message.get("content"):
            raise Refusal("role")
    if messages[-1]["role"] != "user":
        raise Refusal("last-message")


def _turn(message: Mapping[str, Any], media: PartReader) -> Turn:
    content = message["content"]
    if isinstance(content, str):
        return Turn(role=message["role"], parts=(content,))
    if not isinstance(content, list):
        raise Refusal("messages")
    parts = tuple(_part(part, media) for part in content)
    check_kinds(parts, media.limits)
    return Turn(role=message["role"], parts=parts)


def _part(part: object, media: PartReader) -> Part:
    found = [name for name in _KINDS if name in part] if isinstance(part, dict) else []
    if not isinstance(part, dict) or len(found) != 1:
        raise Refusal("messages")
    kind = found[0]
    if kind == "image":
        return media.image(part["image"], part)
    if kind == "video":
        return media.video(part["video"], part)
    if kind == "audio":
        return media.audio(part["audio"], part)
    part_reader.marks(part)
    if not isinstance(part["text"], str):
        raise Refusal("messages")
    return part["text"]


def answer(conversation: Conversation) -> Said:
    """Runs the models. Blocking. Raises Refusal for wrong `ocr_options`.

    Raises image.Unreadable, image.TooLarge or audio.NotAudio for media that turn out to be broken.
    """
    options = conversation.parameters.get("ocr_options")
    question = asked(conversation)
    if "ocr" in conversation.model and question.images and options is not None:
        content = ocr_answer(options, question.images)
        said = finish(conversation, str(content["text"]))
        return msgspec.structs.replace(said, read=({**content, "text": said.text},))
    return finish(conversation, answering.answer(question))


def usage(counted: Counted, model: str, given: int | None = None) -> dict[str, Any]:
    """Returns the usage. In a stream, `output_tokens` is the number of tokens `given` so far."""
    out = counted.given if given is None else given
    found: dict[str, Any] = {"output_tokens": out, "input_tokens": counted.taken}
    if counted.images:
        found["image_tokens"] = counted.images
    if counted.frames:
        found["video_tokens"] = counted.frames
    if counted.sounds:
        found["audio_tokens"] = counted.sounds
    if error_replies.incremental_by_default(model) or "ocr" in model:
        found["total_tokens"] = counted.taken + out
    return found


def _envelope(content: list[dict[str, Any]], ending: str, used: dict[str, Any], request_id: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": content}
    return {
        "output": {"choices": [{"finish_reason": ending, "message": message}]},
        "usage": used,
        "request_id": request_id,
    }


def reply(said: Said, conversation: Conversation, request_id: str) -> dict[str, Any]:
    content = list(said.read) if said.read is not None else [{"text": said.text}]
    return _envelope(content, said.finish, usage(said.counted, conversation.model), request_id)


def frames(said: Said, conversation: Conversation, request_id: str) -> Iterator[bytes]:
    """Yields the frames of the stream: `id`, `event`, the status as a comment, `data`.

    The stream is cumulative unless the request or the model's default makes it incremental. Incremental: the last frame
    carries text and `stop` together. Cumulative: the whole text comes twice, with `"null"` and then with `stop`.
    """
    wish = conversation.parameters.get("incremental_output")
    incremental = error_replies.incremental_by_default(conversation.model) if wish is None else bool(wish)
    parts = pieces(said.text)
    whole = ""
    for number, part in enumerate(parts, 1):
        whole += part
        last = number == len(parts)
        ending = said.finish if last and incremental else "null"
        used = usage(said.counted, conversation.model, _so_far(said, number, len(parts)))
        content: list[dict[str, Any]] = [{"text": part if incremental else whole}]
        if last and incremental and said.read is not None:
            content = [{**said.read[0], "text": part}]
        yield frame(number, "result", 200, _envelope(content, ending, used, request_id))
    if not incremental:
        yield frame(len(parts) + 1, "result", 200, reply(said, conversation, request_id))


def _so_far(said: Said, number: int, count: int) -> int:
    return said.counted.given if number == count else max(1, said.counted.given * number // count)


def frame(number: int, event: str, status: int, data: Mapping[str, Any]) -> bytes:
    """Returns one SSE frame as the service writes frames: without a space after the colons."""
    head = f"id:{number}\nevent:{event}\n:HTTP_STATUS/{status}\ndata:".encode()
    return head + msgspec.json.encode(data) + b"\n\n"


_TASKS = (
    "advanced_recognition",
    "key_information_extraction",
    "table_parsing",
    "document_parsing",
    "formula_recognition",
    "text_recognition",
    "multi_lan",
)
_PAIR = re.compile(r"^\s*([^:\uff1a]{1,40})[:\uff1a]\s*(\S.*)$")


def ocr_answer(options: object, images: Sequence[bytes]) -> dict[str, Any]:
    """Returns the content item of the reply: `text`, and `ocr_result` for the tasks that have it. Raises Refusal."""
    if not isinstance(options, Mapping) or options.get("task") not in _TASKS:
        raise Refusal("parameter", f"ocr_options.task should be one of {', '.join(_TASKS)}")
    lines = answering.read(images[-1])
    task = options["task"]
    if task == "advanced_recognition":
        words = answering.words_info(lines)
        return {"text": _fenced("json", words), "ocr_result": {"words_info": words}}
    if task == "key_information_extraction":
        pairs = _pairs(lines, _schema(options))
        return {"text": _fenced("json", pairs), "ocr_result": {"kv_result": pairs}}
    if task == "table_parsing":
        return {"text": f"```html\n{_table(lines)}\n```"}
    if task in ("document_parsing", "formula_recognition"):
        return {"text": f"```latex\n{ocr.as_text(lines)}\n```"}
    return {"text": ocr.as_text(lines)}


def _fenced(kind: str, value: object) -> str:
    return f"```{kind}\n{msgspec.json.encode(value).decode()}\n```"


def _schema(options: Mapping[str, Any]) -> Mapping[str, Any] | None:
    config = options.get("task_config")
    schema = config.get("result_schema") if isinstance(config, Mapping) else None
    if schema is not None and not isinstance(schema, Mapping):
        raise Refusal("parameter", "ocr_options.task_config.result_schema should be an object")
    return schema


def _pairs(lines: tuple[ocr.Line, ...], schema: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns the `name: value` lines as pairs.

    With a schema, returns only the names of the schema; the value is empty if the picture has no such line.
    """
    found: dict[str, Any] = {}
    for row in ocr.as_text(lines).split("\n"):
        match = _PAIR.match(row)
        if match is not None:
            found.setdefault(match[1].strip(), match[2].strip())
    if schema is None:
        return found
    lowered = {name.lower(): value for name, value in found.items()}
    return {name: lowered.get(str(name).lower(), "") for name in schema}


def _table(lines: tuple[ocr.Line, ...]) -> str:
    rows: dict[int, list[str]] = {}
    for line in lines:
        rows.setdefault(line.row, []).append(f"<td>{escape(line.text)}</td>")
    return "<table>" + "".join(f"<tr>{''.join(cells)}</tr>" for cells in rows.values()) + "</table>"
