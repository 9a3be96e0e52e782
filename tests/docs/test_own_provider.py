"""A provider of another distribution works like a built-in one: its own wire form, key header and error table."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from support.distribution import beside, distribution

SOURCE = '''
"""A service with a wire form of its own: POST /say {"ask": ..., "pictures": n}, key in X-Key, answers {"said": ...}."""

import msgspec

from pipeline.errors import Fault, refusal
from pipeline.providers.body import parts
from pipeline.providers.reader import WireReader
from pipeline.types import HttpRequest, Reply, Text, Usage

PROTOCOLS = ("plain",)
DEFAULT_BASE_URLS = {"plain": "http://127.0.0.1:1/v9"}
KEY_ENV = "PARROT_KEY"
COMPAT_CODES = True
ERRORS = (
    {"http": [418], "code": "Tired", "message": "the parrot sleeps", "class": "retry"},
    {"http": [400], "code": "NotAllowed", "message": "", "class": "account"},
    {"http": [400], "code": "Asleep", "compat_code": "nap_time", "message": "", "class": "retry"},
)


def default_endpoint(protocol):
    return DEFAULT_BASE_URLS[protocol]


def local_files(model, endpoint):
    return "base64"


def check_endpoint(model, endpoint):
    if not endpoint.base_url.endswith("/v9"):
        raise refusal("BaseUrl", "the parrot lives at /v9")


def check(request, model, endpoint):
    check_endpoint(model, endpoint)


def encode(request, model, endpoint):
    check(request, model, endpoint)
    texts = [part.text for part in parts(request) if isinstance(part, Text)]
    body = {"ask": " ".join(texts), "pictures": sum(not isinstance(part, Text) for part in parts(request))}
    headers = (("X-Key", endpoint.key.reveal()), ("Content-Type", "application/json"))
    return HttpRequest(method="POST", url=f"{endpoint.base_url}/say", headers=headers, body=msgspec.json.encode(body))


class Said:
    def __init__(self):
        self.body = None

    def add(self, body, *, stream):
        self.body = body

    def finished(self):
        return self.body is not None

    def closed(self):
        return False

    def reply(self):
        return Reply(text=self.body["said"], finish_reason="stop", usage=Usage(input_tokens=3, output_tokens=2))

    def judge(self, reply, *, stream):
        return None


def reader(request, model, status, headers):
    return WireReader("parrot", model, status, headers, Said())
'''


class Parrot(BaseHTTPRequestHandler):
    asked: list[tuple[dict[str, Any], str | None]]
    refused: dict[str, int]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        type(self).asked.append((body, self.headers.get("X-Key")))
        status, answer = 200, {"said": f"{body['ask']}, says the parrot"}
        if "tired" in body["ask"] and type(self).refused["tired"] > 0:
            type(self).refused["tired"] -= 1
            status, answer = 418, {"code": "Tired", "message": "the parrot sleeps"}
        if "forbidden" in body["ask"]:
            status, answer = 400, {"code": "NotAllowed", "message": "not for you"}
        if "nap" in body["ask"] and type(self).refused["nap"] > 0:
            type(self).refused["nap"] -= 1
            status, answer = 400, {"code": "nap_time", "message": "later"}
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[str]:
    Parrot.asked, Parrot.refused = [], {"tired": 1, "nap": 1}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Parrot)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v9"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    distribution(tmp_path, "parrot-client", {"parrot.py": SOURCE}, {"pipeline.providers": {"parrot": "parrot"}})
    return tmp_path


def job(folder: Path, base_url: str, *prompts: str, name: str = "parrot") -> Path:
    rows = [json.dumps({"id": str(number), "prompt": prompt}) for number, prompt in enumerate(prompts)]
    (folder / "rows.jsonl").write_text("\n".join(rows))
    path = folder / "job.toml"
    path.write_text(
        'task = "ask"\nmanifest = "rows.jsonl"\noutput = "out"\n'
        f'[provider]\nname = "{name}"\nmodel = "grey"\nbase_url = "{base_url}"\n'
        '[models.grey]\nprice = { input = 1, output = 1, currency = "EUR" }\n'
    )
    return path


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**beside(folder), "PARROT_KEY": "sk-fake-parrot"}
    line = [sys.executable, "-m", "pipeline", *arguments]
    return subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def test_it_is_asked_in_its_own_form_with_its_own_key_header(folder, service):
    job(folder, service, "hello", "tired of it")
    done = command(folder, "run", "job.toml", "--quiet")
    assert done.returncode == 0, done.stderr
    assert ({"ask": "hello", "pictures": 0}, "sk-fake-parrot") in Parrot.asked
    sql = "select answer, provider, input_tokens, attempt_count, cost, currency from results order by id"
    found = json.loads(command(folder, "query", "job.toml", sql, "--format", "json").stdout)
    assert [row["answer"] for row in found] == ["hello, says the parrot", "tired of it, says the parrot"]
    assert [row["attempt_count"] for row in found] == [1, 2]
    assert {(row["provider"], row["input_tokens"], row["currency"]) for row in found} == {("parrot", 3, "EUR")}


def test_its_errors_are_read_by_its_own_table(folder, service):
    job(folder, service, "forbidden")
    done = command(folder, "run", "job.toml", "--quiet")
    assert done.returncode == 4, done.stderr
    assert "NotAllowed" in done.stderr


def test_an_error_is_known_by_its_second_code(folder, service):
    job(folder, service, "a nap")
    done = command(folder, "run", "job.toml", "--quiet")
    assert done.returncode == 0, done.stderr
    assert len(Parrot.asked) == 2


def test_plan_and_models_know_it(folder, service):
    job(folder, service, "hello")
    planned = command(folder, "plan", "job.toml")
    assert planned.returncode == 0, planned.stderr
    assert not Parrot.asked
    assert command(folder, "models", "--provider", "parrot").returncode == 0


def test_its_own_refusal_of_an_address_is_exit_2(folder, service):
    job(folder, service.replace("/v9", "/v1"), "hello")
    done = command(folder, "run", "job.toml")
    assert (done.returncode, "the parrot lives at /v9" in done.stderr) == (2, True)


def test_an_unknown_provider_names_those_that_are_there(folder, service):
    job(folder, service, "hello", name="parot")
    done = command(folder, "run", "job.toml")
    assert done.returncode == 2
    assert 'expected one of dashscope, openai, qianfan, parrot; did you mean "parrot"?' in done.stderr


@pytest.mark.parametrize(
    ("source", "why"),
    [("import nothing_of_that_name", "ModuleNotFoundError"), ("KEY_ENV = 'X'", "which lacks PROTOCOLS")],
)
def test_a_provider_that_cannot_be_used_names_its_distribution(folder, service, source, why):
    (folder / "parrot.py").write_text(source)
    job(folder, service, "hello")
    done = command(folder, "run", "job.toml")
    assert done.returncode == 2
    assert "parrot-client 1.2" in done.stderr
    assert why in done.stderr
