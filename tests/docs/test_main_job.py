"""What a stranger does first, on the sample data, through the commands."""

from __future__ import annotations

import json
import re
import shutil
import unicodedata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "sample_data"

COMMON = {
    "id": "VARCHAR",
    "seq": "BIGINT",
    "task": "VARCHAR",
    "provider": "VARCHAR",
    "model": "VARCHAR",
    "fingerprint": "VARCHAR",
    "run_id": "VARCHAR",
    "attempt_count": "INTEGER",
    "latency_ms": "BIGINT",
    "input_tokens": "BIGINT",
    "output_tokens": "BIGINT",
    "media_tokens": "BIGINT",
    "cost": "DOUBLE",
    "currency": "VARCHAR",
    "tier": "VARCHAR",
    "shared_with": "VARCHAR",
    "request_id": "VARCHAR",
    "finish_reason": "VARCHAR",
    "finished_at": "TIMESTAMP WITH TIME ZONE",
    "source": "VARCHAR[]",
    "extra": "VARCHAR",
    "stale": "BOOLEAN",
}
TRIED_BELOW = ("bad", "captions", "ocr", "embeddings", "photo-search")


def rows(pipeline, job: str, output: Path, sql: str) -> list[dict]:
    ran = pipeline("query", f"jobs/{job}.toml", "--offline", "--output", output, sql, "--format", "json")
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def run(pipeline, job: str, output: Path, *options: str | Path, code: int = 0):
    ran = pipeline("run", f"jobs/{job}.toml", "--offline", "--output", output, *options)
    assert ran.code == code, ran.err
    assert "Traceback" not in ran.err
    assert ran.out == ""
    return ran


def test_the_captions_fit_the_pictures_and_a_second_run_sends_nothing(pipeline, tmp_path):
    output = tmp_path / "captions"
    first = run(pipeline, "captions", output)
    assert first.last.startswith("exit 0: the manifest is answered; next: pipeline query jobs/captions.toml --offline")
    found = rows(pipeline, "captions", output, "select id, caption from results")
    captions = {row["id"]: row["caption"] for row in found}
    assert len(captions) == len((SAMPLES / "photos.jsonl").read_text().splitlines())
    assert re.search(r"\bcat\b", captions["chelsea"])
    assert re.search(r"\b(espresso|coffee)\b", captions["coffee"], re.IGNORECASE)
    again = run(pipeline, "captions", output)
    assert again.last.startswith(f"exit 0: nothing to send, {len(captions)} rows done")
    assert rows(pipeline, "captions", output, "select count(*) as n from attempts") == [{"n": len(captions)}]


def test_a_grown_manifest_sends_the_new_row_only(pipeline, tmp_path):
    shutil.copytree(SAMPLES / "photos", tmp_path / "photos")
    lines = (SAMPLES / "photos.jsonl").read_text().splitlines()
    manifest = tmp_path / "photos.jsonl"
    manifest.write_text("\n".join(lines[:2]) + "\n")
    setting = ("--set", f"manifest={manifest}")
    assert "2 answered" in run(pipeline, "captions", tmp_path / "out", *setting).err
    manifest.write_text("\n".join(lines[:3]) + "\n")
    grown = run(pipeline, "captions", tmp_path / "out", *setting).err
    assert "3 rows in" in grown
    assert "1 answered, 0 failed, 2 skipped" in grown


def test_a_picture_that_changed_is_sent_again_and_one_that_was_only_touched_is_not(pipeline, tmp_path):
    picture, manifest = tmp_path / "one.jpg", tmp_path / "one.jsonl"
    shutil.copy(SAMPLES / "photos" / "chelsea.jpg", picture)
    manifest.write_text('{"id": "one", "image": "one.jpg", "category": "any"}\n')
    setting = ("--set", f"manifest={manifest}")
    run(pipeline, "captions", tmp_path / "out", *setting)
    picture.touch()
    assert "nothing to send, 1 row done" in run(pipeline, "captions", tmp_path / "out", *setting).last
    shutil.copy(SAMPLES / "photos" / "coffee.jpg", picture)
    assert "1 answered" in run(pipeline, "captions", tmp_path / "out", *setting).err
    found = rows(pipeline, "captions", tmp_path / "out", "select caption, stale from results")
    assert len(found) == 1
    assert "spresso" in found[0]["caption"]
    assert found[0]["stale"] is False


