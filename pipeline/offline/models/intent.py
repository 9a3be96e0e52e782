"""What a prompt asks for, as far as the embedded service can serve it: caption, text, translation, answer."""

from __future__ import annotations

import re
from typing import Literal

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
    """An OCR model reads whatever it is asked; without any prompt a picture is described."""
    if "ocr" in model.lower():
        return "read"
    if _TRANSLATE.search(prompt):
        return "translate"
    if _READ.search(prompt):
        return "read"
    return "caption" if not prompt.strip() or _CAPTION.search(prompt) else "ask"
