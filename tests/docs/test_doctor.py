"""`pipeline doctor` says what in the environment, and in a job, would go wrong, and what mends it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.store_records import answer

from pipeline.store import Store

ROOT = Path(__file__).parents[2]
KEY = "sk-not-a-real-key-0123456789"


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)
    monkeypatch.delenv("QIANFAN_API_KEY", raising=False)


@pytest.fixture
def job(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"id": "a", "image": "a.jpg"}\n')
    file = tmp_path / "job.toml"
    file.write_text(
        'task = "caption"\nmanifest = "rows.jsonl"\noutput = "out"\n'
        '[provider]\nname = "dashscope"\nmodel = "qwen3-vl-plus"\n'
    )
    return file


@pytest.fixture
def examine(pipeline):
    """Runs doctor and gives its exit code and the findings of one check."""

    def run(check: str, *arguments: str | Path) -> tuple[int, list[dict[str, str]]]:
        ran = pipeline("doctor", *arguments, "--no-calls", "--json")
        assert KEY not in ran.out + ran.err
        return ran.code, [found for found in json.loads(ran.out) if found["check"] == check]

    return run


def _one(found: list[dict[str, str]], level: str) -> str:
    (finding,) = found
    assert finding["level"] == level, finding
    return f"{finding['text']} {finding['mend']}"


def _child(folder: Path, *arguments: str, path: str = "") -> tuple[int, str]:
    """Doctor as an installed command: the working folder is not on sys.path."""
    code = f"import sys; sys.path[:] = [p for p in sys.path if p]; sys.path.insert(0, {str(ROOT)!r}); "
    code += "from pipeline.cli import main; main()"
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{path}", "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-c", code, "doctor", *arguments]
    ended = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=60)
    return ended.returncode, ended.stdout + ended.stderr


def _distribution(folder: Path, *, record: str = "", top_level: str = "", scripts: str = "") -> Path:
    info = folder / "other_flow-3.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-flow\nVersion: 3.1\n")
    for name, text in (("RECORD", record), ("top_level.txt", top_level), ("entry_points.txt", scripts)):
        if text:
            (info / name).write_text(text)
    return folder


def test_a_sound_environment_has_no_problem(pipeline):
    ran = pipeline("doctor")
    assert ran.code == 0, ran.out
    lines = ran.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert all(line.startswith(("ok", "note", " ")) for line in lines)
    assert any(f"Python {sys.version.split()[0]}" in line for line in lines)


@pytest.mark.parametrize(
    "owned",
    [
        {"record": "pipeline/__init__.py,sha256=abc,10\npipeline/steps.py,,\n"},
        {"record": "pipeline.py,,\n"},
        {"top_level": "pipeline\n"},
    ],
    ids=["package", "module", "top level"],
)
def test_another_distribution_with_our_name_is_a_problem(tmp_path, owned):
    other = _distribution(tmp_path / "site", **owned)
    code, told = _child(tmp_path, path=str(other))
    assert code == 2
    words = " ".join(told.split())
    assert "problem other-flow 3.1 " in words
    assert "pip uninstall other-flow" in words
    if "record" in owned:
        assert owned["record"].partition(",")[0] in words


def test_another_distributions_like_named_files_are_none(tmp_path):
    other = _distribution(tmp_path / "site", record="pipelines/__init__.py,,\nx/pipeline/__init__.py,,\n")
    assert _child(tmp_path, path=str(other))[0] == 0


def test_another_command_named_pipeline_is_a_problem(tmp_path):
    other = _distribution(tmp_path / "site", scripts="[console_scripts]\npipeline = other_flow:main\n")
    code, told = _child(tmp_path, path=str(other))
    assert code == 2
    assert "multimodal-batch" in told


@pytest.mark.parametrize("name", ["pipeline.py", "pipeline/__init__.py"])
def test_a_pipeline_in_the_working_folder_is_a_problem(tmp_path, name):
    mine = tmp_path / "work" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("print('mine')\n")
    code, told = _child(tmp_path / "work")
    assert code == 2
    assert "hides this package" in " ".join(told.split())
    assert "rename" in told


def test_a_plain_folder_of_that_name_is_no_problem(tmp_path):
    (tmp_path / "pipeline").mkdir()
    assert _child(tmp_path)[0] == 0


def test_a_module_earlier_on_the_path_is_a_problem(examine, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "pipeline.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path / "mine"))
    code, found = examine("name")
    assert code == 2
    assert str(tmp_path / "mine" / "pipeline.py") in _one(found, "problem")


def test_a_missing_package_or_an_old_one_is_a_problem(tmp_path):
    info = tmp_path / "site" / "multimodal_batch-9.9.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: multimodal-batch\nVersion: 9.9\nRequires-Dist: no-such-thing>=1\n"
        "Requires-Dist: click>=99.1\nRequires-Dist: rich>=13\nRequires-Dist: never-asked; extra == 'test'\n"
    )
    code = f"import sys; sys.path[:0] = [{str(info.parent)!r}, {str(ROOT)!r}]; from pipeline.cli import main; main()"
    command = [sys.executable, "-P", "-c", code, "doctor"]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ended = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 2, ended
    assert "no-such-thing" in ended.stdout
    assert "at least 99.1" in ended.stdout
    assert "never-asked" not in ended.stdout


def test_a_stream_that_is_not_utf_8_is_noted(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    code, told = _child(tmp_path)
    assert code == 0
    assert "PYTHONIOENCODING=utf-8" in told
    assert "ascii" in told


def test_a_sound_job_has_no_problem(pipeline, job):
    ran = pipeline("doctor", job, "--no-calls")
    assert ran.code == 0, ran.out
    assert KEY not in ran.out
    assert "DASHSCOPE_API_KEY is set" in ran.out
    assert "nothing was written" in " ".join(ran.out.split())
    assert not (job.parent / "out").exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [("task = ", "job.toml"), ("a: 1\n", "job.toml")],
)
def test_a_broken_job_is_a_problem(examine, job, text, told):
    job.write_text(text)
    code, found = examine("job", job)
    assert code == 2
    assert told in _one(found, "problem")


def test_an_unknown_task_is_a_problem(examine, job):
    code, found = examine("job", job, "--set", "task=captoin")
    assert code == 2
    assert 'did you mean "caption"?' in _one(found, "problem")


def test_a_job_that_is_not_there_is_a_problem(examine, tmp_path):
    code, found = examine("job", tmp_path / "none.toml")
    assert code == 2
    assert "no such job file" in _one(found, "problem")


def test_a_job_that_no_model_takes_is_a_problem(examine, job):
    code, found = examine("job", job, "--set", "task=embed")
    assert code == 2
    assert "not for embed" in _one(found, "problem")


@pytest.mark.parametrize("value", [None, "", "two words"])
def test_a_missing_or_broken_key_is_a_problem(examine, job, monkeypatch, value):
    monkeypatch.delenv("DASHSCOPE_API_KEY")
    if value is not None:
        monkeypatch.setenv("DASHSCOPE_API_KEY", value)
    code, found = examine("key", job)
    assert code == 2
    told = _one(found, "problem")
    assert "DASHSCOPE_API_KEY" in told
    assert "two words" not in told


def test_offline_needs_no_key(examine, job, monkeypatch):
    monkeypatch.delenv("DASHSCOPE_API_KEY")
    code, found = examine("key", job, "--offline")
    assert code == 0
    assert "no key" in _one(found, "ok")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [("none.jsonl", None, "no such file"), ("rows.parquet", b"no parquet", "Parquet"), ("rows.doc", b"x", "kind")],
)
def test_a_manifest_that_cannot_be_read_is_a_problem(examine, job, name, content, told):
    if content is not None:
        (job.parent / name).write_bytes(content)
    code, found = examine("manifest", job, "--set", f"manifest={name}")
    assert code == 2
    assert told in _one(found, "problem")


def test_a_first_row_with_a_problem_is_noted(examine, job):
    (job.parent / "rows.jsonl").write_text("{broken\n")
    code, found = examine("manifest", job)
    assert code == 0
    assert "rows.jsonl:1" in _one(found, "note")


def test_a_manifest_without_rows_is_noted(examine, job):
    (job.parent / "rows.jsonl").write_text("")
    assert "no row" in _one(examine("manifest", job)[1], "note")


def test_another_tasks_output_is_a_problem(examine, job):
    with Store.open(job.parent / "out", "ocr", run_id="run-1"):
        pass
    code, found = examine("output", job)
    assert code == 2
    assert "task ocr" in _one(found, "problem")


def test_an_output_of_this_task_is_said_to_be(examine, job):
    with Store.open(job.parent / "out", "caption", run_id="run-1") as store:
        store.answer(answer("a"))
    code, found = examine("output", job)
    assert code == 0
    assert "task caption, format" in _one(found, "ok")


def test_an_output_in_use_is_noted(examine, job):
    with Store.open(job.parent / "out", "caption", run_id="run-1"):
        code, found = examine("output", job)
    assert code == 0
    assert "run-1" in _one(found, "note")


def test_an_output_that_cannot_be_made_is_a_problem(examine, job):
    code, found = examine("output", job, "--output", job / "below")
    assert code == 2
    assert "no folder" in _one(found, "problem")


def test_an_output_full_of_other_things_is_noted(examine, job):
    (job.parent / "out").mkdir()
    (job.parent / "out" / "holiday.txt").write_text("")
    assert "other files" in _one(examine("output", job)[1], "note")


def test_a_retired_model_is_a_problem(examine, job):
    code, found = examine("model", job, "--set", "provider.model=llama3.2-11b-vision")
    assert code == 2
    assert "use qwen3-vl-plus" in _one(found, "problem")


def test_an_unknown_model_is_noted_with_the_nearest(examine, job):
    code, found = examine("model", job, "--set", "provider.model=qwen3-vl-pluss")
    assert code == 0
    assert 'did you mean "qwen3-vl-plus"' in _one(found, "note")


def test_an_old_price_is_noted(examine, job):
    price = 'models."qwen3-vl-plus".price={input = 1.0, output = 2.0, date = "2020-01-01"}'
    assert "half a year old" in _one(examine("price", job, "--set", price)[1], "note")


def test_a_price_that_is_not_known_is_noted(examine, job):
    _, found = examine("price", job, "--set", "provider.model=my-own-tune")
    assert '[models."my-own-tune"]' in _one(found, "note")


def test_free_space_is_told(examine, job):
    assert "GB free" in str(examine("disk", job)[1])
