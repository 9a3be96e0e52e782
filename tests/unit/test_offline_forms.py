"""The embedded service answers every documented form of a part: order, options, videos, sounds, earlier turns."""

from __future__ import annotations

import io
import subprocess
import sys
from base64 import b64encode
from typing import Any

import pytest
from PIL import Image
from support.offline import DATA, GENERATION, KEY, app, call, data_uri, native
from support.videos import moving, scenes, video

CHAT = "/compatible-mode/v1/chat/completions"
OPENAI = "/v1/chat/completions"
QIANFAN = "/v2/chat/completions"
EMBEDDING = "/api/v1/services/embeddings/multimodal-embedding/multimodal-embedding"

CAT, CUP = data_uri("photos/chelsea.jpg"), data_uri("photos/coffee.jpg")
BALL = data_uri("videos/ball.mp4", "video/mp4")
CHIME = data_uri("sounds/chime.wav", "audio/wav")
FRAMES = [data_uri(f"frames/ball/frame_{number}.jpg") for number in range(1, 7)]
ASK = {"text": "Describe this."}
VL, OMNI = "qwen3-vl-plus", "qwen3-omni-flash"


@pytest.fixture(scope="module")
def service() -> Any:
    return app()


def text_of(found: Any) -> str:
    assert found.status == 200, found.body
    body = found.json
    if "output" in body:
        return str(body["output"]["choices"][0]["message"]["content"][0]["text"])
    return str(body["choices"][0]["message"]["content"])


def streamed(found: Any) -> tuple[str, dict[str, Any]]:
    """Text and usage of a compatible stream."""
    import json

    assert found.status == 200, found.body
    chunks = [json.loads(line[6:]) for line in found.body.decode().split("\n") if line.startswith("data: {")]
    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"])
    return text, chunks[-1].get("usage") or {}


def refused(found: Any) -> str:
    body = found.json
    assert found.status == 400, found.body
    return str((body.get("error") or body)["message"])


def said(*content: Any, model: str = "qwen3-vl-plus", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": list(content)}], **more}


def words(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def picture(url: str, **more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}, **more}


def film(url: str, **more: Any) -> dict[str, Any]:
    return {"type": "video_url", "video_url": {"url": url}, **more}


def drawn(width: int, height: int) -> str:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (90, 120, 60)).save(file, "PNG")
    return f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"


def clip(data: bytes) -> str:
    return f"data:video/mp4;base64,{b64encode(data).decode()}"


ORDERS = [
    (("text", "picture"), "text, picture 1"),
    (("text", "picture", "text", "picture"), "text “first”, picture 1, text “second”, picture 2"),
    (("picture", "text", "picture"), "picture 1, text, picture 2"),
]


@pytest.mark.parametrize("path", [GENERATION, CHAT, OPENAI, QIANFAN])
@pytest.mark.parametrize(("order", "told"), ORDERS)
def test_the_answer_tells_the_order_of_the_parts(service: Any, path: str, order: Any, told: str) -> None:
    texts, shown, content = iter(("first", "second")), iter((CAT, CUP)), []
    for kind in order:
        if path == GENERATION:
            content.append({"text": next(texts)} if kind == "text" else {"image": next(shown)})
        else:
            content.append(words(next(texts)) if kind == "text" else picture(next(shown)))
    model = "ernie-4.5-8k-preview" if path == QIANFAN else VL
    body = native(*content) if path == GENERATION else said(*content, model=model)
    assert f"Given in this order: {told}." in text_of(call(service, path, body))


def test_pictures_before_one_text_are_answered_without_a_word_on_order(service: Any) -> None:
    assert "order" not in text_of(call(service, GENERATION, native({"image": CAT}, {"image": CUP}, ASK)))


@pytest.mark.parametrize(
    ("options", "tokens"),
    [({}, 16 * 16 + 2), ({"max_pixels": 65_536}, 8 * 8 + 2), ({"min_pixels": 1_048_576}, 32 * 32 + 2)],
)
def test_pixel_options_change_the_tokens_of_a_picture(service: Any, options: Any, tokens: int) -> None:
    found = call(service, GENERATION, native({"image": drawn(512, 512), **options}, ASK))
    assert found.json["usage"]["image_tokens"] == tokens
    compatible = call(service, CHAT, said(picture(drawn(512, 512), **options), words("Describe.")))
    assert compatible.json["usage"]["prompt_tokens_details"]["image_tokens"] == tokens


def test_high_resolution_ignores_the_most_pixels(service: Any) -> None:
    large = {"image": drawn(3200, 1600), "max_pixels": 65_536}
    high = call(service, GENERATION, native(large, ASK, vl_high_resolution_images=True))
    assert high.json["usage"]["image_tokens"] == 100 * 50 + 2


