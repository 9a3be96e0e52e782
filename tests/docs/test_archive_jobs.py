"""Archives through the commands: plan, run, failures, reprocess, and an archive rewritten under the run."""

from __future__ import annotations

import json
import shutil
import threading
import zipfile
from pathlib import Path

from support.archives import tar, zipped
from support.counting_server import CountingServer, Told
from support.pictures import drawn, encoded

ROOT = Path(__file__).parents[2]
PHOTOS = {name: (ROOT / f"sample_data/photos/{name}.jpg").read_bytes() for name in ("chelsea", "coffee")}
JOB = 'task = "caption"\nmanifest = "{}"\noutput = "out"\n[provider]\nname = "dashscope"\nmodel = "qwen3-vl-plus"\n'


def job_of(folder: Path, manifest: str, more: str = "") -> Path:
    path = folder / "job.toml"
    path.write_text(JOB.format(manifest) + more)
    return path


def rows(pipeline, job: Path, sql: str) -> list[dict]:
    ran = pipeline("query", job, "--offline", sql, "--format", "json")
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def test_an_archive_of_pictures_is_captioned(pipeline, tmp_path):
    members = {f"{name}.jpg": body for name, body in PHOTOS.items()}
    texts = {f"{name}.json": json.dumps({"topic": name, "id": 1}).encode() for name in PHOTOS}
    tar(tmp_path / "set.tar", dict(sorted((members | texts | {"LICENSE": b"x"}).items())))
    job = job_of(tmp_path, "set.tar", '[prompt]\ntext = "What about {topic}?"\n')
    plan = json.loads(pipeline("plan", job, "--offline", "--json").out)
    assert (plan["rows"], plan["send"], plan["refused"]) == (2, 2, [])
    assert plan["passed_over"] == {"no ending": 1}
    assert plan["media_tokens"] > 0
    ran = pipeline("run", job, "--offline")
    assert ran.code == 0, ran.err
    assert "passed over: 1 no ending" in ran.err
    found = rows(pipeline, job, "select id, caption, source[1] as source, topic, row_id from results order by id")
    assert [row["id"] for row in found] == ["set.tar#chelsea.jpg", "set.tar#coffee.jpg"]
    assert "cat" in found[0]["caption"]
    assert found[0]["source"] == f"{tmp_path}/set.tar#chelsea.jpg"
    assert (found[0]["topic"], found[0]["row_id"]) == ("chelsea", 1)
    assert "nothing to send" in pipeline("run", job, "--offline").err
    shutil.copy(ROOT / "sample_data/photos/coffee.jpg", tmp_path / "loose.jpg")
    assert pipeline("doctor", job, "--offline").code == 0


def test_members_in_a_table_share_the_answers_of_equal_pictures(pipeline, tmp_path):
    tar(tmp_path / "set.tar", {"a.jpg": PHOTOS["coffee"]})
    zipped(tmp_path / "set.zip", {"b.jpg": PHOTOS["coffee"]})
    lines = [{"id": "t", "image": "set.tar#a.jpg"}, {"id": "z", "image": "set.zip#b.jpg"},
             {"id": "n", "image": "set.zip#n.jpg"}]  # fmt: skip
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    job = job_of(tmp_path, "m.jsonl")
    ran = pipeline("run", job, "--offline")
    assert ran.code == 1
    assert "1 answered, 1 shared, 1 failed" in ran.err
    assert rows(pipeline, job, "select id, code from failures") == [{"id": "n", "code": "Local.MissingMember"}]


def test_a_member_that_cannot_be_read_is_a_failure_to_reprocess(pipeline, tmp_path):
    path = zipped(tmp_path / "set.zip", {"a.jpg": PHOTOS["coffee"], "b.jpg": PHOTOS["chelsea"]}, zipfile.ZIP_STORED)
    whole = path.read_bytes()
    broken = bytearray(whole)
    broken[broken.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(broken)
    job = job_of(tmp_path, "set.zip")
    ran = pipeline("run", job, "--offline")
    assert ran.code == 1
    (failure,) = rows(pipeline, job, "select id, code, message, row from failures")
    assert (failure["id"], failure["code"]) == ("set.zip#a.jpg", "Local.UnreadableMember")
    assert json.loads(failure["row"]) == {"image": f"{path}#a.jpg"}
    path.write_bytes(whole)
    assert pipeline("reprocess", job, "--offline", "--where", "true").code == 0
    assert len(rows(pipeline, job, "select id from results")) == 2


def test_what_an_archive_lost_under_the_run_is_sent_by_the_next(pipeline, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-fake")
    picture = encoded(drawn(16, 16))
    members = {f"{n:03}.jpg": picture + b"%d" % n for n in range(60)}
    for shard in range(4):
        tar(tmp_path / f"s/{shard}.tar", {f"{shard}{name}": body + b"%d" % shard for name, body in members.items()})
    once = threading.Event()

    def script(asked, n):
        if not once.is_set():
            once.set()
            other = tar(tmp_path / "new.tar", {f"3{name}": body + b"new" for name, body in members.items()})
            other.replace(tmp_path / "s/3.tar")
        return Told(seconds=0.005)

    with CountingServer(script) as server:
        more = f'base_url = "{server.base_url}"\n[limits]\nconcurrency = 2\n'
        job = job_of(tmp_path, "s", more)
        job.write_text(job.read_text().replace("dashscope", "openai"))
        ran = pipeline("run", job)
        assert ran.code == 1, ran.err
        assert "60 × rejected Local.ChangedArchive" in ran.err
        assert "3.tar#3000.jpg: the archive changed after it was read; run again" in ran.err
        ran = pipeline("run", job)
        assert ran.code == 0, ran.err
        assert "60 answered, 0 failed, 180 skipped" in ran.err
        assert len(server.asked) == 240
