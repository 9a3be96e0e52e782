from __future__ import annotations

import msgspec
import pytest

from pipeline.errors import Fault
from pipeline.job.schema import JobFile
from pipeline.run.work_item import continued
from pipeline.tasks import load
from pipeline.tasks.prompts import CAPTION, CAPTION_VIDEO, render, unknown_column
from pipeline.types import (
    Audio,
    Frames,
    FrameSource,
    Image,
    Item,
    Media,
    Message,
    Reply,
    Request,
    Row,
    Text,
    Video,
    VideoFile,
)  # fmt: skip

CAT = Media(kind="image", ref="cat.jpg", path="/pictures/cat.jpg")
DOG = Media(kind="image", ref="https://example.com/dog.jpg", url="https://example.com/dog.jpg")
FILM = Media(kind="video", ref="https://example.com/v.mp4", url="https://example.com/v.mp4")
MOO = Media(kind="audio", ref="moo.wav", path="/sounds/moo.wav")


def job(task: str, **tables) -> JobFile:
    base = {"task": task, "manifest": "m", "output": "o", "provider": {"name": "dashscope", "model": "m"}}
    return msgspec.convert({**base, **tables}, JobFile)


def row(**fields) -> Row:
    return Row(ordinal=0, where="m:1", id="a", given=True, **fields)


def test_a_caption_asks_the_default_prompt_after_the_picture():
    request = load("caption").ask(row(images=(CAT,)), job("caption"))
    assert [turn.role for turn in request.turns] == ["user"]
    assert request.turns[0].parts == (Image(CAT), Text(CAPTION.text))


def test_system_earlier_turns_and_prompt_keep_their_order():
    asked = row(
        images=(CAT, DOG),
        prompt="And {now}?",
        messages=(Message(role="user", text="Hi", images=(DOG,)), Message(role="assistant", text="Hello")),
        parameters={"temperature": 0.5},
    )
    described = job("ask", prompt={"system": "Be kind."})
    request = load("ask").ask(asked, described)
    assert [turn.role for turn in request.turns] == ["system", "user", "assistant", "user"]
    assert request.turns[1].parts == (Image(DOG), Text("Hi"))
    assert request.turns[3].parts == (Image(CAT), Image(DOG), Text("And {now}?"))
    assert request.parameters == {"temperature": 0.5}


def test_row_parameters_stand_over_the_jobs():
    provider = {"name": "dashscope", "model": "m", "parameters": {"temperature": 0.1, "seed": 1}}
    request = load("caption").ask(row(images=(CAT,), parameters={"seed": 2}), job("caption", provider=provider))
    assert request.parameters == {"temperature": 0.1, "seed": 2}


def test_frames_become_one_video():
    request = load("caption").ask(row(frames=Frames(images=(CAT, DOG), fps=2.0)), job("caption"))
    assert request.turns[0].parts[0] == Video(frames=(CAT, DOG), fps=2.0)


@pytest.mark.parametrize("task", ["caption", "ocr", "ask"])
def test_contents_are_asked_in_their_order_with_their_options(task):
    parts = (
        Item(content="First"),
        Item(content=CAT, options={"detail": "high"}),
        Item(content=Frames(images=(CAT, DOG), fps=2.0), options={"max_pixels": 9}),
        Item(content=FILM, options={"fps": 1}),
        Item(content="last", options={"cache_control": {}}),
    )
    (turn,) = load(task).ask(row(contents=parts), job(task)).turns
    assert turn.parts == (
        Text("First"),
        Image(CAT, {"detail": "high"}),
        Video(frames=(CAT, DOG), fps=2.0, options={"max_pixels": 9}),
        VideoFile(FILM, {"fps": 1}),
        Text("last", {"cache_control": {}}),
    )


def test_a_prompt_stands_behind_contents_and_a_default_only_where_they_say_nothing():
    silent, speaking = (Item(content=CAT),), (Item(content="Which?"), Item(content=CAT))
    assert load("caption").ask(row(contents=silent), job("caption")).turns[0].parts == (Image(CAT), Text(CAPTION.text))
    assert load("caption").ask(row(contents=speaking), job("caption")).turns[0].parts == (Text("Which?"), Image(CAT))
    described = job("caption", prompt={"text": "In a word."})
    parts = load("caption").ask(row(contents=speaking), described).turns[0].parts
    assert parts == (Text("Which?"), Image(CAT), Text("In a word."))
    assert load("ask").ask(row(contents=silent), job("ask")).turns[0].parts == (Image(CAT),)


@pytest.mark.parametrize("content", [FILM, Frames(images=(CAT, DOG))])
def test_a_video_is_captioned_as_one(content):
    for asked in (row(contents=(Item(content=content),)), row(videos=(Item(content=FILM),))):
        assert load("caption").ask(asked, job("caption")).turns[0].parts[-1] == Text(CAPTION_VIDEO.text)


