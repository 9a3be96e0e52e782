"""Video files as rows: sent whole where the model takes them, else as frames that are taken here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.client import COFFEE, FAKE_KEY, KEY_NAME, Client, Seen, Service, failures, pictures, serving
from support.videos import moving, video

NATIVE = {"name": "dashscope", "model": "qwen3-vl-plus"}
COMPATIBLE = {"name": "dashscope", "protocol": "openai", "model": "qwen3-vl-plus"}
OLD = {"name": "dashscope", "model": "qwen-vl-max-0201"}
QIANFAN = {"name": "qianfan", "model": "ernie-4.5-8k-preview"}
OPENAI = {"name": "openai", "model": "any/model"}
SAID = "What happens?"


def answer(seen: Seen) -> tuple[int, bytes] | None:
    """Any question is answered without a look at its media; uploads go to the embedded service."""
    if seen.method != "POST" or seen.path == "/oss":
        return None
    if seen.path.endswith("/generation"):
        content = [{"text": "A bar moves."}]
        choice: dict[str, Any] = {"message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
        return 200, json.dumps({"output": {"choices": [choice]}, "request_id": "r"}).encode()
    if seen.path.endswith("/chat/completions"):
        choice = {"message": {"role": "assistant", "content": "A bar moves."}, "finish_reason": "stop", "index": 0}
        return 200, json.dumps({"id": "r", "choices": [choice]}).encode()
    return None


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(instead=answer) as found:
        yield found


@pytest.fixture
def client(tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setenv(KEY_NAME, FAKE_KEY)
    service.seen.clear()
    (tmp_path / "bar.mp4").write_bytes(video(moving(30), fps=10))
    return Client(tmp_path, service.url)


def parts(service: Service) -> list[dict[str, Any]]:
    """The parts of the last user turn that was asked."""
    asked = [seen for seen in service.seen if seen.path.endswith(("/generation", "/completions"))]
    body = asked[-1].json
    messages = body["input"]["messages"] if "input" in body else body["messages"]
    found: list[dict[str, Any]] = messages[-1]["content"]
    return found


def row(**fields: Any) -> dict[str, Any]:
    return {"id": "v", "video": "bar.mp4", "prompt": SAID, **fields}


def test_a_file_goes_up_and_is_named_as_video(client: Client, service: Service) -> None:
    (result,) = client.answers([row(fps=4, max_frames=9)], provider=NATIVE)
    film, said = parts(service)
    assert film["video"].startswith("oss://")
    assert (film["fps"], film["max_frames"]) == (4, 9)
    assert said == {"text": SAID}
    assert result["source"] == [str(client.folder / "bar.mp4")]


def test_a_file_goes_as_base64_over_the_compatible_protocol(client: Client, service: Service) -> None:
    client.answers([row()], provider=COMPATIBLE)
    film, _ = parts(service)
    assert film["type"] == "video_url"
    assert film["video_url"]["url"].startswith("data:video/mp4;base64,")


@pytest.mark.parametrize("provider", [NATIVE, COMPATIBLE, OPENAI])
def test_a_url_goes_as_it_is(client: Client, service: Service, provider: dict[str, str]) -> None:
    url = "https://videos.example/a.mp4?signature=s"
    (result,) = client.answers([row(video=url)], provider=provider)
    film = parts(service)[0]
    assert film.get("video", film.get("video_url", {}).get("url") if "video_url" in film else None) == url
    assert result["source"] == ["https://videos.example/a.mp4"]


def test_frames_are_taken_here_when_the_job_says_so(client: Client, service: Service) -> None:
    (result,) = client.answers([row()], provider=NATIVE, media={"frames": 6})
    film, _ = parts(service)
    assert len(film["video"]) == 6
    assert all(frame.startswith("oss://") for frame in film["video"])
    assert 0.1 <= film["fps"] <= 10
    places = [source.rpartition("#t=") for source in result["source"]]
    assert {place for place, _, _ in places} == {str(client.folder / "bar.mp4")}
    times = [float(at) for _, _, at in places]
    assert times == sorted(times)
    assert len(set(times)) == 6


@pytest.mark.parametrize("provider", [QIANFAN, OPENAI])
def test_elsewhere_frames_go_as_pictures(client: Client, service: Service, provider: dict[str, str]) -> None:
    client.answers([row(max_frames=3)], provider=provider)
    found = parts(service)
    assert [part["type"] for part in found] == ["image_url"] * 3 + ["text"]
    assert all(part["image_url"]["url"].startswith("data:image/jpeg;base64,") for part in found[:3])


def test_a_video_stands_where_contents_put_it(client: Client, service: Service) -> None:
    contents = [{"text": "First"}, {"video": "bar.mp4", "fps": 1}, {"text": "then"}, {"image": COFFEE}]
    client.answers([{"id": "v", "contents": contents}], provider=NATIVE)
    assert [next(iter(part)) for part in parts(service)] == ["text", "video", "text", "image"]


def test_frames_are_no_more_than_the_input_takes(client: Client, service: Service) -> None:
    """6,000 tokens of input: a frame pair of this size counts some 200, so that the text and few frames fit."""
    more = {"models": {"qwen3-vl-plus": {"max_input_tokens": 450}}}
    client.answers([row()], provider=NATIVE, media={"frames": 20}, **more)
    film, _ = parts(service)
    assert 4 <= len(film["video"]) < 20


def test_frames_fit_into_a_small_window(client: Client, service: Service) -> None:
    """ERNIE 4.5 takes 8,192 tokens, about five pictures: the video is thinned to them, ends included."""
    (result,) = client.answers([row()], provider=QIANFAN)
    assert [part["type"] for part in parts(service)] == ["image_url"] * 5 + ["text"]
    assert result["source"][0].endswith("#t=0.000")


def test_a_url_needs_fetching_to_be_cut(client: Client, service: Service) -> None:
    job = client.job([row(video="https://videos.example/a.mp4")], provider=NATIVE, media={"frames": 6})
    assert job.run().exit_code == 1
    (failure,) = failures(job)
    assert failure["code"] == "Local.VideoUrl"
    assert 'media.fetch = "here"' in failure["message"]
    with pictures(client.folder) as host:
        rows = [row(video=f"{host}/bar.mp4")]
        client.answers(rows, provider=NATIVE, media={"frames": 6, "fetch": "here", "private": True})
    assert len(parts(service)[0]["video"]) == 6


def test_the_same_video_is_not_asked_again(client: Client, service: Service) -> None:
    job = client.job([row()], provider=NATIVE, media={"frames": 6})
    assert job.run().sent == 1
    assert job.run().sent == 0
    (client.folder / "bar.mp4").write_bytes(video(moving(31), fps=10))
    assert job.run().sent == 1


def test_a_file_that_is_no_video_is_refused(client: Client) -> None:
    (client.folder / "text.mp4").write_text("this is no video")
    (client.folder / "picture.mp4").write_bytes(Path(COFFEE).read_bytes())
    rows = [row(id="a", video="text.mp4"), row(id="b", video="picture.mp4"), row(id="c", video="gone.mp4")]
    job = client.job(rows, provider=NATIVE)
    assert job.run().exit_code == 1
    assert [one["code"] for one in failures(job)] == ["Local.NotAVideo", "Local.NotAVideo", "Local.MissingFile"]
    cut = client.job(rows, provider=NATIVE, media={"frames": 6})
    assert cut.run().exit_code == 1
    assert [one["code"] for one in failures(cut)] == ["Local.NotAVideo", "Local.NotAVideo", "Local.MissingFile"]


def test_an_old_model_gets_pictures_or_says_why(client: Client, service: Service) -> None:
    """The February 2024 snapshot takes neither files nor frame lists."""
    client.answers([row(max_frames=2)], provider=OLD)
    assert [next(iter(part)) for part in parts(service)] == ["image", "image", "text"]
