"""Answers a conversation with the things that the models see. If the models cannot do a task, the answer says so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from pipeline.offline.models import audio, features, fields, ocr, sentences
from pipeline.offline.models import image as picture
from pipeline.offline.models.image import Memory

if TYPE_CHECKING:
    from PIL import Image

Intent = Literal["caption", "read", "translate", "ask"]

_READ = re.compile(
    r"\bocr\b|\btranscri|\b(?:read|extract|recogni[sz]e)\b.{0,40}\b(?:text|words|writing|characters|everything)\b"
    r"|\ball (?:the )?(?:visible )?text\b|识别.{0,12}文字|提取.{0,12}文字|读出|读取.{0,12}文[字本]|转写|逐字|抄录",
    re.IGNORECASE | re.DOTALL,
)
_TRANSLATE = re.compile(r"\btranslat|翻译|译成|译为", re.IGNORECASE)
_CAPTION = re.compile(
    r"\bdescri(?:be|ption)|\bcaption|\balt[- ]text"
    r"|\bwhat(?:'s| is| are| does| do| can)\b.{0,40}\b(?:picture|image|photo|"
    r"this|these|it|frames?|video|happen\w*|see|show\w*)\b|描述|这是什么|这些是什么|图中|图片(?:里|中|内容)|这张|说明|標題|标题",
    re.IGNORECASE | re.DOTALL,
)


def intent(prompt: str, model: str) -> Intent:
    """Returns the intent of a prompt. An OCR model always reads. Without a prompt, a picture is described."""
    if "ocr" in model.lower():
        return "read"
    if _TRANSLATE.search(prompt):
        return "translate"
    if _READ.search(prompt):
        return "read"
    return "caption" if not prompt.strip() or _CAPTION.search(prompt) else "ask"


NO_LANGUAGE_MODEL = "The embedded service has no language model"
_QUOTED = 60  # characters of an earlier question or answer

_seen: Memory[sentences.View] = Memory(256)
_features: Memory[features.Seen] = Memory(256)
_glanced: Memory[str] = Memory(256)
_heard: Memory[audio.Heard] = Memory(256)
_read: Memory[tuple[ocr.Line, ...]] = Memory(128)


class Clip(msgspec.Struct, frozen=True, kw_only=True):
    """Frames of one video (bytes): a list of frames 1/`fps` s apart, or frames sampled from a file of `seconds`."""

    frames: tuple[bytes, ...]
    fps: float | None = None
    seconds: float | None = None


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The last question of a conversation with its media: pictures and sounds (bytes), videos.

    `order`: the names of the question's parts, empty for the usual order. `earlier`: earlier questions with their
    answers. `estimated`: the tokens of the sounds are an estimate. `schema`: the JSON Schema that the answer must fit.
    """

    model: str
    prompt: str
    images: tuple[bytes, ...] = ()
    clips: tuple[Clip, ...] = ()
    audio: tuple[bytes, ...] = ()
    order: tuple[str, ...] = ()
    earlier: tuple[tuple[str, str], ...] = ()
    estimated: bool = False
    schema: Mapping[str, Any] | None = None


def see(data: bytes) -> features.Seen:
    """Returns features and tags of a picture, and remembers them by its bytes.

    Raises image.Unreadable, image.TooLarge.
    """
    return _features.get(_key(data), lambda: features.see(picture.decode(data, draft=256)))


def read(data: bytes) -> tuple[ocr.Line, ...]:
    """Returns the text lines of a picture. Polygons are in pixels of the picture with EXIF orientation applied.

    Raises the same errors as `see`.
    """
    return _read.get(_key(data), lambda: ocr.read(picture.bgr(picture.decode(data))))


def written(data: bytes) -> str:
    """Returns the text in a picture, for its vector: "" if a glance finds none, else all that is read.

    Blocking: 40 to 100 ms without text, 200 to 1,200 ms with text. Raises the same errors as `see`.
    """
    found = _glance(data, picture.decode(data, draft=512))
    return ocr.as_text(read(data)) if found else ""


def answer(asked: Asked) -> str:
    """Returns the text of the answer. Blocking. Raises image.Unreadable, image.TooLarge, audio.NotAudio."""
    if asked.schema is not None:
        return fields.filled(asked.schema, _known(asked))
    alone = len(asked.images) + len(asked.clips) + len(asked.audio) == 1
    told = [_about_images(asked, alone=alone)] if asked.images else []
    told += _named("Video", [_about_clip(clip) for clip in asked.clips], alone=alone)
    told += _named("Sound", [_about_audio(data, asked) for data in asked.audio], alone=alone)
    if not told:
        told = [f"{NO_LANGUAGE_MODEL} and answers only about pictures, videos and sounds; this request has none."]
    return "\n".join([" ".join(told), *_context(asked)])


def _known(asked: Asked) -> fields.Known:
    """What the fields of an answer are filled from: the first picture, or the first frame of the first video."""
    pictures = asked.images or tuple(frame for clip in asked.clips for frame in clip.frames[:1])
    if not pictures:
        return fields.Known(caption=f"{NO_LANGUAGE_MODEL} and sees no picture here.")
    view = _view(pictures[0])
    return fields.Known(
        caption=sentences.caption(view),
        tags=tuple(tag.name for tag in view.tags),
        colours=view.facts.colours,
        text=ocr.as_text(read(pictures[0])),
        width=view.facts.width,
        height=view.facts.height,
    )


