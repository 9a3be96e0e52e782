"""The command `pipeline search`, as a person types it."""

from __future__ import annotations

import json

import pytest

JOB = ("jobs/embeddings.toml", "--offline")


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    from pipeline import Job

    folder = tmp_path_factory.mktemp("search") / "out"
    assert Job.load("jobs/embeddings.toml", offline=True, output=folder).run(progress=False).exit_code == 0
    return folder


def test_a_text_is_the_argument_and_rows_are_lines_with_their_scores(pipeline, output):
    ran = pipeline("search", *JOB, "--output", output, "a cat", "-k", "3")
    lines = ran.out.splitlines()
    assert ran.code == 0
    assert [len(line.split()[0]) for line in lines[:3]] == [5, 5, 5]
    assert "cat" in lines[0]
    assert lines[3] == "20 rows searched; 1 input embedded"


def test_pictures_sounds_rows_and_weights_are_options(pipeline, output):
    ran = pipeline(
        "search", *JOB, "--output", output, "--image", "sample_data/photos/chelsea.jpg",
        "--audio", "sample_data/sounds/chime.wav", "--id", "text-cat", "--weight", "image=2", "--json",
    )  # fmt: skip
    found = json.loads(ran.out)
    assert ran.code == 0
    assert len(found["hits"]) == 10
    assert "cat" in found["hits"][0]["id"]
    assert {"id", "score", "row"} == {*found["hits"][0]}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "search needs a text, --image, --audio or --id"),
        (("--weight", "image"), "expected KIND=NUMBER, such as image=0.5"),
        (("cat", "--weight", "shape=2"), "expected text, image, audio or id"),
        (("cat", "--where", "kinds = 1"), "kinds"),
        (("--id", "nobody"), "no vector under this id"),
    ],
)
def test_wrong_use_is_refused_with_the_way_out(pipeline, output, arguments, words):
    ran = pipeline("search", *JOB, "--output", output, *arguments)
    assert ran.code == 2
    assert words in ran.err
