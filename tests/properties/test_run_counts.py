"""Whatever happens in a run, its record counts every line of the manifest once."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.counted_job import CountedJob
from support.counting_server import PLAIN, Asked, CountingServer, Told
from support.store_disk import rounds

TOPICS = ("cats", "dogs", "fish", "birds")
FAULTS = {
    "rejected": Told(400, code="invalid_request"),
    "transient": Told(500),
    "suspect": Told(finish="length"),
    "account": Told(401, code="invalid_api_key"),
}
COUNTED = "answered + shared + failed + done + repeated + remaining"

row = st.fixed_dictionaries(
    {"topic": st.sampled_from(TOPICS)},
    optional={"id": st.integers(0, 99), "image": st.just("gone.png"), "url": st.just("http://127.0.0.1/latest.jpg")},
)
manifests = st.lists(row, max_size=9, unique_by=lambda fields: fields.get("id", object()))
commands = st.sampled_from(["run", "run", "run", "reprocess", "dismiss"])
options = st.fixed_dictionaries({}, optional={"limit": st.integers(0, 4), "sample": st.integers(0, 4)})
nights = st.tuples(
    manifests,
    commands,
    options,
    st.dictionaries(st.sampled_from(TOPICS), st.sampled_from(sorted(FAULTS)), max_size=2),
    st.sampled_from(["redo", "keep"]),
)


@pytest.fixture(scope="module")
def server() -> Iterator[CountingServer]:
    os.environ["OPENAI_API_KEY"] = "sk-counting"
    with CountingServer() as server:
        yield server


@settings(max_examples=rounds(25), deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(nights, min_size=1, max_size=4), st.sampled_from(["", "[budget]\nmax_cost = 0.05\n"]))
def test_every_line_is_counted_once(server: CountingServer, nights: list[Any], budget: str) -> None:
    price = "[models.m1]\nprice = { input = 1000, output = 2000 }\n[provider.parameters]\nmax_tokens = 5\n"
    with tempfile.TemporaryDirectory() as folder:
        job = CountedJob(Path(folder), server)
        job.write(prompt="Say {topic}", concurrency=2, more=f"[retry]\nattempts = 1\n{price}{budget}")
        for rows, command, options, faults, changed in nights:
            job.rows({"image": fields["url"], **fields} if "url" in fields else fields for fields in rows)
            server.script = partial(lambda faults, asked, n: told(asked, faults), faults)
            if command == "dismiss":
                job.job().dismiss("length(id) < 2", "no use")
            if command == "reprocess":
                options.pop("sample", None)
                summary = job.job().reprocess("true", **options)
            else:
                summary = job.job().run(changed=changed, **options)
                assert summary.rows == len(rows)
                whole = summary.answered + summary.shared + summary.open + summary.done + summary.repeated
                assert summary.rows == whole + summary.remaining
            counted = job.sql(f"select rows, {COUNTED}, answered, shared from runs where run_id = '{summary.run_id}'")
            assert counted == (
                [] if summary.run_id is None else [(*[counted[0][0]] * 2, summary.answered, summary.shared)]
            )


def told(asked: Asked, faults: dict[str, str]) -> Told:
    return next((FAULTS[fault] for topic, fault in faults.items() if asked.prompt == f"Say {topic}"), PLAIN)
