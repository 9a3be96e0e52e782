"""Options of single parts: on the right kind, in the wire form's own place, over those of the parameters."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.errors import Fault
from pipeline.providers import load, models
from pipeline.types import (
    Audio,
    EmbedItem,
    Endpoint,
    Image,
    Loaded,
    Part,
    Request,
    Secret,
    Text,
    Turn,
    Video,
    VideoFile,
)

URL = Loaded(kind="image", source="x", url="https://h/a.jpg")
CLIP = Loaded(kind="video", source="x", url="https://h/v.mp4")
SOUND = Loaded(kind="audio", source="x", url="https://h/a.wav")
FRAMES = (URL,) * 4
MARK = {"type": "ephemeral"}
WAYS = {
    "native": ("dashscope", "native", "qwen3-vl-plus"),
    "compatible": ("dashscope", "openai", "qwen3-vl-plus"),
    "qianfan": ("qianfan", "openai", "unknown-vl"),
    "openai": ("openai", "openai", "any"),
}


def sent(
    way: str, *parts: Part, model: str | None = None, stream: bool = False, **parameters: Any
) -> list[dict[str, Any]]:
    """The parts of the one user turn as they go out. Raises Fault."""
    provider, protocol, usual = WAYS[way]
    turns = (Turn(role="user", parts=parts),)
    request = Request(task="ask", model=model or usual, turns=turns, parameters=parameters, stream=stream)
    body = json.loads(encoded(request, provider, protocol))
    found: list[dict[str, Any]] = body.get("input", body)["messages"][0]["content"]
    return found


def encoded(request: Request, provider: str, protocol: str) -> bytes:
    base = load(provider).default_endpoint(protocol)
    place = Endpoint(provider=provider, base_url=base, key=Secret("sk-fake"), protocol=protocol)
    return load(provider).encode(request, models.find(provider, request.model), place).body


def refused(way: str, *parts: Part, **parameters: Any) -> str:
    with pytest.raises(Fault) as caught:
        sent(way, *parts, **parameters)
    assert caught.value.code == "Local.Option"
    return caught.value.message


ASK = Text("What?")


@pytest.mark.parametrize(
    ("way", "part", "expected"),
    [
        ("native", Image(URL, {"min_pixels": 4, "max_pixels": 9, "enable_rotate": True}),
         {"image": URL.url, "min_pixels": 4, "max_pixels": 9, "enable_rotate": True}),
        ("native", Text("x", {"cache_control": MARK}), {"text": "x", "cache_control": MARK}),
        ("native", Video(FRAMES, 2.0, {"max_pixels": 9, "total_pixels": 99}),
         {"video": [URL.url] * 4, "fps": 2, "max_pixels": 9, "total_pixels": 99}),
        ("native", VideoFile(CLIP, {"fps": 2, "min_frames": 4, "max_frames": 8}),
         {"video": CLIP.url, "fps": 2, "min_frames": 4, "max_frames": 8}),
        ("compatible", Image(URL, {"detail": "low", "max_pixels": 9, "cache_control": MARK}),
         {"type": "image_url", "image_url": {"url": URL.url, "detail": "low"}, "max_pixels": 9, "cache_control": MARK}),
        ("compatible", Video(FRAMES, 0.5, {"min_pixels": 4}),
         {"type": "video", "video": [URL.url] * 4, "min_pixels": 4, "fps": 0.5}),
        ("compatible", VideoFile(CLIP, {"fps": 2, "total_pixels": 99}),
         {"type": "video_url", "video_url": {"url": CLIP.url}, "fps": 2, "total_pixels": 99}),
        ("qianfan", Image(URL, {"detail": "high"}),
         {"type": "image_url", "image_url": {"url": URL.url, "detail": "high"}}),
        ("qianfan", VideoFile(CLIP, {"fps": 2}), {"type": "video_url", "video_url": {"url": CLIP.url, "fps": 2}}),
        ("openai", Image(URL, {"detail": "low"}),
         {"type": "image_url", "image_url": {"url": URL.url, "detail": "low"}}),
        ("openai", Text("x", {"cache_control": MARK}), {"type": "text", "text": "x", "cache_control": MARK}),
        ("openai", Audio(SOUND, {"cache_control": MARK}),
         {"type": "audio_url", "audio_url": {"url": SOUND.url}, "cache_control": MARK}),
    ],
)  # fmt: skip
def test_an_option_stands_where_the_service_has_it(way: str, part: Part, expected: dict[str, Any]) -> None:
    assert sent(way, part, ASK)[0] == expected


@pytest.mark.parametrize(
    ("way", "part", "name"),
    [
        ("native", Image(URL, {"detail": "high"}), "detail"),
        ("native", Image(URL, {"fps": 2}), "fps"),
        ("native", Image(URL, {"total_pixels": 9}), "total_pixels"),
        ("native", Text("x", {"max_pixels": 9}), "max_pixels"),
        ("native", Video(FRAMES, None, {"enable_rotate": True}), "enable_rotate"),
        ("native", Video(FRAMES, None, {"max_frames": 9}), "max_frames"),
        ("native", VideoFile(CLIP, {"detail": "high"}), "detail"),
        ("compatible", VideoFile(CLIP, {"detail": "high"}), "detail"),
        ("compatible", Text("x", {"detail": "high"}), "detail"),
        ("qianfan", Image(URL, {"max_pixels": 9}), "max_pixels"),
        ("qianfan", Image(URL, {"cache_control": MARK}), "cache_control"),
        ("qianfan", Text("x", {"cache_control": MARK}), "cache_control"),
        ("qianfan", VideoFile(CLIP, {"total_pixels": 9}), "total_pixels"),
        ("openai", Image(URL, {"min_pixels": 9}), "min_pixels"),
        ("openai", VideoFile(CLIP, {"max_pixels": 9}), "max_pixels"),
    ],
)
def test_an_option_of_another_service_or_kind_is_refused(way: str, part: Part, name: str) -> None:
    assert refused(way, part, ASK).startswith(f"{name}: this service takes no such option on this part")


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (Image(URL, {"max_pixels": 0}), "max_pixels: 0 is outside"),
        (Image(URL, {"min_pixels": -1}), "min_pixels: -1 is outside"),
        (Video(FRAMES, None, {"total_pixels": 0}), "total_pixels: 0 is outside"),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_its_own_name(part: Part, words: str) -> None:
    assert refused("native", part, ASK).startswith(words)


WAV = Loaded(kind="audio", source="x", body=b"RIFF", mime="audio/wav")


@pytest.mark.parametrize(
    ("way", "sound", "expected"),
    [
        ("compatible", SOUND, {"type": "input_audio", "input_audio": {"data": SOUND.url, "format": "wav"}}),
        ("compatible", WAV, {"type": "input_audio", "input_audio": {"data": "data:;base64,UklGRg==", "format": "wav"}}),
        ("openai", SOUND, {"type": "audio_url", "audio_url": {"url": SOUND.url}}),
        ("openai", WAV, {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}),
        ("qianfan", WAV, {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}),
    ],
)
def test_a_sound_goes_as_each_service_takes_it(way: str, sound: Loaded, expected: dict[str, Any]) -> None:
    hearing = "qwen3-omni-flash" if way == "compatible" else None
    assert sent(way, Audio(sound), ASK, model=hearing, stream=way == "compatible")[0] == expected


@pytest.mark.parametrize(
    ("mime", "name"), [("audio/mpeg", "mp3"), ("audio/flac", "flac"), ("audio/x-wav", "wav"), ("audio/ogg", None)]
)
def test_a_sounds_format_is_named_or_the_sound_is_refused(mime: str, name: str | None) -> None:
    sound = Loaded(kind="audio", source="x", body=b"x", mime=mime)
    if name is None:
        with pytest.raises(Fault) as caught:
            sent("openai", Audio(sound), ASK)
        assert caught.value.code == "Local.Sound"
    else:
        assert sent("openai", Audio(sound), ASK)[0]["input_audio"]["format"] == name


def test_a_model_known_not_to_hear_gets_no_sound() -> None:
    with pytest.raises(Fault) as caught:
        sent("native", Audio(SOUND), ASK)
    assert caught.value.code == "Local.Sound"
    assert sent("native", Audio(SOUND), ASK, model="a-model-that-hears")[0] == {"audio": SOUND.url}


def test_a_parts_own_option_goes_before_the_parameters() -> None:
    pictures = sent("compatible", Image(URL, {"detail": "low"}), Image(URL), ASK, detail="high")
    assert [part["image_url"]["detail"] for part in pictures[:2]] == ["low", "high"]
    videos = sent("native", VideoFile(CLIP, {"fps": 1}), VideoFile(CLIP), ASK, fps=[3, 4], max_pixels=9)
    assert [(part["fps"], part["max_pixels"]) for part in videos[:2]] == [(1, 9), (4, 9)]


def test_the_place_in_a_list_counts_pictures_and_videos_apart() -> None:
    parts = sent("native", Image(URL), VideoFile(CLIP), Image(URL), ASK, min_pixels=[4, 5], fps=[2])
    assert [part.get("min_pixels") for part in parts[:3]] == [4, 4, 5]
    assert [part.get("fps") for part in parts[:3]] == [None, 2, None]


@pytest.mark.parametrize(
    ("provider", "protocol", "model"),
    [
        ("dashscope", "native", "multimodal-embedding-one-peace-v1"),
        ("dashscope", "openai", "text-embedding-v4"),
        ("qianfan", "openai", "embedding-v1"),
        ("openai", "openai", "m"),
    ],
)
def test_an_option_of_a_text_to_embed_is_not_dropped(provider: str, protocol: str, model: str) -> None:
    item = EmbedItem(part=Text("x", {"cache_control": MARK}))
    with pytest.raises(Fault) as caught:
        encoded(Request(task="embed", model=model, items=(item,)), provider, protocol)
    assert caught.value.code == "Local.Option"
    assert "cache_control" in caught.value.message
