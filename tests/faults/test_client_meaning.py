"""Nothing is bought that the user did not mean: a row that names a picture is not sent as a question about nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.client import CAT, FAKE_KEY, KEY_NAME, Client, Service, ended, failures, found, serving

from pipeline.api import Job
from pipeline.errors import JobError

QWEN = {"name": "dashscope", "model": "qwen3-vl-plus"}
VECTORS = {"name": "dashscope", "model": "qwen3-vl-embedding", "parameters": {"dimension": 1536}}
ASK: dict[str, Any] = {"prompt": {"text": "What is this?"}, "provider": QWEN}


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(KEY_NAME, FAKE_KEY)
    with serving() as service:
        yield service


@pytest.fixture
def client(tmp_path: Path, service: Service) -> Client:
    return Client(tmp_path, service.url)


def table_job(client: Client, columns: dict[str, list[Any]], kind: str, *, task: str = "ask", **tables: Any) -> Job:
    """A job over a CSV or Parquet table."""
    job = client.job([], task=task, **tables)
    path = client.folder / f"table.{kind}"
    if kind == "parquet":
        pq.write_table(pa.table(columns), path)
    else:
        lines = [",".join(columns)] + [",".join(map(str, cells)) for cells in zip(*columns.values(), strict=True)]
        path.write_text("\n".join(lines) + "\n")
    tables.setdefault("provider", QWEN)
    return Job.load(job.spec.path, {**overrides_of(job), "manifest": path.name})


def overrides_of(job: Job) -> dict[str, Any]:
    import msgspec

    told = msgspec.to_builtins(job.spec.job)
    return {key: told[key] for key in ("provider", "prompt", "media", "columns")}


@pytest.mark.parametrize(
    "row",
    [
        {"img": CAT},
        {"Image": CAT},
        {"videos": "https://x.example/v.mp4"},
        {"photo_url": "https://x.example/17"},
        {"c3": "https://x.example/cat.jpg"},
        {"extra": {"pictures": [{"path": "cat.jpg"}]}},
        {"image_id": 262148},
        {"url": "https://x.example/17"},
        {"prompt": "https://x.example/cat.jpg"},
        {"fps": 2},
        {"max_frames": 8},
    ],
)
def test_a_question_whose_row_names_a_picture_elsewhere_is_not_sent(client, service, row):
    job = client.job([{"id": "v", **row}], **ASK)
    assert ended(job.run())[:4] == (1, "finished", 0, 1)
    (failure,) = failures(job)
    assert (failure["fault"], failure["code"]) == ("rejected", "Local.UnusedMedia")
    assert f'"{next(iter(row))}"' in failure["message"]
    assert '[media] unused = "ignore"' in failure["message"]
    assert service.seen == []


def test_the_message_names_the_line_that_mends_it(client):
    job = client.job([{"id": "v", "img": CAT}], **ASK)
    job.run()
    (failure,) = failures(job)
    assert 'Write [columns] image = "img" into the job' in failure["message"]
    mended = Job.load(job.spec.path, {**overrides_of(job), "columns": {"image": "img"}})
    assert mended.run().answered == 1
    assert failures(mended) == []


def test_a_question_that_is_meant_without_a_picture_is_sent(client, service):
    job = client.job([{"id": "v", "source_url": "https://x.example/17"}], media={"unused": "ignore"}, **ASK)
    assert job.run().answered == 1
    (sent,) = service.asked("generation")
    assert "https://x.example" not in sent.body.decode()


def test_rows_refused_at_first_can_be_sent_without_their_picture(client):
    job = client.job([{"id": "v", "img": CAT}], **ASK)
    job.run()
    meant = Job.load(job.spec.path, {**overrides_of(job), "media": {"unused": "ignore"}})
    assert meant.reprocess("code = 'Local.UnusedMedia'").answered == 1


def test_a_column_in_the_prompt_is_text_and_no_picture(client, service):
    job = client.job([{"id": "v", "img": CAT}], provider=QWEN, prompt={"text": "Describe {img}"})
    assert job.run().failed == 1
    assert "{img} in the prompt is text alone: the model does not look at it" in failures(job)[0]["message"]
    assert service.seen == []


@pytest.mark.parametrize(
    "row",
    [
        {"question": "What is the capital of France?", "topic": "geography", "has_image": False},
        {"note": "He told me that photo.jpg is lost", "page": "https://example.com/a.html"},
        {"image": CAT, "img": "other.jpg", "url": "https://x.example/17"},
        {"images": [CAT], "image_id": 17},
        {"messages": [{"role": "user", "image": CAT}, {"role": "assistant", "text": "A cat."}], "img": "x.jpg"},
    ],
)
def test_questions_without_a_named_picture_and_rows_with_one_are_sent(client, row):
    job = client.job([{"id": "v", **row}], **ASK)
    assert job.run().answered == 1


def test_a_text_is_not_embedded_in_the_place_of_its_picture(client, service):
    job = client.job(
        [{"id": "a", "text": "a cat", "image_url": "https://x.example/1"}, {"id": "b", "text": "a.jpg"}],
        task="embed",
        provider=VECTORS,
    )
    assert job.run().failed == 2
    assert {failure["code"] for failure in failures(job)} == {"Local.UnusedMedia"}
    assert service.seen == []


def test_a_text_beside_a_web_page_is_embedded(client):
    rows = [{"id": "a", "text": "a cat", "url": "https://example.com/cats/17", "image_id": 17, "file_name": "17"}]
    job = client.job(rows, task="embed", provider=VECTORS)
    assert job.run().answered == 1


@pytest.mark.parametrize("task", ["caption", "ocr"])
def test_a_row_without_a_picture_names_the_column_that_may_hold_it(client, task):
    model = {"caption": "qwen3-vl-plus", "ocr": "qwen-vl-ocr"}[task]
    job = client.job([{"id": "v", "photo": CAT}], task=task, provider={**QWEN, "model": model})
    assert job.run().failed == 1
    (failure,) = failures(job)
    assert failure["code"] == "Local.NoInput"
    assert 'column "photo" names a picture' in failure["message"]
    assert '[columns] image = "photo"' in failure["message"]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("column", ["img", "Image", "photo_url", "picture"])
def test_a_table_whose_column_looks_like_a_picture_is_refused_whole(client, service, kind, column):
    job = table_job(client, {"id": ["1", "2"], column: ["a", "b"]}, kind, **ASK)
    for attempt in (job.run, job.plan):
        with pytest.raises(JobError) as caught:
            attempt()
        assert f'column "{column}" looks like a picture, but nothing uses it' in str(caught.value)
        assert f'[columns] image = "{column}"' in str(caught.value)
    assert service.seen == []
    assert not job.spec.output.exists()


def test_a_table_with_a_frame_rate_and_no_frames_is_refused_whole(client, service):
    job = table_job(client, {"id": ["1"], "fps": [2]}, "csv", **ASK)
    with pytest.raises(JobError, match='gives "fps", which is about the frames of a video, but no frames'):
        job.run()
    assert service.seen == []


def test_a_python_table_is_refused_the_same_way(client, service):
    job = client.job([], **ASK)
    with pytest.raises(JobError, match='column "img" looks like a picture'):
        job.run(pa.table({"id": ["1"], "img": [CAT]}))
    assert job.run([{"id": "1", "img": CAT}]).failed == 1
    assert service.seen == []


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_is_judged_row_by_row_where_it_has_a_field_of_ours(client, kind):
    job = table_job(client, {"id": ["1", "2"], "image": [CAT, ""], "img": ["", "a.jpg"]}, kind, **ASK)
    assert ended(job.run())[2:4] == (1, 1)


def test_a_table_of_questions_alone_is_sent(client):
    job = table_job(client, {"id": ["1"], "question": ["Why?"], "n": [1]}, "csv", **ASK)
    assert job.run().answered == 1
    table = {"id": ["1"], "question": ["Why?"], "image_url": [""]}
    meant = table_job(client, table, "csv", media={"unused": "ignore"}, **ASK)
    assert meant.run().exit_code == 0


def test_plan_foretells_the_rows_that_would_be_refused(client):
    job = client.job([{"id": "v", "img": CAT}], **ASK)
    (group,) = job.plan().refused
    assert (group.code, group.rows) == ("Local.UnusedMedia", 1)


def test_an_answer_of_an_earlier_version_stays_done(client, service):
    """A row that was bought without its picture is neither asked again nor made a failure."""
    rows = [{"id": "v", "img": CAT}]
    bought = client.job(rows, media={"unused": "ignore"}, **ASK)
    assert bought.run().answered == 1
    now = Job.load(bought.spec.path, {key: value for key, value in overrides_of(bought).items() if key != "media"})
    summary = now.run()
    assert (summary.exit_code, summary.sent, summary.skipped) == (0, 0, 1)
    assert found(now, "select stale from results") == [{"stale": False}]


def test_no_picture_data_stands_in_the_message(client):
    data = "data:image/png;base64," + "iVBORw0KGgo" * 50
    job = client.job([{"id": "v", "c3": data}, {"id": "w", "meta": json.dumps({"img": data})}], **ASK)
    assert job.run().failed == 2
    for failure in failures(job):
        assert "iVBOR" not in failure["message"]
