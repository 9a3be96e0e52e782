"""The embedded service hosts a sample picture at its own address: models that take URLs only answer offline."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from support.client import Client, failures, serving
from support.offline import DATA, GENERATION, KEY, call

from pipeline.offline.server import create_app

LLAMA = {"name": "dashscope", "model": "llama3.2-90b-vision-instruct"}
CAT = (DATA / "photos/chelsea.jpg").read_bytes()


@pytest.fixture
def url() -> Iterator[str]:
    with serving() as service:
        yield service.url


def asked(picture: str, model: str = LLAMA["model"]) -> dict:
    content = [{"image": picture}, {"text": "What is in this picture?"}]
    return {"model": model, "input": {"messages": [{"role": "user", "content": content}]}, "parameters": {}}


def test_the_sample_picture_can_be_fetched_like_any_other(url):
    with urlopen(f"{url}/samples/cat.jpg") as answer:
        assert answer.headers["content-type"] == "image/jpeg"
        assert answer.read() == CAT
    for name in ("dog.jpg", "..%2Fmedia.py", "media.py", ""):
        with pytest.raises(HTTPError) as missing:
            urlopen(f"{url}/samples/{name}")
        assert missing.value.code == 404
        missing.value.close()


@pytest.mark.parametrize("host", ["embedded.invalid", "127.0.0.1:8765", "localhost"])
def test_a_picture_at_the_address_that_was_asked_is_there(host):
    answer = call(create_app(), GENERATION, asked(f"http://{host}/samples/cat.jpg"), headers={**KEY, "host": host})
    assert answer.status == 200
    assert "cat" in str(answer.json["output"])


@pytest.mark.parametrize(
    "picture",
    ["http://elsewhere.invalid/samples/cat.jpg", "http://embedded.invalid/samples/dog.jpg", "http://embedded.invalid/"],
)
def test_any_other_address_stays_a_failed_download(picture):
    answer = call(create_app(), GENERATION, asked(picture), headers={**KEY, "host": "embedded.invalid"})
    assert answer.status == 400
    assert "download" in answer.json["message"].lower()


def test_a_model_that_takes_urls_only_answers_offline_and_still_takes_no_file(tmp_path):
    rows = [
        {"id": "hosted", "image": "http://embedded.invalid/samples/cat.jpg"},
        {"id": "file", "image": str(DATA / "photos/chelsea.jpg")},
    ]
    job = Client(tmp_path, None).job(rows, task="caption", provider=LLAMA)
    summary = job.run()
    assert (summary.answered, summary.failed) == (1, 1)
    assert [failure["code"] for failure in failures(job)] == ["Local.UrlsOnly"]


def test_a_served_run_reads_the_picture_over_its_own_port(url, tmp_path, monkeypatch):
    monkeypatch.setenv("A_KEY_OF_THE_TESTS", "sk-0123fakefakefake4567")
    job = Client(tmp_path, url).job([{"id": "a", "image": f"{url}/samples/cat.jpg"}], task="caption", provider=LLAMA)
    assert job.run().answered == 1
