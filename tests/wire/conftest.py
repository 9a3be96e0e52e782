"""Decoding helpers for the wire tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from pipeline.errors import Fault
from pipeline.providers import load, models
from pipeline.types import Reply, Request

Decode = Callable[..., "Reply | Fault"]


@pytest.fixture
def decode() -> Decode:
    """Feeds a body, whole or in pieces, and gives the Reply or the Fault."""

    def run(
        body: bytes | list[bytes],
        *,
        provider: str = "dashscope",
        model: str = "qwen-vl-max",
        task: str = "ask",
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        parameters: Mapping[str, object] | None = None,
        complete: bool = True,
        stream: bool = False,
    ) -> Reply | Fault:
        request = Request(task=task, model=model, parameters=parameters or {}, stream=stream)
        reader = load(provider).reader(request, models.find(provider, model), status, headers or {})
        for chunk in [body] if isinstance(body, bytes) else body:
            reader.feed(chunk)
        try:
            return reader.end(complete=complete)
        except Fault as fault:
            return fault

    return run
