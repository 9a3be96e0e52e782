"""Scripted faults, quotas and uploads of the embedded service behave as those of the hosted ones."""

from __future__ import annotations

import http.client
import importlib.util
import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest
import trio.testing
from support.offline import DATA, GENERATION, KEY, Called, _exchange, app, call, data_uri, native, running

from pipeline.errors import JobError, MissingExtra
from pipeline.offline import require
from pipeline.offline.error_replies import Refusal
from pipeline.offline.fault_script import FaultScript
from pipeline.offline.models.image import Memory, Once
from pipeline.offline.server import make_server
from pipeline.offline.service import Quota
from pipeline.offline.service_options import ServiceOptions, parse_faults
from pipeline.offline.upload_store import Store

HELLO = native({"text": "Hello"})
SSE = {**KEY, "X-DashScope-SSE": "enable"}


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("429", 429, "Throttling.RateQuota"),
        ("500", 500, "InternalError"),
        ("502", 502, "InternalError"),
        ("503", 503, "ModelUnavailable"),
        ("504", 504, "GatewayTimeout"),
        ("401", 401, "InvalidApiKey"),
        ("arrears", 400, "Arrearage"),
        ("model-gone", 404, "ModelNotFound"),
        ("inspection", 400, "DataInspectionFailed"),
    ],
)
def test_scripted_errors_have_the_services_bodies(kind: str, status: int, code: str) -> None:
    found = call(app(script=(kind,)), GENERATION, HELLO)
    assert (found.status, found.json["code"]) == (status, code)


def test_a_script_is_followed_request_by_request_and_then_ends() -> None:
    service = app(script=("429+retry-after", "ok", "html", "empty", "garbage"), retry_after=3)
    found = [call(service, GENERATION, HELLO) for _ in range(6)]
    assert [one.status for one in found] == [429, 200, 502, 200, 200, 200]
    assert found[0].headers["retry-after"] == "3"
    assert found[2].body.startswith(b"<html>")
    assert found[3].body == b""
    with pytest.raises(ValueError):
        found[4].json  # noqa: B018 decoding it is the point
    assert found[5].json["output"]


def test_in_process_a_cut_ends_in_the_middle_a_drop_before_the_head_and_a_hang_never() -> None:
    whole = call(app(), GENERATION, HELLO)
    cut = call(app(script=("cut",)), GENERATION, HELLO)
    assert (cut.status, cut.finished) == (200, False)
    assert 0 < len(cut.body) < int(cut.headers["content-length"])
    assert abs(len(whole.body) - int(cut.headers["content-length"])) < 5
    assert call(app(script=("drop",)), GENERATION, HELLO).status == 0
    assert call(app(script=("hang",)), GENERATION, HELLO, seconds=0.05).status == 0


def test_on_a_socket_a_cut_breaks_the_body_and_a_drop_the_connection() -> None:
    with running(ServiceOptions(script=("cut", "drop", "cut"))) as url:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
        connection.request("POST", GENERATION, json.dumps(HELLO), KEY)
        with connection.getresponse() as cut, pytest.raises(http.client.IncompleteRead):
            cut.read()
        connection.close()
        connection.request("POST", GENERATION, json.dumps(HELLO), KEY)
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            connection.getresponse()
        connection.close()
        connection.request("POST", GENERATION, json.dumps(HELLO), SSE)
        with connection.getresponse() as cut, pytest.raises(http.client.IncompleteRead):
            cut.read()
        connection.close()
        connection.request("POST", GENERATION, json.dumps(HELLO), KEY)
        with connection.getresponse() as whole:
            assert whole.status == 200
        connection.close()


def test_an_error_in_a_stream_stands_in_an_event_with_its_status_in_a_comment() -> None:
    found = call(app(script=("stream-error",)), GENERATION, HELLO, headers=SSE)
    assert found.status == 200
    frames = found.body.decode().split("\n\n")
    assert frames[2].startswith("id:3\nevent:error\n:HTTP_STATUS/429\ndata:")
    assert frames[3:] == [""]


def test_faults_are_the_same_for_the_same_seed_and_as_frequent_as_asked() -> None:
    def dealt(seed: int) -> list[str]:
        plan = FaultScript(ServiceOptions(fail=(("429", 0.05), ("500", 0.01)), seed=seed))
        return [plan.next() for _ in range(20_000)]

    assert dealt(1) == dealt(1) != dealt(2)
    assert dealt(1).count("429") == pytest.approx(1000, rel=0.1)
    assert dealt(1).count("500") == pytest.approx(200, rel=0.25)


