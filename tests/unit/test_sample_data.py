"""The sample data is small, licensed and whole, and the jobs over it can be read."""

from __future__ import annotations

import csv
import fnmatch
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.job.load import load
from pipeline.job.schema import JobFile
from pipeline.media.video import probe_video, take_frames

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "sample_data"
JOBS = sorted((ROOT / "jobs").glob("*.toml"))
HOSTED = "http://embedded.invalid/samples/"  # by the embedded service itself
PLANTED = {"bad/no_such_file.jpg"}
BROKEN = {("bad.jsonl", 8)}

Numbered = Iterator[tuple[int, dict[str, Any]]]


def files() -> list[str]:
    every = (path for path in DATA.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return sorted(path.relative_to(DATA).as_posix() for path in every)


def rows(manifest: Path) -> Numbered:
    """The rows that can be parsed, each with its line number."""
    if manifest.suffix == ".parquet":
        yield from enumerate(pq.read_table(manifest).to_pylist(), 1)
    elif manifest.suffix == ".csv":
        with manifest.open(encoding="utf-8", newline="") as text:
            yield from enumerate(csv.DictReader(text), 2)
    else:
        for number, line in enumerate(manifest.read_text(encoding="utf-8").splitlines(), 1):
            if (manifest.name, number) not in BROKEN:
                yield number, json.loads(line)


def manifests() -> list[Path]:
    return sorted(path for path in DATA.glob("*") if path.suffix in {".jsonl", ".csv", ".parquet"})


def references(value: Any, key: str = "") -> Iterator[str]:
    """Every picture, sound and frame source that a row names."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from references(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner, key)
    elif isinstance(value, str) and key in {"image", "images", "frames", "audio", "video"}:
        yield value


def licences() -> dict[str, str]:
    """The licence column of the README's first table, by the patterns in its `file` column."""
    table: dict[str, str] = {}
    for line in (DATA / "README.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4 and cells[0].startswith("`"):
            table |= dict.fromkeys(re.findall(r"`([^`]+)`", cells[0]), cells[3])
    return table


def covers(pattern: str, name: str) -> bool:
    """Whether `name` matches `pattern` folder by folder: `*.jsonl` is about the top folder alone."""
    return name.count("/") == pattern.count("/") and fnmatch.fnmatchcase(name, pattern)


def test_every_file_has_a_line_with_its_licence() -> None:
    table = licences()
    for name in files():
        if name != "README.md":
            found = {licence for pattern, licence in table.items() if covers(pattern, name)}
            assert len(found) == 1, f"{name}: {found or 'no line in README.md'}"
            assert found <= {"CC0", "public domain", "Apache-2.0"}


def test_every_line_of_the_licence_table_is_about_a_file() -> None:
    names = files()
    for pattern in licences():
        assert any(covers(pattern, name) for name in names), pattern


def test_all_sample_data_is_under_8_mb() -> None:
    assert sum((DATA / name).stat().st_size for name in files()) < 8_000_000


def test_at_least_ten_photographs_and_none_of_those_without_a_licence() -> None:
    names = {path.stem for path in (DATA / "photos").glob("*.jpg")}
    assert len(names) >= 10
    assert not names & {"page", "moon", "motorcycle", "colorwheel", "logo"}
    assert all(path.stat().st_size < 300_000 for path in (DATA / "photos").glob("*"))


@pytest.mark.parametrize("manifest", manifests(), ids=lambda path: path.name)
def test_a_manifest_names_files_that_exist_except_the_planted_one(manifest: Path) -> None:
    missing = set()
    for _, row in rows(manifest):
        for name in references(row):
            if not name.startswith(("https://", HOSTED)) and not any(DATA.glob(name)):
                missing.add(name)
    assert missing == (PLANTED if manifest.name == "bad.jsonl" else set())


@pytest.mark.parametrize("manifest", manifests(), ids=lambda path: path.name)
def test_the_ids_of_a_manifest_are_unique(manifest: Path) -> None:
    ids = [row["id"] for _, row in rows(manifest)]
    assert len(ids) == len(set(ids))


def test_the_bad_manifest_holds_every_bad_file_and_one_broken_line() -> None:
    lines = (DATA / "bad.jsonl").read_text(encoding="utf-8").splitlines()
    with pytest.raises(json.JSONDecodeError):
        json.loads(lines[7])
    named = {row["image"] for _, row in rows(DATA / "bad.jsonl")}
    assert {name for name in files() if name.startswith("bad/")} == {n for n in named if n.startswith("bad/")} - PLANTED


def test_the_parquet_manifest_holds_the_same_rows_with_true_types() -> None:
    schema = pq.read_schema(DATA / "photos.parquet")
    types = [str(schema.field(name).type) for name in ("shelf", "rating", "colour", "filed_at")]
    assert types == ["int64", "double", "bool", "timestamp[us, tz=UTC]"]
    wanted = [(row["id"], row["image"], row["shelf"], row["credit"]) for _, row in rows(DATA / "photos.jsonl")]
    got = [(row["id"], row["image"], row["shelf"], row["credit"]) for _, row in rows(DATA / "photos.parquet")]
    assert got == wanted


def test_the_csv_manifest_has_an_id_that_is_not_a_number() -> None:
    assert "007" in {row["id"] for _, row in rows(DATA / "texts.csv")}


def test_each_picture_of_text_has_its_true_text_and_its_language() -> None:
    truths = [json.loads(line) for line in (DATA / "texts/truth.jsonl").read_text(encoding="utf-8").splitlines()]
    pictures = sorted(path.name for path in (DATA / "texts").iterdir() if path.suffix != ".jsonl")
    assert sorted(truth["file"] for truth in truths) == pictures
    assert len(pictures) >= 8
    for truth in truths:
        text = "".join(truth["lines"])
        chinese = bool(re.search(r"[\u4e00-\u9fff]", text))
        latin = bool(re.search(r"[A-Za-z]{3}", text))
        assert (chinese, latin) == {"en": (False, True), "zh": (True, False), "zh+en": (True, True)}[truth["language"]]
    told = {row["image"].removeprefix("texts/"): row["language"] for _, row in rows(DATA / "texts.csv")}
    assert told == {truth["file"]: truth["language"] for truth in truths}


@pytest.mark.parametrize("scene", ["ball", "cat"])
def test_the_frames_of_a_scene_are_out_of_order_when_sorted_by_name(scene: str) -> None:
    names = [path.name for path in (DATA / "frames" / scene).iterdir()]
    in_time = [f"frame_{number}.jpg" for number in range(1, len(names) + 1)]
    assert len(names) >= 8
    assert sorted(names, key=in_time.index) == in_time != sorted(names)


def _centre_of_red(path: Path) -> float:
    with Image.open(path) as frame:
        pixels = [x for x in range(frame.width) for y in range(0, 300, 8) if _is_ball(frame.getpixel((x, y)))]
    return sum(pixels) / len(pixels)


def _is_ball(pixel: Any) -> bool:
    red, green, blue = pixel
    return bool(red > 150 and green < 90 and blue < 90)


def test_the_ball_moves_to_the_right_from_frame_to_frame() -> None:
    places = [_centre_of_red(DATA / f"frames/ball/frame_{number}.jpg") for number in range(1, 13)]
    assert places == sorted(places)


def test_the_video_is_small_and_longer_than_the_services_ask_for() -> None:
    path = DATA / "videos/ball.mp4"
    assert path.stat().st_size < 150_000
    info = probe_video(str(path))
    assert (info.width, info.height, info.seconds, info.fps) == (640, 360, 4.0, 12.0)
    taken = take_frames(str(path), most=8)
    assert len(taken.frames) == 8


def test_embedded_texts_fit_the_70_characters_of_one_peace() -> None:
    for _, row in rows(DATA / "embed.jsonl"):
        for item in [row, *row.get("contents", [])]:
            assert len(item.get("text", "")) <= 70


@pytest.mark.parametrize("name", ["chime.wav", "chime.flac", "chime.mp3", "chirp.flac", "drum.wav", "drum.mp3"])
def test_a_sound_is_mono_of_a_few_seconds(name: str) -> None:
    import soundfile

    info = soundfile.info(DATA / "sounds" / name)
    assert (info.channels, info.samplerate) == (1, 16_000)
    assert 2 <= info.duration <= 4


def test_the_bomb_is_tiny_and_declares_an_enormous_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert (DATA / "bad/bomb.png").stat().st_size < 10_000
    with Image.open(DATA / "bad/bomb.png") as bomb:
        assert bomb.size == (60_000, 60_000)


def test_the_repairable_inputs_are_what_their_names_say() -> None:
    def facts(name: str) -> tuple[str | None, str, int, int | None]:
        with Image.open(DATA / "bad" / name) as picture:
            return picture.format, picture.mode, getattr(picture, "n_frames", 1), picture.getexif().get(0x0112)

    assert facts("cmyk.jpg") == ("JPEG", "CMYK", 1, None)
    assert facts("rotated.jpg") == ("JPEG", "RGB", 1, 6)
    assert facts("sixteen_bit.png") == ("PNG", "I;16", 1, None)
    assert facts("animated.gif")[::2] == ("GIF", 5)
    assert facts("animated.webp")[::2] == ("WEBP", 5)


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)
def test_a_job_file_can_be_read_and_says_on_top_what_it_does(path: Path) -> None:
    first, second = path.read_text(encoding="utf-8").splitlines()[:2]
    assert first.startswith("# ")
    assert second.startswith("task")
    msgspec.toml.decode(path.read_bytes(), type=JobFile)
    spec = load(path)
    assert Path(spec.manifest).is_relative_to(DATA)
    assert spec.output == ROOT / "out" / path.stem


def test_no_two_jobs_share_an_output() -> None:
    outputs = [tomllib.loads(path.read_text(encoding="utf-8"))["output"] for path in JOBS]
    assert len(outputs) == len(set(outputs))


def test_every_manifest_belongs_to_a_job() -> None:
    used = {Path(load(path).manifest).name for path in JOBS}
    assert used == {path.name for path in manifests()}


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)
def test_a_job_holds_no_key_and_names_the_variable_of_its_provider(path: Path) -> None:
    variables = {"dashscope": "DASHSCOPE_API_KEY", "openai": "OPENAI_API_KEY", "qianfan": "QIANFAN_API_KEY"}
    provider = load(path).job.provider
    assert provider.api_key_env == variables[provider.name]
    assert not re.search(r"sk-|bce-v3", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)
def test_a_retired_model_stands_only_in_a_job_that_says_so(path: Path) -> None:
    # ended, or announced to end, by the services' own notices up to November 2026
    retired = {"llama3.2-90b-vision-instruct", "llama3.2-11b-vision", "qwen-vl-max", "qwen-vl-plus", "qvq-max"}
    first = path.read_text(encoding="utf-8").splitlines()[0]
    says_so = path.stem.endswith("-retired") and first.startswith(("# RETIRED", "# RETIRING"))
    assert (load(path).job.provider.model in retired) == says_so


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)
def test_the_prompts_of_a_job_use_columns_of_its_manifest(path: Path) -> None:
    spec = load(path)
    wanted = set(re.findall(r"\{(\w+)\}", f"{spec.job.prompt.system} {spec.job.prompt.text}"))
    for _, row in rows(Path(spec.manifest)):
        assert wanted <= set(row)
        own = row.get("prompt") or row.get("prompts") or row.get("contents")
        assert spec.job.task != "ask" or spec.job.prompt.text or own