@pytest.mark.parametrize(
    "options",
    [
        {"min_pixels": 0},
        {"max_pixels": "many"},
        {"max_pixels": 1.5},
        {"min_pixels": 200_000, "max_pixels": 100_000},
        {"max_pixels": 99_999_999},
        {"cache_control": {"type": "eternal"}},
        {"cache_control": "ephemeral"},
        {"enable_rotate": "yes"},
    ],
)
def test_an_option_out_of_its_bounds_is_refused(service: Any, options: Any) -> None:
    name = next(iter(options))
    assert name in refused(call(service, GENERATION, native({"image": CAT, **options}, ASK)))
    if name != "enable_rotate":
        assert name in refused(call(service, CHAT, said(picture(CAT, **options), words("Describe."))))


def test_cache_marks_and_rotation_are_taken(service: Any) -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    assert text_of(call(service, GENERATION, native({"image": CAT, **mark}, {**ASK, **mark})))
    assert text_of(call(service, CHAT, said(picture(CAT, **mark), {**words("Describe."), **mark})))
    read = native({"image": data_uri("texts/sign_en.jpg"), "enable_rotate": True}, model="qwen-vl-ocr")
    assert text_of(call(service, GENERATION, read))


@pytest.mark.parametrize("path", [OPENAI, QIANFAN, CHAT])
def test_detail_stands_inside_image_url_and_is_checked(service: Any, path: str) -> None:
    model = "ernie-4.5-8k-preview" if path == QIANFAN else VL
    for detail in ("low", "high", "auto"):
        part = {"type": "image_url", "image_url": {"url": CAT, "detail": detail}}
        assert text_of(call(service, path, said(part, model=model)))
    part = {"type": "image_url", "image_url": {"url": CAT, "detail": "ultra"}}
    assert "detail" in refused(call(service, path, said(part, model=model)))


@pytest.mark.parametrize(("fps", "count"), [(None, 8), (1, 4), (5, 20), (0.1, 4)])
def test_a_video_file_is_sampled_at_its_rate_and_counted_so(service: Any, fps: Any, count: int) -> None:
    options = {} if fps is None else {"fps": fps}
    found = call(service, GENERATION, native({"video": BALL, **options}, ASK))
    assert f"{count} frames sampled from a video of 4.0 s" in text_of(found)
    assert found.json["usage"]["video_tokens"] == count // 2 * 20 * 11 + 2
    compatible = call(service, CHAT, said(film(BALL, **options), words("Describe.")))
    assert f"{count} frames sampled from a video of 4.0 s" in text_of(compatible)
    assert compatible.json["usage"]["prompt_tokens_details"]["video_tokens"] == count // 2 * 20 * 11 + 2


def test_frame_bounds_and_pixel_options_hold_for_a_video(service: Any) -> None:
    few = call(service, GENERATION, native({"video": BALL, "fps": 10, "max_frames": 6}, ASK))
    assert "6 frames sampled" in text_of(few)
    many = call(service, GENERATION, native({"video": BALL, "fps": 0.5, "min_frames": 10}, ASK))
    assert "10 frames sampled" in text_of(many)
    small = call(service, GENERATION, native({"video": BALL, "max_pixels": 65_536}, ASK))
    assert small.json["usage"]["video_tokens"] < 4 * 20 * 11
    total = call(service, GENERATION, native({"video": BALL, "total_pixels": 4 * 65_536}, ASK))
    assert total.json["usage"]["video_tokens"] < 4 * 20 * 11


def test_a_generic_server_takes_a_video_file_too(service: Any) -> None:
    assert "8 frames sampled" in text_of(call(service, OPENAI, said(film(BALL), words("Describe."), model="any-vl")))


def test_qianfan_takes_fps_inside_video_url_for_its_newer_models(service: Any) -> None:
    def asked(model: str = "ernie-4.5-turbo-vl", **inner: Any) -> Any:
        part = {"type": "video_url", "video_url": {"url": BALL, **inner}}
        return call(service, QIANFAN, said(part, words("Describe."), model=model))

    assert "8 frames sampled" in text_of(asked())
    assert "20 frames sampled" in text_of(asked(fps=5))
    assert "[0.2, 5]" in refused(asked(fps=0.1))
    assert "[0.2, 5]" in refused(asked(fps=5.5))
    assert "video" in refused(asked(model="ernie-4.5-8k-preview"))


@pytest.mark.parametrize("fps", [0, 0.05, 10.5, "fast", True])
def test_a_rate_out_of_bounds_is_refused(service: Any, fps: Any) -> None:
    assert "fps" in refused(call(service, GENERATION, native({"video": BALL, "fps": fps}, ASK)))
    assert "fps" in refused(call(service, CHAT, said(film(BALL, fps=fps), words("Describe."))))


