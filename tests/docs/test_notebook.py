"""The Python API as a notebook uses it: inside a running event loop, from a frame to typed results with pictures."""

from __future__ import annotations

import asyncio
import re
import textwrap
from pathlib import Path

import nbformat
import numpy as np
import polars as pl
import pytest
from nbclient import NotebookClient

import pipeline
from pipeline import Job, JobError, PipelineError

ROOT = Path(__file__).parents[2]
PHOTOS = ROOT / "sample_data" / "photos"


@pytest.fixture(scope="module")
def embedded(tmp_path_factory) -> Job:
    job = Job.load(ROOT / "jobs" / "embeddings.toml", offline=True, output=tmp_path_factory.mktemp("v") / "out")
    job.run()
    return job


def captions(folder: Path) -> Job:
    pictures = [str(PHOTOS / "chelsea.jpg"), str(PHOTOS / "coffee.jpg")]
    frame = pl.DataFrame({"id": ["<cat>", "cup"], "image": pictures})
    fields = {"title": "text", "colors": "list of text"}
    return Job(
        task="caption", manifest=frame, output=folder / "out", offline=True, overrides={"answer": {"fields": fields}}
    )


def test_run_works_where_an_event_loop_runs(tmp_path):
    job = captions(tmp_path)

    async def cell():
        return job.run()

    assert asyncio.run(cell()).answered == 2


def test_results_come_as_arrow_polars_and_pandas(tmp_path):
    job = captions(tmp_path)
    job.run()
    arrow, frame, pandas = (job.results(form, columns=["id", "colors"]) for form in ("arrow", "polars", "pandas"))
    assert arrow.to_pylist() == frame.to_dicts()
    assert [row["id"] for row in arrow.to_pylist()] == ["<cat>", "cup"]
    assert frame.schema["colors"] == pl.List(pl.String)
    assert list(pandas["id"]) == ["<cat>", "cup"]
    with pytest.raises(JobError, match="no column 'color'; did you mean \"colors\""):
        job.results(columns=["color"])
    with pytest.raises(JobError, match="expected one of arrow, polars, pandas"):
        job.results("numpy")  # type: ignore[arg-type]


def test_vectors_are_one_array(embedded):
    ids, array = embedded.vectors()
    assert (array.shape, array.dtype) == ((len(ids), 1536), np.float32)
    assert ids == sorted(ids)
    stored = embedded.connect().sql("select embedding from results order by id limit 1").fetchall()[0][0]
    assert array[0].tolist() == pytest.approx(list(stored))


def test_a_job_without_vectors_says_so(tmp_path):
    with pytest.raises(JobError, match="task caption makes no vectors"):
        captions(tmp_path).vectors()


def test_errors_and_version_are_names_of_the_package():
    assert pipeline.__version__
    assert issubclass(pipeline.JobError, PipelineError)
    assert {"Locked", "MachineError", "ManifestError", "MissingExtra", "QueryError", "StoreError"} <= set(dir(pipeline))


def test_a_job_shows_its_status_and_pictures_as_html_that_is_inert(tmp_path):
    job = captions(tmp_path)
    assert "nothing has run yet" in job._repr_html_()
    summary = job.run()
    shown = job._repr_html_()
    assert shown.count('<img alt="" src="data:image/webp;base64,') == 2
    assert "&lt;cat&gt;" in shown
    assert "<cat>" not in shown
    assert "Egyptian cat" in shown
    assert not re.search(r"<script|https?://", shown)
    assert "2 answered" in summary._repr_html_()
    assert "rows" in job.plan()._repr_html_()


def test_a_notebook_goes_from_a_frame_to_typed_results(tmp_path):
    pictures = [str(PHOTOS / name) for name in ("chelsea.jpg", "coffee.jpg")]
    cells = f"""
    import polars as pl
    from pipeline import Job
    frame = pl.DataFrame({{"id": ["cat", "cup"], "image": {pictures!r}}})
    answer = {{"fields": {{"title": "text", "colors": "list of text"}}}}
    job = Job(task="caption", manifest=frame, output="out", offline=True, overrides={{"answer": answer}})
    ---
    job.run()
    ---
    job
    ---
    job.results("polars", columns=["id", "title", "colors"])
    """
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(cell.strip()) for cell in textwrap.dedent(cells).split("---")]
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    _, ran, job, results = [cell.outputs for cell in notebook.cells]
    texts = ["".join(output.get("data", {}).get("text/html", "")) for output in ran]
    assert any("100%  2/2" in text for text in texts), "the progress"
    assert any("2 answered" in text for text in texts), "the summary"
    assert '<img alt="" src="data:image/webp' in job[-1]["data"]["text/html"]
    assert "list[str]" in results[-1]["data"]["text/html"]
