"""CPU per answer of taking the key out of a service's words: `python tests/bench/bench_redact.py`."""

from __future__ import annotations

import time
from typing import Any

from pipeline.providers.safe_text import hide, reply_without_keys
from pipeline.types import Block, Reply, Secret

KEY = "sk-fakefakefake0123456789abcdef"
WORDS = "A white cat sits on a red mat beside an open window. " * 20
HEAD: dict[str, Any] = {
    "finish_reason": "stop",
    "request_id": "7f9c2ba4-e88f-4b7d-ab2c-1c0f5d1a2b3c",
    "model": "qwen3-vl-plus",
}
EXTRA = {"reasoning": WORDS, "search": [{"title": "a page", "url": f"https://pages.example/{n}"} for n in range(5)]}
REPLIES = {
    "caption of 1 KB": Reply(text=WORDS, **HEAD),
    "with extra": Reply(text=WORDS, extra=EXTRA, **HEAD),
    "100 blocks": Reply(text=WORDS, blocks=tuple(Block(text=f"line {n} of the page") for n in range(100)), **HEAD),
    "vector of 1536": Reply(embedding=bytes(6144), **HEAD),
    "key in a caption": Reply(text=f"{WORDS}{KEY}", **HEAD),
}


def microseconds(reply: Reply, times: int = 50_000) -> float:
    began = time.process_time()
    for _ in range(times):
        reply_without_keys(reply)
    return (time.process_time() - began) / times * 1e6


if __name__ == "__main__":
    hide(Secret(KEY))
    for name, reply in REPLIES.items():
        print(f"{name:<18} {min(microseconds(reply) for _ in range(5)):5.1f} µs")
