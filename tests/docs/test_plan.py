"""`pipeline plan` sends nothing, needs no key, and what it says is what the run then does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def plan(pipeline, job: str, output: Path, *options: str) -> dict:
    ran = pipeline("plan", f"jobs/{job}.toml", "--output", output, *options, "--json")
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def test_the_tokens_foretold_are_the_tokens_counted(pipeline, tmp_path, monkeypatch):
    monkeypatch.delenv("DASHSCOPE_API_KEY", raising=False)
    foretold = plan(pipeline, "captions", tmp_path / "out", "--offline")
    assert (foretold["rows"], foretold["new"], foretold["send"], foretold["refused"]) == (13, 13, 13, [])
    assert not (tmp_path / "out").exists()
    summary = tmp_path / "summary.json"
    assert (
        pipeline("run", "jobs/captions.toml", "--offline", "--output", tmp_path / "out", "--summary", summary).code == 0
    )
    told = json.loads(summary.read_text())
    assert told["input_tokens"] == foretold["input_tokens"]
    assert (told["cost"], told["figures"]["cost"], told["figures"]["unknown_cost"]) == (None, None, 13)
    after = plan(pipeline, "captions", tmp_path / "out", "--offline")
    assert (after["done"], after["send"], after["new"]) == (13, 0, 0)


def test_what_would_be_refused_is_said_with_the_reason(pipeline, tmp_path):
    foretold = plan(pipeline, "bad", tmp_path / "out")
    codes = {group["code"] for group in foretold["refused"]}
    # A picture that is cut off shows only when it is loaded.
    assert codes == {
        "Local.EmptyFile", "Local.NotAPicture", "Local.TooSmall",
        "Local.TooManyPixels", "Local.MissingFile", "Local.BadLine",
    }  # fmt: skip


def test_cost_and_time_come_from_price_and_limits(pipeline, tmp_path):
    price = 'models."qwen3-vl-plus".price={input=1.0,output=10.0,currency="CNY",per=1000}'
    foretold = plan(pipeline, "captions", tmp_path / "out", "--set", price, "--set", "limits.rpm=6")
    assert foretold["cost"] == pytest.approx(foretold["input_tokens"] / 1000)
    assert foretold["worst_cost"] >= foretold["cost"] + 13 * 300 * 10 / 1000
    assert (foretold["seconds"], foretold["limit"]) == (130.0, "6 requests a minute")
    text = pipeline("plan", "jobs/captions.toml", "--output", tmp_path / "out", "--set", price).out
    assert "CNY expected for the input alone, at worst" in text


def test_a_retired_model_is_noted(pipeline, tmp_path):
    notes = plan(pipeline, "captions-qwen-vl-max-retired", tmp_path / "out")["notes"]
    assert "qwen3-vl-plus" in " ".join(notes)


def test_the_price_is_named_with_its_date_and_source(pipeline, tmp_path):
    ran = pipeline("plan", "jobs/captions.toml", "--output", tmp_path / "out")
    (line,) = [line for line in ran.out.splitlines() if line.startswith("price:")]
    assert line.startswith("price:   1 in, 10 out CNY per 1,000,000 tokens, more for long inputs (mainland, 2026-06-26")
    foretold = plan(pipeline, "captions", tmp_path / "out")
    assert foretold["currency"] == "CNY"
    assert 0 < foretold["cost"] < foretold["worst_cost"]


def test_the_region_of_the_base_url_decides_the_price(pipeline, tmp_path):
    abroad = "provider.base_url=https://dashscope-intl.aliyuncs.com/api/v1"
    foretold = plan(pipeline, "captions", tmp_path / "out", "--set", abroad)
    assert (foretold["currency"], "(international, " in foretold["price"]) == ("USD", True)
    gateway = plan(pipeline, "captions", tmp_path / "out", "--set", "provider.base_url=https://gw.example/api/v1")
    assert (gateway["cost"], gateway["worst_cost"], gateway["price"]) == (None, None, None)


def test_an_old_price_is_said_to_be_old(pipeline, tmp_path):
    price = 'models."qwen3-vl-plus".price={input=1.0,date="2025-01-31",source="an old page"}'
    notes = plan(pipeline, "captions", tmp_path / "out", "--set", price)["notes"]
    assert any("is of 2025-01-31 (an old page), more than half a year old" in note for note in notes)
    assert plan(pipeline, "captions", tmp_path / "out", "--set", price, "--offline")["notes"] == []


def test_each_row_is_priced_by_its_own_tier(pipeline, tmp_path):
    tiers = "tiers=[{up_to=3000,input=1.0},{up_to=1000000,input=1000.0}]"
    foretold = plan(pipeline, "captions", tmp_path / "out", "--set", f'models."qwen3-vl-plus".price={{per=1,{tiers}}}')
    # All rows together are longer than the first tier, each by itself is not.
    assert foretold["input_tokens"] > 3000
    assert foretold["cost"] == foretold["input_tokens"]


def test_media_tokens_are_what_the_reply_will_say(pipeline, tmp_path):
    from PIL import Image

    (tmp_path / "rows.jsonl").write_text('{"id": "p", "image": "p.png"}\n')
    Image.new("RGB", (3000, 2000)).save(tmp_path / "p.png")
    (tmp_path / "job.toml").write_text(
        'task = "caption"\nmanifest = "rows.jsonl"\noutput = "out"\n'
        '[provider]\nname = "dashscope"\nmodel = "qwen-vl-max-2024-08-09"\n'
    )
    foretold = json.loads(pipeline("plan", tmp_path / "job.toml", "--json").out)
    assert foretold["media_tokens"] == 1247


def job_of(folder: Path, row: dict, *lines: str) -> Path:
    (folder / "rows.jsonl").write_text(json.dumps(row) + "\n")
    job = folder / "job.toml"
    job.write_text("\n".join(('manifest = "rows.jsonl"', 'output = "out"', *lines)) + "\n")
    return job


def test_every_question_of_a_conversation_is_counted(pipeline, tmp_path):
    prompts = ["What is it?", "Why?", "Where?"]
    lines = (
        'task = "ask"', "[limits]", "rpm = 1", "[provider]", 'name = "dashscope"', 'model = "qwen3-vl-plus"',
        "parameters = { max_tokens = 100 }", '[models."qwen3-vl-plus"]', "max_output_tokens = 100",
        "price = { input = 1.0, per = 1 }",
    )  # fmt: skip
    one = json.loads(pipeline("plan", job_of(tmp_path, {"prompts": prompts[:1]}, *lines), "--json").out)
    all_three = json.loads(pipeline("plan", job_of(tmp_path, {"prompts": prompts}, *lines), "--json").out)
    assert (one["seconds"], all_three["seconds"]) == (60, 180)
    assert all_three["input_tokens"] > 3 * one["input_tokens"]
    assert all_three["cost"] == all_three["input_tokens"]
    # Of the three answers, two go back as input: one of them twice.
    assert all_three["worst_cost"] >= all_three["cost"] + (3 + 1 + 2) * 100


def test_the_frames_to_be_taken_of_a_video_are_counted(pipeline, tmp_path):
    pytest.importorskip("av")
    from support.videos import moving, video

    (tmp_path / "clip.mp4").write_bytes(video(moving(30)))
    lines = ('task = "caption"', "[media]", "frames = 8", "[provider]", 'name = "dashscope"')
    job = job_of(tmp_path, {"video": "clip.mp4"}, *lines, 'model = "qwen-vl-max-2024-08-09"')
    foretold = json.loads(pipeline("plan", job, "--json").out)
    assert foretold["refused"] == []
    # Eight frames of unknown size: four pairs, each of at most 768 patches of 28 × 28 pixels.
    assert foretold["media_tokens"] == 4 * 768


def test_offline_spends_nothing_of_a_budget(pipeline, tmp_path):
    settings = ("--offline", "--output", tmp_path / "out", "--set", "budget.max_cost=0.01")
    assert pipeline("run", "jobs/captions.toml", *settings).code == 0
    # Nor is a price needed for it.
    settings = ("--offline", "--output", tmp_path / "other", "--set", "budget.max_cost=0.01")
    assert pipeline("run", "jobs/captions.toml", *settings, "--set", "provider.model=my-tune", "--limit", "1").code == 0


def equal_job(folder: Path, rows: list[dict], more: str = "") -> Path:
    price = 'models."qwen3-vl-plus".price = { input = 1.0, output = 10.0, currency = "CNY", per = 1000 }\n'
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name in ("coffee", "chelsea"):
        shutil.copy(ROOT / f"sample_data/photos/{name}.jpg", folder)
    provider = 'provider = { name = "dashscope", model = "qwen3-vl-plus", parameters = { max_tokens = 200 } }\n'
    head = 'task = "caption"\nmanifest = "rows.jsonl"\noutput = "out"\n'
    path = folder / "job.toml"
    path.write_text(f"{head}{provider}{price}{more}")
    return path


def test_rows_that_would_be_shared_are_counted(pipeline, tmp_path):
    shutil.copy(ROOT / "sample_data/photos/coffee.jpg", tmp_path / "copy.jpg")
    rows = [{"id": name, "image": f"{name}.jpg"} for name in ("coffee", "chelsea")]
    alone = json.loads(pipeline("plan", equal_job(tmp_path, rows), "--json").out)
    rows += [{"id": "again", "image": rows[0]["image"]}, {"id": "copy", "image": "copy.jpg"}]
    rows += [{"id": name, "image": "https://example.com/p.jpg"} for name in ("u1", "u2")]
    path = equal_job(tmp_path, rows)
    foretold = json.loads(pipeline("plan", path, "--json").out)
    assert (foretold["send"], foretold["shared"], foretold["looked_at"]) == (6, 3, 6)
    assert "3 of them share another row's answer" in pipeline("plan", path).out
    path = equal_job(tmp_path, rows[:4])
    foretold = json.loads(pipeline("plan", path, "--json").out)
    for figure in ("input_tokens", "media_tokens", "cost", "worst_cost"):
        assert foretold[figure] == alone[figure]
    assert pipeline("run", path, "--offline", "--quiet").code == 0
    foretold = json.loads(pipeline("plan", equal_job(tmp_path, rows[:4], "[dedupe]\nequal = false\n"), "--json").out)
    assert (foretold["send"], foretold["shared"]) == (4, 0)


def test_answers_kept_before_are_counted_as_shared(pipeline, tmp_path):
    rows = [{"id": name, "image": f"{name}.jpg"} for name in ("coffee", "chelsea")]
    rows += [{"id": "u1", "image": "https://example.com/p.jpg"}]
    assert pipeline("run", equal_job(tmp_path, rows[:2]), "--offline", "--quiet").code == 0
    shutil.copy(ROOT / "sample_data/photos/coffee.jpg", tmp_path / "copy.jpg")
    rows += [{"id": "copy", "image": "copy.jpg"}, {"id": "u2", "image": "https://example.com/p.jpg"}]
    path = equal_job(tmp_path, rows)
    foretold = json.loads(pipeline("plan", path, "--offline", "--json").out)
    assert (foretold["done"], foretold["send"], foretold["shared"]) == (2, 3, 2)


def test_equal_rows_of_a_long_manifest_are_counted(pipeline, tmp_path):
    rows = [{"id": f"t{n}", "image": "https://example.com/p.jpg", "prompt": f"Question {n % 10}"} for n in range(4000)]
    rows += [{"id": f"p{n}", "image": "coffee.jpg", "prompt": f"Question {n % 20}"} for n in range(1000)]
    path = equal_job(tmp_path, rows)
    foretold = json.loads(pipeline("plan", path, "--json").out)
    assert (foretold["send"], foretold["shared"], foretold["looked_at"]) == (5000, 4970, 2000)
    assert foretold["worst_cost"] < 100
