"""The reference of the output folder is current, true to the views, and its queries run."""

from __future__ import annotations

import duckdb
import pytest
from support.store_records import answer, attempt, failure

from pipeline.store import Store
from pipeline.store.datasets import OUTCOME_COLUMNS, task_columns
from pipeline.store.reference import EXAMPLES, MEANINGS, PAGE, columns, reference


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    output = tmp_path_factory.mktemp("store") / "out"
    with Store.open(output, "caption", run_id="r") as store:
        store.answer(answer("a"), attempt("a"))
        store.failure(failure("b"))
    connection = duckdb.connect()
    connection.execute((output / "catalog.sql").read_text(encoding="utf-8"))
    return connection


def test_the_page_is_what_the_declarations_say():
    assert PAGE.read_text(encoding="utf-8") == reference(), "run python -m pipeline.store.reference"


@pytest.mark.parametrize("about", EXAMPLES)
def test_each_example_query_runs(views, about):
    assert EXAMPLES[about] in PAGE.read_text(encoding="utf-8")
    views.sql(EXAMPLES[about]).fetchall()


def test_the_page_has_every_view(views):
    found = views.sql("select view_name from duckdb_views() where schema_name = 'main' and not internal").fetchall()
    assert {name for (name,) in found} == set(MEANINGS)


@pytest.mark.parametrize("view", ["failures", "attempts", "turns", "runs", "spend", "results"])
def test_a_view_has_the_columns_and_types_of_the_page(views, view):
    relation = views.sql(f"select * from {view}")
    types = [str(type_).replace("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ") for type_ in relation.types]
    declared = (*OUTCOME_COLUMNS, *task_columns("caption")) if view == "results" else columns(view)
    found = list(zip(relation.columns, types, strict=True))
    assert found == [(column.name, column.type) for column in declared]
