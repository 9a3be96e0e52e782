"""Local files on their way: once each, never by mistake, again when their right to be there has expired."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.client import CAT, COFFEE, FAKE_KEY, KEY_NAME, Client, Seen, ended, failures, found, serving

from pipeline.offline.service_options import ServiceOptions

pytestmark = pytest.mark.usefixtures("event_loop_goes_on")

NATIVE = {"name": "dashscope", "model": "qwen3-vl-plus"}
EXPIRED = b"<Error><Code>AccessDenied</Code><Message>Invalid according to Policy: Policy expired.</Message></Error>"

MODEL_EXPIRED = (
    b'{"code": "AccessDenied", "message": "Invalid according to Policy: Policy expired.", "request_id": "r"}'
)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_NAME, FAKE_KEY)


def shown(name: str, image: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "image": image, "prompt": "Describe this picture.", **more}


def drawn(folder: Path, count: int) -> list[dict[str, Any]]:
    rows = []
    for number in range(count):
        path = folder / f"drawn-{number}.png"
        Image.new("RGB", (32, 32), (number * 15, 20, 200)).save(path)
        rows.append(shown(f"{number:02}", str(path)))
    return rows


def named(seen: list[Seen]) -> list[str]:
    return [one.json["input"]["messages"][0]["content"][0]["image"] for one in seen]


def test_equal_files_are_uploaded_once_whatever_they_are_called(tmp_path: Path) -> None:
    copy = tmp_path / "another name.jpg"
    shutil.copy(CAT, copy)
    rows = [shown("a", CAT), shown("b", CAT), shown("c", str(copy)), shown("d", COFFEE)]
    with serving() as service:
        Client(tmp_path, service.url).answers(rows, provider=NATIVE, dedupe={"equal": False})
        assert len(service.asked("/oss/")) == 2
        assert len(service.asked("/uploads")) == 1
        assert len(set(named(service.asked("/generation")))) == 2


def test_two_files_of_one_name_do_not_take_each_others_place(tmp_path: Path) -> None:
    """Trap 22."""
    for folder, picture in (("one", CAT), ("two", COFFEE)):
        (tmp_path / folder).mkdir()
        shutil.copy(picture, tmp_path / folder / "图 1+1.jpg")
    rows = [shown("a", "one/图 1+1.jpg"), shown("b", "two/图 1+1.jpg")]
    with serving() as service:
        cat, coffee = Client(tmp_path, service.url).answers(rows, provider=NATIVE)
        assert len(service.asked("/uploads")) == 1
    assert "cat" in cat["answer"].lower()
    assert "spresso" in coffee["answer"]


def test_a_certificate_that_expires_on_the_way_is_replaced(tmp_path: Path) -> None:
    options = ServiceOptions(upload_expires=0.5, latency_ms=200)
    with serving(options) as service:
        job = Client(tmp_path, service.url).job(drawn(tmp_path, 12), provider=NATIVE, limits={"concurrency": 1})
        summary = job.run()
        assert len(service.asked("/uploads")) >= 2
    assert ended(summary) == (0, "finished", 12, 0, 0), summary.failures
    assert found(job, "select max(attempt_count) as n from results") == [{"n": 1}]


def once(path: str, body: bytes) -> Callable[[Seen], tuple[int, bytes] | None]:
    said: list[str] = []

    def instead(seen: Seen) -> tuple[int, bytes] | None:
        if said or not seen.path.endswith(path):
            return None
        said.append(seen.path)
        return 403, body

    return instead


def test_policy_expired_at_the_upload_takes_another_certificate(tmp_path: Path) -> None:
    with serving(instead=once("/oss/", EXPIRED)) as service:
        job = Client(tmp_path, service.url).job([shown("a", CAT)], provider=NATIVE)
        assert ended(job.run()) == (0, "finished", 1, 0, 0)
        assert (len(service.asked("/uploads")), len(service.asked("/oss/"))) == (2, 2)
        assert len(service.asked("/generation")) == 1


def test_policy_expired_at_the_model_is_sent_once_more(tmp_path: Path) -> None:
    """That a reference of more than half a minute is uploaded anew for it is tried on a virtual clock."""
    with serving(instead=once("/generation", MODEL_EXPIRED)) as service:
        job = Client(tmp_path, service.url).job([shown("a", CAT)], provider=NATIVE)
        assert ended(job.run()) == (0, "finished", 1, 0, 0)
    attempts = found(job, "select fault, code from attempts order by attempt")
    assert attempts == [{"fault": "transient", "code": "AccessDenied"}, {"fault": None, "code": None}]


def test_a_policy_that_is_always_expired_ends_as_a_failure(tmp_path: Path) -> None:
    def always(seen: Seen) -> tuple[int, bytes] | None:
        return (403, MODEL_EXPIRED) if seen.path.endswith("/generation") else None

    with serving(instead=always) as service:
        job = Client(tmp_path, service.url).job([shown("a", CAT)], provider=NATIVE)
        assert ended(job.run()) == (1, "finished", 0, 1, 0)
        assert len(service.asked("/generation")) == 2
    (row,) = failures(job)
    assert (row["fault"], row["code"], row["attempt_count"]) == ("transient", "AccessDenied", 2)


def test_nothing_but_a_picture_or_a_sound_is_ever_uploaded(tmp_path: Path) -> None:
    """Trap 23, and what leads out of the manifest's folder."""
    (tmp_path / "inside").mkdir()
    (tmp_path / "outside.jpg").write_bytes(Path(CAT).read_bytes())
    (tmp_path / "inside" / "link.jpg").symlink_to(tmp_path / "outside.jpg")
    rows = [
        {"id": "a path as text", "prompt": "/etc/hosts"},
        {"id": "a file url as text", "prompt": f"What is file://{CAT} about?", "system": "~/.ssh/id_rsa"},
        shown("dots", "../outside.jpg"),
        shown("link", "link.jpg"),
        shown("no picture", "/etc/hosts"),
    ]
    with serving() as service:
        job = Client(tmp_path / "inside", service.url).job(rows, provider=NATIVE)
        assert ended(job.run()) == (1, "finished", 2, 3, 0)
        assert {one.path for one in service.seen} == {"/api/v1/services/aigc/multimodal-generation/generation"}
    codes = {row["id"]: row["code"] for row in failures(job)}
    assert codes["dots"] == codes["link"] == "Local.OutsideManifest"
    assert codes["no picture"] == "Local.NotAPicture"


def test_a_local_file_for_llama_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    with serving() as service:
        provider = {"name": "dashscope", "model": "llama3.2-11b-vision"}
        job = Client(tmp_path, service.url).job([shown("a", CAT)], provider=provider)
        assert ended(job.run()) == (1, "finished", 0, 1, 0)
        assert service.seen == []
    assert failures(job)[0]["code"] == "Local.UrlsOnly"


def test_a_denied_certificate_stops_the_run(tmp_path: Path) -> None:
    def denied(seen: Seen) -> tuple[int, bytes] | None:
        body = b'{"code": "AccessDenied", "message": "Access denied.", "request_id": "r"}'
        return (403, body) if seen.path.endswith("/uploads") else None

    with serving(instead=denied) as service:
        summary = Client(tmp_path, service.url).job([shown("a", CAT)], provider=NATIVE).run()
        assert ended(summary) == (4, "account", 0, 0, 1)
        assert service.asked("/oss/") == []
