"""What every row of a job would be refused for is said of the job, with exit code 2 and before anything is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from support.client import CAT, FAKE_KEY, KEY_NAME, Client, Service, failures, serving

from pipeline.api import Job
from pipeline.errors import JobError

QWEN = {"name": "dashscope", "model": "qwen3-vl-plus"}
LLAMA = {"name": "dashscope", "model": "llama3.2-90b-vision-instruct"}
LLAMA4 = {"name": "qianfan", "model": "llama-4-scout-17b-16e-instruct"}
ERNIE = {"name": "qianfan", "model": "ernie-4.5-8k-preview"}
WORDS = {"name": "dashscope", "model": "text-embedding-v4", "protocol": "openai"}
VECTORS = {"name": "dashscope", "model": "qwen3-vl-embedding", "parameters": {"dimension": 1536}}
DEAF = {"name": "dashscope", "model": "deaf", "parameters": {"dimension": 1536}}
MODELS = {"deaf": {"like": "qwen3-vl-embedding", "audio": False}}
ROW = {"id": "a", "image": CAT}


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(KEY_NAME, FAKE_KEY)
    with serving() as service:
        yield service


@pytest.fixture
def client(tmp_path: Path, service: Service) -> Client:
    return Client(tmp_path, service.url)


def refusal(job: Job, *manifest: Any) -> str:
    """What `run` says; `plan` says the same."""
    with pytest.raises(JobError) as caught:
        job.run(*manifest)
    assert not job.spec.output.exists()
    if not manifest:
        with pytest.raises(JobError) as planned:
            job.plan()
        assert str(planned.value) == str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("provider", "tables", "expected"),
    [
        ({**LLAMA4, "parameters": {"web_search": {"enable": True}}}, {}, "provider.parameters.web_search"),
        ({**LLAMA4, "parameters": {"detail": "low"}}, {}, "provider.parameters.detail"),
        (LLAMA, {"media": {"fetch": "here"}}, "media.fetch"),
        ({**QWEN, "model": "qvq-max"}, {}, "set provider.stream = true"),
        ({**QWEN, "model": "qwen3-vl-embedding"}, {}, "is for embed, not for caption"),
        ({**QWEN, "parameters": {"ocr_options": {"task": "x"}}}, {}, "provider.parameters.ocr_options"),
        ({**LLAMA, "protocol": "openai"}, {}, "provider.protocol"),
    ],
)
def test_what_the_job_alone_decides_is_refused_for_the_job(client, service, provider, tables, expected):
    said = refusal(client.job([ROW], task="caption", provider=provider, **tables))
    assert expected in said
    assert "job1.toml: " in said
    assert service.seen == []


@pytest.mark.parametrize(
    ("task", "provider", "columns", "expected"),
    [
        ("caption", QWEN, {"text": "note"}, "columns.text: "),
        ("caption", QWEN, {"audio": "sound"}, "columns.audio: "),
        ("embed", VECTORS, {"prompt": "note"}, "columns.prompt: "),
        ("embed", VECTORS, {"messages": "note"}, "columns.messages: "),
        ("embed", VECTORS, {"frames": "note"}, "columns.frames: "),
        ("embed", DEAF, {"audio": "sound"}, "columns.audio: deaf takes no sound"),
        ("embed", WORDS, {"image": "picture"}, "text"),
        ("caption", ERNIE, {"frames": "scenes"}, "takes no frame lists"),
        ("caption", {**QWEN, "model": "qwen-vl-ocr"}, {"frames": "scenes"}, "takes no frame lists"),
    ],
)
def test_a_column_that_no_row_may_have_is_refused_for_the_job(client, service, task, provider, columns, expected):
    said = refusal(client.job([ROW], task=task, provider=provider, columns=columns, models=MODELS))
    assert expected in said
    assert service.seen == []


@pytest.mark.parametrize(
    ("task", "provider", "columns", "expected"),
    [
        ("caption", QWEN, ["id", "topic"], "no column gives a picture; the manifest has id, topic"),
        ("ocr", {**QWEN, "model": "qwen-vl-ocr"}, ["name"], "no column gives a picture"),
        ("caption", QWEN, ["id", "imagine"], 'did you mean "imagine"'),
        ("caption", QWEN, ["id", "imagge"], '[columns] image = "imagge"'),
        ("embed", VECTORS, ["id", "topic"], "nothing to embed"),
        ("embed", WORDS, ["id", "image"], "text"),
        ("embed", DEAF, ["id", "audio"], "deaf takes no sound"),
        ("caption", ERNIE, ["id", "frames"], "takes no frame lists"),
        ("ask", QWEN, ["id", "image"], "nothing to ask"),
        ("ask", QWEN, ["id", "image", "question"], '[columns] prompt = "question"'),
        ("ask", LLAMA, ["id", "prompt"], "needs at least one picture"),
    ],
)
def test_a_table_that_gives_no_row_its_input_is_refused_whole(client, service, task, provider, columns, expected):
    job = client.job([], task=task, provider=provider, models=MODELS)
    assert expected in refusal(job, pa.table({column: ["x"] for column in columns}))
    assert service.seen == []


def test_a_row_alone_is_refused_where_the_others_may_be_sent(client):
    rows = [ROW, {"id": "b", "image": "oss://bucket/x", "parameters": {"temperature": 9}}]
    job = client.job(rows, task="caption", provider=QWEN)
    summary = job.run()
    assert (summary.answered, summary.failed) == (1, 1)
    assert failures(job)[0]["code"] == "Local.Parameter"


def test_prompts_with_columns_do_not_speak_against_the_job(client):
    prompt = {"system": "You know {topic}.", "text": "Describe this {topic}."}
    job = client.job([{**ROW, "topic": "cats"}], task="caption", provider=QWEN, prompt=prompt)
    assert job.run().answered == 1


def test_a_vector_length_that_no_answer_can_have_is_refused_before_any_is_bought(client, service):
    job = client.job([ROW], task="embed", provider=VECTORS, quality={"dimension": 512})
    assert "quality.dimension: found 512" in refusal(job)
    assert service.seen == []


def test_a_vector_length_that_the_embedded_service_lacks_is_refused(client):
    provider = {**VECTORS, "parameters": {"dimension": 512}}
    job = client.job([ROW], task="embed", provider=provider, offline=True)
    assert "the embedded service gives vectors of 1536 numbers" in refusal(job)
    assert client.job([ROW], task="embed", provider=VECTORS, offline=True).run().answered == 1
