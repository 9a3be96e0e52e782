"""The reference and the JSON Schema of the job file in jobs/ are current, complete and true to the job files there."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pipeline.job.schema import JobFile
from pipeline.job.shape import alternatives, hints_of, is_struct, notes_of
from pipeline.providers.model import Model
from pipeline.run.job_reference import NOT_A_USERS, SCHEMA_NAME, reference, schema, with_reference

JOBS = Path(__file__).parents[2] / "jobs"
MINIMAL: dict[str, Any] = {
    "task": "caption",
    "manifest": "photos.jsonl",
    "output": "out",
    "provider": {"name": "dashscope", "model": "qwen3-vl-plus"},
}


def shapes() -> list[type]:
    sections = [kind for hint in hints_of(JobFile).values() for kind in alternatives(hint) if is_struct(kind)]
    return [JobFile, Model, *sections]


def test_the_page_has_the_current_reference():
    page = (JOBS / "README.md").read_text(encoding="utf-8")
    assert page == with_reference(page), "run python -m pipeline.run.job_reference jobs"


def test_the_schema_is_current():
    written = json.loads((JOBS / SCHEMA_NAME).read_text(encoding="utf-8"))
    assert written == schema(), "run python -m pipeline.run.job_reference jobs"


@pytest.mark.parametrize("shape", shapes())
def test_every_key_has_a_meaning_and_a_line(shape):
    for name, hint in hints_of(shape).items():
        if name in NOT_A_USERS and shape is Model:
            continue
        if shape is JobFile and any(map(is_struct, alternatives(hint))):
            assert f"## [{name}]" in reference()
        else:
            assert notes_of(shape)[name].description
            assert f"| `{name}` | " in reference() or name == "models"


@pytest.mark.parametrize("path", sorted(JOBS.glob("*.toml")), ids=lambda path: path.name)
def test_each_job_of_the_folder_fits_the_schema(path):
    jsonschema.Draft202012Validator(schema()).validate(tomllib.loads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "wrong",
    [
        {"limits": {"rpm": 0}},
        {"limits": {"rmp": 60}},
        {"circuit": {"ratio": 1.5}},
        {"media": {"resize": "of"}},
        {"models": {"mine": {"pirce": {}}}},
        {"provider": {"name": "dashscope"}},
    ],
    ids=str,
)
def test_the_schema_refuses_what_the_job_refuses(wrong):
    validator = jsonschema.Draft202012Validator(schema())
    assert validator.is_valid(MINIMAL)
    assert not validator.is_valid(MINIMAL | wrong)
