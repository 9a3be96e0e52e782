"""The rule: no request goes out without any medium when its row names one in any column.

MEANING_CASES and MEANING_COMMANDS ask for more cases than the suite has time for.
"""

from __future__ import annotations

import json
import os
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.counting_server import CountingServer

from pipeline.cli.main import _run
from pipeline.errors import Fault
from pipeline.job.schema import JobFile
from pipeline.manifest import from_table
from pipeline.manifest.row_media import expand_frames
from pipeline.manifest.rows import FIELDS, InputRules
from pipeline.providers.body import all_media
from pipeline.run.meaning import ask
from pipeline.tasks import load
from pipeline.types import Request, Row, TaskName

CASES = int(os.environ.get("MEANING_CASES", "400"))
COMMANDS = int(os.environ.get("MEANING_COMMANDS", "4"))
OURS = sorted(set(FIELDS) - {"id"})

NOUNS = st.sampled_from(
    ["image", "images", "img", "picture", "pic", "photo", "thumbnail", "screenshot", "video", "audio", "sound", "frame"]
)
AFTER = st.sampled_from(["", "url", "path", "file", "uri", "link", "src", "name", "bytes", "data", "1", "2"])
BEFORE = st.sampled_from(["", "main", "product", "first", "my", "original", "cover"])
CHINESE = st.sampled_from(["图片", "图像", "照片", "视频", "音频", "商品图片", "图片链接", "视频地址"])


@st.composite
def media_names(draw: st.DrawFn) -> str:
    """Spellings of a field for media, as people and their exports write them."""
    words = [word for word in (draw(BEFORE), draw(NOUNS), draw(AFTER)) if word]
    form = draw(st.sampled_from(["snake", "kebab", "blank", "camel", "pascal", "upper", "title"]))
    if form == "camel":
        return words[0] + "".join(word.capitalize() for word in words[1:])
    if form == "pascal":
        return "".join(word.capitalize() for word in words)
    joined = {"kebab": "-", "blank": " "}.get(form, "_").join(words)
    return joined.upper() if form == "upper" else joined.title() if form == "title" else joined


STEMS = st.sampled_from(["a", "photos/a", "./x/b c", "/data/IMG 0001", "..a", "图/猫", "C:\\p\\a", "a.b.c", "*"])
ENDINGS = st.sampled_from(
    [".jpg", ".JPEG", ".png", ".webp", ".gif", ".tif", ".bmp", ".heic", ".mp4", ".mov", ".mp3", ".wav"]
)
QUERIES = st.sampled_from(["", "?sig=a%2Fb&w=1", "#top", "?v=2"])
SCHEMES = st.sampled_from(["https://x.example/", "http://127.0.0.1:9/", "s3://bucket/", "file:///data/", "HTTPS://X/"])
PICTURES = st.sampled_from(
    [b"\x89PNG\r\n\x1a\n" + b"\0" * 20, b"\xff\xd8\xff\xe0" + b"\0" * 20, b"GIF89a" + b"\0" * 20]
)
TEXT_REFERENCES = st.one_of(
    st.builds(lambda stem, ending: stem + ending, STEMS, ENDINGS),
    st.builds(lambda scheme, ending, query: f"{scheme}k{ending}{query}", SCHEMES, ENDINGS, QUERIES),
    st.sampled_from(
        ["data:image/png;base64,iVBORw0KGgo=", "oss://bucket/key", "//x.example/a.png", "DATA:image/jpeg,x"]
    ),
)
REFERENCES = st.one_of(TEXT_REFERENCES, PICTURES)


