"""Every command, job and line of Python that the README and its pages print is executed as printed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from pipeline.job.load import load

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "jobs/README.md",
    "pipeline/README.md",
    "pipeline/manifest/README.md",
    "pipeline/run/README.md",
    "pipeline/search/README.md",
    "pipeline/report/README.md",
)
"""The pages, in the order in which a person would read them: a later one may use what an earlier one made."""
README = (ROOT / "README.md").read_text(encoding="utf-8")
SETS_UP = "python3 -m venv "


def blocks(language: str, page: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """A folder as a clone has it: jobs and samples, nothing written yet."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("jobs", "sample_data"):
        shutil.copytree(ROOT / name, folder / name)
    return folder


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_work_in_the_order_they_are_printed(clone, page):
    lines = [line for block in blocks("sh", page) for line in block.splitlines() if line.strip()]
    assert lines or page == "pipeline/README.md"
    for line in lines:
        # The set-up commands run in fresh clones, see .ci/run; here only what follows the installation.
        command = line.rpartition("pip install")[2].partition("&& ")[2] if line.startswith(SETS_UP) else line
        if "pytest" in command:
            continue
        ran = shell(command.replace(".venv/bin/", ""), clone)
        assert ran.returncode == 0, f"{line}\n{ran.stdout}{ran.stderr}"
        assert "Traceback" not in ran.stderr


def test_the_set_up_commands_are_what_ci_runs():
    commands = [line for line in README.splitlines() if line.startswith(SETS_UP)]
    assert len(commands) == 2
    assert "pipeline run jobs/captions.toml --offline" in commands[0]
    assert "pytest" in commands[1]
    script = (ROOT / ".ci" / "run").read_text()
    assert 'eval "$(readme_command 1)"' in script
    assert 'eval "$(readme_command 2)"' in script


def test_the_job_printed_is_a_job(tmp_path):
    (block,) = blocks("toml", "jobs/README.md")
    path = tmp_path / "job.toml"
    path.write_text(block)
    assert load(path).job.task == "caption"


@pytest.mark.parametrize("page", ["README.md", "pipeline/README.md"])
def test_the_python_printed_runs(clone, page):
    assert blocks("python", page)
    for block in blocks("python", page):
        ran = subprocess.run([sys.executable, "-c", block], cwd=clone, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        assert "astronaut" in ran.stdout


def test_every_file_in_jobs_says_what_it_does():
    for path in sorted((ROOT / "jobs").glob("*.toml")):
        assert path.read_text().startswith("# "), path
        assert msgspec.toml.decode(path.read_bytes())["task"] in ("caption", "ocr", "embed", "ask")


def test_the_readme_names_every_page_and_each_is_there():
    named = set(re.findall(r"`([\w./]+\.md)`", README))
    assert {*PAGES} - {"README.md"} <= named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_packages_of_the_readme_are_those_on_disk():
    named = set(re.findall(r"^\| `(\w+)/`", README, re.MULTILINE))
    there = {path.parent.name for path in (ROOT / "pipeline").glob("*/__init__.py")}
    assert named == there - {"types"}