def test_a_changed_job_asks_before_it_buys_answers_again(pipeline, tmp_path):
    output = tmp_path / "out"
    run(pipeline, "captions", output, "--limit", "3")
    changed = ("--set", "prompt.text=What is this?")
    refused = run(pipeline, "captions", output, *changed, code=2)
    assert "3 answered rows of 3 would be sent again" in refused.err
    assert "prompt.text was" in refused.err
    kept = run(pipeline, "captions", output, *changed, "--changed", "keep", "--limit", "1")
    assert "1 answered, 0 failed, 3 skipped" in kept.err
    assert rows(pipeline, "captions", output, "select count(*) as n from results where stale") == [{"n": 0}]
    redone = run(pipeline, "captions", output, *changed, "--changed", "redo", "--limit", "2")
    assert "2 answered" in redone.err


def test_a_limit_sends_that_many_rows(pipeline, tmp_path):
    assert "3 answered" in run(pipeline, "captions", tmp_path / "out", "--limit", "3").err
    assert rows(pipeline, "captions", tmp_path / "out", "select count(*) as n from results") == [{"n": 3}]


def test_each_planted_bad_input_is_a_failure_that_says_what_is_wrong(pipeline, tmp_path):
    output = tmp_path / "bad"
    ran = run(pipeline, "bad", output, code=1)
    assert ran.last.startswith("exit 1: 7 failures; next: pipeline query")
    found = rows(pipeline, "bad", output, "select id, fault, code, message from failures order by id")
    assert {row["id"]: row["code"] for row in found} == {
        "bomb": "Local.TooManyPixels",
        "empty": "Local.EmptyFile",
        "line:8": "Local.BadLine",
        "missing": "Local.MissingFile",
        "one-pixel": "Local.TooSmall",
        "text-named-png": "Local.NotAPicture",
        "truncated": "Local.TruncatedPicture",
    }
    assert {row["fault"] for row in found} == {"rejected"}
    assert all(len(row["message"]) > 20 for row in found)
    answered = {row["id"] for row in rows(pipeline, "bad", output, "select id from results")}
    assert {"cmyk", "rotated", "sixteen-bit", "animated-gif", "animated-webp"} <= answered
    run(pipeline, "bad", output, code=1)
    assert rows(pipeline, "bad", output, "select count(*) as n from failures") == [{"n": 7}]
    assert rows(pipeline, "bad", output, "select count(*) as n from runs") == [{"n": 1}]


def plain(text: str) -> str:
    return "".join(character for character in unicodedata.normalize("NFKC", text) if not character.isspace())


def distance(one: str, other: str) -> int:
    """Edit distance."""
    previous = list(range(len(other) + 1))
    for i, left in enumerate(one, 1):
        current = [i]
        for j, right in enumerate(other, 1):
            current.append(min(previous[j] + 1, current[-1] + 1, previous[j - 1] + (left != right)))
        previous = current
    return previous[-1]


def test_the_drawn_texts_are_read_in_both_languages(pipeline, tmp_path):
    output = tmp_path / "ocr"
    run(pipeline, "ocr", output)
    read = {
        Path(row["source"][0]).name: row
        for row in rows(pipeline, "ocr", output, "select source, ocr_text, blocks from results")
    }
    scores: dict[str, list[float]] = {}
    for line in (SAMPLES / "texts" / "truth.jsonl").read_text().splitlines():
        truth = json.loads(line)
        row = read[truth["file"]]
        expected, found = plain("".join(truth["lines"])), plain(row["ocr_text"])
        scores.setdefault(truth["language"], []).append(1 - distance(expected, found) / len(expected))
        assert row["blocks"], f"{truth['file']} has no positions"
        assert all(len(block["polygon"]) == 4 for block in row["blocks"])
    averages = {language: sum(found) / len(found) for language, found in scores.items()}
    assert min(averages.values()) >= 0.95, averages