def test_a_video_that_is_too_short_too_long_or_none_is_refused(service: Any) -> None:
    def asked(data: bytes, model: str = VL) -> str:
        return refused(call(service, GENERATION, native({"video": clip(data)}, ASK, model=model)))

    assert "too short" in asked(video(moving(10)))
    assert "too long" in asked(video(scenes(((9, 9, 9), 45)), fps=1), model="qwen2-vl-7b-instruct")
    assert "video" in asked(b"no video at all")
    assert "video" in asked((DATA / "videos/ball.mp4").read_bytes()[:9000])
    assert "video" in refused(call(service, GENERATION, native({"video": BALL}, ASK, model="qwen-vl-ocr")))
    assert refused(call(service, GENERATION, native({"video": 7}, ASK)))


def test_several_videos_stand_in_one_turn(service: Any) -> None:
    found = call(service, GENERATION, native({"video": FRAMES, "fps": 2}, {"video": BALL}, {"image": CAT}, ASK))
    text = text_of(found)
    assert "Video 1: 6 frames over 2.5 s" in text
    assert "Video 2: 8 frames sampled" in text
    assert "Picture 1: A cat" in text


def test_frames_of_an_earlier_turn_are_asked_about_again(service: Any) -> None:
    messages = [
        {"role": "user", "content": [{"video": FRAMES, "fps": 2}, {"text": "What happens?"}]},
        {"role": "assistant", "content": [{"text": "A ball bounces."}]},
        {"role": "user", "content": [{"text": "Describe it again."}]},
    ]
    found = call(service, GENERATION, {"model": VL, "input": {"messages": messages}, "parameters": {}})
    assert "6 frames over 2.5 s" in text_of(found)
    assert "asked “What happens?” and answered “A ball bounces.”" in text_of(found)


@pytest.mark.parametrize("path", [GENERATION, CHAT, OPENAI, QIANFAN])
def test_a_later_question_tells_the_answers_before_it(service: Any, path: str) -> None:
    turns = ["What is this?", "It is a cat.", "Which colour?", "It is ginger.", "Describe it."]
    messages: list[dict[str, Any]] = []
    for number, text in enumerate(turns):
        parts: list[Any] = [{"text": text}] if path == GENERATION else [words(text)]
        if number == 0:
            parts.insert(0, {"image": CAT} if path == GENERATION else picture(CAT))
        messages.append({"role": ("user", "assistant")[number % 2], "content": parts})
    body: dict[str, Any] = {"model": "ernie-4.5-8k-preview" if path == QIANFAN else VL}
    body |= {"input": {"messages": messages}} if path == GENERATION else {"messages": messages}
    text = text_of(call(service, path, body))
    assert "1. asked “What is this?” and answered “It is a cat.”" in text
    assert "2. asked “Which colour?” and answered “It is ginger.”" in text


SOUNDS = [
    {"data": CHIME, "format": "wav"},
    {"data": CHIME.replace("audio/wav", ""), "format": "wav"},
    {"data": CHIME.partition(",")[2], "format": "wav"},
]


@pytest.mark.parametrize("inner", SOUNDS, ids=["data-uri", "data-uri-without-type", "base64"])
def test_an_omni_model_hears_a_sound(service: Any, inner: Any) -> None:
    part = {"type": "input_audio", "input_audio": inner}
    wanted = said(part, words("What is this?"), model=OMNI, stream=True, stream_options={"include_usage": True})
    text, usage = streamed(call(service, CHAT, wanted))
    assert "a sound of 3.0 s" in text
    assert "no speech recognition" in text
    assert usage["prompt_tokens_details"]["audio_tokens"] == 38  # 3 s × 12.5, rounded up
    assert text_of(call(service, OPENAI, said(part, words("What is this?"), model="any-omni")))


@pytest.mark.parametrize(("model", "tokens"), [("qwen-omni-turbo", 75), ("qwen2.5-omni-7b", 75), (OMNI, 38)])
def test_sounds_cost_the_tokens_of_their_models_rule(service: Any, model: str, tokens: int) -> None:
    part = {"type": "input_audio", "input_audio": SOUNDS[0]}
    wanted = said(part, words("Describe."), model=model, stream=True, stream_options={"include_usage": True})
    assert streamed(call(service, CHAT, wanted))[1]["prompt_tokens_details"]["audio_tokens"] == tokens


