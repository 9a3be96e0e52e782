"""The upload protocol against the captured exchanges of the official client."""

from __future__ import annotations

import json
import re
from urllib.parse import parse_qsl, urlsplit

import pytest
from support.captures import endpoint_of, exchanges, header_table, reply_bytes

from pipeline.errors import Fault
from pipeline.providers import load, models, upload_wire
from pipeline.types import Image, Loaded, Request, Text, Turn

UPLOADING = [
    "ds202__emb_local_file",
    "ds202__mm_local_file",
    "ds202__mm_local_file_two",
    "ds202__mm_local_frames",
    "ds202__mm_local_oss_403",
]


def picture(name="test.png", body=b"\x89PNG bytes"):
    return Loaded(kind="image", source=name, body=body, mime="image/png", name=name, sha256="ab" * 32)


def certificate(name):
    reply = exchanges(name)[0]["server_reply"]
    return upload_wire.read_certificate(reply["status"], {}, reply_bytes(reply))


def fields(http):
    boundary = header_table(http.headers)["content-type"].split("boundary=")[1].encode()
    found = []
    for piece in http.body.split(b"--" + boundary)[1:-1]:
        head, _, value = piece.strip(b"\r\n").partition(b"\r\n\r\n")
        disposition = re.search(r"Content-Disposition: (.*)", head.decode())
        assert disposition is not None
        found.append((disposition[1].strip(), value))
    return found


@pytest.mark.parametrize("name", [*UPLOADING, "ds202__mm_local_policy_denied", "ds202__mm_text_equals_local_path"])
def test_the_certificate_request_is_the_captured_one(name):
    captured = exchanges(name)[0]["request"]
    http = upload_wire.certificate_request(endpoint_of(captured), captured["query"]["model"])
    parts = urlsplit(http.url)
    assert (http.method, parts.path, dict(parse_qsl(parts.query))) == ("GET", captured["path"], captured["query"])
    assert header_table(http.headers)["authorization"] == header_table(captured["headers"])["authorization"]
    assert http.body == b""


@pytest.mark.parametrize("name", UPLOADING)
def test_the_form_has_the_captured_fields_in_the_captured_order(name):
    given = certificate(name)
    forms = [e["request"] for e in exchanges(name) if e["request"].get("multipart")]
    for captured in forms:
        named = re.search(r'filename="(.*)"', captured["multipart"][-1]["content_disposition"])
        assert named is not None
        filename = named[1]
        http = upload_wire.upload_request(given, picture(filename), "u1")
        assert http.method == "POST"
        assert "authorization" not in header_table(http.headers)
        ours = fields(http)
        theirs = [(f["content_disposition"], f.get("text")) for f in captured["multipart"]]
        assert [d for d, _ in ours][:-1] == [d for d, _ in theirs][:-1]
        assert ours[-1][0] == f'form-data; name="file"; filename="u1-{filename}"'
        for (disposition, value), (_, expected) in zip(ours[:-1], theirs[:-1], strict=True):
            if '"key"' in disposition:
                folder, _, base = expected.rpartition("/")
                assert value.decode() == f"{folder}/u1-{base}"
            else:
                assert value.decode() == expected
        assert ours[-1][1] == b"\x89PNG bytes"


def test_trap_22_two_files_of_one_name_get_two_keys():
    given = certificate("ds202__emb_local_file")
    first, second = picture(body=b"one"), picture(body=b"two")
    assert upload_wire.object_url(given, first, "u1") != upload_wire.object_url(given, second, "u2")
    assert upload_wire.object_url(given, first, "u1") == "oss://dashscope-instant/xxx/2024-07-18/xxx/u1-test.png"


def test_a_file_name_cannot_leave_the_folder_of_the_certificate():
    given = certificate("ds202__mm_local_file")
    key = upload_wire.object_key(given, picture("../../etc/passwd\r\nx"), "u")
    assert key.rsplit("/", 1)[0] == given.directory
    assert "\r" not in key


def test_a_certificate_tells_how_long_it_holds_and_hides_its_signature():
    given = certificate("ds202__mm_local_file")
    assert given.expires_in == 300
    assert given.max_bytes == 100 * 1024 * 1024
    assert "eWy" not in repr(given)
    assert "eyJ" not in repr(given)


def test_a_denied_certificate_is_an_account_fault():
    reply = exchanges("ds202__mm_local_policy_denied")[0]["server_reply"]
    with pytest.raises(Fault) as caught:
        upload_wire.read_certificate(reply["status"], {}, reply_bytes(reply))
    assert (caught.value.kind, caught.value.code, caught.value.http_status) == ("account", "AccessDenied", 403)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"data":{"policy":1}}', b'{"data":null}'])
