"""The embedded service keeps uploaded files within its bound, each for the model that it was uploaded for."""

from __future__ import annotations

from typing import Any

from pipeline.offline.upload_store import Store

HOST = "http://127.0.0.1/oss"


def form(fields: dict[str, bytes]) -> tuple[str, bytes]:
    """A multipart form with the file last, as OSS takes it."""
    parts = [
        b'--b\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
        % (name.encode(), b'; filename="f"' if name == "file" else b"", value)
        for name, value in fields.items()
    ]
    return "multipart/form-data; boundary=b", b"".join([*parts, b"--b--\r\n"])


def upload(store: Store, certificate: dict[str, Any], name: str, body: bytes) -> str:
    data = certificate["data"]
    key = f"{data['upload_dir']}/{name}"
    store.post(
        *form(
            {
                "OSSAccessKeyId": data["oss_access_key_id"].encode(),
                "Signature": data["signature"].encode(),
                "policy": data["policy"].encode(),
                "key": key.encode(),
                "file": body,
            }
        )
    )
    return f"oss://{key}"


def test_a_file_that_stays_when_older_ones_go_stays_with_its_model() -> None:
    store = Store(bound=25)
    of_a, of_b = (store.certificate(model, HOST, "r") for model in ("a", "b"))
    twice = upload(store, of_a, "same.jpg", b"1" * 10)
    assert upload(store, of_a, "same.jpg", b"2" * 10) == twice
    other = upload(store, of_b, "other.jpg", b"3" * 10)
    assert store.size == 20
    assert store.find(twice, "a") == b"2" * 10
    assert store.find(twice, "b") is None
    assert store.find(other, "b") == b"3" * 10