def test_the_fault_spec_is_read_or_refused_with_what_is_wrong() -> None:
    assert parse_faults("429:5%, 500:1%,cut:0.005") == (("429", 0.05), ("500", 0.01), ("cut", 0.005))
    for text, words in (("429", "kind:share"), ("429:5", "did you mean 5%"), ("429:x", "kind:share")):
        with pytest.raises(JobError, match=words):
            parse_faults(text)
    with pytest.raises(JobError, match="no scripted fault is called 'teapot'"):
        ServiceOptions(fail=parse_faults("teapot:1%"))
    with pytest.raises(JobError, match="more than 100%"):
        ServiceOptions(fail=parse_faults("429:60%,500:60%"))


def test_requests_are_limited_in_any_minute_and_in_any_second() -> None:
    quota = Quota(120, None, per_second=True)
    refused = 0
    for tick in range(1200):
        try:
            quota.admit(tick * 0.1)
        except Refusal:
            refused += 1
    assert refused == 1200 - 240
    burst = Quota(120, None, per_second=True)
    burst.admit(0)
    burst.admit(0)
    with pytest.raises(Refusal, match="rate"):
        burst.admit(0.99)
    burst.admit(1.0)


def test_tokens_are_limited_in_any_minute_by_what_was_used() -> None:
    quota = Quota(None, 100, per_second=True)
    quota.admit(0)
    quota.settle(0, 100)
    with pytest.raises(Refusal, match="token-rate"):
        quota.admit(59.9)
    quota.admit(60.0)


def test_a_quota_runs_on_the_clock_of_the_event_loop() -> None:
    service = app(rpm=60, models_offline=frozenset({"gone"}))

    async def ask() -> int:
        found: Called = await _exchange(service, GENERATION, {"model": "gone"}, KEY, "POST", 5)
        return found.status

    async def minute() -> list[int]:
        statuses = [await ask(), await ask()]
        await anyio.sleep(1)
        return [*statuses, await ask()]

    clock = trio.testing.MockClock(autojump_threshold=0)
    statuses = trio.run(minute, clock=clock)
    assert statuses == [404, 429, 404]


def form(fields: dict[str, bytes]) -> tuple[bytes, dict[str, str]]:
    parts = [
        b'--XX\r\nContent-Disposition: form-data; name="%s"; filename="a"\r\n\r\n%s\r\n' % (name.encode(), value)
        for name, value in fields.items()
    ]
    return b"".join(parts) + b"--XX--\r\n", {"Content-Type": "multipart/form-data; boundary=XX"}


def certified(service: Any, model: str = "qwen3-vl-plus", name: str = "cat.jpg") -> dict[str, bytes]:
    found = call(service, f"/api/v1/uploads?action=getPolicy&model={model}", method="GET").json["data"]
    return {
        "OSSAccessKeyId": found["oss_access_key_id"].encode(),
        "Signature": found["signature"].encode(),
        "policy": found["policy"].encode(),
        "key": f"{found['upload_dir']}/{name}".encode(),
        "x-oss-forbid-overwrite": found["x_oss_forbid_overwrite"].encode(),
        "success_action_status": b"200",
        "file": (DATA / "photos/chelsea.jpg").read_bytes(),
    }


def post(service: Any, fields: dict[str, bytes]) -> Called:
    body, headers = form(fields)
    return call(service, "/oss/", body, headers=headers)


def test_an_uploaded_picture_is_found_only_with_the_header_and_by_its_model() -> None:
    service = app()
    fields = certified(service)
    assert post(service, fields).status == 200
    ask = native({"image": f"oss://{fields['key'].decode()}"}, {"text": "Describe it."})
    resolve = {**KEY, "X-DashScope-OssResourceResolve": "enable"}
    assert "cat" in call(service, GENERATION, ask, headers=resolve).body.decode()
    assert call(service, GENERATION, ask).status == 400
    assert call(service, GENERATION, {**ask, "model": "qwen-vl-max"}, headers=resolve).status == 400


def test_oss_refuses_overwriting_forged_expired_and_misplaced_uploads() -> None:
    service = app()
    fields = certified(service)
    assert post(service, fields).status == 200
    assert b"FileAlreadyExists" in post(service, {**fields, "x-oss-forbid-overwrite": b"true"}).body
    assert b"SignatureDoesNotMatch" in post(service, {**fields, "policy": b"e30="}).body
    assert b"Policy Condition failed" in post(service, {**fields, "key": b"elsewhere/cat.jpg"}).body
    assert post(service, {"file": b"x"}).status == 400
    late = app(upload_expires=0)
    expired = post(late, certified(late))
    assert expired.status == 403
    assert b"Invalid according to Policy: Policy expired." in expired.body


def test_the_store_stays_within_its_bound_whatever_the_keys() -> None:
    store = Store(bound=1000)
    policy = {"policy": b"", "Signature": b""}
    for number in range(20):
        found = store.certificate("m", "http://127.0.0.1/oss/", "r")["data"]
        policy = {"policy": found["policy"].encode(), "Signature": found["signature"].encode()}
        for _ in range(1 + number % 3):
            fields = {**policy, "OSSAccessKeyId": b"x", "key": f"{found['upload_dir']}/a".encode(), "file": b"x" * 300}
            body, headers = form(fields)
            store.post(headers["Content-Type"], body)
    key = f"oss://{found['upload_dir']}/a"
    assert store.find(key, "m") == b"x" * 300
    assert store.size <= 1000