def test_a_rows_own_media_stand_before_its_contents():
    asked = row(
        images=(CAT,), frames=Frames(images=(DOG,)), videos=(Item(content=FILM),), audio=(MOO,),
        contents=(Item(content="a"), Item(content=DOG)), prompt="b",
    )  # fmt: skip
    parts = load("ask").ask(asked, job("ask")).turns[0].parts
    assert parts == (Image(CAT), Video(frames=(DOG,)), VideoFile(FILM), Audio(MOO), Text("a"), Image(DOG), Text("b"))


def test_of_prompts_the_first_is_asked_and_the_others_follow():
    described = job("ask", prompt={"text": "Never asked: {gone}"})
    request = load("ask").ask(row(images=(CAT,), prompts=("What?", "And {x}?")), described)
    assert request.turns[0].parts == (Image(CAT), Text("What?"))
    assert request.follow_ups == ("And {x}?",)
    second = continued(request, ["A cat."])
    assert [turn.role for turn in second.turns] == ["user", "assistant", "user"]
    assert [turn.parts for turn in second.turns[1:]] == [(Text("A cat."),), (Text("And {x}?"),)]
    assert second.follow_ups == ()


def test_an_empty_first_of_prompts_leaves_the_question_to_contents():
    asked = row(contents=(Item(content="What?"), Item(content=CAT)), prompts=("", "And?"))
    request = load("ask").ask(asked, job("ask"))
    assert request.turns[0].parts == (Text("What?"), Image(CAT))
    assert request.follow_ups == ("And?",)


def test_an_unlisted_frame_folder_is_a_bug():
    with pytest.raises(TypeError):
        load("caption").ask(row(frames=Frames(images=FrameSource(ref="f", pattern="/f"))), job("caption"))


def test_an_embedding_fuses_everything_of_the_row_with_its_factors():
    fused = row(images=(CAT,), text="cat", contents=(Item(content=MOO, factor=2.0), Item(content="moo")))
    request = load("embed").ask(fused, job("embed"))
    assert [item.part for item in request.items] == [Image(CAT), Text("cat"), Audio(MOO), Text("moo")]
    assert [item.factor for item in request.items] == [None, None, 2.0, None]
    reply = Reply(embedding=b"\0\0\0\0")
    assert load("embed").columns(reply, request) == {"embedding": b"\0\0\0\0", "modalities": ["image", "text", "audio"]}


@pytest.mark.parametrize(
    ("task", "fields", "code"),
    [
        ("caption", {}, "Local.NoInput"),
        ("ocr", {"prompt": "read"}, "Local.NoInput"),
        ("ask", {"images": (CAT,)}, "Local.NoPrompt"),
        ("caption", {"audio": (MOO,)}, "Local.AudioNotTaken"),
        ("ocr", {"audio": (MOO,), "images": (CAT,)}, "Local.AudioNotTaken"),
        ("caption", {"contents": (Item(content="x"),)}, "Local.NoInput"),
        ("caption", {"contents": (Item(content=CAT, factor=2.0),)}, "Local.Factor"),
        ("ask", {"contents": (Item(content=CAT, factor=1.0),), "prompt": "x"}, "Local.Factor"),
        ("embed", {"images": (CAT,), "prompts": ("x",)}, "Local.NotForEmbed"),
        ("embed", {"contents": (Item(content=Frames(images=(CAT,))),)}, "Local.NotForEmbed"),
        ("embed", {}, "Local.NoInput"),
        ("embed", {"images": (CAT,), "prompt": "x"}, "Local.NotForEmbed"),
        ("embed", {"contents": (Item(content="x", factor=0.0),)}, "Local.Factor"),
        ("embed", {"contents": (Item(content="x", factor=float("nan")),)}, "Local.Factor"),
    ],
)
def test_a_row_that_asks_nothing_is_refused(task, fields, code):
    with pytest.raises(Fault) as caught:
        load(task).ask(row(**fields), job(task))
    assert (caught.value.kind, caught.value.code) == ("rejected", code)


def test_only_column_names_are_replaced():
    columns = {"name": "cat", "n": 3, "ok": True, "gone": None, "tags": ["a", 1], "f": 0.5}
    assert render("{name} {n} {ok} [{gone}] {tags} {f} {{name}}", columns) == 'cat 3 true [] ["a",1] 0.5 {name}'
    assert render("no braces", columns) == "no braces"


def test_a_column_value_is_never_a_template():
    assert render("{a}", {"a": "{b}", "b": "x"}) == "{b}"


def test_an_unknown_column_is_named_with_the_nearest():
    with pytest.raises(Fault) as caught:
        render("{categry}", {"category": "x"})
    assert caught.value.code == "Local.UnknownColumn"
    assert 'did you mean "category"?' in caught.value.message
    assert unknown_column("{category}", ["category"]) is None
    assert "{{" in (unknown_column('{"a": 1}', ["category"]) or "")


def test_white_space_around_a_caption_goes():
    request = Request(task="caption", model="m")
    assert load("caption").columns(Reply(text=" A cat.\n"), request) == {"caption": "A cat."}
    assert load("ocr").columns(Reply(text=None), request) == {"ocr_text": "", "blocks": None}
