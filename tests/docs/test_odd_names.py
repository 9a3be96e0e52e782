"""Names of folders, files and arguments that are no text are refused in one message; no output could hold them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import Fault
from pipeline.media.refs import to_media

ROOT = Path(__file__).parents[2]
JOB = """
task = "caption"
manifest = "rows.jsonl"
output = "out"
[provider]
name = "dashscope"
model = "qwen3-vl-plus"
"""

pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no such names")


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A job in a folder whose name is Latin-1, as older disks have them."""
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    folder.mkdir()
    (folder / "rows.jsonl").write_text('{"id": "a", "image": "cat.jpg"}\n')
    (folder / "job.toml").write_text(JOB)
    shutil.copy(ROOT / "sample_data/photos/chelsea.jpg", folder / "cat.jpg")
    return folder


def ran(folder: Path, *arguments: str | bytes) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONUTF8": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments], cwd=folder, env=environment, capture_output=True
    )


@pytest.mark.parametrize("command", ["run", "plan", "status", "query", "doctor"])
def test_a_folder_whose_name_is_no_text_is_refused(odd, command):
    done = ran(odd, command, "job.toml", *(["select 1 as one"] if command == "query" else []), "--offline")
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 2, said
    assert "not valid UTF-8: rename it" in " ".join(said.split())
    assert "Traceback" not in said
    assert sorted(path.name for path in odd.iterdir()) == ["cat.jpg", "job.toml", "rows.jsonl"]


def test_an_argument_that_is_no_text_is_refused(tmp_path):
    done = ran(tmp_path, "run", b"caf\xe9.toml")
    assert done.returncode == 2
    assert rb"caf\udce9.toml" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_reference_that_is_no_text_fails_its_row():
    with pytest.raises(Fault, match=r"Local\.BadName"):
        to_media("caf\udce9\ud800.jpg", "image", "/pictures")
