"""Every command, job and line of Python that the README prints is executed as printed."""

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
README = (ROOT / "README.md").read_text(encoding="utf-8")
SETS_UP = "python3 -m venv "


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


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


def test_the_commands_work_in_the_order_they_are_printed(clone):
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.strip()]
    assert len(lines) > 5
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
    for number, block in enumerate(blocks("toml")):
        path = tmp_path / f"{number}.toml"
        path.write_text(block)
        assert load(path).job.task == "caption"


def test_the_python_printed_runs(clone):
    for block in blocks("python"):
        ran = subprocess.run([sys.executable, "-c", block], cwd=clone, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        assert "astronaut" in ran.stdout


def test_every_file_in_jobs_says_what_it_does():
    for path in sorted((ROOT / "jobs").glob("*.toml")):
        assert path.read_text().startswith("# "), path
        assert msgspec.toml.decode(path.read_bytes())["task"] in ("caption", "ocr", "embed", "ask")