def _context(asked: Asked) -> list[str]:
    """Returns sentences which show that the order and the earlier turns arrived.

    Returns [] for an OCR model, which knows neither the order nor the earlier turns.
    """
    if "ocr" in asked.model.lower():
        return []
    found = [f"Given in this order: {', '.join(asked.order)}."] if asked.order else []
    if asked.earlier:
        pairs = (
            f"{number}. asked “{_start(question)}” and answered “{_start(answer)}”"
            for number, (question, answer) in enumerate(asked.earlier, 1)
        )
        found.append(f"Earlier in this conversation: {'; '.join(pairs)}.")
    return found


def _start(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _QUOTED else flat[:_QUOTED].rstrip() + "…"


def _about_images(asked: Asked, *, alone: bool) -> str:
    wish = intent(asked.prompt, asked.model)
    if wish == "read":
        return "\n\n".join(ocr.as_text(read(data)) for data in asked.images)
    captions = " ".join(_named("Picture", [sentences.caption(_view(data)) for data in asked.images], alone=alone))
    if wish == "caption":
        return captions
    texts = [ocr.as_text(read(data)) for data in asked.images]
    found = "\n\n".join(text for text in texts if text)
    lacking = "cannot translate" if wish == "translate" else "cannot reason about the question"
    said = f"{NO_LANGUAGE_MODEL} and {lacking}; what it sees: {captions}"
    return f"{said}\nThe text it reads:\n{found}" if found else f"{said} It reads no text there."


def _about_audio(data: bytes, asked: Asked) -> str:
    told = audio.sentence(_heard.get(_key(data), lambda: audio.hear(data)))
    return f"It hears {told}{'; its tokens are an estimate' if asked.estimated else ''}."


def _view(data: bytes) -> sentences.View:
    def make() -> sentences.View:
        image = picture.decode(data, draft=512)
        seen = _features.get(_key(data), lambda: features.see(image))
        return sentences.View(tags=seen.tags, facts=sentences.look(image), text=_glance(data, image))

    return _seen.get(_key(data), make)


def _glance(data: bytes, image: Image.Image) -> str:
    def make() -> str:
        lines = ocr.glance(picture.bgr(image))
        return ocr.as_text(tuple(line for line in lines if line.score >= 0.8 and len(line.text.strip()) > 1))

    return _glanced.get(_key(data), make)


def _about_clip(clip: Clip) -> str:
    """Returns a sentence about a video: the number of frames, their subjects, and how much they change.

    The change is measured between the tagger's features of neighbouring frames. Raises the same errors as `see`.
    """
    import numpy as np

    seen = [see(data) for data in clip.frames]
    stack = np.stack([one.features for one in seen])
    unit = stack / np.linalg.norm(stack, axis=1, keepdims=True)
    steps = 1.0 - (unit[1:] * unit[:-1]).sum(axis=1) if len(unit) > 1 else np.zeros(1)
    first, last = sentences.subject_words(seen[0].tags), sentences.subject_words(seen[-1].tags)
    shown = first if first == last else f"{first} at the start and {last} at the end"
    look = sentences.look(picture.decode(clip.frames[0], draft=256))
    return (
        f"{_count(clip)}, {look.orientation}, showing {shown.rstrip(',')}; {_motion(float(steps.mean()))} "
        f"(mean change {steps.mean():.2f}, greatest {steps.max():.2f} between frames {int(steps.argmax()) + 1} "
        f"and {int(steps.argmax()) + 2})."
    )


def _count(clip: Clip) -> str:
    count = len(clip.frames)
    if clip.seconds is not None:
        return f"{count} frames sampled from a video of {clip.seconds:.1f} s"
    return f"{count} frames" + (f" over {(count - 1) / clip.fps:.1f} s" if clip.fps else "")


def _motion(change: float) -> str:
    if change < 0.02:
        return "the scene hardly moves"
    return "the scene moves" if change < 0.2 else "the scene changes a lot"


def _named(kind: str, told: list[str], *, alone: bool) -> list[str]:
    return told if alone else [f"{kind} {number}: {text}" for number, text in enumerate(told, 1)]


def _key(data: bytes) -> str:
    return sha256(data).hexdigest()


def words_info(lines: tuple[ocr.Line, ...]) -> list[dict[str, Any]]:
    """Returns the lines as qwen-vl-ocr's `words_info`.

    `location`: 4 corners clockwise. `rotate_rect`: centre, sides, degrees.
    """
    from math import atan2, degrees, hypot

    found = []
    for line in lines:
        (x0, y0), (x1, y1), (x2, y2), (x3, y3) = line.polygon
        centre = [(x0 + x1 + x2 + x3) / 4, (y0 + y1 + y2 + y3) / 4]
        sides = [hypot(x1 - x0, y1 - y0), hypot(x3 - x0, y3 - y0)]
        turned = degrees(atan2(y1 - y0, x1 - x0))
        found.append(
            {
                "text": line.text,
                "location": [round(value) for point in line.polygon for value in point],
                "rotate_rect": [round(value) for value in (*centre, *sides, turned)],
            }
        )
    return found