def test_embeddings_are_1536_numbers_and_a_cropped_copy_is_nearest_to_its_photo(pipeline, tmp_path):
    output = tmp_path / "search"
    manifest = tmp_path / "pictures.jsonl"
    pictures = [*sorted((SAMPLES / "photos").glob("*.jpg")), *sorted((SAMPLES / "photos_variants").glob("*.jpg"))]
    manifest.write_text("".join(json.dumps({"id": path.stem, "image": str(path)}) + "\n" for path in pictures))
    run(pipeline, "photo-search", output, "--set", f"manifest={manifest}")
    found = rows(
        pipeline,
        "photo-search",
        output,
        "with copies as (from results where id like '%cropped%'), "
        "photos as (from results where id not like '%cropped%') "
        "select c.id, arg_max(p.id, array_cosine_similarity(c.embedding, p.embedding)) as nearest, "
        "any_value(typeof(c.embedding)) as kind from copies c, photos p group by c.id",
    )
    assert len(found) == 3
    for row in found:
        assert row["id"].startswith(row["nearest"])
        assert row["kind"] == "FLOAT[1536]"
    bad = "select count(*) as n from (select unnest(embedding::float[]) as x from results) where isnan(x) or isinf(x)"
    assert rows(pipeline, "photo-search", output, bad) == [{"n": 0}]


def test_the_parts_open_in_plain_readers_with_true_types(pipeline, tmp_path):
    import duckdb
    import polars
    import pyarrow as pa
    import pyarrow.parquet as pq

    output = tmp_path / "embeddings"
    run(pipeline, "embeddings", output)
    written = tmp_path / "embeddings-offline"
    table = pq.read_table(written / "results")
    names = [*COMMON, "embedding", "modalities"]
    assert table.column_names[: len(names)] == names
    assert table.schema.field("embedding").type == pa.list_(pa.float32(), 1536)
    assert table.schema.field("finished_at").type == pa.timestamp("us", tz="UTC")
    frame = polars.read_parquet(written / "results" / "*.parquet")
    assert frame.schema["embedding"] == polars.Array(polars.Float32, 1536)
    assert frame.height == table.num_rows > 0
    connection = duckdb.connect()
    connection.execute((written / "catalog.sql").read_text())
    described = {name: kind for name, kind, *_ in connection.execute("describe results").fetchall()}
    assert {name: described[name] for name in COMMON} == COMMON
    assert described["embedding"] == "FLOAT[1536]"
    assert connection.execute("select count(*) from results").fetchone() == (table.num_rows,)


@pytest.mark.parametrize(
    "job", [path.stem for path in sorted((ROOT / "jobs").glob("*.toml")) if path.stem not in TRIED_BELOW]
)
def test_every_job_runs_offline(pipeline, tmp_path, job):
    ran = run(pipeline, job, tmp_path / "out")
    assert ran.last.startswith("exit 0: the manifest is answered")


def test_the_views_exist_before_anything_was_written(pipeline, tmp_path):
    for view in ("results", "failures", "attempts", "runs", "spend", "versions"):
        assert rows(pipeline, "captions", tmp_path / "none", f"select count(*) as n from {view}") == [{"n": 0}]
    ran = pipeline("status", "jobs/captions.toml", "--output", tmp_path / "none")
    assert ran.code == 0
    assert "nothing has run yet" in ran.out


def test_status_query_and_export_agree(pipeline, tmp_path):
    output = tmp_path / "out"
    run(pipeline, "captions", output, "--limit", "2")
    common = ("jobs/captions.toml", "--offline", "--output", output)
    status = json.loads(pipeline("status", *common, "--json").out)
    assert (status["rows"], status["done"], status["left"], status["failed"]) == (13, 2, 11, 0)
    for ending in ("csv", "jsonl", "parquet"):
        assert pipeline("export", *common, tmp_path / f"captions.{ending}").code == 0
    assert len((tmp_path / "captions.csv").read_text().splitlines()) == 3
    exported = {json.loads(line)["id"] for line in (tmp_path / "captions.jsonl").read_text().splitlines()}
    assert exported == {row["id"] for row in rows(pipeline, "captions", output, "select id from results")}
    assert "astronaut" in pipeline("query", *common, "select id, caption from results order by id").out
    sql = "select id from results order by id"
    assert pipeline("query", *common, sql, "--format", "csv", "-o", tmp_path / "ids.csv").out == ""
    assert (tmp_path / "ids.csv").read_text() == "id\nastronaut\nbrick\n"


def test_an_output_that_is_only_offline_is_read_without_the_flag(pipeline, tmp_path):
    run(pipeline, "captions", tmp_path / "out", "--limit", "1")
    ran = pipeline("query", "jobs/captions.toml", "--output", tmp_path / "out", "select id from results")
    assert "astronaut" in ran.out
    assert "-offline" in ran.err
