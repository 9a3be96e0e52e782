"""How the schema of a typed answer goes to each service, and what the embedded service makes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from support.asking import Asking

from pipeline.errors import JobError
from pipeline.job.schema import AnswerSection
from pipeline.offline.models.fields import Known, filled, schema_of
from pipeline.tasks.answer import column_type, instruction, response_format

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "price": {"type": ["number", "null"]}},
    "required": ["title", "price"],
    "additionalProperties": False,
}
FIELDS: dict[str, Any] = {"fields": {"title": "text", "price": "number?"}}
SERVER = {"name": "openai", "model": "m", "base_url": "http://127.0.0.1:1/v1"}
EMBED = {"name": "dashscope", "model": "multimodal-embedding-one-peace-v1"}
QWEN = {"name": "dashscope", "model": "qwen3-vl-plus"}


def body_of(folder: Path, provider: dict[str, Any], answer: dict[str, Any] = FIELDS) -> dict[str, Any]:
    """The body that is sent for a row with a picture."""
    row = {"id": "a", "image": "图 片.png", "prompt": "Say"}
    (request,) = Asking(folder).requests(row, task="ask", provider=provider, answer=answer)
    return json.loads(request.body)


def words_of(body: dict[str, Any]) -> str:
    messages = body["messages"] if "messages" in body else body["input"]["messages"]
    return "".join(part.get("text", "") for part in messages[-1]["content"])


@pytest.fixture(autouse=True)
def keys(monkeypatch):
    for name in ("OPENAI_API_KEY", "DASHSCOPE_API_KEY", "QIANFAN_API_KEY"):
        monkeypatch.setenv(name, "sk-fake")


def test_an_openai_server_is_sent_the_schema_to_enforce(tmp_path):
    body = body_of(tmp_path, SERVER)
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
    }
    assert words_of(body) == "SayAnswer with one JSON object."


def test_dashscope_is_asked_for_json_with_the_schema_in_the_prompt(tmp_path):
    body = body_of(tmp_path, QWEN)
    assert body["parameters"]["response_format"] == {"type": "json_object"}
    assert msgspec.json.encode(SCHEMA).decode() in words_of(body)


@pytest.mark.parametrize(
    "provider",
    [
        {"name": "qianfan", "model": "ernie-4.5-turbo-vl"},
        {"name": "dashscope", "model": "qwen-vl-ocr"},
        QWEN | {"parameters": {"enable_thinking": True}},
    ],
)
def test_other_models_are_asked_in_the_prompt_alone(tmp_path, provider):
    body = body_of(tmp_path, provider)
    assert "response_format" not in json.dumps(body)
    assert msgspec.json.encode(SCHEMA).decode() in words_of(body)


def test_the_job_chooses_the_form(tmp_path):
    assert "response_format" not in body_of(tmp_path, SERVER, {**FIELDS, "form": "prompt"})


def test_a_schema_with_further_keys_is_not_called_strict():
    section = AnswerSection(schema={**SCHEMA, "additionalProperties": True}, form="json_schema")
    form = response_format(section)
    assert form is not None
    assert form["json_schema"]["strict"] is False


def test_an_embedding_takes_no_fields(tmp_path):
    with pytest.raises(JobError, match="an embedding has no fields"):
        Asking(tmp_path).requests({"id": "a", "text": "x"}, task="embed", provider=EMBED, answer=FIELDS)


@pytest.mark.parametrize(
    ("part", "type_"),
    [
        ({"type": "string"}, "text"),
        ({"type": ["integer", "null"]}, "whole number"),
        ({"anyOf": [{"type": "boolean"}, {"type": "null"}]}, "yes or no"),
        ({"type": "array", "items": {"type": "number"}}, "list of number"),
        ({"enum": ["a", "b", None]}, "text"),
        ({"type": ["number", "string"]}, "text"),
        ({"type": "object"}, "text"),
        ({"type": "array", "items": {"type": "object"}}, "text"),
        (True, "text"),
    ],
)
def test_the_type_of_a_column(part, type_):
    assert column_type(part) == type_


NESTED = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "maker": {"$ref": "#/$defs/maker"},
        "parts": {"type": "array", "items": {"$ref": "#/$defs/maker"}},
        "width": {"type": "integer"},
        "weight": {"anyOf": [{"type": "null"}, {"type": "number"}]},
        "fixed": {"const": 7},
        "choice": {"enum": ["drawing", "photo"]},
        "is_cup": {"type": "boolean"},
    },
    "required": ["name", "tags", "maker", "parts", "width", "fixed", "choice", "is_cup"],
    "$defs": {"maker": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}},
}


@pytest.mark.parametrize("known", [Known(), Known(caption="A red cup.", tags=("cup",), text="No 5", width=3, height=2)])
def test_the_embedded_service_answers_by_schema(known):
    found = json.loads(filled(NESTED, known))
    jsonschema.Draft202012Validator(NESTED).validate(found)
    assert found["is_cup"] is ("cup" in known.tags)


@pytest.mark.parametrize("form", ["json_schema", "json_object", "prompt"])
def test_the_embedded_service_finds_the_schema_in_each_form(form):
    section = AnswerSection(schema=SCHEMA, form=form)
    sent = response_format(section)
    parameters = {} if sent is None else {"response_format": sent}
    assert schema_of(parameters, f"Look at {{this}}.\n{instruction(section)}") == SCHEMA


def test_a_prompt_without_a_schema_has_none():
    assert schema_of({}, "Describe {this} picture.") is None
    assert schema_of({"response_format": {"type": "json_object"}}, 'Give {"answer": …}') is None
