"""Puts the text of a native stream together, whether its frames carry what is new or all so far.

The mode is declared: by what the model can do, by what the request asked for. The declaration wins, for two frames in
a row look the same in both modes ("ha", "haha"; "1", "10", "100"), and a wrong guess loses text without a word. It is
given up only where it cannot be true:

| declared | given up | what a wrong declaration costs |
| --- | --- | --- |
| replace: the model cannot do increments (Llama 3.2) | never | – |
| cumulative: increments were not asked for | a frame continues nothing: all frames are joined | the beginning |
| incremental: asked for, or the model's only mode | every frame begins with the one before, and it is more than a \
repeated sign or number; or the last frame is the same again without a new token | the text several times over |

Source: protocol reference §2.4, §3.4, traps 4 and 5.
"""

from __future__ import annotations

from itertools import takewhile
from typing import Literal

Mode = Literal["replace", "cumulative", "incremental"]

BEYOND_DOUBT = 4
"""So many times a frame has grown from the one before, with as many different characters and one: "1", "10", "100",
"1000", "10000" or a growing row of dashes are increments that a model does write."""

SHARED = 8
"""Characters of the frame before that a rewritten frame shares at least, and at least half of them."""


class TextFlow:
    """Collects the text of frames.

    While each frame begins with the one before, only the last one and the lengths are held: memory and time stay
    linear in what was received.
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
        """The text of the next frame. tokens: what stands beside it as the running total of output tokens."""
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
        """Whether a frame is the text so far put differently: a broken character made whole, a word corrected."""
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
