"""`pipeline schedule`, `pipeline completion`, `--env-file`, and the examples of the help."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli.main import EXAMPLES, cli

JOB = """\
task = "caption"
manifest = "m.jsonl"
output = "out"
[provider]
name = "dashscope"
model = "qwen3-vl-plus"
"""


@pytest.fixture
def job(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "100% mine"
    folder.mkdir()
    (folder / "night.toml").write_text(JOB)
    photo = Path(__file__).parents[2] / "sample_data" / "photos" / "coffee.jpg"
    (folder / "m.jsonl").write_text(json.dumps({"id": "a", "image": str(photo)}) + "\n")
    monkeypatch.chdir(folder)
    return folder / "night.toml"


def printed(*arguments: str) -> str:
    ran = CliRunner().invoke(cli, list(arguments))
    assert ran.exception is None, ran.output
    return ran.output


def units(text: str) -> dict[str, str]:
    """The two units of the output, by their names."""
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines(keepends=True):
        if line.startswith("# Save as "):
            name = Path(line.split()[-1]).name
            found[name] = ""
        elif line.startswith("# Then"):
            break
        elif name:
            found[name] += line
    return found


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="this machine has no systemd")
def test_systemd_takes_the_service_and_the_timer(job, tmp_path):
    made = units(printed("schedule", "night.toml", "--at", "02:00", "--until", "06:30", "--offline"))
    assert set(made) == {"pipeline-night.service", "pipeline-night.timer"}
    for name, text in made.items():
        (tmp_path / name).write_text(text)
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *(str(tmp_path / name) for name in made)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert verified.returncode == 0, verified.stderr
    assert "OnCalendar=*-*-* 02:00:00" in made["pipeline-night.timer"]


def test_the_command_of_the_service_runs_the_job(job):
    service = units(printed("schedule", "night.toml", "--at", "02:00", "--offline"))["pipeline-night.service"]
    line = next(line for line in service.splitlines() if line.startswith("ExecStart="))
    assert "100%% mine" in line, "a lone % begins a specifier"
    command = shlex.split(line.removeprefix("ExecStart=").replace("%%", "%"))
    assert subprocess.run(command, cwd="/", capture_output=True, check=False).returncode == 0
    assert (job.parent / "out-offline" / "catalog.sql").exists()


def test_the_line_for_cron_runs_the_job(job):
    line = printed("schedule", "night.toml", "--at", "02:05", "--cron", "--offline").splitlines()[-1]
    assert line.startswith("5 2 * * * ")
    assert "100\\% mine" in line
    shell = line.removeprefix("5 2 * * * ").replace("\\%", "%")
    assert subprocess.run(shell, shell=True, check=False).returncode == 0
    assert "exit 0" in (job.parent / "out-offline.log").read_text()


def test_the_key_is_read_from_a_file_and_never_printed(job, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("DASHSCOPE_API_KEY='sk-fake-from-a-file'\n")
    text = printed("schedule", "night.toml", "--at", "02:00", "--env-file", str(keys))
    assert f"--env-file {keys}" in text
    assert "sk-fake" not in text
    assert "DASHSCOPE_API_KEY=$KEY" in text


def test_a_time_that_is_none_is_refused(job):
    ran = subprocess.run(
        [sys.executable, "-m", "pipeline", "schedule", "night.toml", "--at", "2 o'clock"],
        capture_output=True,
        check=False,
    )
    assert ran.returncode == 2
    assert b"expected a time of day such as 02:00" in ran.stderr


def test_an_env_file_gives_what_is_not_set_yet(job, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("export DASHSCOPE_API_KEY=sk-fake-file # mine\n")
    command = [sys.executable, "-m", "pipeline", "doctor", "night.toml", "--no-calls", "--env-file"]
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    without = subprocess.run(command[:-1], capture_output=True, text=True, env=environment, check=False)
    found = subprocess.run([*command, str(keys)], capture_output=True, text=True, env=environment, check=False)
    assert "DASHSCOPE_API_KEY" in without.stdout
    assert without.stdout != found.stdout
    assert "sk-fake" not in found.stdout + found.stderr
    gone = subprocess.run([*command, "gone"], capture_output=True, text=True, env=environment, check=False)
    assert (gone.returncode, "--env-file gone: cannot be read" in gone.stderr) == (2, True)


@pytest.mark.parametrize("name", cli.commands)
def test_each_command_has_an_example_that_it_takes(name):
    words = shlex.split(EXAMPLES[name])
    assert words[:2] == ["pipeline", name]
    cli.commands[name].make_context(name, words[2:]).close()
    assert f"Example: {EXAMPLES[name].split()[0]} {name}" in " ".join(printed(name, "--help").split())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_completion_is_for_this_command(shell):
    script = printed("completion", shell)
    assert "_PIPELINE_COMPLETE" in script
    if shutil.which(shell):
        assert subprocess.run([shell, "-n"], input=script, text=True, check=False).returncode == 0


def test_completion_knows_commands_and_options():
    environment = {**os.environ, "_PIPELINE_COMPLETE": "bash_complete", "COMP_WORDS": "pipeline sch", "COMP_CWORD": "1"}
    command = [sys.executable, "-m", "pipeline"]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.stdout == "plain,schedule\n"
    environment |= {"COMP_WORDS": "pipeline schedule --a", "COMP_CWORD": "2"}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.stdout == "plain,--at\n"
