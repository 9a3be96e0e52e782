"""Puts the text of a stream together, whether its frames carry what is new or all so far."""

from __future__ import annotations


class TextFlow:
    """Collects the text of frames and tells the two stream modes apart by looking at them.

    A stream is cumulative if every frame begins with the one before. A short incremental stream can look so by
    chance ("ha", "haha"), so the declared mode is believed until two frames have grown. Once three have, a frame
    that does not fit is a rewrite of the whole. Source: protocol reference §2.4, §3.4, trap 5.

    While the frames fit the cumulative reading only the last one and the lengths are held: memory and time stay
    linear in what was received.
    """

    __slots__ = ("_deltas", "_growths", "_incremental", "_last", "_lengths")

    def __init__(self, incremental: bool) -> None:
        self._incremental = incremental
        self._last = ""
        self._lengths: list[int] = []
        self._growths = 0
        self._deltas: list[str] | None = None

    def add(self, text: str) -> None:
        if not text:
            return
        if self._deltas is not None:
            self._deltas.append(text)
        elif text.startswith(self._last):
            self._growths += bool(self._lengths) and len(text) > len(self._last)
            self._lengths.append(len(text))
            self._last = text
        elif self._growths >= 3:
            self._lengths = [len(text)]
            self._last = text
        else:
            self._deltas = [self._last[:length] for length in self._lengths]
            self._deltas.append(text)

    def text(self) -> str:
        if self._deltas is not None:
            return "".join(self._deltas)
        if self._incremental and self._growths < 2:
            return "".join(self._last[:length] for length in self._lengths)
        return self._last
