"""`[answer]`: typed columns from replies, against a service that lies, and through everything that an answer goes
through."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from support.counted_job import CountedJob
from support.counting_server import Asked, CountingServer, Told

from pipeline.errors import PipelineError

FIELDS = """
[answer]
fields = { title = "text", price = "number?", count = "whole number", new = "yes or no", tags = "list of text", \
sizes = "list of number", kind = ["photo", "drawing"] }
"""
GOOD: dict[str, Any] = {
    "title": "a cup",
    "price": 3,
    "count": 2,
    "new": True,
    "tags": ["red", "old"],
    "sizes": [1, 2.5],
    "kind": "photo",
}
TYPES = {
    "title": "VARCHAR",
    "price": "DOUBLE",
    "count": "BIGINT",
    "new": "BOOLEAN",
    "tags": "VARCHAR[]",
    "sizes": "DOUBLE[]",
    "kind": "VARCHAR",
}
FITS = (
    json.dumps(GOOD),
    json.dumps(GOOD, indent=2),
    f"```json\n{json.dumps(GOOD)}\n```",
    f"Here is the {{JSON}}: {json.dumps(GOOD)} I hope it helps.",
    json.dumps({name: value for name, value in GOOD.items() if name != "price"}),
    json.dumps([GOOD]),
    json.dumps(GOOD | {"title": "brace } and \\u00e9 \ud83d\ude00"}),
)
LIES = (
    "I am sorry, I cannot do that.",
    json.dumps(GOOD)[:-9],
    json.dumps(GOOD | {"count": "two"}),
    json.dumps(GOOD | {"count": 2.5}),
    json.dumps(GOOD | {"count": 2**70}),
    json.dumps(GOOD | {"kind": "sculpture"}),
    json.dumps(GOOD | {"new": None}),
    json.dumps(GOOD | {"tags": "red"}),
    json.dumps(GOOD | {"colour": "red"}),
    json.dumps([GOOD, GOOD]),
    "{" * 300,
    json.dumps(GOOD).replace("3", "NaN"),
    json.dumps(GOOD).replace("a cup", "\\ud800"),
)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-counting")
    with CountingServer() as started:
        yield started


def job_of(folder: Path, server: CountingServer, texts: list[str], more: str = FIELDS) -> CountedJob:
    """A job of as many rows, in which each row gets its text."""
    job = CountedJob(folder, server)
    job.write(more=more)
    ids = job.numbered(len(texts))
    told = dict(zip(ids, texts, strict=True))
    server.script = lambda asked, n: Told(text=told[asked.id])
    return job


def test_each_of_200_rows_is_typed_or_suspect(tmp_path, server):
    texts = [(*FITS, *LIES)[number % (len(FITS) + len(LIES))] for number in range(200)]
    job = job_of(tmp_path, server, texts)
    summary = job.job().run()
    right = {f"r{number}" for number, text in enumerate(texts) if text in FITS}
    assert {id_ for (id_,) in job.sql("select id from results")} == right
    assert summary.answered == len(right)
    assert set(job.sql("select fault, code from failures")) == {("suspect", "Local.Schema")}
    assert summary.answered + job.sql("select count(*) from failures")[0][0] == 200
    types = {row[0]: row[1] for row in job.sql("describe results")}
    assert {name: types[name] for name in TYPES} == TYPES
    assert job.sql(f"select {', '.join(TYPES)} from results where id = 'r0'") == [
        ("a cup", 3.0, 2, True, ["red", "old"], [1.0, 2.5], "photo")
    ]
    assert job.sql("select answer from results where id = 'r0'") == [(FITS[0],)]
    assert job.sql("select price from results where id = 'r4'") == [(None,)]


def test_what_does_not_fit_is_said_without_the_reply(tmp_path, server):
    job = job_of(tmp_path, server, [*LIES[2:4], json.dumps(GOOD | {"kind": "sk-0123456789abcdef"})])
    job.job().run()
    messages = [message for (message,) in job.sql("select message from failures order by id")]
    assert "count: found a string, expected integer" in messages[0]
    assert "kind: is none of photo, drawing" in messages[2]
    assert not any("sk-0123" in message for message in messages)


def test_the_columns_are_typed_in_polars_also_without_any_value(tmp_path, server):
    absent = json.dumps({name: value for name, value in GOOD.items() if name != "price"})
    job = job_of(tmp_path, server, [absent])
    job.job().run()
    with job.job().connect() as connection:
        frame = connection.sql(f"select {', '.join(TYPES)} from results").pl()
    assert frame.schema == {
        "title": pl.String,
        "price": pl.Float64,
        "count": pl.Int64,
        "new": pl.Boolean,
        "tags": pl.List(pl.String),
        "sizes": pl.List(pl.Float64),
        "kind": pl.String,
    }


def test_a_schema_file_makes_columns_and_objects_are_json(tmp_path, server):
    schema = {
        "type": "object",
        "properties": {
            "title": {"type": "string"},
            "maker": {"type": "object", "properties": {"name": {"type": "string"}}},
            "rating": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        },
        "required": ["title"],
    }
    (tmp_path / "product.json").write_text(json.dumps(schema))
    answer = {"title": "cup", "maker": {"name": "Ann"}}
    job = job_of(tmp_path, server, [json.dumps(answer)], "[answer]\nschema = 'product.json'\n")
    job.job().run()
    assert job.sql("select title, maker->>'$.name', rating from results") == [("cup", "Ann", None)]
    assert job.sql("select typeof(rating) from results") == [("BIGINT",)]


def test_the_schema_is_part_of_the_question(tmp_path, server):
    job = job_of(tmp_path, server, [json.dumps(GOOD)] * 3)
    job.job().run()
    assert job.job().run().done == 3
    job.write(more=FIELDS.replace('"whole number"', '"whole number?"'))
    with pytest.raises(PipelineError, match=r'3 answered rows of 3 .*answer\.count was {"type":"integer"}, is '):
        job.job().run()
    assert job.job().run(changed="redo").answered == 3


def test_a_field_keeps_its_values_when_its_type_changes(tmp_path, server):
    job = job_of(tmp_path, server, [json.dumps(GOOD)])
    job.job().run()
    job.write(more=FIELDS.replace('count = "whole number"', 'count = "text"'))
    server.script = lambda asked, n: Told(text=json.dumps(GOOD | {"count": "two"}))
    job.job().run(changed="redo")
    assert job.sql("select count from versions order by seq") == [("2",), ("two",)]
    job.job().compact()
    assert job.sql("select count from versions order by seq") == [("2",), ("two",)]


def test_a_column_of_the_row_with_the_name_of_a_field_is_kept_beside_it(tmp_path, server):
    job = job_of(tmp_path, server, [json.dumps(GOOD), "no"])
    job.rows([{"id": "r0", "topic": "t", "Title": "mine"}, {"id": "r1", "topic": "t", "Title": "mine too"}])
    job.job().run()
    assert job.sql("select title, row_Title from results") == [("a cup", "mine")]
    assert job.sql("select row_Title from failures") == [("mine too",)]
    assert job.job().accept() == 1
    assert job.sql("select id, answer, title, row_Title from results order by id") == [
        ("r0", FITS[0], "a cup", "mine"),
        ("r1", "no", None, "mine too"),
    ]


def test_a_column_that_held_values_of_the_rows_is_not_taken_for_a_field(tmp_path, server):
    job = job_of(tmp_path, server, ["plain"], more="")
    job.rows([{"id": "r0", "topic": "t", "title": "mine"}])
    job.job().run()
    job.write(more=FIELDS)
    with pytest.raises(PipelineError, match="the column title holds what the rows say"):
        job.job().run(changed="redo")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ('fields = { model = "text" }', 'a column of ours is called "model"'),
        ('fields = { Answer = "text" }', 'a column of ours is called "Answer"'),
        ('fields = { a = "text", A = "text" }', "differ by case alone"),
        ('fields = { price = "numbr" }', 'did you mean "number"'),
        ("fields = { price = 3 }", "answer.fields.price: found 3"),
        ("fields = {}", "is empty"),
        ("again = true", "set either `fields` or `schema`"),
        ("schema = 'gone.json'", "gone.json cannot be read"),
        ("schema = { type = 'string' }", 'expected "type": "object"'),
        ("schema = { type = 'object', properties = { a = { type = 'txt' } } }", "is no JSON Schema"),
        (
            "schema = { type='object', properties={ a = { '$ref' = 'http://127.0.0.1/x' } } }",
            "may point into",
        ),
    ],
)
def test_an_answer_that_cannot_be_is_refused_before_anything_is_sent(tmp_path, server, answer, said):
    job = CountedJob(tmp_path, server)
    job.numbered(1)
    job.write(more=f"[answer]\n{answer}\n")
    with pytest.raises(PipelineError) as caught:
        job.job().run()
    assert said in str(caught.value)
    assert server.asked == []


def test_a_reply_that_does_not_fit_is_asked_once_more_if_so_set(tmp_path, server):
    job = job_of(tmp_path, server, ["no"], f"{FIELDS}again = true\n")
    server.script = lambda asked, n: Told(text="no" if n == 1 else json.dumps(GOOD))
    summary = job.job().run()
    assert (summary.answered, summary.attempts) == (1, 2)
    job = job_of(tmp_path, server, ["no"], f"{FIELDS}again = true\n")
    job.rows([{"id": "r5", "topic": "other"}])
    server.script = lambda asked, n: Told(text="no")
    assert job.job().run().attempts == 2


def test_equal_questions_share_typed_answers(tmp_path, server):
    job = CountedJob(tmp_path, server)
    job.write(prompt="Say [{topic}]", more=f"{FIELDS}\n[dedupe]\ncache = 'answers.db'\n")
    job.rows({"id": f"n{number}", "topic": "r0"} for number in range(3))
    server.script = lambda asked, n: Told(text=json.dumps(GOOD))
    job.job().run()
    job.rows({"id": f"n{number}", "topic": "r0"} for number in range(4))
    job.job().run()
    assert len(server.asked) == 1
    assert job.sql("select id, title, tags, count from results order by id") == [
        (f"n{number}", "a cup", ["red", "old"], 2) for number in range(4)
    ]


def test_the_last_of_several_questions_is_the_typed_one(tmp_path, server):
    job = job_of(tmp_path, server, [""])
    job.rows([{"id": "r0", "topic": "t", "prompts": ["Look [r0]", "Now say [r1]"]}])
    bodies: list[str] = []

    def script(asked: Asked, number: int) -> Told:
        bodies.append(asked.prompt)
        return Told(text="a red cup" if asked.id == "r0" else json.dumps(GOOD))

    server.script = script
    job.job().run()
    assert ["JSON" in body for body in bodies] == [False, True]
    assert job.sql("select title from results") == [("a cup",)]


def test_a_killed_run_keeps_typed_answers_of_the_journal(tmp_path, server):
    """The journal is sealed by another command than the one that wrote it."""
    import signal
    import subprocess
    import sys

    job = job_of(tmp_path, server, [json.dumps(GOOD)] * 50)
    told = server.script
    server.script = lambda asked, n: Told(text=None, seconds=None) if asked.id == "r49" else told(asked, n)
    run = subprocess.Popen([sys.executable, "-m", "pipeline", "run", str(job.path), "--quiet"])
    assert server.wait_asked(50, 30)
    while not any((job.output / "journal").glob("*")) or len(set(job.on_disk())) < 40:
        assert run.poll() is None
    run.send_signal(signal.SIGKILL)
    run.wait()
    job.job().compact()
    kept = job.sql("select count(*), count(*) filter (count = 2 and len(sizes) = 2) from results")
    assert kept[0][0] == kept[0][1] >= 40
