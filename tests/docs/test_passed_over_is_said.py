"""`plan` and `run` say what a folder of pictures holds that is no row."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]
COUNTS = {".svg": 2, "@eaDir": 1, "hidden": 1}


def folder_job(folder: Path) -> Path:
    pictures = folder / "pictures"
    (pictures / "@eaDir/1.jpg").mkdir(parents=True)
    shutil.copy(ROOT / "sample_data/photos/coffee.jpg", pictures / "1.jpg")
    shutil.copy(ROOT / "sample_data/photos/coffee.jpg", pictures / "@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg")
    for name in ("a.svg", "b.svg", ".DS_Store"):
        (pictures / name).write_text("x")
    job = folder / "job.toml"
    job.write_text(
        'task = "caption"\nmanifest = "pictures"\noutput = "out"\n'
        '[provider]\nname = "dashscope"\nmodel = "qwen3-vl-plus"\n'
    )
    return job


def test_plan_and_run_say_what_a_folder_passes_over(pipeline, tmp_path):
    job = folder_job(tmp_path)
    told = pipeline("plan", job, "--offline")
    assert "passed over: 2 .svg, 1 @eaDir, 1 hidden" in told.out
    plan = json.loads(pipeline("plan", job, "--offline", "--json").out)
    assert (plan["rows"], plan["passed_over"]) == (1, COUNTS)
    ran = pipeline("run", job, "--offline", "--summary", tmp_path / "summary.json")
    assert ran.code == 0, ran.err
    assert "passed over: 2 .svg, 1 @eaDir, 1 hidden" in ran.err
    assert json.loads((tmp_path / "summary.json").read_text())["passed_over"] == COUNTS
    again = pipeline("run", job, "--offline")
    assert "passed over: 2 .svg, 1 @eaDir, 1 hidden" in again.err
