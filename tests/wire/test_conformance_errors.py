"""Every published error has the same fault in every shape it can come in."""

from __future__ import annotations

import json
from importlib import resources

import pytest

from pipeline.errors import Fault
from pipeline.providers import faults, load, models
from pipeline.providers.error_body import ErrorInfo
from pipeline.types import Request

ROWS = json.loads(resources.files("pipeline.providers").joinpath("errors.json").read_text("utf-8"))["rows"]


def names(value: object) -> list[str]:
    return [part.strip() for part in str(value).split(" / ")] if value else []


def published() -> list[tuple[str, int, str, str]]:
    """(service, status, code, message) of every published error, compatible codes included."""
    found = []
    for row in ROWS:
        if row["class"] not in ("retry", "retry_once", "never", "account") or row["code"] == "(none)":
            continue
        codes = names(row["code"]) + (names(row["compat_code"]) if row["service"] == "dashscope" else [])
        messages = names(row["message"]) or [""]
        found += [(row["service"], s, c, m) for c in codes for s in row["http"] for m in messages]
    return found


def shapes(service: str, status: int, code: str, message: str) -> dict[str, tuple[int, bytes]]:
    """(HTTP status, body) by shape. Traps 32, 33, 34, 41 and 65."""
    flat = {"code": code, "message": message, "request_id": "r"}
    error = {"code": code, "message": message, "type": code, "param": None}
    event = f"id:3\nevent:error\n:HTTP_STATUS/{status}\ndata:{json.dumps(flat)}\n\n".encode()
    return {
        "flat": (status, json.dumps(flat).encode()),
        "nested, id beside": (status, json.dumps({"error": error, "request_id": "r"}).encode()),
        "nested, answer's id": (status, json.dumps({"error": error, "id": "r"}).encode()),
        "msg": (status, json.dumps({"code": code, "msg": message, "type": "t", "id": "r"}).encode()),
        "events under the status": (status, event),
        **({"events under 200": (200, event)} if service == "dashscope" and status >= 300 else {}),
    }


@pytest.mark.parametrize("service", ["dashscope", "qianfan"])
def test_every_published_error_has_its_fault_in_every_shape(service: str) -> None:
    model = models.find(service, "m")
    told = 0
    for _, status, code, message in (row for row in published() if row[0] == service):
        kind, retry = faults.classify(service, status, ErrorInfo(code=code, message=message))
        for shape, (http_status, body) in shapes(service, status, code, message).items():
            reader = load(service).reader(Request(task="ask", model="m"), model, http_status, {})
            reader.feed(body)
            with pytest.raises(Fault) as caught:
                reader.end()
            fault = caught.value
            assert (fault.kind, fault.retry) == (kind, retry), (shape, status, code, message)
            assert (fault.code, fault.request_id) == (code, "r"), (shape, status, code)
            assert fault.http_status == status
            told += 1
    assert told > 150


def test_an_openai_server_may_speak_any_of_the_vocabularies() -> None:
    for _, status, code, message in published():
        info = ErrorInfo(code=code, message=message)
        assert faults.classify("openai", status, info)[0] in (
            "throttled",
            "transient",
            "rejected",
            "blocked",
            "account",
        )
