"""Our own client against the embedded service: whole jobs, in this process or over a loopback port that keeps a log."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from threading import Event, Thread
from typing import Any

from support.offline import DATA

from pipeline import Job
from pipeline.offline.server import Server, create_app
from pipeline.offline.service_options import ServiceOptions
from pipeline.report.summary import Summary

FAKE_KEY = "sk-0123fakefakefake4567"
KEY_NAME = "A_KEY_OF_THE_TESTS"
CAT = str(DATA / "photos/chelsea.jpg")
COFFEE = str(DATA / "photos/coffee.jpg")
BASES = {
    ("dashscope", "native"): "/api/v1",
    ("dashscope", "openai"): "/compatible-mode/v1",
    ("qianfan", "openai"): "/v2",
    ("openai", "openai"): "/v1",
}


class Seen:
    """One request as it came to the server."""

    def __init__(self, scope: Mapping[str, Any], body: bytes) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers = {name.decode().lower(): value.decode("latin-1") for name, value in scope["headers"]}
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Service:
    """`url` has no path; `seen` are the requests in the order they were whole."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.seen: list[Seen] = []

    def paths(self) -> list[str]:
        return [one.path for one in self.seen]

    def asked(self, ending: str) -> list[Seen]:
        return [one for one in self.seen if one.path.endswith(ending)]


Instead = Callable[[Seen], "tuple[int, bytes] | None"]


async def _answer(send: Any, status: int, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def serving(options: ServiceOptions | None = None, instead: Instead = lambda _seen: None) -> Iterator[Service]:
    """The embedded service on a loopback port of its own, with a log of what came.

    instead: gives (status, body) for a request that the service is not to answer itself.
    """
    app, service = create_app(options), Service("")

    async def logging(scope: Any, receive: Any, send: Any) -> None:
        messages = [await receive()]
        while messages[-1].get("more_body", False):
            messages.append(await receive())
        seen = Seen(scope, b"".join(message.get("body", b"") for message in messages))
        service.seen.append(seen)

        async def again() -> Any:
            return messages.pop(0) if messages else await receive()

        given = instead(seen)
        if given is not None:
            await _answer(send, *given)
        else:
            await app(scope, again, send)

    ready = Event()

    def on_ready(port: int) -> None:
        service.url = f"http://127.0.0.1:{port}"
        ready.set()

    server = Server.over(logging, "127.0.0.1", 0, on_ready)
    thread = Thread(target=server.run, daemon=True)
    thread.start()
    assert ready.wait(20)
    try:
        yield service
    finally:
        server.should_exit = True
        thread.join(20)


@contextmanager
def pictures(folder: Path = DATA) -> Iterator[str]:
    """A host of pictures on a loopback port: the URL of `folder`."""

    class Host(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, directory=str(folder), **named)

        def log_message(self, *_arguments: Any) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Host)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Client:
    """Runs jobs as a user would. `url` None: with --offline, in this process."""

    def __init__(self, folder: Path, url: str | None) -> None:
        self.folder = folder
        self.url = url
        self._jobs = 0

    def job(self, rows: list[dict[str, Any]], *, task: str = "ask", offline: bool | None = None, **tables: Any) -> Job:
        """A job over `rows`. `tables`: sections of the job file; `provider` needs name and model.

        With the `output` of an earlier one ("job1"), it is that job, edited.
        """
        self._jobs += 1
        name = tables.pop("output", f"job{self._jobs}")
        manifest = self.folder / f"{name}.jsonl"
        manifest.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        path = self.folder / f"{name}.toml"
        path.write_text(f'task = "{task}"\nmanifest = "{name}.jsonl"\noutput = "{name}"\n')
        provider = {"api_key_env": KEY_NAME, **tables.pop("provider")}
        if self.url is not None and "base_url" not in provider:
            way = provider["name"], provider.get("protocol", "native" if provider["name"] == "dashscope" else "openai")
            provider["base_url"] = self.url + BASES[way]
        return Job.load(
            path, {"provider": provider, **tables}, offline=self.url is None if offline is None else offline
        )

    def answers(self, rows: list[dict[str, Any]], **tables: Any) -> list[dict[str, Any]]:
        """The results of a job that must answer every row, in the order of the manifest."""
        job = self.job(rows, **tables)
        summary = job.run()
        assert (summary.exit_code, summary.answered) == (0, len(rows)), (summary.message, summary.failures)
        return found(job, "select * from results order by id")


def found(job: Job, sql: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = job.query(sql).read_all().to_pylist()
    return rows


def failures(job: Job) -> list[dict[str, Any]]:
    return found(job, "select * from failures order by id")


def ended(summary: Summary) -> tuple[int, str, int, int, int]:
    """(exit code, why it ended, answered, failed, left)"""
    return summary.exit_code, summary.stop_reason, summary.answered, summary.failed, summary.left
