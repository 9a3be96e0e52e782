"""What earlier answers teach a forecast: corrections of the count, and how sure the expected length is."""

from __future__ import annotations

import pytest

from pipeline.providers.models import find
from pipeline.run.counting import Counting
from pipeline.run.learnt import ENOUGH, MODELS, Answers, Measured, Ratio, measured_of, with_measured
from pipeline.types import Image, Loaded, Request, Text, Turn

MODEL = find("dashscope", "qwen3-vl-plus")


def asked(*parts: Image | Text) -> Request:
    return Request(task="ask", model="m", turns=(Turn(role="user", parts=parts),))


def picture() -> Image:
    return Image(Loaded(kind="image", source="p", url="p", width=640, height=640))


def test_a_ratio_is_known_from_enough_questions_on():
    ratio = Ratio()
    for _ in range(ENOUGH - 1):
        ratio.add(10, 15)
    assert ratio.known is None
    ratio.add(10, 15)
    assert ratio.known == 1.5


def test_the_correction_of_texts_leaves_pictures_exact():
    request = asked(picture(), Text("words " * 100))
    plain = Counting(model=MODEL).count(request, 1)
    corrected = Counting(model=MODEL, text=0.5).count(request, 1)
    assert (corrected.media, corrected.words) == (plain.media, round(plain.words / 2))
    whole = Counting(model=MODEL, whole=2.0).count(request, 1)
    assert whole.total == 2 * plain.total


def test_the_mean_of_a_row_stands_for_pictures_that_cannot_be_counted():
    unknown = find("openai", "gpt-unheard-of")
    request = asked(picture(), Text("words"))
    assert Counting(model=unknown).count(request, 1).total is None
    row = Answers(count=20, input=800.0, media=700.0)
    assert Counting(model=unknown, row=row).count(request, 2) == (50, 350, 0)


def test_the_range_narrows_with_answers_and_rows():
    def share(count: int, rows: int) -> float | None:
        return Answers(count=count, mean=40.0, spread=10.0, high=60.0).share(rows)

    assert share(4, 1_000) is None
    assert share(5, 1_000) == pytest.approx(2.75 * 0.25 * (1 / 5 + 1 / 1_000) ** 0.5, rel=0.01)
    assert share(5, 10) > share(20, 10) > share(20, 1_000) > share(200, 1_000) > 0


def test_the_newest_models_are_kept():
    known: tuple[Measured, ...] = ()
    for number in range(MODELS + 2):
        known = with_measured(known, Measured(model=f"m{number}"))
    known = with_measured(known, Measured(model="m5", text=Ratio(questions=7)))
    assert len(known) == MODELS
    assert measured_of("m5", known).text.questions == 7
    assert measured_of("m0", known).text.questions == 0
