"""A loopback server that embeds texts: the length of its vectors is what a test says at the moment."""

from __future__ import annotations

import http.server
import json
import threading
import zlib
from typing import Any


class VectorServer:
    """`length`: floats of the next vectors. `asked`: the texts, in order. Use as a context manager."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.asked: list[str] = []

    def __enter__(self) -> VectorServer:
        told = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
                body = json.dumps(told.answer(asked)).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                return

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        text = asked["input"] if isinstance(asked["input"], str) else str(asked["input"][0])
        self.asked.append(text)
        vector = [1.0, *([zlib.crc32(text.encode()) / 2**32] * (self.length - 1))]
        return {
            "object": "list",
            "model": asked["model"],
            "data": [{"object": "embedding", "index": 0, "embedding": vector}],
            "usage": {"prompt_tokens": 3, "total_tokens": 3},
        }
