"""A service that says the key back, wherever a word of the service is kept or shown: the key is nowhere."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import duckdb
import pytest

from pipeline.cli.main import main

KEY = "k3y/of+no=known-form.4711"
ESCAPED = "".join(f"\\u{ord(c):04x}" for c in KEY)
SPELLINGS = (KEY, quote(KEY, safe=""), KEY.replace("/", r"\/"))


def chat(text: str = "fine", **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text, **more.pop("message", {})}}
    choice["finish_reason"] = more.pop("finish", "stop")
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    return {"id": "r-1", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage, **more}


Answer = tuple[int, dict[str, str], bytes]


def ok(body: Any) -> Answer:
    return 200, {}, (body if isinstance(body, str) else json.dumps(body)).encode()


def stream(*pieces: str, **more: Any) -> Answer:
    events = [{"id": "r", "choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
    events.append({"id": "r", "choices": [{"index": 0, "delta": {}, "finish_reason": more.get("finish", "stop")}]})
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    return 200, {"content-type": "text/event-stream"}, body.encode()


SAID: dict[str, Callable[[], Answer]] = {
    "caption": lambda: ok(chat(f"The key is {KEY}.")),
    "escaped": lambda: ok(json.dumps(chat("KEY")).replace("KEY", ESCAPED)),
    "slashed": lambda: ok(json.dumps(chat(KEY)).replace("/", r"\/")),
    "encoded": lambda: ok(chat(f"https://x/{quote(KEY, safe='')}")),
    "finish": lambda: ok(chat(finish=KEY)),
    "request id": lambda: ok(chat(id=KEY)),
    "header": lambda: (200, {"x-request-id": KEY}, json.dumps(chat()).encode()),
    "model": lambda: ok(chat(model=KEY)),
    "reasoning": lambda: ok(chat(message={"reasoning_content": f"I saw {KEY}"})),
    "unknown": lambda: ok(chat(extra={"deep": [{KEY: KEY}]}, debug=KEY)),
    "stream": lambda: stream("The key is ", KEY[:9], KEY[9:], "."),
    "redirect": lambda: (302, {"location": f"https://other.example/{KEY}"}, b""),
    "error": lambda: (400, {"x-request-id": KEY}, json.dumps({"error": {"message": KEY, "code": KEY}}).encode()),
    "error type": lambda: (400, {}, json.dumps({"error": {"message": "no", "type": KEY, "param": KEY}}).encode()),
    "page": lambda: (502, {}, f"<html>{KEY}</html>".encode()),
    "garbage": lambda: (200, {}, f"{KEY} is no JSON".encode()),
    "empty": lambda: ok(chat("", model=KEY)),
    "refusal": lambda: ok(chat("", message={"refusal": KEY})),
}


@pytest.fixture
def service() -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            assert self.headers["authorization"] == f"Bearer {KEY}"
            prompt = json.dumps(asked["messages"][-1]["content"])
            status, headers, body = SAID[next(how for how in sorted(SAID, key=len)[::-1] if f"[{how}]" in prompt)]()
            self.send_response(status)
            for name, value in {
                "content-type": "application/json",
                "content-length": str(len(body)),
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def everything(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(found for found in folder.rglob("*") if found.is_file() and found.suffix != ".toml"):
        yield str(path), path.read_bytes().decode("latin-1")
        if path.suffix == ".parquet":
            yield str(path), str(duckdb.sql(f"from read_parquet('{path}')").fetchall())


@pytest.mark.parametrize("log", ["text", "json"])
def test_a_key_that_is_said_back_is_nowhere(
    tmp_path: Path, service: str, log: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"id": how, "how": how}) + "\n" for how in SAID))
    (tmp_path / "job.toml").write_text(
        "task = 'ask'\nmanifest = 'rows.jsonl'\noutput = 'out'\n[prompt]\ntext = 'Say [{how}]'\n"
        f"[provider]\nname = 'openai'\nmodel = 'm'\nbase_url = '{service}'\n[retry]\nattempts = 1\n"
        "[circuit]\nrefusals = 0\n[dedupe]\ncache = 'answers.cache'\n"
    )
    job = str(tmp_path / "job.toml")
    summary, metrics = str(tmp_path / "summary.json"), str(tmp_path / "metrics.prom")
    for command in (
        ["run", job, "--summary", summary, "--metrics", metrics, "--log-format", log],
        ["status", job],
        ["status", job, "--json"],
        ["query", job, "select * from results", "--format", "json"],
        ["query", job, "select * from failures", "--format", "csv"],
        ["query", job, "select * from attempts"],
        ["accept", job],
        ["export", job, str(tmp_path / "out.csv")],
    ):
        with pytest.raises(SystemExit):
            main(command)
    shown = capfd.readouterr()
    answers = dict(duckdb.sql(f"select id, answer from read_csv('{tmp_path}/out.csv', header = true)").fetchall())
    assert answers["caption"] == "The key is …."
    assert {"caption", "escaped", "finish", "request id", "model", "unknown", "stream"} <= answers.keys()
    for place, text in [("stdout", shown.out), ("stderr", shown.err), *everything(tmp_path)]:
        for spelling in SPELLINGS:
            assert spelling not in text, (place, text[max(0, text.find(spelling) - 200) :][:300])
