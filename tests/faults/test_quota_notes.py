"""What a whole run does with its ledger: where it lies, whose it is, and what is said where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.counting_server import CountingServer

from pipeline import Job

JOB = """
task = "ask"
manifest = "rows.jsonl"
output = "{output}"
provider = {{ name = "openai", model = "m", base_url = "{base}", api_key_env = "{key}" }}
limits = {{ {limits} }}
"""


@pytest.fixture
def run(tmp_path: Path, server: CountingServer, monkeypatch: pytest.MonkeyPatch) -> Any:
    """run(limits, key): a job of three rows, its summary."""
    (tmp_path / "rows.jsonl").write_text("".join(f'{{"id": "{n}", "prompt": "[{n}]"}}\n' for n in range(3)))
    monkeypatch.setenv("FIRST_KEY", "sk-first-fake")
    monkeypatch.setenv("SECOND_KEY", "sk-second-fake")
    count = iter(range(100))

    def one(limits: str = "", key: str = "FIRST_KEY", **options: Any) -> Any:
        output = f"out{next(count)}"
        path = tmp_path / f"{output}.toml"
        path.write_text(JOB.format(output=output, base=server.base_url, key=key, limits=limits))
        return Job.load(path).run(**options)

    return one


def ledgers(runtime: Path) -> set[str]:
    return {found.name for found in (runtime / "multimodal-batch").iterdir()} - {"salt"}


def test_runs_of_one_key_use_one_ledger_and_nothing_is_said(run: Any, own_runtime: Path) -> None:
    first, second = run(), run("rpm = 6000")
    assert first.exit_code == second.exit_code == 0
    assert len(ledgers(own_runtime)) == 1
    assert first.notes == second.notes == ()


def test_two_keys_have_two_ledgers_unless_the_account_is_named(run: Any, own_runtime: Path) -> None:
    run()
    run(key="SECOND_KEY")
    assert len(ledgers(own_runtime)) == 2
    run('account = "night"')
    run('account = "night"', key="SECOND_KEY")
    assert len(ledgers(own_runtime)) == 3


def test_a_name_of_an_account_makes_no_answered_row_new(run: Any, tmp_path: Path, server: CountingServer) -> None:
    assert run().answered == 3
    job = next(tmp_path.glob("out0.toml"))
    job.write_text(job.read_text().replace("limits = {  }", 'limits = { account = "night" }'))
    server.forget()
    assert Job.load(job).run().done == 3
    assert server.asked == []


def test_a_folder_that_cannot_be_used_is_a_note_and_no_fault(run: Any, own_runtime: Path) -> None:
    (own_runtime / "multimodal-batch").write_bytes(b"")
    summary = run()
    assert (summary.exit_code, summary.answered) == (0, 3)
    assert len(summary.notes) == 1
    assert summary.notes[0].startswith("this run does not share its quota with other runs of the account")
    assert "multimodal-batch" in summary.notes[0]


def test_the_embedded_service_has_no_quota_to_share(tmp_path: Path, own_runtime: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"id": "a", "text": "a red boat"}\n')
    job = tmp_path / "job.toml"
    text = JOB.format(output="out", base="http://127.0.0.1:9/v1", key="FIRST_KEY", limits="")
    job.write_text(text.replace('task = "ask"', 'task = "embed"'))
    assert Job.load(job, offline=True).run().exit_code == 0
    assert list(own_runtime.iterdir()) == []
