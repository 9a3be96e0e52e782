"""Streams that cannot hold every character: the text is printed with escapes, and no command fails for it."""

from __future__ import annotations

import csv
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
JOB = "任务.toml"
ID, TITLE = "猫🐱é", "一只猫 ☕"
TEXT = f"select id, 标题, '说\"' as 话, [标题] as \"列🐱\" from results where id = '{ID}'"
ENVIRONMENTS = {
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "ascii": {"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "ascii"},
    "latin": {"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "iso-8859-1"},
}
ENCODINGS = {"C": "ascii", "ascii": "ascii", "latin": "iso-8859-1"}
PRINTING = [
    ("--help",),
    ("--version",),
    *((command, "--help") for command in ("run", "plan", "query", "export", "reprocess", "models", "serve")),
    ("models",),
    ("models", "qwen3-vl-plus"),
    ("models", "qwen3-vl-plus", "--json"),
    ("plan", JOB, "--offline"),
    ("plan", JOB, "--offline", "--json"),
    ("status", JOB, "--offline"),
    ("status", JOB, "--offline", "--json"),
    ("query", JOB, "--offline", TEXT),
    ("query", JOB, "--offline", "select * from results"),
    ("query", JOB, "--offline", TEXT, "--format", "csv"),
    ("query", JOB, "--offline", TEXT, "--format", "json"),
    ("export", JOB, "--offline", "出口.csv"),
    ("reprocess", JOB, "--offline", "--dry-run", "--where", f"id = '{ID}'"),
    ("accept", JOB, "--offline"),
    ("compact", JOB, "--offline"),
    ("run", JOB, "--offline", "--log-format", "json"),
    ("doctor", JOB, "--offline"),
    ("doctor", JOB, "--offline", "--json"),
]
WRONG = [
    ("status", "没有.toml"),
    ("query", JOB, "--offline", "select 不知道"),
    ("models", "猫"),
    ("export", JOB, "出口.猫"),
    ("猫",),
    ("query", JOB, "--格式"),
]


def _command(environment: str, arguments: tuple[str, ...], folder: Path, **options: Any):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LC_", "LANG"))}
    env = {**kept, "PYTHONPATH": str(ROOT), "XDG_CONFIG_HOME": str(folder), **ENVIRONMENTS[environment]}
    command = [sys.executable, "-m", "pipeline", *arguments]
    return subprocess.run(command, cwd=folder, env=env, check=False, timeout=120, **options)


def _run(environment: str, arguments: tuple[str, ...], folder: Path) -> tuple[int, str, str]:
    """The exit code and both streams, which must be in the encoding that was asked for."""
    ended = _command(environment, arguments, folder, capture_output=True)
    encoding = ENCODINGS[environment]
    out, err = ended.stdout.decode(encoding), ended.stderr.decode(encoding)
    assert "Traceback" not in err, err
    return ended.returncode, out, err


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A job over names and texts of many scripts, and its answers."""
    place = tmp_path_factory.mktemp("编码")
    (place / "照片").mkdir()
    (place / "照片" / "猫🐱.jpg").write_bytes((ROOT / "sample_data/photos/coffee.jpg").read_bytes())
    row = {"id": ID, "image": "照片/猫🐱.jpg", "标题": TITLE}
    (place / "清单.jsonl").write_text(json.dumps(row, ensure_ascii=False), encoding="utf-8")
    (place / JOB).write_text(
        'task = "caption"\nmanifest = "清单.jsonl"\noutput = "输出"\n'
        '[provider]\nname = "dashscope"\nmodel = "qwen3-vl-plus"\n[prompt]\ntext = "这是{标题}"\n',
        encoding="utf-8",
    )
    code, _, err = _run("C", ("run", JOB, "--offline"), place)
    assert code == 0, err
    assert (place / "输出-offline" / "runs").is_dir()
    assert r"\u8f93\u51fa-offline" in err
    return place


@pytest.mark.parametrize("arguments", PRINTING, ids=lambda arguments: " ".join(arguments[::2])[:30])
def test_every_printing_command_ends_well(folder, arguments):
    code, out, err = _run("C", arguments, folder)
    assert code == 0, err
    assert out or err


@pytest.mark.parametrize("environment", ["C", "ascii"])
@pytest.mark.parametrize("arguments", WRONG, ids=lambda arguments: " ".join(arguments)[:30])
def test_errors_are_told_in_any_encoding(folder, environment, arguments):
    code, _, err = _run(environment, arguments, folder)
    assert code == 2
    assert "\\u" in err


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_printed_json_means_the_same_text(folder, environment):
    _, out, _ = _run(environment, ("query", JOB, "--offline", TEXT, "--format", "json"), folder)
    assert json.loads(out) == [{"id": ID, "标题": TITLE, "话": '说"', "列🐱": [TITLE]}]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_printed_csv_has_its_rows_and_columns(folder, environment):
    _, out, _ = _run(environment, ("query", JOB, "--offline", TEXT, "--format", "csv"), folder)
    names, values = csv.reader(out.splitlines())
    assert len(names) == len(values) == 4
    assert names[1] == r"\u6807\u9898"
    assert values[0].startswith(r"\u732b\ud83d\udc31")


@pytest.mark.parametrize("environment", ["C", "ascii"])
def test_a_tables_columns_stand_below_each_other(folder, environment):
    _, out, _ = _run(environment, ("query", JOB, "--offline", "select 标题, 7 as z from results"), folder)
    heading, rule, row = filter(None, out.splitlines())
    assert heading.split() == [r"\u6807\u9898", "z"]
    assert set(rule.strip()) == {"-"}
    assert heading.index("z") == row.rindex("7")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_file_is_utf_8_whatever_the_streams_are(folder, environment):
    for form in ("json", "csv", "table"):
        file = folder / f"文件-{environment}.{form}"
        code, _, err = _run(
            environment, ("query", JOB, "--offline", TEXT, "--format", form, "-o", file.name), folder
        )  # fmt: skip
        assert code == 0, err
        assert ID in file.read_text(encoding="utf-8")
    for ending in ("csv", "jsonl"):
        file = folder / f"出口-{environment}.{ending}"
        assert _run(environment, ("export", JOB, "--offline", file.name), folder)[0] == 0
        assert ID in file.read_text(encoding="utf-8")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_json_log_can_be_parsed(folder, environment):
    _, _, err = _run(environment, ("run", JOB, "--offline", "--log-format", "json"), folder)
    assert "输出-offline" in str([json.loads(line) for line in err.splitlines()])


def test_a_byte_that_is_no_text_in_an_argument_is_told(folder):
    command = os.fsencode(sys.executable), b"-m", b"pipeline", b"status", b"\xff.toml"
    ended = subprocess.run(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False, capture_output=True
    )
    assert ended.returncode == 2
    assert rb"\udcff.toml" in ended.stderr


@pytest.mark.parametrize("environment", ["C", "ascii"])
def test_the_live_line_is_drawn_in_any_encoding(folder, environment):
    master, slave = pty.openpty()
    try:
        again = ("run", JOB, "--offline", "--output", f"又-{environment}")
        ended = _command(environment, again, folder, stdout=subprocess.PIPE, stderr=slave)
    finally:
        os.close(slave)
    told = b""
    while chunk := _read(master):
        told += chunk
    os.close(master)
    assert ended.returncode == 0, told
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", told.decode("ascii"))
    assert "Traceback" not in text
    assert r"\u4efb\u52a1" in text
    assert r"\u28" not in text  # the spinner of a terminal that has no such characters


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # the other end is closed, and all is read
        return b""
