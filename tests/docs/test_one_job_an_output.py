"""An output is one job's alone: another job is refused, and the same job goes on however its file was changed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.counted_job import CountedJob
from support.counting_server import CountingServer

from pipeline.api import Job


class Two:
    """Two jobs of one task beside each other, `a` and `b`, each with a manifest and an output of its own."""

    def __init__(self, folder: Path, server: CountingServer) -> None:
        self.folder, self.server = folder, server
        self.a, self.b = (CountedJob(folder, server) for _ in "ab")
        for name, job in (("a", self.a), ("b", self.b)):
            job.path, job.manifest = folder / f"{name}.toml", folder / f"{name}.jsonl"
            job.output = folder / "out" / name
            job.write()
            job.path.write_text(job.path.read_text().replace("rows.jsonl", f"{name}.jsonl"))
            job.rows({"id": f"{name}{number}", "topic": f"topic {number}"} for number in range(5))
        (folder / "job.toml").unlink()


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-counting-fake")


@pytest.fixture
def two(tmp_path: Path, server: CountingServer) -> Two:
    return Two(tmp_path, server)


@pytest.fixture
def resumes(pipeline, server: CountingServer):
    """Asserts that the arguments of `run` send nothing more and end well."""

    def check(arguments: Sequence[object], sent: int = 5) -> None:
        ran = pipeline("run", *arguments)
        assert ran.code == 0, ran.err
        assert len(server.asked) == sent

    return check


@pytest.mark.parametrize("command", ["run", "plan", "reprocess"])
def test_the_output_of_another_job_is_refused(two: Two, pipeline, command: str) -> None:
    assert pipeline("run", two.a.path).code == 0
    ran = pipeline(command, two.b.path, "--output", two.a.output)
    assert ran.code == 2, ran.err
    assert f"{two.b.path}: {two.a.output} is the output of another job, {two.a.path}" in ran.err
    assert "Set another output, or remove a.toml if b.toml takes its place" in ran.err
    assert len(two.server.asked) == 5
    told = pipeline("doctor", two.b.path, "--no-calls", "--output", two.a.output).out
    assert "is the output of another job" in " ".join(told.split())
    assert pipeline("run", two.b.path).code == 0


def test_an_output_named_by_two_job_files_is_refused(two: Two, pipeline) -> None:
    assert pipeline("run", two.a.path).code == 0
    two.b.path.write_text(two.b.path.read_text().replace("out/b", "out/a"))
    assert pipeline("run", two.b.path).code == 2
    two.a.path.unlink()
    assert pipeline("run", two.b.path).code == 0


def test_offline_outputs_are_one_jobs_alone_too(two: Two, pipeline) -> None:
    assert pipeline("run", two.a.path, "--offline").code == 0
    assert pipeline("run", two.b.path, "--offline", "--output", two.a.output).code == 2


def test_the_job_that_names_an_output_takes_it_back(two: Two, pipeline) -> None:
    assert pipeline("run", two.b.path, "--output", two.a.output).code == 0
    assert pipeline("run", two.a.path).code == 0
    assert pipeline("run", two.b.path, "--output", two.a.output).code == 2


def test_an_output_with_a_variable_belongs_to_its_job(two: Two, pipeline) -> None:
    two.a.path.write_text(two.a.path.read_text().replace("out/a", "out/{day}"))
    assert pipeline("run", two.a.path, "--var", "day=monday").code == 0
    two.b.path.write_text(two.b.path.read_text().replace("out/b", "out/monday"))
    assert pipeline("run", two.b.path).code == 2


def test_a_job_that_was_edited_goes_on(two: Two, pipeline, resumes) -> None:
    assert pipeline("run", two.a.path).code == 0
    two.a.manifest.rename(two.folder / "renamed.jsonl")
    two.a.path.write_text(two.a.path.read_text().replace("a.jsonl", "renamed.jsonl") + "[run]\nchanged = 'ask'\n")
    resumes([two.a.path])


def test_a_job_that_was_renamed_goes_on(two: Two, pipeline, resumes) -> None:
    assert pipeline("run", two.a.path).code == 0
    jobs = two.folder / "jobs"
    jobs.mkdir()
    moved = two.a.path.rename(jobs / "named otherwise.toml")
    moved.write_text(moved.read_text().replace("'a.jsonl'", "'../a.jsonl'"))
    resumes([moved])


def test_a_copy_of_a_job_over_its_manifest_goes_on(two: Two, pipeline, resumes) -> None:
    assert pipeline("run", two.a.path).code == 0
    resumes([shutil.copy(two.a.path, two.folder / "a-2.toml")])


def test_a_project_that_was_copied_goes_on(tmp_path: Path, server: CountingServer, pipeline, resumes) -> None:
    (tmp_path / "one").mkdir()
    two = Two(tmp_path / "one", server)
    for job in (two.a, two.b):
        job.path.write_text(job.path.read_text().replace(f"{two.folder}/", ""))
    assert pipeline("run", two.a.path).code == 0
    copied = shutil.copytree(tmp_path / "one", tmp_path / "two")
    resumes([copied / "a.toml"])
    assert pipeline("run", copied / "b.toml", "--output", copied / "out/a").code == 2


def test_an_output_without_the_mark_goes_on(two: Two, pipeline, resumes) -> None:
    assert pipeline("run", two.a.path).code == 0
    (two.a.output / "runs/job.json").unlink()
    resumes([shutil.copy(two.a.path, two.folder / "other.toml"), "--set", f"manifest={two.a.manifest}"])
    (two.a.output / "runs/job.json").write_text("{")
    resumes([two.a.path])


def test_rows_from_a_program_name_no_manifest(two: Two, pipeline) -> None:
    rows = [{"id": "a0", "topic": "topic 0"}]
    assert Job.load(two.a.path).run(manifest=rows).exit_code == 0
    assert Job.load(two.b.path, output=two.a.output).run(manifest=rows).exit_code == 0


def test_a_job_below_a_name_that_is_no_text_runs(two: Two, pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = two.folder / os.fsdecode(b"\xfe")
    odd.mkdir()
    text = two.a.path.read_text().replace("'a.jsonl'", f"'{two.a.manifest}'")
    (odd / "job.toml").write_text(text)
    monkeypatch.chdir(odd)
    assert pipeline("run", "job.toml").code == 0
    assert not (two.a.output / "runs/job.json").exists()


def test_an_output_without_its_runs_goes_on(two: Two, pipeline, resumes) -> None:
    assert pipeline("run", two.a.path).code == 0
    shutil.rmtree(two.a.output / "runs")
    resumes([two.a.path])
