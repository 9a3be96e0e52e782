"""The loopback server of bench_dispatch, run as a process of its own: `python bench_server.py`.

Prints its port. The path says what it answers: /<latency in ms>/…/embeddings or /<latency in ms>/…/chat/completions.
"""

from __future__ import annotations

import asyncio
import base64
import json
import struct

CHAT = json.dumps(
    {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "a cat"}}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
    }
).encode()
VECTOR = base64.b64encode(struct.pack("<1536f", *[0.1] * 1536)).decode()
EMBEDDING = json.dumps(
    {
        "object": "list",
        "model": "m",
        "data": [{"object": "embedding", "index": 0, "embedding": VECTOR}],
        "usage": {"prompt_tokens": 10, "total_tokens": 10},
    }
).encode()
BODIES = {
    kind: b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    for kind, body in (("chat", CHAT), ("embedding", EMBEDDING))
}


class Serving(asyncio.Protocol):
    """Answers after the path's latency; only as much HTTP as the clients here speak."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.buffer = bytearray()
        self.needed = 0
        self.path: list[str] = []

    def data_received(self, data: bytes) -> None:
        if self.needed:
            self.needed -= len(data)
        else:
            self.buffer += data
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self.buffer[:end])
            self.path = head.split(b" ", 2)[1].decode().split("/")
            length = 0
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    length = int(line[15:])
            self.needed = length - (len(self.buffer) - end - 4)
            self.buffer.clear()
        if self.needed <= 0:
            self.needed = 0
            answer = BODIES["embedding" if self.path[-1] == "embeddings" else "chat"]
            asyncio.get_running_loop().call_later(int(self.path[1]) / 1000, self.transport.write, answer)  # type: ignore[attr-defined]


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Serving, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
