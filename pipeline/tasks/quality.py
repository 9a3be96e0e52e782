"""The quality gate: turns a reply that cannot be an answer into a `suspect` fault, and keeps the reply."""

from __future__ import annotations

import hashlib
import math
import re
from collections import OrderedDict
from typing import Literal

from pipeline.errors import Fault
from pipeline.job.schema import QualitySection
from pipeline.tasks import facts, load
from pipeline.tasks.answer import AnswerReader, Misfit
from pipeline.types import Reply, Request, Text

IDENTICAL_MEMORY = 4096
"""The vectors that are remembered to find identical vectors. A broken service repeats a vector long before this
many."""
MOST_INPUTS = 64
"""The most different inputs that are remembered for one vector."""

_THINKING = re.compile(r"^\s*<think(?:ing)?>|</think(?:ing)?>", re.IGNORECASE)


class Gate:
    """The checks of one run. Remembers recent vectors, to find a vector that is given to different inputs.

    dimension: the length of vectors that the model declares with the job's parameters; a length in the job's settings
    goes before it. earlier: the length of the vectors in the output that answer the same question. Without such
    vectors, the first vector of the run decides. `earlier` counts only if no length is declared and the check of
    lengths is on. answer: reads typed answers. again: a row whose reply does not fit is asked once more.
    """

    def __init__(
        self,
        settings: QualitySection,
        dimension: int | None,
        earlier: int | None = None,
        *,
        answer: AnswerReader | None = None,
        again: bool = False,
    ) -> None:
        self._checks = settings
        self._answer = answer
        self._again = again
        own = settings.dimension
        self._dimension = dimension if own is True else None if own is False else own
        self._earlier = earlier
        self._seen: OrderedDict[bytes, set[str]] = OrderedDict()

    def __call__(self, reply: Reply, request: Request, content: str) -> Fault | None:
        """Returns the fault of a reply that cannot be an answer, else None. `content`: a key of the question."""
        own = getattr(load(request.task), "check", None)
        found = self._vector(reply, request, content) if request.embeds else self._text(reply, request)
        if found is None and own is not None:
            found = own(reply, request)
        if found is None and self._answer is not None and not request.follow_ups:
            try:
                self._answer(reply.text or "")
            except Misfit as misfit:
                found = "Schema", f"the reply does not fit the fields of [answer]: {misfit}"
        if found is None:
            return None
        code, message = found
        retry: Literal["once", "no"] = "once" if code == "Schema" and self._again else "no"
        return Fault(
            "suspect",
            f"Local.{code}",
            message,
            http_status=200,
            retry=retry,
            request_id=reply.request_id,
            reply=reply,
        )

    def _text(self, reply: Reply, request: Request) -> tuple[str, str] | None:
        text = reply.text or ""
        if self._checks.truncated and reply.finish_reason == "length":
            return "Truncated", "the answer was cut at the token limit: raise max_tokens, or ask for less"
        if self._checks.empty and not facts(request.task).may_be_empty and not text.strip():
            return "EmptyAnswer", "the answer has no text"
        if self._checks.thinking and _THINKING.search(text):
            return "LeakedThinking", "the answer holds the model's thinking: switch thinking off"
        limit = self._checks.repeated
        if limit and (times := repeats(text)) >= (8 if limit is True else limit):
            return "Repetition", f"the answer ends in one piece repeated {times} times"
        return None

    def _vector(self, reply: Reply, request: Request, content: str) -> tuple[str, str] | None:
        import numpy as np

        vector = np.frombuffer(reply.embedding or b"", dtype="<f4")
        if self._dimension is not None and len(vector) != self._dimension:
            return "Dimension", f"the vector has {len(vector)} numbers, expected {self._dimension}"
        if self._dimension is None and self._checks.dimension and self._earlier not in (None, len(vector)):
            return "Dimension", (
                f"the vector has {len(vector)} numbers, earlier ones have {self._earlier}: a column has one length. "
                "If the service changed, put the dimension into the job's parameters or take another output; "
                "`pipeline accept` takes these vectors and hides the earlier ones"
            )
        # One dot product finds NaN, infinity and a zero vector: NaN and infinity stay in it, a zero vector gives zero.
        with np.errstate(over="ignore", invalid="ignore"):
            energy = float(np.dot(vector, vector)) if len(vector) else 0.0
        if self._checks.finite and not math.isfinite(energy) and not bool(np.isfinite(vector).all()):
            return "NotFinite", "the vector holds NaN or infinity"
        if self._checks.norm and energy == 0.0 and not bool(vector.any()):
            return "ZeroVector", "the vector is all zeros"
        limit = self._checks.identical
        if limit and not _may_repeat(request) and self._repeated(vector.tobytes(), content) >= limit:
            return "IdenticalVectors", f"at least {int(limit)} different inputs got this same vector"
        self._earlier = len(vector)
        return None

    def _repeated(self, vector: bytes, content: str) -> int:
        """Returns how many different inputs have got this vector so far."""
        key = hashlib.blake2b(vector, digest_size=16).digest()
        inputs = self._seen.setdefault(key, set())
        self._seen.move_to_end(key)
        if len(inputs) < MOST_INPUTS:
            inputs.add(content)
        if len(self._seen) > IDENTICAL_MEMORY:
            self._seen.popitem(last=False)
        return len(inputs)


def repeats(text: str) -> int:
    """Returns how many times the last piece (1 to 200 characters) is repeated at the end of `text`.

    Counts only repetitions of 80 characters or more with a letter or digit: the lines of a table repeat rightly.
    """
    tail = text.rstrip()[-4000:]
    most = 1
    for size in range(1, min(200, len(tail) // 2) + 1):
        if tail[-1 - size] != tail[-1]:  # excludes most sizes quickly
            continue
        piece = tail[-size:]
        if tail[-2 * size : -size] != piece or not any(character.isalnum() for character in piece):
            continue
        times, end = 1, len(tail) - size
        while end >= size and tail[end - size : end] == piece:
            times, end = times + 1, end - size
        if times * size >= 80:
            most = max(most, times)
    return most


def _may_repeat(request: Request) -> bool:
    """Tells whether different inputs may rightly get the same vector, because the service cuts texts
    (auto_truncation)."""
    return bool(request.parameters.get("auto_truncation")) and any(
        isinstance(item.part, Text) for item in request.items
    )
