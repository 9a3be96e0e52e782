"""What is wrong with a job file is said in words that a person understands: where, what was found, what is expected."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import pytest

from pipeline import Job
from pipeline.errors import JobError
from pipeline.job.load import load
from pipeline.job.schema import JobFile
from pipeline.providers.model import Model
from pipeline.providers.models import find

MINIMAL = """\
task     = "caption"
manifest = "photos.jsonl"
output   = "out"
[provider]
name  = "dashscope"
model = "qwen3-vl-plus"
"""
FOUND: dict[str, tuple[Any, str]] = {
    "text": ("some words", "some words"),
    "number": (-7, "-7"),
    "fraction": (0.25, "0.25"),
    "truth": (True, "true"),
    "list": ([1, 2], "a list"),
    "table": ({"a": 1}, "a table"),
    "none": (None, "nothing"),
}
FOREIGN = re.compile(r"`|\b(?:Expected|Object|enum|NoneType|None|str|dict|int|float|Traceback)\b| \| ")


def keys(section: type, prefix: str = "") -> list[str]:
    """Every key of the job file, sections included, by its path."""
    found = []
    for name, hint in get_type_hints(section).items():
        found.append(prefix + name)
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            found += keys(hint, f"{prefix}{name}.")
    return found


def job_file(folder: Path, text: str = MINIMAL, name: str = "job.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path, **arguments: Any) -> str:
    with pytest.raises(JobError) as caught:
        load(path, **arguments)
    return str(caught.value)


def judged(call: Callable[[], Any], key: str, shown: str) -> None:
    """What is said of a value, if anything, begins with the key, holds what was found, and is in plain words."""
    said = ""
    try:
        call()
    except JobError as error:
        said = str(error)
    if said:
        assert said.startswith(key), said
        assert re.search(f"{re.escape(shown)}|unknown key|is missing|(\\[0]|\\.a): found 1, ", said), said
        assert not FOREIGN.search(said), said


def loaded(path: Path, key: str, value: Any) -> None:
    try:
        load(path, overrides={key: value})
    except JobError as error:
        raise JobError(str(error).removeprefix(f"{path}: ")) from None


@pytest.mark.parametrize("kind", FOUND)
def test_a_value_of_the_wrong_kind_is_told_in_plain_words(tmp_path, kind):
    value, shown = FOUND[kind]
    path = job_file(tmp_path)
    for key in keys(JobFile):
        judged(partial(loaded, path, key, value), key, shown)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("limits.rpm", "fast", 'limits.rpm: found "fast", expected a number'),
        ("limits.rpm", "1200", 'limits.rpm: found "1200", expected a number; write it without quotes'),
        ("limits.concurrency", 2.5, "limits.concurrency: found 2.5, expected a whole number"),
        ("limits.account", " ", 'limits.account: found " ", expected a name for the account'),
        ("provider.stream", "yes", 'provider.stream: found "yes", expected true or false'),
        ("provider.stream", "true", 'provider.stream: found "true", expected true or false; write it without quotes'),
        ("provider.model", 4, "provider.model: found 4, expected text; write it in quotes"),
        ("media.resize", "of", 'expected one of fit, off; did you mean "off"?'),
        ("provider", "dashscope", 'provider: found "dashscope", expected a table [provider]'),
        ("retry.deadline", [1], "retry.deadline: found a list, expected a number or text"),
        ("provider.model", "x" * 200, None),
        ("limits.rpm", "x" * 200, '"' + "x" * 40 + '…"'),
        ("media.frames", 0, "media.frames: found 0, expected a number above 0"),
        ("circuit.ratio", 1.5, "circuit.ratio: found 1.5, expected a number above 0 and up to 1"),
        ("circuit.silence", -1, "circuit.silence: found -1, expected a number from 0"),
        ("circuit.silence", math.inf, "circuit.silence: found inf, expected a number from 0"),
        ("timeouts.read", math.nan, "timeouts.read: found nan, expected a number above 0"),
        ("limits.concurrency", 65_537, "limits.concurrency: found 65537, expected a number above 0 and up to 65536"),
        ("quality.empty", "maybe", 'quality.empty: found "maybe", expected true or false'),
        ("quality.truncatd", False, 'quality.truncatd: unknown key; did you mean "truncated"?'),
        ("models", {"mine": 3}, "models.mine: found 3, expected a table"),
        ("provider.parameters", {"a": 1}, None),
    ],
)
def test_the_words_of_a_wrong_value(tmp_path, key, value, expected):
    path = job_file(tmp_path)
    if expected is None:
        load(path, overrides={key: value})
    else:
        assert expected in refusal(path, overrides={key: value})


@pytest.mark.parametrize("task", ["captoin", "Caption"])
def test_an_unknown_task_gets_the_nearest_name(tmp_path, task):
    path = job_file(tmp_path)
    with pytest.raises(JobError) as caught:
        Job.load(path, {"task": task})
    assert f'{path}: task: found "{task}", expected one of caption, ocr, embed, ask' in str(caught.value)
    assert 'did you mean "caption"?' in str(caught.value)


@pytest.mark.parametrize("key", ["task", "manifest", "output", "provider"])
def test_a_missing_key_is_named_with_an_example(tmp_path, key):
    tables = {"task": "task = 'ask'\n", "manifest": "manifest = 'm'\n", "output": "output = 'o'\n"}
    tables["provider"] = "[provider]\nname = 'openai'\nmodel = 'm'\n"
    said = refusal(job_file(tmp_path, "".join(text for name, text in tables.items() if name != key)))
    assert f"{key}: this key is missing; write " in said
    assert "`" not in said


@pytest.mark.parametrize("key", ["name", "model"])
def test_a_missing_key_of_a_section_has_its_path(tmp_path, key):
    other = {"name": "model", "model": "name"}[key]
    said = refusal(job_file(tmp_path, f"task='ask'\nmanifest='m'\noutput='o'\n[provider]\n{other} = 'openai'\n"))
    assert f"provider.{key}: this key is missing; write " in said


def test_a_key_where_its_variable_is_named_is_not_shown(tmp_path):
    for key in ("sk-0123fakefakefake4567", "bce-v3/fake/fake", "0123456789abcdef0123456789abcdef"):
        said = refusal(job_file(tmp_path), overrides={"provider.api_key_env": key})
        assert "provider.api_key_env: " in said
        assert "the name of an environment variable" in said
        assert key not in said


def test_a_key_in_a_value_of_the_wrong_kind_is_not_shown(tmp_path):
    said = refusal(job_file(tmp_path), overrides={"limits.rpm": "sk-0123fakefakefake4567"})
    assert "limits.rpm: found a text, expected a number" in said


def test_a_key_written_into_the_job_is_refused_without_it(tmp_path):
    said = refusal(job_file(tmp_path, MINIMAL + 'api_key = "sk-0123fakefakefake4567"\n'))
    assert "provider.api_key: unknown key" in said
    assert "api_key_env" in said
    assert "sk-" not in said


# What is no TOML


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("task = caption\n", ("job.toml:1:", "task = caption")),
        (MINIMAL + "stream = yes\n", ("job.toml:7:", "stream = yes")),
        (MINIMAL + "base_url\n", ("job.toml:7:", "base_url")),
        (MINIMAL + 'base_url = "http://x\n', ("job.toml:7:", 'base_url = "http://x')),
        (MINIMAL + 'model = "again"\n', ("job.toml:7:", 'model = "again"')),
        ("task = [\n", ("job.toml:1:", "the file ends")),
    ],
)
def test_broken_toml_names_the_line_and_shows_it(tmp_path, text, expected):
    said = refusal(job_file(tmp_path, text))
    for words in expected:
        assert words in said


@pytest.mark.parametrize(
    "line",
    [
        "api_key = sk-0123fakefakefake4567",
        "x = 0123456789abcdef0123456789abcdef",
        "my_token = abc",
        "password: hunter2",
        "sk-0123fakefakefake4567",
    ],
)
def test_a_broken_line_that_may_hold_a_key_is_not_shown(tmp_path, line):
    said = refusal(job_file(tmp_path, MINIMAL + line + "\n"))
    assert "job.toml:7:" in said
    for secret in ("sk-", "0123456789abcdef", "abc", "hunter2"):
        assert secret not in said


def test_yaml_given_as_a_job_is_told_the_same_line_in_toml(tmp_path):
    yaml = "# my job\ntask: caption\nmanifest: photos/\nlimits:\n  rpm: 30\n"
    said = refusal(job_file(tmp_path, yaml, "job.yaml"))
    assert "job.yaml:2: this is YAML (task: caption)" in said
    assert 'task = "caption"' in said
    assert "job.toml:2: this is YAML" in refusal(job_file(tmp_path, yaml))
    assert "job.yml:9: this is YAML (rpm: 30)" in refusal(
        job_file(tmp_path, MINIMAL + "\n[limits]\nrpm: 30\n", "job.yml")
    )


def test_json_given_as_a_job_is_told_so(tmp_path):
    said = refusal(job_file(tmp_path, '{"task": "caption"}', "job.json"))
    assert "this is JSON" in said
    assert "TOML" in said


def test_a_folder_given_as_a_job_gets_the_commands_for_one(tmp_path):
    photos = tmp_path / "my photos"
    photos.mkdir()
    said = refusal(photos)
    assert f"{photos}: this is a folder, not a job" in said
    assert f"pipeline caption '{photos}'" in said
    assert f"pipeline init '{photos}'" in said


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("cat.jpg", b"\xff\xd8\xff\xe0"),
        ("rows.parquet", b"PAR1\x00"),
        ("rows.jsonl", b'{"image": "cat.jpg"}\n'),
        ("rows.csv", b"id,image\n1,cat.jpg\n"),
        ("rows.csv", b""),
        ("sound.mp3", b"ID3"),
    ],
)
def test_an_input_given_as_a_job_gets_the_lines_of_one(tmp_path, name, body):
    path = tmp_path / name
    path.write_bytes(body)
    said = refusal(path)
    assert f"{path}: this is not a job" in said
    spec = load(job_file(tmp_path, said[said.index("task") :]))
    assert Path(spec.manifest) in (path, path.parent)


def test_a_job_of_any_name_is_read(tmp_path):
    assert load(job_file(tmp_path, name="nightly.conf")).job.task == "caption"


def test_a_missing_job_says_what_a_job_is(tmp_path):
    said = refusal(tmp_path / "nothing.toml")
    assert "there is no such job file" in said


def test_a_folder_of_jobs_names_one_of_them(tmp_path):
    job_file(tmp_path)
    assert f"name one of its jobs, such as {tmp_path / 'job.toml'}" in refusal(tmp_path)


# The tables that stand in a job and are read elsewhere: [models]


def model_keys() -> list[str]:
    return [name for name in get_type_hints(Model) if name not in ("name", "provider", "known")]


@pytest.mark.parametrize("kind", FOUND)
def test_a_wrong_value_of_a_model_is_told_in_plain_words(kind):
    value, shown = FOUND[kind]
    for key in model_keys():
        judged(partial(find, "dashscope", "mine", {"mine": {key: value}}), f"models.mine.{key}", shown)


def test_a_wrong_price_is_told_with_its_path():
    with pytest.raises(JobError, match=r'models.mine.price.input: found "cheap", expected a number'):
        find("dashscope", "mine", {"mine": {"price": {"input": "cheap"}}})
    with pytest.raises(JobError, match=r"models.mine.price.input: this key is missing"):
        find("dashscope", "mine", {"mine": {"price": {"output": 1.0}}})
    with pytest.raises(JobError, match=r'models.mine.bounds.seed.type: found "int", expected one of number, integer'):
        find("dashscope", "mine", {"mine": {"bounds": {"seed": {"type": "int"}}}})
