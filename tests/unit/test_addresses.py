"""Which addresses are private, in every way in which they can be written."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator

import pytest

from pipeline.dispatch.addresses import is_private, is_valid
from pipeline.dispatch.bodies import FREE, STEP, BodyLimit, Held, unpacked
from pipeline.errors import Fault


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.0.1", "169.254.169.254", "100.64.0.1",
        "0.0.0.0", "255.255.255.255", "224.0.0.1", "240.0.0.1", "198.18.0.1", "192.0.2.1",
        "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1", "2001:db8::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
    ],
)  # fmt: skip
def test_private_addresses_are_known_in_every_form(address: str) -> None:
    assert is_private(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "example.com"]
)
def test_public_addresses_and_names_are_not_private(address: str) -> None:
    assert not is_private(address)


def test_a_url_is_valid_when_each_character_may_stand_there() -> None:
    valid = ["http://h", "https://h:1/a?b#c", "HTTP://u:p@h/", "http://[::1]/a", "http://h/%2F%e4?a=b/c?d"]
    invalid = ["http://h/ä", "http://h/a b", "http://h/%2", "http://h/%zz", "http://h/{a}", 'http://h/"', "ftp://h/"]
    assert [is_valid(url) for url in valid] == [True] * len(valid)
    assert [is_valid(url) for url in invalid] == [False] * len(invalid)


def unpack(body: bytes, coding: str, size: int = 1000) -> list[bytes]:
    async def source() -> AsyncIterator[bytes]:
        for place in range(0, len(body), size):
            yield body[place : place + size]

    async def main() -> list[bytes]:
        return [piece async for piece in unpacked(source(), coding)]

    return asyncio.run(main())


def packed(body: bytes, bits: int) -> bytes:
    writer = zlib.compressobj(wbits=bits)
    return writer.compress(body) + writer.flush()


TEXT = b"a picture " * 50_000


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (packed(TEXT, 31), "gzip"),
        (packed(TEXT, 31), "X-GZIP"),
        (packed(TEXT[:1234], 31) + packed(TEXT[1234:], 31), "gzip"),
        (packed(TEXT, 15), "deflate"),
        (packed(TEXT, -15), "deflate"),
        (packed(packed(TEXT, 31), 15), "gzip, deflate"),
        (TEXT, "utf-8"),
        (TEXT, "aws-chunked, none"),
    ],
)
def test_bodies_are_unpacked_in_small_steps(body: bytes, coding: str) -> None:
    pieces = unpack(body, coding)
    assert b"".join(pieces) == TEXT
    assert max(map(len, pieces)) <= STEP


@pytest.mark.parametrize(("body", "coding"), [(b"no gzip", "gzip"), (TEXT, "deflate"), (TEXT, "br"), (TEXT, "zstd")])
def test_a_body_that_is_not_as_encoded_is_malformed(body: bytes, coding: str) -> None:
    with pytest.raises(Fault) as caught:
        unpack(body, coding)
    assert (caught.value.kind, caught.value.code) == ("malformed", "Local.NotHttp")


def test_all_bodies_together_keep_to_the_bound() -> None:
    """Ten bodies of three times the free part: over the bound they come one after the other, and all of them come."""
    most = 4 * FREE
    held: dict[int, int] = {}
    peaks: list[int] = []

    async def body(number: int, room: BodyLimit) -> None:
        own = Held()
        held[number] = 0
        for _ in range(3 * FREE // STEP):
            await room.acquire(own, STEP)
            held[number] += STEP
            peaks.append(sum(held.values()))
            await asyncio.sleep(0)
        held[number] = 0
        room.release(own)

    async def main() -> None:
        room = BodyLimit(most)
        await asyncio.gather(*(body(number, room) for number in range(10)))

    asyncio.run(asyncio.wait_for(main(), 20))
    assert max(peaks) <= most + 10 * FREE + 2 * FREE + 10 * STEP
