"""Vectors of another length than earlier ones: held back, unless the user changed the question."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.vector_server import VectorServer

from pipeline.api import Job
from pipeline.errors import JobError

LENGTHS = "select id, len(embedding) from results order by id"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[VectorServer]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-fake-of-vectors")
    with VectorServer(4) as running:
        yield running


def job(folder: Path, server: VectorServer, ids: str, more: str = "", **overrides: Any) -> Job:
    rows = "".join(json.dumps({"id": id_, "text": f"text {id_}"}) + "\n" for id_ in ids)
    (folder / "rows.jsonl").write_text(rows)
    (folder / "job.toml").write_text(
        "task = 'embed'\nmanifest = 'rows.jsonl'\noutput = 'out'\n[limits]\nconcurrency = 1\n"
        f"[provider]\nname = 'openai'\nmodel = 'own-embedder'\nbase_url = '{server.base_url}'\n{more}"
    )
    return Job.load(folder / "job.toml", overrides)


def lengths(job: Job) -> dict[str, int | None]:
    return dict(job.connect().sql(LENGTHS).fetchall())


@pytest.mark.parametrize("between", ["runs", "rows"])
def test_a_vector_of_another_length_is_suspect(tmp_path: Path, server: VectorServer, between: str) -> None:
    if between == "runs":
        assert job(tmp_path, server, "ab").run().exit_code == 0
        server.length = 6
        ran = job(tmp_path, server, "abc").run()
    else:
        before = server.answer

        def longer_at_last(asked: Any) -> Any:
            server.length = 6 if len(server.asked) == 2 else 4
            return before(asked)

        server.answer = longer_at_last  # type: ignore[method-assign]
        ran = job(tmp_path, server, "abc").run()
    assert ran.exit_code == 1
    found = job(tmp_path, server, "abc").connect().sql("select id, fault, code, message from failures").fetchall()
    assert [row[:3] for row in found] == [("c", "suspect", "Local.Dimension")]
    assert "6" in found[0][3]
    assert "4" in found[0][3]
    assert lengths(job(tmp_path, server, "abc")) == {"a": 4, "b": 4}


def test_another_length_is_kept_where_the_user_accepts_it(tmp_path: Path, server: VectorServer) -> None:
    job(tmp_path, server, "ab").run()
    server.length = 6
    changed = job(tmp_path, server, "abcd")
    changed.run()
    assert changed.accept() == 2
    assert lengths(changed) == {"a": None, "b": None, "c": 6, "d": 6}
    assert job(tmp_path, server, "abcde").run().exit_code == 0


def test_a_changed_question_may_have_another_length(tmp_path: Path, server: VectorServer) -> None:
    job(tmp_path, server, "ab").run()
    server.length = 6
    asked = job(tmp_path, server, "abc", "[provider.parameters]\nown_size = 6\n")
    with pytest.raises(JobError, match="own_size"):
        asked.run()
    assert lengths(asked) == {"a": 4, "b": 4}
    assert asked.run(changed="redo").exit_code == 0
    assert lengths(asked) == {"a": 6, "b": 6, "c": 6}


def test_a_declared_length_hides_no_vector_before_the_user_decides(tmp_path: Path, server: VectorServer) -> None:
    job(tmp_path, server, "ab", "[provider.parameters]\ndimensions = 4\n").run()
    changed = job(tmp_path, server, "ab", "[provider.parameters]\ndimensions = 6\n")
    with pytest.raises(JobError, match="dimensions"):
        changed.run()
    assert lengths(changed) == {"a": 4, "b": 4}
    server.length = 6
    assert changed.run(changed="redo").exit_code == 0
    assert lengths(changed) == {"a": 6, "b": 6}


def test_without_the_check_every_length_is_taken(tmp_path: Path, server: VectorServer) -> None:
    job(tmp_path, server, "ab", "[quality]\ndimension = false\n").run()
    server.length = 6
    assert job(tmp_path, server, "abc", "[quality]\ndimension = false\n").run().exit_code == 0
