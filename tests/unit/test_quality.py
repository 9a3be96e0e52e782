from __future__ import annotations

import numpy as np
import pytest

from pipeline.job.schema import QualitySection
from pipeline.tasks.quality import Gate
from pipeline.types import EmbedItem, Reply, Request, Text

CAPTION = Request(task="caption", model="m")
OCR = Request(task="ocr", model="m")
EMBED = Request(task="embed", model="m", items=(EmbedItem(part=Text("x")),))


def vector(*numbers: float) -> Reply:
    return Reply(embedding=np.array(numbers, dtype="<f4").tobytes())


def code(gate: Gate, reply: Reply, request: Request = CAPTION, content: str = "a") -> str | None:
    fault = gate(reply, request, content)
    assert fault is None or (fault.kind == "suspect" and fault.reply is reply)
    return None if fault is None else fault.code


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(text="A cat on a mat.", finish_reason="stop"), None),
        (Reply(text="  \n"), "Local.EmptyAnswer"),
        (Reply(text=None), "Local.EmptyAnswer"),
        (Reply(text="A cat on", finish_reason="length"), "Local.Truncated"),
        (Reply(text="<think>hm</think> A cat."), "Local.LeakedThinking"),
        (Reply(text="hm, a cat</think>A cat."), "Local.LeakedThinking"),
        (Reply(text="The picture shows. " + "a cat and a mat, " * 12), "Local.Repetition"),
        (Reply(text="| " + "--- | " * 60), None),
        (Reply(text="A cat, a cat, and one more cat."), None),
    ],
)
def test_texts_that_are_no_answer_are_suspect(reply, expected):
    assert code(Gate(QualitySection(), None), reply) == expected


def test_a_picture_without_text_is_a_right_answer_of_ocr():
    assert code(Gate(QualitySection(), None), Reply(text=""), OCR) is None


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (vector(0.6, 0.8), None),
        (vector(1.0), "Local.Dimension"),
        (vector(0.0, 0.0), "Local.ZeroVector"),
        (vector(float("nan"), 1.0), "Local.NotFinite"),
        (vector(float("inf"), 1.0), "Local.NotFinite"),
        (vector(1e-30, 0.0), None),
        (vector(1e30, 1e30), None),
        (Reply(embedding=None), "Local.Dimension"),
    ],
)
def test_vectors_that_are_no_answer_are_suspect(reply, expected):
    assert code(Gate(QualitySection(), 2), reply, EMBED) == expected


def test_one_vector_for_three_inputs_is_suspect_and_for_the_same_input_is_not():
    gate = Gate(QualitySection(), 2)
    same = vector(0.6, 0.8)
    assert [code(gate, same, EMBED, content) for content in ("a", "a", "b", "b", "c")] == [
        None, None, None, None, "Local.IdenticalVectors",
    ]  # fmt: skip


def test_texts_that_the_service_cuts_may_share_a_vector():
    gate = Gate(QualitySection(), 2)
    cut = Request(task="embed", model="m", items=EMBED.items, parameters={"auto_truncation": True})
    assert [code(gate, vector(0.6, 0.8), cut, content) for content in "abcd"] == [None] * 4


def test_each_check_can_be_switched_off_or_tuned():
    assert code(Gate(QualitySection(truncated=False), None), Reply(text="A", finish_reason="length")) is None
    assert code(Gate(QualitySection(dimension=3), 2), vector(0.6, 0.8), EMBED) == "Local.Dimension"
    assert code(Gate(QualitySection(dimension=False), 2), vector(1.0), EMBED) is None
