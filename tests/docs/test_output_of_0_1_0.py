"""An output that 0.1.0 wrote still opens: a run sends nothing and adds no id, and every reading command shows it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

FIXTURE = Path(__file__).parents[1] / "fixtures" / "output-0.1.0"
HOSTED = ("captions", "questions", "folder", "embed", "bad", "table", "table-no-ids", "kept")
OFFLINE = ("captions", "embed", "bad")
ALL = [(job, ()) for job in HOSTED] + [(job, ("--offline",)) for job in OFFLINE]
SENT_AGAIN = {"bad": (1, 0), "kept": (2, 2), ("embed", "--offline"): (7, 7)}
"""(rows to send, changed rows among them): a transient fault; answers that only `--changed keep` keeps; vectors of the
embedded service, which have another layout now."""
JSON = ("--format", "json")
CLOSED = "http://127.0.0.1:9"
"""Nothing listens here: a request that went out would end in a failure."""


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-fake-fake-fake")
    monkeypatch.setenv("QIANFAN_API_KEY", "bce-v3/fake-fake-fake")
    return shutil.copytree(FIXTURE, tmp_path / "sample")


def everything(pipeline, path: Path, options: tuple[str, ...]) -> list:
    """What the views say that a later run must not change."""
    found = []
    for sql in (
        "select id, model, fingerprint, stale, attempt_count, source from results order by id",
        "select id, fault, code, fingerprint from failures order by id",
        "select count(*) as n from attempts",
        "select count(*) as n from versions",
    ):
        ran = pipeline("query", path, *options, sql, "--format", "json")
        assert ran.code == 0, ran.err
        found.append(json.loads(ran.out))
    return found


@pytest.mark.parametrize(("job", "options"), ALL)
def test_plan_finds_nothing_to_send(pipeline, tree, job, options):
    ran = pipeline("plan", tree / f"jobs/{job}.toml", *options, "--json")
    assert ran.code == 0, ran.err
    plan = json.loads(ran.out)
    assert (plan["send"], plan["changed"]) == SENT_AGAIN.get((job, *options), SENT_AGAIN.get(job, (0, 0)))
    assert (plan["new"], plan["vanished"]) == (0, 0)


@pytest.mark.parametrize(("job", "options"), [(job, options) for job, options in ALL if job != "bad"])
def test_a_run_sends_nothing_and_adds_no_id(pipeline, tree, job, options):
    path = tree / f"jobs/{job}.toml"
    before = everything(pipeline, path, options)
    assert before[0]
    ending = {"questions": "/compatible-mode/v1", "table": "/v2"}.get(job, "/api/v1")
    keep = ("--changed", "keep") if job == "kept" or (job, *options) in SENT_AGAIN else ()
    ran = pipeline("run", path, *options, *keep, "--set", f"provider.base_url={CLOSED}{ending}")
    assert ran.code == (1 if job == "questions" else 0), ran.err
    assert "nothing to send" in ran.err
    assert everything(pipeline, path, options) == before


@pytest.mark.parametrize(("job", "options"), ALL)
def test_every_reading_command_shows_it(pipeline, tree, tmp_path, job, options):
    path = tree / f"jobs/{job}.toml"
    assert pipeline("status", path, *options, "--json").code == 0
    for view in ("results", "failures", "attempts", "runs", "spend", "versions"):
        ran = pipeline("query", path, *options, f'select * from "{view}"', "--format", "json")
        assert ran.code == 0, ran.err
    for name in ("rows.csv", "rows.jsonl", "rows.parquet"):
        ran = pipeline("export", path, *options, tmp_path / name)
        assert ran.code == 0, ran.err
    assert pipeline("compact", path, *options).code == 0


def test_vectors_of_the_first_layout_are_made_anew_and_stay_as_versions(pipeline, tree):
    path = tree / "jobs/embed.toml"
    assert pipeline("run", path, "--offline").code == 0
    made = "extra ->> 'layout' as layout, extra ->> 'maker' is not null as named"
    ran = pipeline("query", path, "--offline", f"select distinct {made}, stale from results", "--format", "json")
    assert json.loads(ran.out) == [{"layout": "2", "named": True, "stale": False}]
    ran = pipeline("query", path, "--offline", f"select {made}, count(*) as n from versions group by all", *JSON)
    assert sorted(json.loads(ran.out), key=str) == [
        {"layout": "2", "named": True, "n": 7},
        {"layout": None, "named": False, "n": 7},
    ]
    assert "nothing to send" in pipeline("run", path, "--offline").err


def test_a_failure_kept_by_0_1_0_can_be_sent_again(pipeline, tree):
    path = tree / "jobs/bad.toml"
    shutil.copy(tree / "inputs/photos/p0.png", tree / "inputs/no_such.png")
    ran = pipeline("reprocess", path, "--where", "id = 'gone'", "--offline")
    assert ran.code == 1, ran.err
    ran = pipeline("query", path, "--offline", "select id, caption from results where id = 'gone'", "--format", "json")
    assert [row["id"] for row in json.loads(ran.out)] == ["gone"]


def test_a_new_row_shares_an_answer_of_0_1_0(pipeline, tree):
    path = tree / "jobs/captions.toml"
    with (tree / "inputs/captions.jsonl").open("a") as rows:
        rows.write(json.dumps({"id": "another", "image": "photos/p1.png", "category": "green"}) + "\n")
    ran = pipeline("run", path, "--set", f"provider.base_url={CLOSED}/api/v1")
    assert ran.code == 0, ran.err
    assert "0 answered, 1 shared" in ran.err
    same = "select count(distinct caption) as n, max(shared_with) as who from results where id in ('7', 'another')"
    ran = pipeline("query", path, same, "--format", "json")
    assert json.loads(ran.out) == [{"n": 1, "who": "7"}]
