"""Files of several pages: PDF, and TIFF. No page is ever dropped in silence."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.client import FAKE_KEY, KEY_NAME, Client, Seen, failures, found, serving
from support.documents import pages_of, written_page
from support.fault_server import Act
from support.hosts import host

from pipeline import Job

WORDS = ("FIRST", "SECOND", "THIRD")
OCR = {"name": "dashscope", "model": "qwen-vl-ocr-latest"}
CHAT = {"name": "dashscope", "model": "qwen3-vl-plus"}
FORMS = [("PDF", "a.pdf"), ("TIFF", "a.tif")]


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_NAME, FAKE_KEY)


def refused(job: Job) -> tuple[str, str]:
    """(code, message) of the one row, as plan and run give them alike."""
    [group] = job.plan().refused
    assert job.run().failed == 1
    [failure] = failures(job)
    assert (failure["code"], failure["message"]) == (group.code, group.message)
    return failure["code"].removeprefix("Local."), failure["message"]


@pytest.mark.parametrize(("form", "name"), FORMS)
def test_ocr_reads_every_page_into_one_answer(tmp_path: Path, form: str, name: str) -> None:
    (tmp_path / name).write_bytes(pages_of(*WORDS, form=form))
    with serving() as service:
        client = Client(tmp_path, service.url)
        job = client.job([{"id": "a", "image": name}], task="ocr", provider=OCR)
        assert job.plan().send == 1
        summary = job.run()
        assert (summary.exit_code, summary.answered) == (0, 1)
        [row] = found(job, "select * from results")
        assert row["ocr_text"].split() == list(WORDS)
        assert [(block["page"], block["text"]) for block in row["blocks"]] == [
            (1, "FIRST"),
            (2, "SECOND"),
            (3, "THIRD"),
        ]
        assert row["source"] == [str(tmp_path / name)]
        assert found(job, "select extra->>'$.pages' as pages from results") == [{"pages": "3"}]
        assert len(service.asked("/generation")) == 3
        attempts = found(job, "select sum(input_tokens)::int as n from attempts")
        assert row["input_tokens"] == attempts[0]["n"]
        assert (job.run().sent, len(service.asked("/generation"))) == (0, 3)


def test_positions_on_a_page_are_in_pixels_of_that_page(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(pages_of(*WORDS, form="TIFF"))
    options = {"parameters": {"ocr_options": {"task": "advanced_recognition"}}}
    with serving() as service:
        rows = [{"id": "a", "image": "a.tif"}]
        [row] = Client(tmp_path, service.url).answers(rows, task="ocr", provider={**OCR, **options})
    assert [(block["page"], block["text"]) for block in row["blocks"]] == [(1, "FIRST"), (2, "SECOND"), (3, "THIRD")]
    for block in row["blocks"]:
        across = [point[0] for point in block["polygon"]]
        assert 0 <= min(across) < 80
        assert max(across) < 600


@pytest.mark.parametrize(("form", "name"), FORMS)
def test_pages_go_as_pictures_of_one_question(tmp_path: Path, form: str, name: str) -> None:
    (tmp_path / name).write_bytes(pages_of(*WORDS, form=form))
    with serving() as service:
        client = Client(tmp_path, service.url)
        rows = [{"id": "a", "image": name, "prompt": "What is in these pages?"}]
        job = client.job(rows, provider=CHAT)
        foretold = job.plan()
        summary = job.run()
        assert (summary.exit_code, foretold.input_tokens) == (0, summary.input_tokens)
        [asked] = service.asked("/generation")
        content = asked.json["input"]["messages"][-1]["content"]
        assert [sorted(part) for part in content] == [["image"], ["image"], ["image"], ["text"]]
        [row] = found(job, "select * from results")
        assert row["source"] == [f"{tmp_path / name}#page={number}" for number in (1, 2, 3)]


@pytest.mark.parametrize(("form", "name"), FORMS)
@pytest.mark.parametrize("task", ["caption", "embed"])
def test_tasks_of_one_picture_refuse_with_the_number(tmp_path: Path, form: str, name: str, task: str) -> None:
    (tmp_path / name).write_bytes(pages_of(*WORDS, form=form))
    model = {"name": "dashscope", "model": "multimodal-embedding-one-peace-v1"} if task == "embed" else CHAT
    with serving() as service:
        code, message = refused(
            Client(tmp_path, service.url).job([{"id": "a", "image": name}], task=task, provider=model)
        )
        assert service.seen == []
    assert code == "Pages"
    assert "3 pages" in message


@pytest.mark.parametrize(
    ("task", "media", "model", "words"),
    [
        ("ocr", {"max_pages": 2}, {}, "3 pages; media.max_pages allows 2"),
        ("ask", {"max_pages": 2}, {}, "3 pages; media.max_pages allows 2"),
        ("ask", {}, {"max_images": 2}, "3 pages; qwen3-vl-plus takes 2 pictures"),
    ],
)
def test_too_many_pages_are_refused_with_the_number(
    tmp_path: Path, task: str, media: dict[str, Any], model: dict[str, Any], words: str
) -> None:
    (tmp_path / "a.pdf").write_bytes(pages_of(*WORDS))
    with serving() as service:
        row = {"id": "a", "image": "a.pdf", **({"prompt": "What?"} if task == "ask" else {})}
        tables: dict[str, Any] = {"media": media, "models": {CHAT["model"]: model}} if model else {"media": media}
        code, message = refused(Client(tmp_path, service.url).job([row], task=task, provider=CHAT, **tables))
    assert code == "TooManyPages"
    assert words in message


@pytest.mark.parametrize("task", ["caption", "ocr"])
def test_a_document_of_one_page_is_one_picture(tmp_path: Path, task: str) -> None:
    (tmp_path / "a.pdf").write_bytes(pages_of("ALONE"))
    with serving() as service:
        [row] = Client(tmp_path, service.url).answers([{"id": "a", "image": "a.pdf"}], task=task, provider=CHAT)
        assert len(service.asked("/generation")) == 1
    assert "ALONE" in row["ocr_text" if task == "ocr" else "caption"]


def test_a_run_goes_on_with_the_page_where_it_stopped(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(pages_of(*WORDS))
    broken = [True]

    def second_fails(seen: Seen) -> tuple[int, bytes] | None:
        if seen.path.endswith("/generation") and len(service.asked("/generation")) >= 2 and broken[0]:
            return 500, b'{"code":"InternalError","message":"later"}'
        return None

    with serving(instead=second_fails) as service:
        client = Client(tmp_path, service.url)
        job = client.job([{"id": "a", "image": "a.pdf"}], task="ocr", provider=OCR, retry={"attempts": 1})
        assert job.run().failed == 1
        broken[0] = False
        assert job.run().answered == 1
        [row] = found(job, "select * from results")
        assert row["ocr_text"].split() == list(WORDS)
        assert [block["page"] for block in row["blocks"]] == [1, 2, 3]
        assert len(service.asked("/generation")) == 4


def test_a_document_behind_a_url_is_read_too(tmp_path: Path) -> None:
    body = pages_of(*WORDS)
    with serving() as service, host(lambda asked: Act(body=body)) as server:
        rows = [{"id": "a", "image": f"{server.url}/a.pdf"}]
        media = {"fetch": "here", "private": True}
        [row] = Client(tmp_path, service.url).answers(rows, task="ocr", provider=OCR, media=media)
        assert row["ocr_text"].split() == list(WORDS)
        assert len(server.asked) == 1


def test_pdf_files_in_a_folder_are_rows(tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    folder.mkdir()
    (folder / "a.pdf").write_bytes(pages_of("ONE", "TWO"))
    written_page("THREE").save(folder / "b.png")
    with serving() as service:
        job = Client(tmp_path, service.url).job([], task="ocr", provider=OCR, manifest=str(folder))
        assert job.run().answered == 2
        assert found(job, "select id, ocr_text from results order by id") == [
            {"id": "a.pdf", "ocr_text": "ONE\n\nTWO"},
            {"id": "b.png", "ocr_text": "THREE"},
        ]


def test_dots_per_inch_count_for_pdf_rows_alone(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(pages_of("ALONE"))
    written_page("OTHER").save(tmp_path / "b.png")
    rows = [{"id": "a", "image": "a.pdf"}, {"id": "b", "image": "b.png"}]
    with serving() as service:
        client = Client(tmp_path, service.url)
        first = client.job(rows, task="ocr", provider=OCR)
        assert first.run().answered == 2
        again = client.job(rows, task="ocr", provider=OCR, media={"dpi": 300}, output="job1", run={"changed": "redo"})
        assert again.run().sent == 1
        widths = found(again, "select id, stale from results order by id")
        assert widths == [{"id": "a", "stale": False}, {"id": "b", "stale": False}]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"%PDF-1.7\n", "DamagedPicture"),
        (pages_of(*WORDS)[:900], "DamagedPicture"),
        (b"%PDF-1.4\n" + b"\0" * 5000, "DamagedPicture"),
    ],
)
def test_a_broken_pdf_is_refused_by_name(tmp_path: Path, body: bytes, code: str) -> None:
    (tmp_path / "a.pdf").write_bytes(body)
    with serving() as service:
        assert (
            refused(Client(tmp_path, service.url).job([{"id": "a", "image": "a.pdf"}], task="ocr", provider=OCR))[0]
            == code
        )


def test_without_pypdfium2_the_refusal_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.pdf").write_bytes(pages_of(*WORDS))
    monkeypatch.setitem(sys.modules, "pypdfium2", None)
    with serving() as service:
        code, message = refused(
            Client(tmp_path, service.url).job([{"id": "a", "image": "a.pdf"}], task="ocr", provider=OCR)
        )
    assert code == "MissingExtra"
    assert "multimodal-batch[pdf]" in message


def test_thumbnails_inside_a_tiff_are_no_pages(tmp_path: Path) -> None:
    page, small = written_page("ALONE"), written_page("ALONE", 120, 40)
    file = io.BytesIO()
    small.encoderinfo = {"tiffinfo": {254: 1}}
    page.save(file, "TIFF", save_all=True, append_images=[small])
    assert Image.open(io.BytesIO(file.getvalue())).n_frames == 2  # type: ignore[attr-defined]
    (tmp_path / "a.tif").write_bytes(file.getvalue())
    with serving() as service:
        [row] = Client(tmp_path, service.url).answers([{"id": "a", "image": "a.tif"}], task="caption", provider=CHAT)
    assert "ALONE" in row["caption"]
