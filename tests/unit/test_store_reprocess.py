"""Choosing failed rows in SQL, and accepting held-back answers."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.store_records import answer, failure, keep, rows, states

from pipeline.errors import QueryError
from pipeline.store import Store
from pipeline.store.failed_rows import accept, failed_rows


def test_by_default_throttled_transient_and_malformed_rows_are_chosen(tmp_path: Path) -> None:
    kinds = ("throttled", "transient", "malformed", "rejected", "blocked", "suspect")
    keep(tmp_path, *(failure(kind, fault=kind) for kind in kinds), failure("closed", fault="throttled"))
    keep(tmp_path, answer("closed"))
    assert [row.id for row in failed_rows(tmp_path, "caption")] == ["throttled", "transient", "malformed"]


def test_any_condition_over_the_failures_and_the_rows_own_columns_chooses(tmp_path: Path) -> None:
    keep(
        tmp_path,
        failure("a", columns={"category": "x"}, code="Big", row={"image": "/p/a.jpg", "n": [1]}),
        failure("b", columns={"category": "y"}, manifest_fingerprint="M"),
    )
    (one,) = failed_rows(tmp_path, "caption", "category = 'x' -- the x ones")
    assert (one.id, one.code, one.row, one.manifest_fingerprint) == ("a", "Big", {"image": "/p/a.jpg", "n": [1]}, "A")
    (other,) = failed_rows(tmp_path, "caption", "category = 'y' or false")
    assert other.manifest_fingerprint == "M"


def test_a_condition_that_is_not_sql_is_told_in_duckdbs_words(tmp_path: Path) -> None:
    keep(tmp_path, failure("a"))
    with pytest.raises(QueryError, match="categorie"):
        list(failed_rows(tmp_path, "caption", "categorie = 1"))


def test_accept_makes_the_held_back_answer_the_rows_answer(tmp_path: Path) -> None:
    when = dt.datetime(2026, 11, 21, 6)
    more: dict[str, Any] = {
        "columns": {"when": when, "ID": 7},
        "extra": {"flag": 1},
        "cost": 0.5,
        "source": ("/p/a.jpg",),
    }
    held: dict[str, Any] = {"answer": {"caption": "cut off"}, "fault": "suspect", "stamp": "s1"}
    keep(tmp_path, failure("a", "A", **held, **more), failure("b", fault="suspect"), failure("c", fault="rejected"))
    with Store.open(tmp_path, "caption", run_id="r") as store:
        assert accept(store, "code = 'Local.Test'") == 1
        assert accept(store) == 0
    told = 'select id, caption, fingerprint, stale, extra, cost, source, "when", "row_ID", provider from results'
    assert rows(tmp_path, told) == [("a", "cut off", "A", False, '{"flag":1}', 0.5, ["/p/a.jpg"], when, 7, "dashscope")]
    assert rows(tmp_path, "select id from failures order by id") == [("b",), ("c",)]
    assert states(tmp_path, ("a", None, "s1")) == ["done"]


def test_accept_keeps_vectors_to_the_last_bit_and_what_they_answer(tmp_path: Path) -> None:
    floats = np.array([0.1, -0.0, 3.4e38], "<f4")
    held: dict[str, Any] = {"embedding": floats.tobytes(), "modalities": ["image"]}
    keep(tmp_path, failure("a", "X", fault="suspect", answer=held, manifest_fingerprint="A"), task="embed")
    with Store.open(tmp_path, "embed", run_id="r") as store:
        assert accept(store) == 1
    ((embedding, stale),) = rows(tmp_path, "select embedding, stale from results", "embed")
    assert np.array(embedding, "<f4").tobytes() == floats.tobytes()
    assert not stale
