"""What is wrong with a command is said in one message, with exit code 2 and before anything is sent."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--set", "provider.modle=x"], 'provider.modle: unknown key; did you mean "model"?'),
        (["--set", "limits.rpm=fast"], 'limits.rpm: found "fast", expected a number'),
        (["--set", "manifest=../sample_data/photo.jsonl"], "did you mean"),
        (["--set", "provider.parameters.temperature=9"], "provider.parameters.temperature: 9"),
        (["--set", "provider.parameters.temprature=0.1"], "temperature"),
        (["--set", "provider.parameters.sparkle=1"], 'declare it: [models."qwen3-vl-plus".bounds] sparkle = {}'),
        (["--set", 'models."qwen3-vl-plus".pric={input=1.0}'], 'did you mean "price"'),
        (["--set", "prompt.text=About {categry}", "--set", "manifest=../sample_data/photos.parquet"], '"category"'),
        (["--set", "provider.model=multimodal-embedding-one-peace-v1"], "is for embed, not for caption"),
        (["--set", "quality.truncatd=false"], 'did you mean "truncated"'),
        (["--set", "provider.name=dashscop"], 'did you mean "dashscope"'),
        (["--set", "retry.deadline=soon"], 'retry.deadline: found "soon", expected a duration'),
        (["--set", "task=captoin"], 'task: found "captoin", expected one of caption, ocr, embed, ask; did you mean'),
        (["--grace", "soon"], '--grace: found "soon", expected a duration'),
        (["--set", "budget.max_cost=-1"], "budget.max_cost"),
    ],
)
def test_a_wrong_setting_is_one_clear_message(pipeline, tmp_path, options, expected):
    ran = pipeline("run", "jobs/captions.toml", "--offline", "--output", tmp_path / "out", *options)
    assert ran.code == 2
    assert expected in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert ran.out == ""


def test_an_unset_key_variable_is_named(pipeline, tmp_path, monkeypatch):
    monkeypatch.delenv("DASHSCOPE_API_KEY", raising=False)
    ran = pipeline("run", "jobs/captions.toml", "--output", tmp_path / "out")
    assert ran.code == 2
    assert "DASHSCOPE_API_KEY is not set" in ran.err
    assert "--offline" in ran.err
    assert not (tmp_path / "out").exists()


def test_a_missing_job_is_one_message(pipeline):
    ran = pipeline("run", "jobs/caption.toml", "--offline")
    assert ran.code == 2
    assert 'did you mean "jobs/captions.toml"' in ran.err


def test_wrong_sql_is_duckdbs_own_message(pipeline, tmp_path):
    ran = pipeline("query", "jobs/captions.toml", "--output", tmp_path / "out", "select captoin from results")
    assert ran.code == 2
    assert "captoin" in ran.err
    assert "Traceback" not in ran.err


def test_a_repeated_id_names_both_lines(pipeline, tmp_path):
    manifest = tmp_path / "twice.jsonl"
    manifest.write_text('{"id": "a", "image": "x.jpg"}\n{"id": "b", "image": "y.jpg"}\n{"id": "a", "image": "z.jpg"}\n')
    setting = f"manifest={manifest}"
    ran = pipeline("run", "jobs/captions.toml", "--offline", "--output", tmp_path / "out", "--set", setting)
    assert ran.code == 2
    assert "twice.jsonl:1" in ran.err
    assert "twice.jsonl:3" in ran.err


def test_a_missing_extra_says_what_to_install(tmp_path):
    script = (
        "import sys, importlib.machinery\n"
        "real = importlib.machinery.PathFinder.find_spec\n"
        "gone = ('rapidocr', 'onnxruntime', 'starlette')\n"
        "def without(name, *rest, **more):\n"
        "    return None if name.split('.')[0] in gone else real(name, *rest, **more)\n"
        "importlib.machinery.PathFinder.find_spec = staticmethod(without)\n"
        "from pipeline.cli import main\n"
        f"main(['run', 'jobs/captions.toml', '--offline', '--output', {str(tmp_path / 'out')!r}])\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 2, ran.stderr
    assert 'pip install "multimodal-batch[offline]"' in ran.stderr
    assert "Traceback" not in ran.stderr


def test_help_imports_nothing_heavy():
    script = (
        "import sys\n"
        "from pipeline.cli.main import _run\n"
        "_run(['--help'])\n"
        "heavy = 'pyarrow duckdb numpy httpx aiohttp PIL rich onnxruntime starlette msgspec anyio'.split()\n"
        "print(sorted(set(heavy) & set(sys.modules)), file=sys.stderr)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert ran.stderr.strip() == "[]"
    assert "Usage: pipeline" in ran.stdout