@st.composite
def nested(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> Any:
    """A reference as it is, or in lists, tables and JSON texts."""
    value = draw(inner)
    for _ in range(draw(st.integers(0, 3))):
        form = draw(st.sampled_from(["list", "table", "huggingface", "among", "json"]))
        if form == "list":
            value = [value]
        elif form == "among":
            value = [None, "words", 3, value]
        elif form == "table":
            value = {draw(st.sampled_from(["k", "src", "img", "0"])): value, "other": 1}
        elif form == "huggingface" and isinstance(value, (str, bytes)):
            value = {
                "bytes": value if isinstance(value, bytes) else None,
                "path": value if type(value) is str else None,
            }
        elif form == "json" and "b'" not in repr(value) and not isinstance(value, str):
            value = json.dumps(value)
    return value


PLAIN_NAMES = st.sampled_from(["note", "c3", "topic", "title", "source", "meta", "n", "category", "answer", "id2"])
PLAIN_VALUES = st.one_of(
    st.none(),
    st.integers(),
    st.booleans(),
    st.sampled_from(["", "a cat", "He lost photo.jpg in the sea", "3.14", "https://example.com/page.html", "v1.2"]),
    st.lists(st.integers(), max_size=3),
)
TASKS: st.SearchStrategy[TaskName] = st.sampled_from(["ask", "ask", "embed", "caption", "ocr"])


@st.composite
def cases(draw: st.DrawFn, *, named: bool) -> tuple[TaskName, dict[str, Any], dict[str, str]]:
    """A task, a row, and [columns]. named: a column names a medium, by its name or its value."""
    row: dict[str, Any] = draw(st.dictionaries(PLAIN_NAMES, PLAIN_VALUES, max_size=4))
    for field in draw(st.lists(st.sampled_from(["prompt", "system", "text", "messages"]), unique=True, max_size=3)):
        row[field] = [{"role": "user", "text": "Hi"}] if field == "messages" else "What is it?"
    if named:
        column, value = draw(
            st.one_of(
                st.tuples(st.one_of(media_names(), CHINESE), nested(st.one_of(REFERENCES, st.just("x")))),
                st.tuples(st.one_of(PLAIN_NAMES, st.sampled_from(OURS), st.just("id")), nested(REFERENCES)),
            )
        )
        row[column] = value
    columns = {}
    if draw(st.booleans()):
        field = draw(st.sampled_from(OURS if named else sorted({*OURS} - {"fps", "max_frames"})))
        columns[field] = draw(st.sampled_from([*row, "absent"]))
    return draw(TASKS), row, columns


def job_of(task: TaskName, columns: dict[str, str]) -> JobFile:
    tables = {
        "task": task,
        "manifest": "m",
        "output": "o",
        "provider": {"name": "openai", "model": "m"},
        "columns": columns,
    }
    if task != "embed":
        tables["prompt"] = {"text": "Look."}
    return msgspec.convert(tables, JobFile)


def asked(task: TaskName, row: dict[str, Any], columns: dict[str, str]) -> tuple[Row, Request | Fault]:
    job = job_of(task, columns)
    (made,) = from_table([row], job, "/base").rows()
    if made.problem is not None:
        return made, Fault("rejected", made.problem.code, made.problem.message)
    try:
        return made, ask(load(task), expand_frames(made), job)
    except Fault as fault:
        return made, fault


@settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases(named=True))
def test_a_row_that_names_a_medium_makes_no_request_without_one(case):
    _, found = asked(*case)
    if isinstance(found, Fault):
        assert found.code.startswith("Local.")
    else:
        assert all_media(found), case


@settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases(named=False))
def test_a_row_that_names_no_medium_is_not_refused_for_one(case):
    _, found = asked(*case)
    if isinstance(found, Fault):
        assert found.code != "Local.UnusedMedia", (case, found.message)


def test_a_column_that_an_old_output_does_not_know_as_a_field_is_told_how_to_become_one():
    job = job_of("ask", {})
    rules = InputRules(derived_ids=1, columns=frozenset({"video"}))
    (row,) = from_table([{"id": "v", "video": "v.mp4"}], job, "/base", rules).rows()
    with pytest.raises(Fault, match=r'Write \[columns\] video = "video" into the job') as caught:
        ask(load("ask"), row, job)
    assert caught.value.code == "Local.UnusedMedia"


@pytest.fixture(scope="module")
def server():
    with CountingServer() as server:
        yield server


@settings(max_examples=COMMANDS, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=st.lists(cases(named=True).map(lambda case: case[1]), min_size=1, max_size=6))
def test_no_command_sends_a_row_without_the_medium_that_it_names(server, tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("meaning")
    lines = [json.dumps({**row, "id": row.get("id", f"r{n}")}, default=lambda _: "a.jpg") for n, row in enumerate(rows)]
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "job.toml").write_text(
        "task = 'ask'\nmanifest = 'rows.jsonl'\noutput = 'out'\n[prompt]\ntext = 'Look.'\n"
        f"[provider]\nname = 'openai'\nmodel = 'm'\nbase_url = '{server.base_url}'\n[timeouts]\ntotal = 5\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", "sk-counting")
        server.asked.clear()
        code = _run(["run", str(folder / "job.toml"), "--quiet"])
    assert code in (0, 1, 2)
    assert [one.prompt for one in server.asked if not one.pictures] == []
