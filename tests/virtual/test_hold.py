"""A service that says with an answer that nothing remains until a reset is believed, once per account."""

from __future__ import annotations

from typing import Any

import anyio

from pipeline.dispatch.account import Account, Limits
from pipeline.providers.hints import read


def test_nothing_starts_before_the_reset_that_an_answer_named(virtual: Any) -> None:
    waited: list[float] = []

    async def main() -> None:
        account = Account(Limits(concurrency=4))
        first = await account.admit(None)
        await anyio.sleep(0.1)
        hints = read({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "7s"}, 0.0)
        account.settle(first, None, hints=hints)
        began = anyio.current_time()
        account.settle(await account.admit(None), None)
        waited.append(anyio.current_time() - began)

    virtual(main)
    assert 7.0 <= waited[0] <= 7.5
