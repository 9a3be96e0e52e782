from __future__ import annotations

import msgspec
import pytest

from pipeline.errors import Fault
from pipeline.job.schema import Job
from pipeline.tasks import load
from pipeline.tasks.prompts import CAPTION, render, unknown_column
from pipeline.types import Audio, Frames, FrameSource, Image, Item, Media, Message, Reply, Request, Row, Text, Video

CAT = Media(kind="image", ref="cat.jpg", path="/pictures/cat.jpg")
DOG = Media(kind="image", ref="https://example.com/dog.jpg", url="https://example.com/dog.jpg")
MOO = Media(kind="audio", ref="moo.wav", path="/sounds/moo.wav")


def job(task: str, **tables) -> Job:
    base = {"task": task, "manifest": "m", "output": "o", "provider": {"name": "dashscope", "model": "m"}}
    return msgspec.convert({**base, **tables}, Job)


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
    request = load("caption").ask(row(frames=Frames(pictures=(CAT, DOG), fps=2.0)), job("caption"))
    assert request.turns[0].parts[0] == Video(frames=(CAT, DOG), fps=2.0)


def test_an_unlisted_frame_folder_is_a_bug():
    with pytest.raises(TypeError):
        load("caption").ask(row(frames=Frames(pictures=FrameSource(ref="f", pattern="/f"))), job("caption"))


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