def test_a_loopback_picture_is_fetched_and_a_redirect_or_another_host_is_a_failed_download() -> None:
    picture = (DATA / "photos/chelsea.jpg").read_bytes()

    class Host(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302 if self.path == "/away" else 200)
            self.send_header("Location", "/cat.jpg")
            self.send_header("Content-Length", str(len(picture)))
            self.end_headers()
            self.wfile.write(picture)

        def log_message(self, *_args: Any) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Host)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    base, service = f"http://127.0.0.1:{server.server_port}", app()
    try:
        near = call(service, GENERATION, native({"image": f"{base}/cat.jpg"}, model="llama3.2-11b-vision"))
        assert "cat" in near.body.decode()
        assert "image_tokens" not in near.json["usage"]
        for url in (f"{base}/away", "http://169.254.169.254/latest", "http://localhost.example.com/a"):
            refused = call(service, GENERATION, native({"image": url}))
            assert refused.json["message"] == "Failed to download multimodal content."
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Files(BaseHTTPRequestHandler):
    """The sample data over HTTP."""

    def do_GET(self) -> None:
        body = (DATA / self.path.lstrip("/")).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: Any) -> None:
        return


def test_a_video_and_a_sound_are_fetched_from_loopback_or_found_as_uploads() -> None:
    server = HTTPServer(("127.0.0.1", 0), Files)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    base, service = f"http://127.0.0.1:{server.server_port}", app()
    try:
        video = call(service, GENERATION, native({"video": f"{base}/videos/ball.mp4"}))
        assert "8 frames sampled from a video of 4.0 s" in video.body.decode()
        sound = call(service, GENERATION, native({"audio": f"{base}/sounds/chime.mp3"}, model="qwen-audio-turbo"))
        assert "It hears a sound of 3.0 s" in sound.body.decode()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    away = call(service, GENERATION, native({"video": "https://example.com/a.mp4"}))
    assert away.json["message"] == "Failed to download multimodal content."
    fields = {**certified(service, name="ball.mp4"), "file": (DATA / "videos/ball.mp4").read_bytes()}
    assert post(service, fields).status == 200
    resolve = {**KEY, "X-DashScope-OssResourceResolve": "enable"}
    found = call(service, GENERATION, native({"video": f"oss://{fields['key'].decode()}"}), headers=resolve)
    assert "8 frames sampled" in found.body.decode()


def test_a_model_loads_once_however_many_ask_and_again_only_if_loading_failed() -> None:
    loads: list[int] = []

    def make() -> int:
        loads.append(1)
        if len(loads) == 1:
            raise OSError("not now")
        return 7

    once = Once(make)
    with pytest.raises(OSError, match="not now"):
        once.get()
    found: list[int] = []
    threads = [Thread(target=lambda: found.append(once.get())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (found, len(loads)) == ([7] * 8, 2)


def test_memory_forgets_the_least_recently_used() -> None:
    memory: Memory[int] = Memory(2)
    memory.get("a", lambda: 1)
    memory.get("b", lambda: 2)
    memory.get("a", lambda: 9)
    memory.get("c", lambda: 3)
    assert memory.get("a", lambda: 9) == 1
    assert memory.get("b", lambda: 9) == 9


def test_many_at_once_in_one_loop_are_all_answered() -> None:
    service = app()
    body = native({"image": data_uri("photos/chelsea.jpg")}, {"text": "Describe it."})

    async def all_at_once() -> list[int]:
        statuses: list[int] = []

        async def one() -> None:
            found = await _exchange(service, GENERATION, body, KEY, "POST", 30)
            statuses.append(found.status)

        async with anyio.create_task_group() as group:
            for _ in range(64):
                group.start_soon(one)
        return statuses

    assert anyio.run(all_at_once) == [200] * 64


def test_a_missing_extra_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr("pipeline.offline.find_spec", lambda name: None if name == "rapidocr" else real(name))
    with pytest.raises(MissingExtra, match=r'needs rapidocr.*pip install "multimodal-batch\[offline\]"'):
        require()
    with pytest.raises(MissingExtra):
        app()


def test_a_port_that_is_taken_is_a_clear_refusal() -> None:
    with running() as url, pytest.raises(JobError, match="choose another port"):
        make_server(port=int(urlsplit(url).port or 0)).run()


def test_no_key_stands_in_the_options_repr() -> None:
    assert "sk-secret" not in repr(ServiceOptions(wrong_keys=frozenset({"sk-secret"})))
