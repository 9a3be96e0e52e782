"""`pipeline report --serve`: all rows, page by page, for a browser on this machine and for nobody else."""

from __future__ import annotations

import http.client
import io
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from PIL import Image
from support.report_pages import HOSTILE, data_of, job
from support.store_records import answer, failure, keep, vector

from pipeline import Job
from pipeline.errors import JobError
from pipeline.run.report_server import Live, ReportServer, Search

ROOT = Path(__file__).parents[2]
CAT = str(ROOT / "sample_data/photos/chelsea.jpg")
COLORS = ("red", "green", "blue")


class Client:
    def __init__(self, server: ReportServer) -> None:
        self.server = server

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
        """An answer, from the path as it is written. headers: `Host` is the server's own unless it is given."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port)
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        reply = connection.getresponse()
        found = reply.status, reply.read()
        connection.close()
        return found

    def get(self, name: str, values: dict[str, Any] | None = None) -> tuple[int, bytes]:
        return self.ask(f"/{self.server.secret}/{name}?{urlencode(values or {})}")

    def rows(self, **values: Any) -> tuple[list[str], int]:
        status, body = self.get("rows", values)
        assert status == 200, body
        found = json.loads(body)
        return [row["id"] for row in found["rows"]], found["total"]


@contextmanager
def served(made: Job, search: Search | None = None) -> Iterator[Client]:
    with made.report_server() if search is None else ReportServer(Live(made.spec, search)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Client(server)
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Job:
    records: list[Any] = [
        answer(f"a{number:03}", text=f"Caption {number} of a {COLORS[number % 3]} thing", source=[CAT],
               latency_ms=number, cost=None if number % 2 else number / 10, columns={"color": COLORS[number % 3]})
        for number in range(250)
    ]  # fmt: skip
    records += [failure(f"f{number}", code=f"Code{number % 2}", columns={"color": "red"}) for number in range(10)]
    records += [failure(HOSTILE[0], code=HOSTILE[3], message=HOSTILE[1])]
    return job(tmp_path_factory.mktemp("served"), "caption", *records)


@pytest.fixture(scope="module")
def client(made) -> Iterator[Client]:
    with served(made) as client:
        yield client


def test_pages_go_over_all_rows_once(client):
    seen: list[str] = []
    while len(seen) < 261:
        ids, total = client.rows(offset=len(seen), limit=100)
        assert total == 261
        seen += ids
    assert len(set(seen)) == 261
    assert client.rows(offset=261) == client.rows(offset=10**30) == ([], 261)


def test_a_page_has_a_bound(client):
    assert len(client.rows(limit=1_000_000)[0]) == 200


def test_text_is_searched_in_all_rows(client):
    assert client.rows(text="THING green caption 1", limit=200)[1] == sum(
        "1" in str(number) or "1" in f"a{number:03}" for number in range(250) if number % 3 == 1
    )
    assert client.rows(text="caption 249")[0] == ["a249"]
    assert client.rows(text="%") == client.rows(text="a\0") == ([], 0)
    assert client.rows(text="'; drop view results; --") == ([HOSTILE[0]], 1)
    assert client.rows(text="chelsea.jpg")[1] == 250


def test_filters_and_orders_are_those_of_sql(client, made):
    assert client.rows(state="failed")[1] == 11
    assert client.rows(state="answered")[1] == 250
    assert client.rows(state="shared") == ([], 0)
    assert client.rows(fault="rejected", code="Code1")[1] == 5
    assert client.rows(**{"field.color": "red"})[1] == 84 + 10
    assert client.rows(**{"field.color": "red", "state": "failed"})[1] == 10
    for sort, order in (("cost", "cost desc nulls last, seq"), ("latency", "latency_ms desc nulls last, seq")):
        expected = made.connect().sql(f"select id from results order by {order} limit 20").fetchall()
        assert client.rows(sort=sort, state="answered", limit=20)[0] == [id_ for (id_,) in expected]


def test_the_page_holds_the_figures_and_no_row(client):
    status, body = client.ask(f"/{client.server.secret}/")
    data = data_of(body)
    assert status == 200
    assert data["live"]
    assert data["rows"] == []
    assert data["totals"]["results"] == 250
    assert dict(data["facets"])["color"][0] == "red"
    assert sorted(dict(data["facets"])["color"]) == sorted(COLORS)


def test_a_row_that_arrives_is_there_when_the_page_is_loaded_again(tmp_path):
    made = job(tmp_path, "caption", answer("a"))
    with served(made) as client:
        assert client.rows() == (["a"], 1)
        keep(made.spec.output, answer("b", columns={"new": "column"}))
        assert client.rows() == (["a"], 1)
        _, body = client.ask(f"/{client.server.secret}/")
        assert data_of(body)["fields"] == [{"name": "new", "origin": "row"}]
        assert client.rows() == (["a", "b"], 2)
        assert client.rows(text="column") == (["b"], 1)


def test_pictures_are_those_of_rows(client, made):
    (seq,) = made.connect().sql("select seq from results where id = 'a000'").fetchall()[0]
    status, body = client.get("picture", {"seq": seq})
    assert status == 200
    assert Image.open(io.BytesIO(body)).size == (451, 300)
    (seq,) = made.connect().sql("select seq from failures where id = 'f0'").fetchall()[0]
    for values in ({"seq": seq}, {"seq": 10**9}):
        assert client.get("picture", values)[0] == 404
    for wrong in ("-1", "1.5", "/etc/passwd", "٣", "9" * 30, ""):
        assert client.get("picture", {"seq": wrong})[0] == 400


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1:1", ""])
def test_another_host_is_refused(client, host):
    assert client.ask(f"/{client.server.secret}/", Host=host)[0] == 403


def test_a_page_of_another_site_is_refused(client):
    for site in ("cross-site", "same-site"):
        assert client.ask(f"/{client.server.secret}/rows", Sec_Fetch_Site=site)[0] == 403
    assert client.ask(f"/{client.server.secret}/rows", Sec_Fetch_Site="same-origin")[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PROPFIND"])
def test_only_get_is_answered(client, method):
    assert client.ask(f"/{client.server.secret}/rows", method)[0] == 405


def test_without_the_secret_there_is_nothing(client):
    for path in (
        "/",
        "*",
        "/rows",
        "/wrong/rows",
        "//rows",
        f"/{client.server.secret}",
        f"/{client.server.secret}x/rows",
    ):
        assert client.ask(path)[0] == 404


def test_no_path_of_a_client_is_opened(client):
    secret = client.server.secret
    for path in ("../../etc/passwd", "%2e%2e/page.css", "page.css", "picture/../../x", f"{CAT}", "rows/x", "%c3%a9"):
        assert client.ask(f"/{secret}/{path}")[0] == 404


def test_wrong_parameters_are_refused_and_the_server_goes_on(client):
    for values in ({"sort": "id; drop"}, {"state": "x"}, {"offset": "x"}, {"field.nothing": "1"}):
        assert client.get("rows", values)[0] == 400
    assert client.get("near", {"seq": 1})[0] == 400
    assert client.rows(limit=1)[1] == 261


def test_it_listens_on_the_loopback_address_alone(client):
    assert client.server.server_address[0] == "127.0.0.1"
    assert client.server.socket.family == socket.AF_INET


def test_a_taken_port_is_said(client, made):
    with pytest.raises(JobError, match=r"--port \d+: .*any free port"):
        made.report_server(port=client.server.server_port)


def test_a_search_by_meaning_gives_its_own_order(made):
    asked = []

    def search(text: str, k: int) -> list[tuple[str, float]]:
        asked.append((text, k))
        return [("a007", 0.9), ("gone", 0.8), ("a003", 0.7), ("a100", 0.6)]

    with served(made, search=search) as client:
        assert data_of(client.ask(f"/{client.server.secret}/")[1])["search"]
        assert client.rows(text="a red cup", by="meaning") == (["a007", "a003", "a100"], 3)
        assert client.rows(text="a red cup", by="meaning", offset=1, limit=1) == (["a003"], 3)
        assert client.rows(text="a red cup", by="meaning", **{"field.color": "red"}) == (["a003"], 1)
        assert client.rows(text="caption 249") == (["a249"], 1)
    assert {text for text, _ in asked} == {"a red cup"}


def test_neighbours_are_found_on_demand(tmp_path):
    vectors = np.random.default_rng(5).normal(size=(30, 8)).astype(np.float32)
    made = job(tmp_path, "embed", *(vector(f"v{number}", floats) for number, floats in enumerate(vectors)))
    (seq,) = made.connect().sql("select seq from results where id = 'v4'").fetchall()[0]
    with served(made) as client:
        found = json.loads(client.get("near", {"seq": seq})[1])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = {row["seq"]: row["id"] for row in found["rows"]}
    assert [ids[seq] for seq, _ in found["near"]] == [
        f"v{place}" for place in np.argsort(-(unit @ unit[4])) if place != 4
    ][:6]


def test_a_job_that_embeds_is_searched_by_meaning_with_its_own_model(tmp_path):
    rows = [{"id": "cat", "text": "a cat"}, {"id": "sum", "text": "total 12.30"}]
    made = Job(task="embed", manifest=rows, output=tmp_path / "out", offline=True)
    made.run(progress=False)
    with served(made) as client:
        assert client.rows(text="a kitten", by="meaning")[0][0] == "cat"
        assert client.rows(text="12.30", by="meaning")[0][0] == "sum"
