"""The loop around a step: any callable that gives an awaitable, with any tenacity that is allowed."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from pipeline.dispatch.retry import retrying


class Step:
    """Fails so many times, then gives a value."""

    def __init__(self, failures: int) -> None:
        self.calls = 0
        self.failures = failures

    async def run(self, value: str = "done") -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise OSError(f"failure {self.calls}")
        return value

    async def __call__(self) -> str:
        return await self.run()


FORMS: dict[str, Callable[[Step], Callable[[], Awaitable[str]]]] = {
    "method": lambda step: step.run,
    "lambda": lambda step: lambda: step.run(),
    "partial": lambda step: functools.partial(step.run, "done"),
    "object": lambda step: step,
}


@pytest.mark.parametrize("form", FORMS)
def test_any_form_of_step_is_awaited_and_tried_again(virtual: Any, form: str) -> None:
    step = Step(2)

    async def main() -> tuple[str, float]:
        began = anyio.current_time()
        found = await retrying(FORMS[form](step), wanted=lambda error: isinstance(error, OSError), pause=lambda: 7.0)
        return found, anyio.current_time() - began

    assert virtual(main) == ("done", pytest.approx(14.0))
    assert step.calls == 3


def test_an_error_that_is_not_wanted_is_raised_unchanged(virtual: Any) -> None:
    step = Step(5)
    with pytest.raises(OSError, match="failure 2"):
        virtual(lambda: retrying(step.run, wanted=lambda error: "1" in str(error), pause=lambda: 0.0))
    assert step.calls == 2
