from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import JobError
from pipeline.job.load import load, user_models
from pipeline.job.overrides import parse_setting
from pipeline.job.values import allowance, duration
from pipeline.run.make_context import job_context

MINIMAL = """
task     = "caption"
manifest = "../photos.jsonl"
output   = "../out/captions"
[provider]
name  = "dashscope"
model = "qwen3-vl-plus"
"""


@pytest.fixture
def job_file(tmp_path: Path):
    def write(text: str = MINIMAL, name: str = "captions.toml") -> Path:
        folder = tmp_path / "jobs"
        folder.mkdir(exist_ok=True)
        path = folder / name
        path.write_text(text)
        return path

    return write


def refusal(path: Path, **arguments) -> str:
    with pytest.raises(JobError) as caught:
        load(path, **arguments)
    return str(caught.value)


def test_places_are_relative_to_the_job_file(job_file, tmp_path):
    spec = load(job_file())
    assert spec.manifest == str(tmp_path / "photos.jsonl")
    assert spec.output == tmp_path / "out" / "captions"


def test_offline_answers_have_a_folder_of_their_own(job_file, tmp_path):
    assert load(job_file(), offline=True).output == tmp_path / "out" / "captions-offline"
    assert load(job_file(), offline=True, output=tmp_path / "elsewhere").output == tmp_path / "elsewhere-offline"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("[provider]\nmodle = 'x'\nname='dashscope'", 'provider.modle: unknown key; did you mean "model"?'),
        ("tsk = 1", 'tsk: unknown key; did you mean "task"?'),
        ("[limits]\nrpm = 'many'", 'limits.rpm: found "many", expected a number'),
        ("[limits]\nrpm = 0", "limits.rpm: found 0, expected a number above 0"),
        ("[retry]\ndeadline = 'soon'", 'retry.deadline: found "soon", expected a duration'),
        ("[run]\naccept_failures = 'some'", 'run.accept_failures: found "some", expected a count or a share'),
        ("[media]\nresize = 'big'", 'media.resize: found "big", expected one of fit, off'),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_path(job_file, line, expected):
    text = (
        MINIMAL.replace('[provider]\nname  = "dashscope"\nmodel = "qwen3-vl-plus"', "") if "[provider]" in line else ""
    )
    path = job_file((text or "") + (line if "[provider]" in line else line + "\n" + MINIMAL))
    if line.startswith("["):
        path = job_file((text or MINIMAL) + line)
    message = refusal(path)
    assert expected in message
    assert str(path) in message


def test_an_unknown_provider_gets_the_nearest_name(job_file):
    with pytest.raises(JobError) as caught:
        job_context(load(job_file(MINIMAL.replace("dashscope", "dashscop"))), keyless=True)
    assert 'provider.name: found "dashscop", expected one of dashscope, openai, qianfan' in str(caught.value)
    assert 'did you mean "dashscope"?' in str(caught.value)


@pytest.mark.parametrize(("name", "protocol"), [("openai", "native"), ("dashscope", "nativ")])
def test_a_protocol_that_the_provider_has_not_is_refused(job_file, name, protocol):
    text = MINIMAL.replace('"dashscope"', f'"{name}"\nprotocol = "{protocol}"')
    with pytest.raises(JobError, match=f'provider.protocol: found "{protocol}"'):
        job_context(load(job_file(text)), keyless=True)


def test_a_missing_file_proposes_its_neighbour(job_file):
    path = job_file()
    assert f'did you mean "{path}"' in refusal(path.with_name("caption.toml"))


def test_every_key_can_be_set(job_file):
    settings = dict(
        parse_setting(text) for text in ("provider.model=qwen-vl-ocr", "limits.rpm=30", "prompt.text=Hi {x}")
    )
    job = load(job_file(), overrides=settings).job
    assert (job.provider.model, job.limits.rpm, job.prompt.text) == ("qwen-vl-ocr", 30.0, "Hi {x}")


def test_a_model_name_with_dots_stays_whole(job_file):
    job = load(job_file(), overrides={'models."qwen2.5-vl".price': {"input": 1.0}}).job
    assert job.models == {"qwen2.5-vl": {"price": {"input": 1.0}}}


def test_a_misspelt_setting_is_refused(job_file):
    assert 'did you mean "limits"?' in refusal(job_file(), overrides={"limit.rpm": 3})


def test_a_setting_without_a_value_is_refused():
    with pytest.raises(JobError, match="expected KEY=VALUE"):
        parse_setting("provider.model")


def test_variables_fill_manifest_and_output(job_file, tmp_path):
    path = job_file(MINIMAL.replace("photos.jsonl", "{date}/photos.jsonl").replace("out/captions", "out/{date}"))
    spec = load(path, variables={"date": "2026-11-21"})
    assert spec.manifest == str(tmp_path / "2026-11-21" / "photos.jsonl")
    assert spec.output == tmp_path / "out" / "2026-11-21"
    assert "--var date=" in refusal(path)


def test_the_user_wide_file_holds_models_only(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    folder = tmp_path / "multimodal-batch"
    folder.mkdir()
    (folder / "models.toml").write_text('[models."mine"]\nmax_output_tokens = 5\n')
    assert user_models() == {"mine": {"max_output_tokens": 5}}
    (folder / "models.toml").write_text("[providers]\n")
    with pytest.raises(JobError, match="providers"):
        user_models()


@pytest.mark.parametrize(
    ("text", "seconds"), [("10m", 600), ("1h30m", 5400), ("25s", 25), ("500ms", 0.5), (7, 7), ("90", 90), ("1.5m", 90)]
)
def test_durations_read_as_people_write_them(text, seconds):
    assert duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "soon", "-3", "10 parsecs", "nan", "inf"])
def test_other_durations_are_refused(text):
    with pytest.raises(ValueError):
        duration(text)


@pytest.mark.parametrize(("text", "rows"), [("1%", 2), ("0.5%", 1), (3, 3), ("3", 3), ("100%", 200), (0, 0)])
def test_an_allowance_is_a_count_or_a_share(text, rows):
    assert allowance(text, 200) == rows


def test_a_home_that_cannot_be_read_holds_no_models(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    assert user_models() == {}
