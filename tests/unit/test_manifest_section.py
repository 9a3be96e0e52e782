"""The manifest as a table of the job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import JobError
from pipeline.job.load import load

REST = "output = 'out'\ntask = 'caption'\n[provider]\nname = 'openai'\nmodel = 'm'\n"


def spec_of(tmp_path: Path, manifest: str, **overrides: Any) -> Any:
    path = tmp_path / "job.toml"
    path.write_text(REST + manifest if manifest.startswith("[") else manifest + "\n" + REST)
    return load(path, overrides=overrides.get("overrides"), variables=overrides.get("variables"))


def test_a_table_says_path_encoding_and_format(tmp_path: Path) -> None:
    text = "[manifest]\npath = 'in/{date}.dat'\nencoding = 'gb18030'\nformat = 'csv'\n"
    spec = spec_of(tmp_path, text, variables={"date": "today"})
    assert spec.manifest == str(tmp_path / "in/today.dat")
    assert (spec.job.source.encoding, spec.job.source.format) == ("gb18030", "csv")


def test_a_text_is_the_path_alone(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, "manifest = 'm.csv'")
    assert (spec.manifest, spec.job.source.encoding) == (str(tmp_path / "m.csv"), None)


def test_the_encoding_can_be_set_beside_a_path(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, "manifest = 'm.csv'", overrides={"manifest.encoding": "cp1252"})
    assert (spec.manifest, spec.job.source.encoding) == (str(tmp_path / "m.csv"), "cp1252")


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        ("[manifest]\npath = 'm.csv'\nencodng = 'x'\n", 'manifest.encodng: unknown key; did you mean "encoding"'),
        ("[manifest]\npath = 'm.csv'\nencoding = 'gb18031'\n", 'manifest.encoding: no encoding "gb18031" is known'),
        ("[manifest]\npath = 'm.csv'\nencoding = 'base64'\n", "manifest.encoding"),
        ("[manifest]\nencoding = 'gbk'\n", "manifest.path: this key is missing"),
        ("manifest = 3", "manifest: found 3, expected"),
    ],
)
def test_a_wrong_table_is_refused_with_the_key(tmp_path: Path, manifest: str, words: str) -> None:
    with pytest.raises(JobError) as caught:
        spec_of(tmp_path, manifest)
    assert words in str(caught.value)
