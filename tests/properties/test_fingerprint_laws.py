"""Rows that ask different questions have different fingerprints; one row written in two ways has one."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from support.manifests import job_of

from pipeline.errors import Fault
from pipeline.job.schema import JobFile
from pipeline.manifest import from_table
from pipeline.manifest.row_media import expand_frames
from pipeline.run.fingerprinter import Fingerprinter
from pipeline.tasks import load
from pipeline.types import Request, Row, TaskName

URLS = st.sampled_from(["https://h/a", "https://h/b", "https://h/c"])
WORDS = st.sampled_from(["a", "b", "image", "https://h/a"])
RATES = st.sampled_from([0.5, 1, 2])
COUNTS = st.sampled_from([1, 2, 3])
LISTS = st.lists(URLS, min_size=1, max_size=4)
MARK = st.just({"type": "ephemeral"})


def part(kind: str, value: st.SearchStrategy[Any], **options: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({kind: value}, optional=options)


MEDIA_PARTS = st.one_of(
    part("image", URLS, detail=st.sampled_from(["low", "high"]), min_pixels=COUNTS, max_pixels=COUNTS),
    part("video", URLS, fps=RATES, max_frames=COUNTS, max_pixels=COUNTS),
    part("audio", URLS, cache_control=MARK),
)
PARTS = st.one_of(
    part("text", WORDS, cache_control=MARK),
    part("frames", LISTS, fps=RATES, max_frames=COUNTS, max_pixels=COUNTS),
    MEDIA_PARTS,
)
CONTENTS = st.lists(PARTS, min_size=1, max_size=3)
TURNS = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant"]), "text": WORDS},
        optional={"image": URLS, "frames": LISTS, "video": URLS, "audio": URLS, "contents": CONTENTS},
    ),
    min_size=1,
    max_size=2,
)
QUESTIONS = st.fixed_dictionaries(
    {},
    optional={
        "image": URLS, "images": LISTS, "frames": LISTS, "fps": RATES, "max_frames": COUNTS,
        "video": st.one_of(URLS, LISTS), "audio": st.one_of(URLS, LISTS), "contents": CONTENTS, "messages": TURNS,
        "prompt": WORDS, "system": WORDS, "parameters": st.fixed_dictionaries({}, optional={"seed": COUNTS}),
    },
)  # fmt: skip
CONVERSATIONS = st.builds(
    lambda row, prompts: {**{key: value for key, value in row.items() if key != "prompt"}, "prompts": prompts},
    QUESTIONS,
    st.lists(WORDS, min_size=2, max_size=3),
)
IN_ORDER = st.fixed_dictionaries({"contents": CONTENTS, "prompt": WORDS})
ASKED = st.one_of(QUESTIONS, CONVERSATIONS, IN_ORDER)
EMBEDDED = st.fixed_dictionaries(
    {},
    optional={
        "image": URLS, "audio": URLS, "video": URLS, "text": WORDS,
        "contents": st.lists(st.one_of(part("text", WORDS), MEDIA_PARTS).flatmap(
            lambda one: st.one_of(st.just(one), COUNTS.map(lambda factor: {**one, "factor": factor}))), max_size=3),
    },
)  # fmt: skip


def row_of(fields: dict[str, Any], job: JobFile) -> Row:
    return next(from_table([{"id": "r", **fields}], job, "/base").rows())


def question(fields: dict[str, Any], job: JobFile) -> Any:
    """What is asked, as plain values; None for a row that is refused."""
    row = row_of(fields, job)
    if row.problem is not None:
        return None
    try:
        request: Request = load(job.task).ask(expand_frames(row), job)
    except Fault:
        return None
    return msgspec.to_builtins(request)


def fingerprint(fields: dict[str, Any], job: JobFile) -> str | None:
    return Fingerprinter(job, offline=False).early(row_of(fields, job))


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a value of lists and tables: (the list or table, its index or key)."""
    for key, inner in list(value.items()) if isinstance(value, dict) else list(enumerate(value)):
        yield value, key
        if isinstance(inner, dict | list):
            yield from places(inner)


def edited(fields: dict[str, Any], data: st.DataObject) -> dict[str, Any]:
    """The row with one thing in it changed, left out, or put before its neighbour."""
    other = copy.deepcopy(fields)
    box, key = data.draw(st.sampled_from(list(places(other))))
    value, edit = box[key], data.draw(st.sampled_from(["change", "leave out", "move"]))
    if edit == "move" and isinstance(box, list) and key:
        box[key - 1], box[key] = box[key], box[key - 1]
    elif edit == "leave out" or isinstance(value, dict | list):
        del box[key]
    else:
        kinds = {str: st.one_of(URLS, WORDS, st.sampled_from(["low", "high"])), int: COUNTS, float: RATES}
        box[key] = data.draw(kinds[type(value)])
    return other


@pytest.mark.parametrize("task", ["ask", "embed"])
@settings(max_examples=300, suppress_health_check=[HealthCheck.filter_too_much])
@given(data=st.data())
def test_what_changes_the_question_changes_the_fingerprint(task: TaskName, data: st.DataObject) -> None:
    job = job_of(task)
    one = data.draw(EMBEDDED if task == "embed" else ASKED)
    assume(one)
    other = edited(one, data)
    asked, asked_too = question(one, job), question(other, job)
    assume(asked is not None and asked_too is not None)
    if asked != asked_too:
        assert fingerprint(one, job) != fingerprint(other, job)
    else:
        event("the edit changed nothing")


@settings(max_examples=100)
@given(st.one_of(ASKED, EMBEDDED))
def test_one_row_written_in_two_ways_has_one_fingerprint(fields: dict[str, Any]) -> None:
    for task in ("ask", "embed"):
        job = job_of(task)
        expected = fingerprint(fields, job)
        as_text = {key: json.dumps(value) if isinstance(value, list | dict) else value for key, value in fields.items()}
        as_floats = json.loads(json.dumps(fields), parse_int=float)
        assert fingerprint(as_text, job) == expected
        assert fingerprint({"price": 3, **fields, "prompt_note": "x"}, job) == expected
        if "parameters" not in fields:
            assert fingerprint(as_floats, job) == expected
