"""Client CPU per row and rows per second, side by side: `python tests/bench/bench_dispatch.py [rows] [case …]`.

`ours`: the fan-out with the real encoder and decoder, the limiter and the journal. `run`: the whole of `pipeline run`,
from the manifest to sealed Parquet, with start-up and end. Beside them a hand-written aiohttp loop that appends each
answer to a file, the openai SDK under gather and a semaphore, and its aiohttp variant, which do as much. The server is
another process; each client is one too, so that peaks are its own.
"""

from __future__ import annotations

import asyncio
import functools
import io
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import pybase64
from bench_ours import Stopwatch, fan_out, whole
from PIL import Image

HERE = Path(__file__).parent
PROMPT = "Describe this picture for a search index. " * 24

Client = Callable[[str, str, int, int, BinaryIO], Coroutine[Any, Any, None]]


@functools.cache
def picture() -> bytes:
    """A JPEG of 200 KB."""
    file = io.BytesIO()
    Image.effect_noise((648, 486), 40).convert("RGB").save(file, "JPEG", quality=90)
    return file.getvalue()


def payload(kind: str) -> bytes:
    content: Any = PROMPT
    if kind in ("picture", "url"):
        url = "data:image/jpeg;base64," + pybase64.b64encode(picture()).decode()
        url = url if kind == "picture" else "https://example.com/p.jpg"
        content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": PROMPT}]
    if kind == "embedding":
        return msgspec.json.encode({"model": "m", "input": PROMPT, "encoding_format": "base64"})
    return msgspec.json.encode({"model": "m", "messages": [{"role": "user", "content": content}]})


def text_of(kind: str, body: bytes) -> bytes:
    value = msgspec.json.decode(body)
    if kind == "embedding":
        return pybase64.b64decode(value["data"][0]["embedding"])
    return bytes(value["choices"][0]["message"]["content"], "utf-8")


async def by_hand(base: str, kind: str, rows: int, concurrency: int, journal: BinaryIO) -> None:
    import aiohttp

    source = iter(range(rows))
    headers = {"Content-Type": "application/json", "Authorization": "Bearer x"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def work() -> None:
            for _ in source:
                url = f"{base}/{path_of(kind)}"
                async with session.post(url, data=payload(kind), headers=headers) as response:
                    journal.write(text_of(kind, await response.read()))

        await asyncio.gather(*(work() for _ in range(concurrency)))


async def sdk(base: str, kind: str, rows: int, concurrency: int, journal: BinaryIO, *, fast: bool = False) -> None:
    import openai

    options: dict[str, Any] = {"http_client": openai.DefaultAioHttpClient()} if fast else {}
    gate = asyncio.Semaphore(concurrency)
    async with openai.AsyncOpenAI(api_key="x", base_url=base, max_retries=0, **options) as client:
        body = json.loads(payload(kind))

        async def one() -> None:
            async with gate:
                if kind == "embedding":
                    vector = await client.embeddings.create(**body)
                    journal.write(bytes(str(vector.data[0].embedding), "ascii"))
                else:
                    answer = await client.chat.completions.create(**body)
                    journal.write(bytes(answer.choices[0].message.content or "", "utf-8"))

        await asyncio.gather(*(one() for _ in range(rows)))


async def sdk_aiohttp(base: str, kind: str, rows: int, concurrency: int, journal: BinaryIO) -> None:
    await sdk(base, kind, rows, concurrency, journal, fast=True)


def path_of(kind: str) -> str:
    return "embeddings" if kind == "embedding" else "chat/completions"


OURS = {"ours": fan_out, "run": whole}
OTHERS: dict[str, Client] = {"aiohttp": by_hand, "openai": sdk, "openai-aiohttp": sdk_aiohttp}
CASES = {
    f"{kind}-{latency}ms-{concurrency}": (kind, latency, concurrency)
    for kind in ("prompt", "picture", "embedding")
    for latency, concurrency in ((20, 16), (20, 64), (20, 256), (3000, 2000))
}
CASES["url-20ms-256"] = ("url", 20, 256)  # for the memory of `run` at 10 thousand rows and a million


def measure(name: str, case: str, rows: int, port: int) -> str:
    """One client on one case."""
    kind, latency, concurrency = CASES[case]
    base = f"http://127.0.0.1:{port}/{latency}"
    picture()
    if name in OURS:
        watch = asyncio.run(OURS[name](base, kind, rows, concurrency, PROMPT, picture()))
    else:
        with tempfile.TemporaryFile() as journal:
            watch = Stopwatch()
            asyncio.run(OTHERS[name](base, kind, rows, concurrency, journal))
            watch.stop()
    cpu, wall = watch.cpu, watch.wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    possible = concurrency / (latency / 1000)
    share = rows / wall / possible
    return f"{case:24} {name:16} {cpu / rows * 1e6:8.0f} µs {rows / wall:8.0f}/s {share:6.0%} {peak:6.0f} MB"


def main() -> None:
    if len(sys.argv) > 1 and sys.argv[1] == "--one":
        print(measure(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])))
        return
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    cases = [case for case in CASES if not sys.argv[2:] or any(part in case for part in sys.argv[2:])]
    server = subprocess.Popen([sys.executable, str(HERE / "bench_server.py")], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    port = server.stdout.readline().strip()
    try:
        for case in cases:
            for name in (*OURS, *OTHERS):
                command = [sys.executable, __file__, "--one", name, case, str(rows), port]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                print(done.stdout.strip() or f"{case:24} {name:16} {done.stderr.strip().splitlines()[-1]}", flush=True)
    finally:
        server.terminate()


if __name__ == "__main__":
    main()
