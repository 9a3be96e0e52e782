"""A manifest that is refused as a whole is exit 2, and leaves no output that the run made for it."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import Job
from pipeline.errors import ManifestError

JOB = (
    "task = 'caption'\nmanifest = '{}'\noutput = 'deep/out'\n[provider]\nname = 'dashscope'\nmodel = 'qwen3-vl-plus'\n"
)
TWICE = '{"id": "a", "image": "x.jpg"}\n{"id": "a", "image": "y.jpg"}\n'


@pytest.fixture
def job(tmp_path: Path) -> Callable[[str], Path]:
    def write(manifest: str) -> Path:
        path = tmp_path / "job.toml"
        path.write_text(JOB.format(manifest))
        return path

    return write


def damaged_parquet(path: Path) -> None:
    table = pa.table({"id": [f"row-{number}" for number in range(4_000)], "image": ["a.jpg"] * 4_000})
    pq.write_table(table, path, row_group_size=1_000, compression="zstd")
    body = bytearray(path.read_bytes())
    middle = len(body) // 2
    body[middle - 2_000 : middle + 2_000] = b"\xff" * 4_000
    path.write_bytes(body)


def refused(folder: Path, kind: str) -> str:
    """Writes a manifest that is refused, and returns its name in the job."""
    path = folder / kind
    match kind:
        case "twice.jsonl":
            path.write_text(TWICE)
        case "cut.jsonl.gz":
            path.write_bytes(gzip.compress(b"".join(b'{"image": "%d.jpg"}\n' % n for n in range(90_000)))[:-2_000])
        case "damaged.parquet":
            damaged_parquet(path)
        case "binary.jsonl":
            path.write_bytes(b"PAR1" + bytes(200))
        case "columns.csv":
            path.write_text("ID,Picture\n1,a.jpg\n")
    return kind


KINDS = ["twice.jsonl", "cut.jsonl.gz", "damaged.parquet", "binary.jsonl", "columns.csv", "missing.jsonl"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_refused_manifest_leaves_no_output(pipeline, job, tmp_path: Path, kind: str) -> None:
    path = job(refused(tmp_path, kind))
    before = sorted(tmp_path.iterdir())
    ran = pipeline("run", path, "--offline")
    assert (ran.code, ran.out) == (2, "")
    assert sorted(tmp_path.iterdir()) == before


def test_an_empty_folder_of_the_user_stays_empty(pipeline, job, tmp_path: Path) -> None:
    output = tmp_path / "deep" / "out-offline"
    output.mkdir(parents=True)
    assert pipeline("run", job(refused(tmp_path, "twice.jsonl")), "--offline").code == 2
    assert list(output.iterdir()) == []


def test_an_output_with_answers_is_kept_by_a_refusal(pipeline, job, tmp_path: Path) -> None:
    rows = tmp_path / "twice.jsonl"
    rows.write_text('{"id": "a", "image": "gone.jpg"}\n')
    path = job("twice.jsonl")
    assert pipeline("run", path, "--offline").code == 1
    rows.write_text(TWICE)
    assert pipeline("run", path, "--offline").code == 2
    assert "gone.jpg" in pipeline("query", path, "--offline", "select * from failures").out


def test_rows_from_python_with_an_id_twice_leave_no_output(job, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="twice"):
        Job.load(job("none.jsonl"), offline=True).run([{"id": "a", "image": "x.jpg"}] * 2)
    assert [path.name for path in tmp_path.iterdir()] == ["job.toml"]
