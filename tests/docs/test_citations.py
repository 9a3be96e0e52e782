"""What comments cite is in the tree: sections and rows of PROTOCOLS.md, files of the repository."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "pipeline" / "providers" / "PROTOCOLS.md").read_text(encoding="utf-8")
SECTIONS = set(re.findall(r"^#+ (\d+(?:\.\d+)?)\.? ", PAGE, re.MULTILINE))
TRAPS = set(re.findall(r"^\| (\d+) \| ", PAGE, re.MULTILINE))
CITED = re.compile(r"PROTOCOLS\.md((?:,? (?:and )?(?:§[\d.–§]+|traps? \d+(?:(?:, | and )\d+)*))+)")
ELSEWHERE = re.compile(r"protocol reference|the vocabulary|shared/", re.IGNORECASE)
SUFFIXES = (".py", ".toml", ".sql", ".md", ".yml")


def texts() -> Iterator[tuple[Path, str]]:
    for base in ("pipeline", "tests", "jobs", ".ci", ".github"):
        for path in sorted((ROOT / base).rglob("*")):
            if path.suffix in SUFFIXES and path.name not in ("PROTOCOLS.md", Path(__file__).name):
                yield path.relative_to(ROOT), " ".join(path.read_text(encoding="utf-8").split())


def test_cited_sections_and_traps_are_on_the_page():
    cited = 0
    for path, text in texts():
        for found in CITED.finditer(text):
            cited += 1
            assert set(re.findall(r"§(\d+(?:\.\d+)?)", found[1])) <= SECTIONS, f"{path}: {found[0]}"
            traps = " ".join(re.findall(r"traps? ([\d, and]+)", found[1]))
            assert set(re.findall(r"\d+", traps)) <= TRAPS, f"{path}: {found[0]}"
    assert cited > 50


def test_no_comment_cites_a_document_outside_the_tree():
    for path, text in texts():
        found = ELSEWHERE.search(text)
        assert found is None, f"{path}: {text[max(0, found.start() - 60) : found.end() + 30]}"


@pytest.mark.parametrize("name", ["pipeline", "tests"])
def test_a_bare_trap_stands_in_a_file_that_names_the_page(name):
    for path, text in texts():
        if path.parts[0] == name and re.search(r"\btraps? \d", text):
            assert "PROTOCOLS.md" in text, path