def test_where_no_rule_is_known_the_estimate_is_called_one(service: Any) -> None:
    part = {"type": "input_audio", "input_audio": SOUNDS[0]}
    wanted = said(part, words("Describe."), model="qwen3.5-omni-plus", stream=True)
    assert "its tokens are an estimate" in streamed(call(service, CHAT, wanted))[0]


@pytest.mark.parametrize("model", ["qwen-omni-turbo", "qwen3-omni-flash", "qwen3.5-omni-plus"])
def test_omni_models_answer_in_streams_only(service: Any, model: str) -> None:
    assert "only support stream mode" in refused(call(service, CHAT, said(words("Hello"), model=model)))


def test_what_an_omni_model_refuses(service: Any) -> None:
    sound, seen = {"type": "input_audio", "input_audio": SOUNDS[0]}, picture(CAT)

    def asked(*parts: Any, model: str = OMNI, **more: Any) -> str:
        return refused(call(service, CHAT, said(*parts, model=model, stream=True, **more)))

    assert "one other" in asked(sound, seen, words("Compare."))
    assert "modalities" in asked(words("Sing."), modalities=["text", "audio"])
    assert "audio" in asked({"type": "input_audio", "input_audio": {"data": CAT, "format": "wav"}})
    assert asked({"type": "input_audio", "input_audio": {}})
    assert "audio" in refused(call(service, CHAT, said(sound, model=VL)))
    assert "url error" in refused(call(service, GENERATION, native(ASK, model=OMNI)))


@pytest.mark.parametrize("model", ["qwen-audio-turbo", "qwen3-omni-30b-a3b-captioner"])
def test_native_audio_is_heard_where_it_is_documented(service: Any, model: str) -> None:
    found = call(service, GENERATION, native({"audio": CHIME}, model=model))
    assert "a sound of 3.0 s" in text_of(found)
    assert found.json["usage"]["audio_tokens"] > 0


def test_a_sound_is_described_by_what_was_measured(service: Any) -> None:
    told = {}
    for name in ("chime.wav", "chirp.flac", "drum.wav"):
        uri = data_uri(f"sounds/{name}", "audio/wav")
        told[name] = text_of(call(service, GENERATION, native({"audio": uri}, model="qwen-audio-turbo")))
    assert "rising from" in told["chirp.flac"]
    assert "5 onsets" in told["drum.wav"]
    assert len(set(told.values())) == 3


def test_a_video_is_embedded(service: Any) -> None:
    def vector(**item: Any) -> list[float]:
        body = {"model": "qwen3-vl-embedding", "input": {"contents": [item]}, "parameters": {"dimension": 1536}}
        found = call(service, EMBEDDING, body)
        assert found.status == 200, found.body
        return list(found.json["output"]["embeddings"][0]["embedding"])

    def near(one: list[float], other: list[float]) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True))

    ball, frame, cat = vector(video=BALL), vector(image=FRAMES[2]), vector(image=CAT)
    assert near(ball, frame) > near(ball, cat) + 0.2


def test_vllms_embedding_of_a_conversation_takes_videos_and_sounds(service: Any) -> None:
    sound = {"type": "audio_url", "audio_url": {"url": CHIME}}
    messages = [{"role": "user", "content": [film(BALL), sound, words("a ball")]}]
    found = call(service, "/v1/embeddings", {"model": "any-vl", "messages": messages})
    assert found.status == 200, found.body
    assert len(found.json["data"][0]["embedding"]) == 1536


def test_without_pyav_a_video_file_is_refused_with_what_to_install() -> None:
    code = (
        "import sys; sys.modules['av'] = None; sys.path.insert(0, 'tests')\n"
        "from support.offline import GENERATION, app, call, data_uri, native\n"
        "found = call(app(), GENERATION, native({'video': data_uri('videos/ball.mp4', 'video/mp4')}, {'text': 'x'}))\n"
        "print(found.status, found.json['code'], found.json['message'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=DATA.parent)
    assert done.stdout.startswith("400 InvalidParameter The embedded service cannot open video files here")
    assert 'pip install "multimodal-batch[video]"' in done.stdout


def test_a_stream_of_a_video_comes_like_any_other(service: Any) -> None:
    headers = {**KEY, "X-DashScope-SSE": "enable"}
    found = call(service, GENERATION, native({"video": BALL}, ASK), headers=headers)
    assert found.finished
    assert b'"video_tokens"' in found.body


def test_texts_that_differ_in_digits_have_different_vectors(service: Any) -> None:
    contents = [{"text": f"row {number} of the rehearsal"} for number in range(1500)]
    body = {"model": "qwen3-vl-embedding", "input": {"contents": contents}, "parameters": {"dimension": 1536}}
    found = call(service, EMBEDDING, body).json["output"]["embeddings"]
    assert len({tuple(one["embedding"]) for one in found}) == 1500
