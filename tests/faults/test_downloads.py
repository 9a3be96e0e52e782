"""`media.fetch = "here"`: what goes out, what is tried again, and what slow or hostile hosts can do."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.captures import whole_reply
from support.client import FAKE_KEY, KEY_NAME, Client, Seen, Service, failures, serving
from support.fault_server import Act, Asked
from support.hosts import host
from support.pictures import drawn, encoded

import pipeline
from pipeline import Job

PICTURE = encoded(drawn(64, 64))
GOOD = Act(body=PICTURE)
UNKNOWN = {"name": "openai", "model": "somebody/a-model"}
HERE = {"fetch": "here", "private": True}


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_NAME, FAKE_KEY)


@pytest.fixture
def service() -> Iterator[Service]:
    def answered(seen: Seen) -> tuple[int, bytes]:
        return 200, whole_reply("a picture", seen.path)

    with serving(instead=answered) as service:
        yield service


def job_of(folder: Path, service: Service, *urls: str, **tables: Any) -> Job:
    rows = [{"id": f"{place:03}", "image": url, "prompt": f"What is in {place}?"} for place, url in enumerate(urls)]
    return Client(folder, service.url).job(rows, provider=UNKNOWN, **{"media": HERE, **tables})


def by_path(acts: dict[str, Act | list[Act]], usual: Act = GOOD) -> Callable[[Asked], Act]:
    """A script by path; of a list each request takes one, and the last one stays."""

    def script(asked: Asked) -> Act:
        act = acts.get(asked.path, usual)
        if isinstance(act, list):
            return act.pop(0) if len(act) > 1 else act[0]
        return act

    return script


def to(location: str, status: int = 302) -> Act:
    return Act(status=status, headers=(("location", location),), body=b"")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_of_a_picture_are_followed_without_key(tmp_path: Path, service: Service, status: int) -> None:
    with host(by_path({})) as other, host(by_path({})) as first:
        first.script = by_path({"/a": to("/b?x=%2F", status), "/b?x=%2F": to(f"{other.url}/c", status)})
        assert job_of(tmp_path, service, f"{first.url}/a").run().answered == 1
        asked = [*first.asked, *other.asked]
        assert [one.path for one in asked] == ["/a", "/b?x=%2F", "/c"]
        assert not any(FAKE_KEY in str(one.headers) or "authorization" in one.headers for one in asked)


@pytest.mark.parametrize(
    ("acts", "words", "asked"),
    [
        ({"/a": to("file:///etc/passwd")}, "file", 1),
        ({"/a": to("ftp://h/x")}, "ftp", 1),
        ({"/a": to("")}, "nowhere", 1),
        ({"/a": to("/a")}, "5 redirects", 6),
        ({"/a": Act(status=304, body=b"")}, "HTTP 304", 1),
    ],
)
def test_redirects_that_lead_nowhere_fail_their_row(
    tmp_path: Path, service: Service, acts: dict[str, Any], words: str, asked: int
) -> None:
    with host(by_path(acts)) as server:
        job = job_of(tmp_path, service, f"{server.url}/a", f"{server.url}/good")
        assert (job.run().answered, len(server.asked)) == (1, asked + 1)
        [failure] = failures(job)
        assert words in failure["message"]


@pytest.mark.parametrize(
    "path",
    ["/a?k=a%2Fb%3Ac", "/a%2fb/c", "/a/../b", "/~x/(1)'*;v=1,2@:!$&+=", "/?a=b?c/d", "/%E4%BD%A0?q=%e4", "/a//b"],
)
def test_a_valid_url_goes_out_byte_for_byte(tmp_path: Path, service: Service, path: str) -> None:
    with host(by_path({})) as server:
        assert job_of(tmp_path, service, server.url + path).run().answered == 1
        assert [one.path for one in server.asked] == [path]


def test_what_no_url_may_hold_is_percent_encoded(tmp_path: Path, service: Service) -> None:
    with host(by_path({})) as server:
        assert job_of(tmp_path, service, f"{server.url}/a b/猫.jpg?q=1%2F2").run().answered == 1
        assert [one.path for one in server.asked] == ["/a%20b/%E7%8C%AB.jpg?q=1%2F2"]


@pytest.mark.parametrize(
    "act",
    [
        Act(status=429, headers=(("retry-after", "0"),), body=b""),
        Act(status=503, body=b""),
        Act("cut", body=PICTURE),
        Act("drop"),
        Act("garbage"),
    ],
    ids=["429", "503", "cut", "drop", "garbage"],
)
def test_a_download_is_tried_again_by_the_rules_of_retry(tmp_path: Path, service: Service, act: Act) -> None:
    with host(by_path({"/a": [act, GOOD]})) as server:
        summary = job_of(tmp_path, service, f"{server.url}/a").run()
        assert (summary.answered, len(server.asked)) == (1, 2)
    with host(by_path({"/a": act})) as server:
        job = job_of(tmp_path, service, f"{server.url}/a", retry={"attempts": 2}, output="again")
        assert job.run().failed == 1
        # aiohttp repeats a GET by itself once, where the host hung up without a byte.
        assert len(server.asked) == (4 if act.kind == "drop" else 2)
        assert failures(job)[0]["fault"] in ("transient", "malformed")


def test_a_picture_that_is_not_there_is_not_tried_again(tmp_path: Path, service: Service) -> None:
    with host(by_path({"/a": Act(status=404, body=b"no")})) as server:
        job = job_of(tmp_path, service, f"{server.url}/a")
        assert (job.run().failed, len(server.asked)) == (1, 1)
        assert failures(job)[0]["code"] == "Local.DownloadFailed"


def test_hosts_and_services_are_told_the_products_name(tmp_path: Path, service: Service) -> None:
    with host(by_path({})) as server:
        job_of(tmp_path, service, f"{server.url}/a").run()
        agents = [server.asked[0].headers["user-agent"], service.seen[0].headers["user-agent"]]
    assert agents == [f"multimodal-batch/{pipeline.__version__}"] * 2


def test_slow_hosts_hold_no_other_row_and_end_in_time(tmp_path: Path, service: Service) -> None:
    """Twelve hosts that send a byte a second: more than rows are prepared at once."""
    waiting: list[int] = []

    def script(asked: Asked) -> Act:
        if asked.path.startswith("/slow"):
            return Act("drip", body=PICTURE, gap=1.0)
        waiting.append(server.in_flight)
        return GOOD

    with host(script) as server:
        urls = [*(f"{server.url}/slow{n}" for n in range(12)), *(f"{server.url}/good{n}" for n in range(20))]
        limits = {"timeouts": {"total": 3.0}, "retry": {"attempts": 1}}
        job = job_of(tmp_path, service, *urls, **limits)
        summary = job.run()
        assert (summary.answered, summary.failed) == (20, 12)
        assert {one["code"] for one in failures(job)} == {"Local.TotalTimeout"}
        # The good pictures were asked for while the slow ones were still on their way.
        assert max(waiting) >= 12


def test_the_rows_deadline_ends_the_tries_of_a_download(tmp_path: Path, service: Service) -> None:
    limits = {"timeouts": {"total": 1.0, "read": 1.0}, "retry": {"attempts": 50, "deadline": "3s"}}
    with host(by_path({"/a": Act("hang")})) as server:
        job = job_of(tmp_path, service, f"{server.url}/a", **limits)
        assert job.run().failed == 1
        assert 2 <= len(server.asked) <= 4
        [failure] = failures(job)
        assert (failure["fault"], failure["attempt_count"]) == ("transient", 0)


def test_a_picture_of_two_gigabytes_packed_is_not_unpacked(tmp_path: Path, service: Service) -> None:
    bomb = Act(body=gzip.compress(b"\0" * 200_000_000), headers=(("content-encoding", "gzip"),))
    with host(by_path({"/a": bomb})) as server:
        job = job_of(tmp_path, service, f"{server.url}/a", f"{server.url}/good")
        assert job.run().answered == 1
        assert failures(job)[0]["code"] == "Local.TooLarge"


PRIVATE = ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.1", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]"]


@pytest.mark.parametrize("name", PRIVATE)
def test_private_addresses_are_refused_unless_allowed(tmp_path: Path, service: Service, name: str) -> None:
    with host(by_path({})) as server:
        url = server.url.replace("127.0.0.1", name) + "/a"
        job = job_of(tmp_path, service, url, media={"fetch": "here"})
        assert (job.run().failed, len(server.asked)) == (1, 0)
        [failure] = failures(job)
        # A number that is no address in the usual writing is no host either.
        odd = name in ("127.1", "2130706433")
        assert failure["code"] == ("Local.InvalidUrl" if odd else "Local.PrivateAddress")
        assert odd or "media.private" in failure["message"]


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "169.254.169.254", "10.0.0.1"])
def test_a_redirect_to_a_private_address_is_refused(
    tmp_path: Path, service: Service, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A public host is played by a proxy: no packet leaves the machine."""
    with host(by_path({})) as inside:
        target = inside.url.replace("127.0.0.1", name) + "/secret"
        with host(by_path({"http://public.test/a": to(target)})) as proxy:
            monkeypatch.setenv("HTTP_PROXY", proxy.url)
            job = job_of(tmp_path, service, "http://public.test/a", media={"fetch": "here"})
            job.run()
        assert [one.path for one in proxy.asked] == ["http://public.test/a"]
        assert inside.asked == []
        assert failures(job)[0]["code"] == "Local.PrivateAddress"
