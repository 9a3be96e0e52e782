"""Equal questions are asked once: in flight, later in the run and across runs; SQL tells shared from bought."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from support.client import Client, found
from support.counted_job import CountedJob
from support.counting_server import PLAIN, Asked, CountingServer, Told

pytestmark = pytest.mark.usefixtures("event_loop_goes_on")

PRICE = '[models.m1]\nprice = { input = 1000, output = 2000, currency = "CNY" }\n'
COST = (10 * 1000 + 5 * 2000) / 1_000_000


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[CountingServer]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-counting")
    with CountingServer() as server:
        yield server


@pytest.fixture
def job(tmp_path: Path, server: CountingServer) -> CountedJob:
    job = CountedJob(tmp_path, server)
    job.write(prompt="Say {topic}", more=PRICE)
    return job


def rows(**topics: str) -> list[dict[str, str]]:
    """Rows whose id is the name and whose question is the value."""
    return [{"id": id_, "topic": topic} for id_, topic in topics.items()]


def pictures(job: CountedJob, **colours: str) -> None:
    """A manifest of pictures; of equal colour they are equal to the byte."""
    for name, colour in colours.items():
        Image.new("RGB", (32, 32), colour).save(job.folder / f"{name}.png")
    job.write(prompt="What is it?", more=PRICE)
    job.rows({"id": name, "image": f"{name}.png"} for name in colours)


WHO = "select id, answer, shared_with, attempt_count from results order by id"


def test_equal_questions_in_flight_are_asked_once(job: CountedJob, server: CountingServer) -> None:
    job.rows(rows(a="cats", b="cats", c="dogs", d="cats"))
    summary = job.job().run()
    assert (summary.exit_code, summary.answered, summary.shared, summary.failed) == (0, 2, 2, 0)
    assert len(server.asked) == 2
    cats, dogs = "m1 says of Say cats", "m1 says of Say dogs"
    assert job.sql(WHO) == [("a", cats, None, 1), ("b", cats, "a", 0), ("c", dogs, None, 1), ("d", cats, "a", 0)]


def test_equal_pictures_under_two_names_are_asked_once(job: CountedJob, server: CountingServer) -> None:
    pictures(job, a="red", b="red", c="blue")
    summary = job.job().run()
    assert (summary.answered, summary.shared, len(server.asked)) == (2, 1, 2)
    bought, shared = job.sql(
        "select shared_with, source[1] from results where id < 'c' order by shared_with nulls first"
    )
    assert (bought[0], shared[0]) == (None, Path(bought[1]).stem)
    assert {Path(bought[1]).name, Path(shared[1]).name} == {"a.png", "b.png"}


def test_an_answer_is_shared_long_after_it_was_given(job: CountedJob, server: CountingServer) -> None:
    """More different answers lie between the two than are held in memory."""
    server.script = lambda asked, n: Told(text=f"{asked.prompt} {' '.join(map(str, range(2_000)))}")
    job.rows([*rows(first="same"), *rows(**{f"r{n}": f"topic {n}" for n in range(700)}), *rows(last="same")])
    summary = job.job().run()
    assert (summary.answered, summary.shared, len(server.asked)) == (701, 1, 701)
    assert job.sql("select shared_with, answer = (select answer from results where id = 'first') from results "
                   "where id = 'last'") == [("first", True)]  # fmt: skip


def test_cost_and_tokens_are_counted_once_everywhere(job: CountedJob, server: CountingServer) -> None:
    job.rows(rows(a="cats", b="cats", c="cats"))
    summary = job.job().run()
    assert (summary.cost, summary.input_tokens, summary.output_tokens, summary.attempts) == (COST, 10, 5, 1)
    sums = "select sum(cost), sum(input_tokens), sum(output_tokens), sum(attempt_count), count(latency_ms) from results"
    assert job.sql(sums) == [(COST, 10, 5, 1, 1)]
    assert job.sql("select count(*), sum(cost) from attempts") == [(1, COST)]
    assert job.sql("select attempts, cost from spend") == [(1, COST)]
    assert job.sql("select rows, sent, answered, shared, cost from runs") == [(3, 1, 1, 2, COST)]


def test_a_budget_pays_for_an_equal_question_once(job: CountedJob, server: CountingServer) -> None:
    job.write(prompt="Say {topic}", more=PRICE + "[provider.parameters]\nmax_tokens = 5\n[budget]\nmax_cost = 2.0\n")
    job.rows([{"id": f"r{n}", "topic": "cats"} for n in range(300)])
    summary = job.job().run()
    assert (summary.exit_code, summary.answered, summary.shared) == (0, 1, 299)


def test_a_row_keeps_what_is_its_own(job: CountedJob, server: CountingServer) -> None:
    job.rows([{"id": "a", "topic": "cats", "place": "x"}, {"id": "b", "topic": "cats", "place": "y"}])
    job.job().run()
    assert job.sql("select id, place, tier, request_id, finish_reason from results order by id") == [
        ("a", "x", "realtime", "chat-", "stop"),
        ("b", "y", "realtime", "chat-", "stop"),
    ]


def test_a_later_run_shares_what_an_earlier_one_bought(job: CountedJob, server: CountingServer) -> None:
    pictures(job, a="red")
    assert job.job().run().answered == 1
    pictures(job, a="red", b="red", c="blue")
    summary = job.job().run()
    assert (summary.answered, summary.shared, summary.skipped, len(server.asked)) == (1, 1, 1, 2)
    assert job.sql("select id, shared_with from results order by id") == [("a", None), ("b", "a"), ("c", None)]
    pictures(job, d="red")
    assert job.job().run().shared == 1
    # The row that bought it is named, not the one that it was read from.
    assert job.sql("select shared_with from results where id = 'd'") == [("a",)]


def test_an_address_is_shared_within_one_run_only(job: CountedJob, server: CountingServer) -> None:
    job.write(prompt="What is it?")
    latest = "http://127.0.0.1/latest.jpg"
    job.rows({"id": id_, "image": latest} for id_ in ("a", "b"))
    assert (job.job().run().shared, len(server.asked)) == (1, 1)
    job.rows({"id": id_, "image": latest} for id_ in ("a", "b", "c", "d"))
    summary = job.job().run()
    assert (summary.answered, summary.shared, len(server.asked)) == (1, 1, 2)
    assert job.sql("select id, shared_with from results order by id") == [
        ("a", None),
        ("b", "a"),
        ("c", None),
        ("d", "c"),
    ]


def test_a_fault_is_every_sharers_own_failure(job: CountedJob, server: CountingServer) -> None:
    server.script = lambda asked, n: Told(400, code="invalid_request")
    job.rows(rows(a="cats", b="cats", c="cats"))
    summary = job.job().run()
    assert (summary.exit_code, summary.answered, summary.shared, summary.failed) == (1, 0, 0, 3)
    assert len(server.asked) == 1
    assert job.sql("select id, fault, code, message, shared_with, attempt_count from failures order by id") == [
        ("a", "rejected", "invalid_request", "scripted 400", None, 1),
        ("b", "rejected", "invalid_request", "scripted 400", "a", 0),
        ("c", "rejected", "invalid_request", "scripted 400", "a", 0),
    ]
    assert [json.loads(row)["id"] for (row,) in job.sql("select row from failures order by id")] == ["a", "b", "c"]
    server.script = lambda asked, n: PLAIN
    again = job.job().reprocess("true")
    assert (again.exit_code, again.answered, again.shared, len(server.asked)) == (0, 1, 2, 2)
    assert job.sql("select count(*) from failures") == [(0,)]


def test_a_reprocess_of_one_row_leaves_the_others_as_they_are(job: CountedJob, server: CountingServer) -> None:
    server.script = lambda asked, n: Told(400, code="invalid_request")
    job.rows(rows(a="cats", b="cats"))
    job.job().run()
    server.script = lambda asked, n: PLAIN
    assert job.job().reprocess("id = 'a'").answered == 1
    assert job.sql("select id, shared_with from failures") == [("b", "a")]
    # Its question has an answer now: nothing is bought for it.
    assert (job.job().reprocess("true").shared, len(server.asked)) == (1, 2)


def test_a_transient_fault_is_asked_once_by_the_next_run(job: CountedJob, server: CountingServer) -> None:
    job.write(prompt="Say {topic}", more="[retry]\nattempts = 1\n")
    server.script = lambda asked, n: Told(500)
    job.rows(rows(a="cats", b="cats"))
    assert job.job().run().failed == 2
    server.script = lambda asked, n: PLAIN
    summary = job.job().run()
    assert (summary.exit_code, summary.answered, summary.shared, len(server.asked)) == (0, 1, 1, 2)


def test_a_failed_question_is_not_asked_again_in_the_same_run(job: CountedJob, server: CountingServer) -> None:
    server.script = lambda asked, n: Told(400, code="invalid_request") if asked.prompt == "Say bad" else PLAIN
    job.write(prompt="Say {topic}", concurrency=1, more="[circuit]\nratio = 1.0\n")
    topics = {f"r{n}": "bad" if n % 100 == 0 else f"topic {n}" for n in range(1_000)}
    job.rows(rows(**topics))
    assert job.job().run().failed == 10
    assert sum(asked.prompt == "Say bad" for asked in server.asked) == 1


def test_sharers_of_a_suspect_are_accepted_one_or_all(job: CountedJob, server: CountingServer) -> None:
    server.script = lambda asked, n: Told(finish="length")
    job.rows(rows(a="cats", b="cats", c="cats"))
    assert job.job().run().failed == 3
    assert job.sql("select id, fault, shared_with from failures order by id") == [
        ("a", "suspect", None),
        ("b", "suspect", "a"),
        ("c", "suspect", "a"),
    ]
    assert job.job().accept("id = 'b'") == 1
    assert job.sql(WHO) == [("b", "m1 says of Say cats", "a", 0)]
    assert job.job().accept() == 2
    assert [row[0] for row in job.sql(WHO)] == ["a", "b", "c"]
    assert job.sql("select sum(cost) from results") == [(COST,)]
    assert len(server.asked) == 1


def test_sharers_are_left_when_their_call_is(job: CountedJob, server: CountingServer) -> None:
    server.script = lambda asked, n: Told(401, code="invalid_api_key")
    job.rows(rows(a="cats", b="cats", c="cats"))
    summary = job.job().run()
    assert (summary.exit_code, summary.left, summary.failed, summary.shared) == (4, 3, 0, 0)
    server.script = lambda asked, n: PLAIN
    again = job.job().run()
    assert (again.exit_code, again.answered, again.shared) == (0, 1, 2)


def test_faults_of_one_question_count_once_for_the_circuit(job: CountedJob, server: CountingServer) -> None:
    server.script = lambda asked, n: Told(400, code="invalid_request") if asked.prompt == "Say bad" else PLAIN
    job.write(prompt="Say {topic}", concurrency=1, more="[circuit]\nmin_calls = 4\nratio = 0.5\n")
    topics = {f"b{n}": "bad" for n in range(100)} | {f"r{n}": f"topic {n}" for n in range(20)}
    job.rows(rows(**topics))
    summary = job.job().run()
    assert (summary.stop_reason, summary.answered, summary.failed) == ("finished", 20, 100)


def test_equal_questions_are_each_asked_where_the_job_says_so(job: CountedJob, server: CountingServer) -> None:
    server.script = lambda asked, n: Told(text=f"sample {n}")
    job.write(prompt="Say {topic}", more="[dedupe]\nequal = false\n")
    job.rows(rows(a="cats", b="cats", c="cats"))
    summary = job.job().run()
    assert (summary.answered, summary.shared, len(server.asked)) == (3, 0, 3)
    assert sorted(job.sql("select answer, shared_with from results")) == [(f"sample {n}", None) for n in (1, 2, 3)]
    assert job.job().run().skipped == 3


def test_dropping_superseded_rows_takes_no_shared_answer(job: CountedJob, server: CountingServer) -> None:
    job.rows(rows(a="cats", b="cats", c="cats"))
    job.job().run()
    job.rows(rows(a="dogs", b="cats"))
    assert job.job().run(changed="redo").answered == 1
    job.job().compact(drop_superseded=True)
    cats, dogs = "m1 says of Say cats", "m1 says of Say dogs"
    assert job.sql("select id, answer from results order by id") == [("a", dogs), ("b", cats), ("c", cats)]
    job.rows(rows(a="dogs", b="cats", d="cats"))
    assert (job.job().run().shared, len(server.asked)) == (1, 2)
    assert job.sql("select shared_with from results where id = 'd'") == [("a",)]


def test_many_more_sharers_than_fit_wait_for_one_answer(job: CountedJob, server: CountingServer) -> None:
    release = threading.Event()

    def script(asked: Asked, n: int) -> Told:
        threading.Timer(0.5, release.set).start()
        return Told(seconds=0.5)

    server.script = script
    job.rows([{"id": f"r{n}", "topic": "cats", "pad": "x" * 1000} for n in range(12_000)])
    summary = job.job().run()
    assert (summary.answered, summary.shared, len(server.asked)) == (1, 11_999, 1)
    assert job.sql("select count(*), count(distinct id), count(shared_with) from results") == [(12_000, 12_000, 11_999)]


def test_many_more_sharers_than_fit_wait_for_one_refusal(job: CountedJob, server: CountingServer) -> None:
    """The first refusals of a run are held back: the rows that wait for one must not wait for ever."""
    server.script = lambda asked, n: Told(400, code="x", seconds=0.2) if asked.prompt == "Say bad" else PLAIN
    topics = {f"b{n}": "bad" for n in range(5_000)} | {f"r{n}": f"topic {n}" for n in range(5)}
    job.rows(rows(**topics))
    summary = job.job().run()
    assert (summary.answered, summary.failed, len(server.asked)) == (5, 5_000, 6)


def test_a_wrong_job_is_found_out_by_its_calls_not_its_rows(job: CountedJob, server: CountingServer) -> None:
    server.script = lambda asked, n: Told(400, code="invalid_request")
    job.rows({"id": f"r{n}", "topic": f"topic {n % 40}"} for n in range(400))
    summary = job.job().run()
    assert (summary.exit_code, summary.stop_reason, summary.failed, summary.left) == (4, "circuit", 0, 400)
    assert len(server.asked) < 40
    assert job.sql("select count(*) from failures") == [(0,)]


def test_a_limit_counts_the_rows_that_are_taken_up(job: CountedJob, server: CountingServer) -> None:
    job.rows(rows(a="cats", b="cats", c="cats", d="dogs"))
    summary = job.job().run(limit=2)
    assert (summary.answered, summary.shared, summary.left, summary.remaining) == (1, 1, 0, 2)


def test_the_summary_and_the_metrics_say_shared(job: CountedJob, server: CountingServer, tmp_path: Path) -> None:
    from pipeline.report.summary import lines

    job.rows(rows(a="cats", b="cats", c="dogs"))
    summary = job.job().run(metrics=str(tmp_path / "m.prom"))
    assert ": 2 answered, 1 shared, 0 failed" in next(lines(summary))
    assert (summary.figures["shared"], summary.sent) == (1, 2)
    assert "pipeline_rows_shared_total" in (tmp_path / "m.prom").read_text()
    job.rows(rows(a="cats", b="cats", c="dogs", d="cats"))
    told = list(lines(job.job().run()))
    assert ": 0 answered, 1 shared, 0 failed" in told[0]
    assert told[-1].startswith("exit 0: the manifest is answered")


def test_every_answer_of_a_conversation_is_shared(job: CountedJob, server: CountingServer) -> None:
    job.write()
    job.rows({"id": id_, "prompts": ["What is it?", "Which colour?"]} for id_ in ("a", "b"))
    summary = job.job().run()
    assert (summary.answered, summary.shared, len(server.asked)) == (1, 1, 2)
    said = ["m1 says of What is it?", "m1 says of Which colour?"]
    told = job.sql("select id, answer, extra::json->'answers', shared_with from results order by id")
    assert [(id_, answer, json.loads(answers), who) for id_, answer, answers, who in told] == [
        ("a", said[1], said, None),
        ("b", said[1], said, "a"),
    ]


def test_vectors_of_equal_rows_are_no_suspects(tmp_path: Path) -> None:
    model = {"name": "dashscope", "model": "multimodal-embedding-one-peace-v1"}
    rows = [{"id": f"r{n}", "text": "a red bicycle"} for n in range(8)]
    job = Client(tmp_path, None).job(rows, task="embed", provider=model)
    summary = job.run()
    assert (summary.exit_code, summary.answered, summary.shared) == (0, 1, 7)
    same = found(job, "select count(distinct embedding) as n, count(*) as rows, sum(attempt_count) as a from results")
    assert same == [{"n": 1, "rows": 8, "a": 1}]
