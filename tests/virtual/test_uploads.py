"""One certificate for many files, one upload for equal ones."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from pipeline.dispatch.uploads import Uploads
from pipeline.errors import Fault
from pipeline.types import Endpoint, HttpRequest, Loaded, Secret

ENDPOINT = Endpoint(provider="dashscope", base_url="https://dashscope.test/api/v1", key=Secret("k"), protocol="native")


class Oss:
    """The certificate service and the object store, as a transport."""

    def __init__(self, *, expires: float = 300.0, statuses: list[int] | None = None) -> None:
        self.certificates = 0
        self.uploads = 0
        self.statuses = statuses or []
        self._expires = expires

    @asynccontextmanager
    async def exchange(self, request: HttpRequest, timeouts: Any) -> AsyncIterator[Any]:
        await anyio.sleep(1.0)
        if request.method == "GET":
            self.certificates += 1
            yield _Answer(200, json.dumps({"request_id": "r", "data": self._certificate()}).encode())
            return
        self.uploads += 1
        status = self.statuses.pop(0) if self.statuses else 200
        yield _Answer(status, b"" if status == 200 else b"<Error><Code>Busy</Code><Message>busy</Message></Error>")

    def _certificate(self) -> dict[str, Any]:
        return {
            "policy": "p",
            "signature": "s",
            "upload_dir": f"dir/{self.certificates}",
            "upload_host": "https://oss.test",
            "expire_in_seconds": self._expires,
            "max_file_size_mb": 100,
            "oss_access_key_id": "id",
            "x_oss_object_acl": "private",
            "x_oss_forbid_overwrite": "true",
        }


class _Answer:
    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.headers: dict[str, str] = {}
        self.complete = True
        self._body = body

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._body


def picture(content: bytes) -> Loaded:
    return Loaded(kind="image", source="/p.png", body=content, mime="image/png", name="p.png", sha256="0" * 64)


def test_equal_files_in_flight_are_uploaded_once_under_one_certificate(virtual: Any) -> None:
    oss = Oss()
    uploads = Uploads(oss, ENDPOINT, "qwen3-vl-plus")
    placed: list[str] = []

    async def place(content: bytes) -> None:
        placed.append(await uploads.url(picture(content)))

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for number in range(40):
                group.start_soon(place, b"%d" % (number % 4))

    virtual(main)
    assert (oss.certificates, oss.uploads) == (1, 4)
    assert len(set(placed)) == 4
    assert all(one.startswith("oss://dir/1/") for one in placed)


def test_certificates_and_files_are_renewed_when_they_expire(virtual: Any) -> None:
    oss = Oss()
    uploads = Uploads(oss, ENDPOINT, "qwen3-vl-plus")

    async def main() -> None:
        await uploads.url(picture(b"a"))
        await anyio.sleep(400)
        await uploads.url(picture(b"a"))
        assert (oss.certificates, oss.uploads) == (1, 1)
        await uploads.url(picture(b"b"))
        assert (oss.certificates, oss.uploads) == (2, 2)
        await anyio.sleep(48 * 3600)
        await uploads.url(picture(b"a"))
        assert (oss.certificates, oss.uploads) == (3, 3)
        await uploads.url(picture(b"a"), renew=True)
        assert oss.uploads == 3
        await anyio.sleep(60)
        await uploads.url(picture(b"a"), renew=True)
        await uploads.url(picture(b"a"), renew=True)
        assert oss.uploads == 4

    virtual(main)


def test_a_busy_store_is_tried_again_and_a_refusal_is_not(virtual: Any) -> None:
    busy = Oss(statuses=[503, 500])
    virtual(lambda: Uploads(busy, ENDPOINT, "m").url(picture(b"a")))
    assert busy.uploads == 3
    refusing = Oss(statuses=[400])
    with pytest.raises(Fault, match="busy"):
        virtual(lambda: Uploads(refusing, ENDPOINT, "m").url(picture(b"a")))
    assert refusing.uploads == 1


def test_waiting_for_an_upload_that_is_cancelled_uploads_on_its_own(virtual: Any) -> None:
    oss = Oss()
    uploads = Uploads(oss, ENDPOINT, "m")

    given: list[str] = []

    async def main() -> str:
        async with anyio.create_task_group() as group:

            async def impatient() -> None:
                with anyio.move_on_after(0.5):
                    await uploads.url(picture(b"a"))

            group.start_soon(impatient)
            await anyio.sleep(0.1)
            given.append(await uploads.url(picture(b"a")))
        return given[0]

    assert virtual(main).startswith("oss://")
    assert oss.uploads == 1