def test_a_certificate_that_lacks_anything_is_malformed(body):
    with pytest.raises(Fault) as caught:
        upload_wire.read_certificate(200, {}, body)
    assert caught.value.kind == "malformed"


def test_an_upload_answered_with_403_is_a_fault_with_the_xml_code():
    reply = exchanges("ds202__mm_local_oss_403")[1]["server_reply"]
    fault = upload_wire.check_upload(reply["status"], reply_bytes(reply))
    assert fault is not None
    assert (fault.kind, fault.code, fault.http_status, fault.retry) == ("account", "AccessDenied", 403, "no")


@pytest.mark.parametrize(
    ("status", "body", "kind", "retry"),
    [
        (403, "<Error><Code>AccessDenied</Code><Message>Invalid according to Policy: Policy expired.</Message></Error>",
         "transient", "upload"),
        (409, "<Error><Code>FileAlreadyExists</Code><Message>The object you specified already exists</Message></Error>",
         "transient", "upload"),
        (400, "<Error><Code>EntityTooLarge</Code></Error>", "rejected", "no"),
        (503, "<html>", "transient", "yes"),
        (429, "", "throttled", "yes"),
    ],
)  # fmt: skip
def test_oss_errors_say_what_helps(status, body, kind, retry):
    fault = upload_wire.check_upload(status, body.encode())
    assert (fault.kind, fault.retry) == (kind, retry)


def test_a_good_upload_is_no_fault():
    assert upload_wire.check_upload(200, b"") is None


def test_a_file_over_the_certificates_bound_is_refused():
    given = certificate("ds202__mm_local_file")
    small = upload_wire.Certificate(**{f: getattr(given, f) for f in given.__struct_fields__} | {"max_bytes": 3})
    with pytest.raises(Fault) as caught:
        upload_wire.upload_request(small, picture(body=b"four"), "u")
    assert caught.value.code == "Local.TooLarge"


def test_trap_23_a_text_that_looks_like_a_path_or_an_oss_reference_stays_a_text():
    captured = exchanges("ds202__mm_text_equals_local_path")[-1]["request"]
    texts = (Text("/etc/hosts"), Text("~/notes 是什么?"), Text("oss://dashscope-instant/x.png"))
    request = Request(task="ask", model="qwen-vl-max-latest", turns=(Turn(role="user", parts=texts),))
    http = load("dashscope").encode(request, models.find("dashscope", request.model), endpoint_of(captured))
    assert json.loads(http.body)["input"]["messages"][0]["content"] == [{"text": t.text} for t in texts]
    assert "x-dashscope-ossresourceresolve" not in header_table(http.headers)


def test_trap_21_an_oss_picture_brings_the_resolve_header():
    captured = exchanges("ds202__mm_oss_url")[0]["request"]
    part = Image(Loaded(kind="image", source="x", url="oss://dashscope-instant/xxx/test.png"))
    request = Request(task="ask", model="qwen-vl-max-latest", turns=(Turn(role="user", parts=(part,)),))
    http = load("dashscope").encode(request, models.find("dashscope", request.model), endpoint_of(captured))
    assert header_table(http.headers)["x-dashscope-ossresourceresolve"] == "enable"


def test_a_certificate_is_read_as_an_answer_is():
    data = {"policy": "p", "signature": "s", "upload_dir": "d", "upload_host": "https://h", "expire_in_seconds": 300,
            "oss_access_key_id": "a", "x_oss_object_acl": "private", "x_oss_forbid_overwrite": "true"}  # fmt: skip
    body = json.dumps({"data": data}).encode()
    odd = body.replace(b'"p"', b'"p\\ud83d"').replace(b"}}", b'},"x":NaN}')
    for written in (b"\n\n\xef\xbb\xbf" + body, odd):
        assert upload_wire.read_certificate(200, {}, written).directory == "d"
    for place in range(len(body)):
        with pytest.raises(Fault) as caught:
            upload_wire.read_certificate(200, {}, body[:place])
        assert (caught.value.kind, caught.value.retry) == ("transient", "yes")
    for said in ({"code": "Throttling.RateQuota", "data": {}}, {"error": {"code": 429, "message": "m"}}):
        with pytest.raises(Fault) as caught:
            upload_wire.read_certificate(200, {}, json.dumps(said).encode())
        assert caught.value.kind == "throttled"
