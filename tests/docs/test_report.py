"""`pipeline report`: the page holds what the output holds, stays small, and is inert whatever the rows hold."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import itertools
import re
import shlex
import socket
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.report_pages import HOSTILE, by_id, data_of, job
from support.store_records import answer, attempt, failure, vector

from pipeline import Job
from pipeline.errors import JobError
from pipeline.run import report as run_report

ROOT = Path(__file__).parents[2]
CAT = str(ROOT / "sample_data/photos/chelsea.jpg")


def page_of(job: Job, folder: Path, **more) -> tuple[bytes, dict]:
    written = job.report(folder / "new" / "night.html", **more)
    body = written.path.read_bytes()
    assert len(body) == written.bytes
    return body, data_of(body)


def only(pattern: str, text: str) -> str:
    (found,) = re.findall(pattern, text, re.DOTALL)
    return found


def pixel(row: dict[str, Any]) -> Any:
    """The colour of the thumbnail near its corner, as (red, green, blue)."""
    image = Image.open(io.BytesIO(base64.b64decode(row["small"].partition(",")[2])))
    return image.convert("RGB").getpixel((50, 50))


@pytest.fixture(scope="module")
def bad(tmp_path_factory) -> Job:
    job = Job.load(ROOT / "jobs/bad.toml", offline=True, output=tmp_path_factory.mktemp("bad") / "out")
    job.run()
    return job


def test_the_figures_are_those_of_sql(bad, tmp_path):
    _, data = page_of(bad, tmp_path)
    connection = bad.connect()
    totals = data["totals"]
    assert totals["answered"] == 7 == connection.sql("select count(*) from results").fetchall()[0][0]
    assert totals["failed"] == 7 == connection.sql("select count(*) from failures").fetchall()[0][0]
    tokens = connection.sql("select sum(input_tokens), sum(output_tokens), count(*) from attempts").fetchall()[0]
    assert (totals["input_tokens"], totals["output_tokens"], totals["attempts"]) == tokens
    assert [entry["cost"] for entry in totals["spend"]] == [None]
    chart = data["charts"][0]
    assert sum(chart["answered_over_time"]) == sum(number for _, number in chart["latency"]) == chart["answered"] == 7
    assert sum(value or 0 for value in chart["input_tokens"]) == totals["input_tokens"]
    assert chart["tries"] == [[1, 7]]
    codes = connection.sql("select fault, code, count(*) from failures group by all").fetchall()
    assert sorted((group["fault"], group["code"], group["rows"]) for group in data["failures"]) == sorted(codes)


def test_every_row_is_there_with_its_answer_and_picture(bad, tmp_path):
    _, data = page_of(bad, tmp_path)
    rows = by_id(data)
    captions = dict(bad.connect().sql("select id, caption from results").fetchall())
    assert {id_: row["text"] for id_, row in rows.items() if row["state"] == "answered"} == captions
    assert (rows["rotated"]["width"], rows["rotated"]["height"]) == (451, 300)
    with Image.open(io.BytesIO(base64.b64decode(rows["rotated"]["small"].partition(",")[2]))) as image:
        assert image.format == "WEBP"
        assert image.size == (200, 133)
    reasons = {id_: row.get("why") for id_, row in rows.items()}
    assert reasons["missing"] == "file not found"
    assert reasons["empty"] == "empty file"
    assert reasons["bomb"] == "too large to show"
    assert reasons["text-named-png"] == "not a picture"
    assert data["sample"] == {"answers": 7, "failures": 7, "answers_total": 7, "failures_total": 7}


def test_each_reason_has_the_command_that_mends_it(tmp_path):
    records = [
        failure("a", fault="throttled", code="Throttling.RateQuota"),
        failure("b", fault="rejected", code="Local.MissingFile"),
        failure("c", fault="suspect", code="Local.Truncated"),
        failure("d", fault="rejected", code=HOSTILE[3]),
    ]
    made = job(tmp_path, "caption", *records)
    _, data = page_of(made, tmp_path)
    commands = {group["ids"][0]: group["commands"] for group in data["failures"]}
    name = made.spec.command
    assert commands["a"] == [f"pipeline run {name}"]
    assert commands["b"] == [f"pipeline reprocess {name} --where \"code = 'Local.MissingFile'\""]
    assert commands["c"][0] == f"pipeline accept {name} --where \"code = 'Local.Truncated'\""
    assert "drop view" not in str(commands)
    where = shlex.split(commands["d"][0])[-1]
    assert made.connect().sql(f"select id from failures where {where}").fetchall() == [("d",)]


def test_hostile_texts_are_data_and_nothing_else(tmp_path):
    records: list[Any] = [
        answer(f"{number} {text}", text=text, columns={text: text}) for number, text in enumerate(HOSTILE)
    ]
    records += [failure(f"f {text}", code=text, message=text) for text in HOSTILE]
    body, data = page_of(job(tmp_path, "caption", *records), tmp_path)
    rows = by_id(data)
    for number, text in enumerate(HOSTILE):
        assert rows[f"{number} {text}"]["text"] == text
        assert rows[f"{number} {text}"]["fields"][text] == text
        assert rows[f"f {text}"]["message"] == text
    assert body.lower().count(b"<script") == body.lower().count(b"</script") == 2
    assert b"<img" not in body
    assert b"<!--" not in body


def test_the_policy_allows_the_page_itself_and_nothing_else(bad, tmp_path):
    body, _ = page_of(bad, tmp_path)
    text = body.decode()
    policy = html.unescape(only(r'Content-Security-Policy" content="([^"]*)"', text))
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    for rule, element in (("style-src", "style"), ("script-src", "script")):
        own = only(rf"<{element}>(.*?)</{element}>", text)
        assert rules.pop(rule) == f"'sha256-{base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()}'"
    assert rules == {"default-src": "'none'", "img-src": "data:", "base-uri": "'none'", "form-action": "'none'"}
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", text)


def test_texts_without_end_are_cut_and_it_is_said(tmp_path):
    made = job(tmp_path, "caption", answer("long", text="x" * 1_000_000, columns={"note": "y" * 1_000_000}))
    body, data = page_of(made, tmp_path)
    row = data["rows"][0]
    assert (len(row["text"]), row["length"], len(row["fields"]["note"])) == (4_000, 1_000_000, 500)
    assert len(body) < 100_000


def test_a_column_may_have_another_type_in_failures(tmp_path):
    records = [answer("a", columns={"n": "seven"}), failure("b", columns={"n": 7}), failure("c", columns={"n": 8})]
    made = job(tmp_path, "caption", *records)
    _, data = page_of(made, tmp_path)
    assert {id_: row["fields"] for id_, row in by_id(data).items()} == {
        "a": {"n": "seven"},
        "b": {"n": 7},
        "c": {"n": 8},
    }


def test_numbers_that_javascript_cannot_hold_are_texts(tmp_path):
    made = job(tmp_path, "caption", answer("a", columns={"big": 2**62, "far": float("inf"), "small": 7}))
    _, data = page_of(made, tmp_path)
    assert data["rows"][0]["fields"] == {"big": str(2**62), "far": "inf", "small": 7}


def test_what_is_not_known_is_not_nothing(tmp_path):
    _, data = page_of(job(tmp_path, "caption", answer("a"), attempt("a")), tmp_path)
    assert data["totals"]["input_tokens"] is None
    assert data["totals"]["spend"][0]["cost"] is None
    assert not {"cost", "input_tokens", "latency_ms"} & data["rows"][0].keys()
    assert set(data["charts"][0]["cost"]) == {None}


def test_a_large_output_is_sampled_evenly_and_it_is_said(tmp_path):
    records = [answer(f"a{number:04}") for number in range(1_000)] + [failure(f"f{number:03}") for number in range(400)]
    _, data = page_of(job(tmp_path, "caption", *records), tmp_path, rows=100)
    assert data["sample"] == {"answers": 75, "failures": 25, "answers_total": 1_000, "failures_total": 400}
    places = [int(row["id"][1:]) for row in data["rows"] if row["state"] == "answered"]
    assert places[0] == 0
    assert {after - before for before, after in itertools.pairwise(places)} <= {13, 14}
    assert data["totals"]["results"] == 1_000


def test_the_page_stays_below_its_size(tmp_path, monkeypatch):
    noise = np.random.default_rng(7)
    for number in range(60):
        Image.fromarray(noise.integers(0, 256, (240, 240, 3), np.uint8)).save(tmp_path / f"{number}.png")
    records = [answer(f"a{number}", source=[str(tmp_path / f"{number}.png")]) for number in range(60)]
    made = job(tmp_path, "caption", *records)
    monkeypatch.setattr(run_report, "MOST_BYTES", 500_000)
    body, data = page_of(made, tmp_path)
    assert 300_000 < len(body) <= 500_000
    shown = data["sample"]["answers"]
    assert 5 < shown < 60
    assert data["sample"]["answers_total"] == 60
    assert not any("large" in row for row in data["rows"])
    assert int(data["rows"][-1]["id"][1:]) > 45


def test_nothing_is_fetched_for_a_remote_picture(tmp_path, monkeypatch):
    def refuse(*_):
        raise AssertionError("a socket was opened")

    made = job(
        tmp_path,
        "caption",
        answer("url", source=["http://127.0.0.1:9/cat.jpg"]),
        answer("oss", source=["oss://bucket/cat.jpg"]),
        answer("data", source=["data:image/png;sha256=00"]),
        answer("sound", source=["/sounds/bell.wav"]),
        answer("second", source=["/gone.jpg", CAT]),
    )
    monkeypatch.setattr(socket.socket, "connect", refuse)
    _, data = page_of(made, tmp_path)
    rows = by_id(data)
    assert rows["url"]["why"] == rows["oss"]["why"] == "a URL, not fetched"
    assert rows["data"]["why"].startswith("not kept")
    assert rows["sound"]["why"] == "sound"
    assert rows["second"]["small"].startswith("data:image/webp;base64,")


def test_pictures_in_archives_and_pages_of_documents_are_shown(tmp_path):
    with tarfile.open(tmp_path / "shard.tar", "w") as tar:
        tar.add(CAT, "a/chelsea.jpg")
    for name in ("two.pdf", "two.tiff"):
        first, second = (Image.new("RGB", (300, 200), color) for color in ("red", "blue"))
        first.save(tmp_path / name, save_all=True, append_images=[second], resolution=100)
    sources = {
        "tar": f"{tmp_path}/shard.tar#a/chelsea.jpg",
        "pdf": f"{tmp_path}/two.pdf#page=2",
        "tiff": f"{tmp_path}/two.tiff#page=2",
        "gone": f"{tmp_path}/shard.tar#b.jpg",
    }
    records = [answer(id_, source=[source]) for id_, source in sources.items()]
    _, data = page_of(job(tmp_path, "caption", *records), tmp_path)
    rows = by_id(data)
    assert rows["gone"]["why"] == "not in the archive"
    assert (rows["pdf"]["width"], rows["pdf"]["height"]) == pytest.approx((450, 300), abs=1)  # 150 dpi
    for id_ in ("pdf", "tiff"):
        red, _, blue = pixel(rows[id_])
        assert blue > 200 > red, id_


def test_neighbours_are_exact(tmp_path):
    vectors = np.random.default_rng(3).normal(size=(40, 16)).astype(np.float32)
    records = [vector(f"v{number}", floats) for number, floats in enumerate(vectors)]
    _, data = page_of(job(tmp_path, "embed", *records, vector("zero", [0.0] * 16)), tmp_path)
    ids = {row["seq"]: row["id"] for row in data["rows"]}
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for row in data["rows"]:
        if row["id"] != "zero":
            number = int(row["id"][1:])
            expected = [f"v{place}" for place in np.argsort(-(unit @ unit[number])) if place != number][:6]
            assert [ids[seq] for seq, _ in row["near"]] == expected


def test_boxes_are_in_the_pixels_of_the_picture(tmp_path):
    blocks = [
        {
            "text": "cat",
            "score": None,
            "polygon": [[10.4, 20.0], [110.0, 20.0], [110.0, 60.0], [10.0, 60.0]],
            "page": None,
        },
        {"text": "no place", "score": None, "polygon": None, "page": None},
    ]
    record = answer("a", source=[CAT], own={"ocr_text": "cat", "blocks": blocks})
    _, data = page_of(job(tmp_path, "ocr", record), tmp_path)
    assert data["rows"][0]["blocks"] == [["cat", 0, [10, 20, 110, 20, 110, 60, 10, 60]]]
    assert (data["rows"][0]["width"], data["rows"][0]["height"]) == (451, 300)


def test_an_output_that_is_not_there_yet_has_a_page(tmp_path):
    body, data = page_of(job(tmp_path), tmp_path)
    assert data["rows"] == data["runs"] == data["failures"] == []
    assert b"Nothing was sent yet" in body


def test_a_folder_is_no_page(bad, tmp_path):
    with pytest.raises(JobError, match="must be a file"):
        bad.report(tmp_path)


def test_the_command_says_what_it_wrote(pipeline, tmp_path):
    made = job(tmp_path, "caption", *(answer(f"a{number}") for number in range(20)))
    file = tmp_path / "night.html"
    said = pipeline("report", made.spec.path, "-o", file, "--rows", "5")
    assert said.code == 0
    assert re.search(r"night.html: 5 of 20 rows, 0\.\d MB", said.err.replace("\n", ""))
    assert data_of(file.read_bytes())["sample"]["answers"] == 5
    assert pipeline("report", made.spec.path).code == 2
    assert pipeline("report", made.spec.path, "-o", file, "--serve").code == 2


def test_the_command_opens_the_page(pipeline, tmp_path, monkeypatch):
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url: not opened.append(url))  # type: ignore[func-returns-value]
    made = job(tmp_path, "caption", answer("a"))
    pipeline("report", made.spec.path, "-o", tmp_path / "night page.html", "--open")
    assert opened == [(tmp_path / "night page.html").as_uri()]
