"""The environment of the command: findings of `pipeline doctor`, and other packages that use the name `pipeline`."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import all_suffixes
from importlib.metadata import Distribution, distributions, entry_points
from pathlib import Path
from typing import Literal

import msgspec

WIDTH = 80
Level = Literal["ok", "note", "problem"]


class Finding(msgspec.Struct, frozen=True):
    """The result of one check. `check`: the subject of the check, in one word. `mend`: what the user can do; empty if
    there is nothing to do or `text` says it already. Levels: a `note` works, but may surprise. A `problem` does not
    work until the user changes something."""

    level: Level
    check: str
    text: str
    mend: str = ""


def lines(findings: Iterable[Finding]) -> Iterator[str]:
    """Yields the lines of each finding. A text longer than 80 columns goes on in indented lines. Never cuts a path."""
    for found in findings:
        told = " ".join(f"{found.text}; {found.mend}".split()) if found.mend else " ".join(found.text.split())
        yield from textwrap.wrap(
            told, WIDTH, initial_indent=f"{found.level:<8} ", subsequent_indent=" " * 9,
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip


NAME = "pipeline"
OURS = "multimodal-batch"
APART = f"install {OURS} in an environment of its own, such as `uv tool install {OURS}`"


def name_findings(home: Path, path: Sequence[str], working: Path) -> list[Finding]:
    """Returns the findings about the name `pipeline`. Runs no code of other packages.

    home: the folder of this package. path: sys.path. working: the user's working folder.
    """
    found = [*_distributions(), *_commands(), *_shadows(home, path, working)]
    return found or [Finding("ok", "name", f"nothing else here is named {NAME}")]


def _distributions() -> Iterator[Finding]:
    told: set[str] = set()
    for other in distributions():
        name = other.metadata["Name"] or ""
        if not name or _normal(name) in (OURS, *told):
            continue
        files = _owned(other)
        if not files and NAME not in (other.read_text("top_level.txt") or "").split():
            continue
        told.add(_normal(name))
        more = f" and {len(files) - 1:,} more files" if len(files) > 1 else ""
        which = f" ({files[0]}{more}, in {other.locate_file('')})" if files else f" (in {other.locate_file('')})"
        yield Finding(
            "problem",
            "name",
            f"{name} {other.version} also uses the import name {NAME}{which}: one of the two hides the other",
            f"`pip uninstall {name}`, then `pip install --force-reinstall --no-deps {OURS}`; to keep both, {APART}",
        )


def _owned(other: Distribution) -> list[str]:
    record = other.read_text("RECORD")
    paths = record.splitlines() if record is not None else [str(file) for file in other.files or ()]
    mine = re.compile(rf"(?:\.\./)*({NAME}(?:/[^,]+|\.[^,/]*(?:py|so|pyd)))(?:,|$)")
    found = [match.group(1) for match in map(mine.match, paths) if match]
    return sorted(file for file in found if "__pycache__" not in file)


def _commands() -> Iterator[Finding]:
    for command in entry_points(group="console_scripts", name=NAME):
        other = command.dist
        name = other.metadata["Name"] if other is not None else ""
        if name and _normal(name) != OURS:
            yield Finding(
                "problem",
                "command",
                f"{name} also installs a command {NAME} ({command.value})",
                f"use the command {OURS}, which is the same as {NAME} of this package, or {APART}",
            )


def _shadows(home: Path, path: Sequence[str], working: Path) -> Iterator[Finding]:
    """Yields a finding for each module named `pipeline` in the working folder or in a folder that Python searches
    before this package's folder."""
    mine = home.parent
    folders = [working]
    places = [Path(entry).resolve() for entry in path]
    # A package that is found by an import hook (an editable install) comes after every folder.
    on_path = mine in places
    folders += places[: places.index(mine)] if on_path else places
    for folder in dict.fromkeys(folders):
        module = _module(folder, plain_folders=not on_path)
        if module is None or module.resolve() == home:
            continue
        if (module / "cli" / "main.py").is_file() and (module / "providers" / "models.toml").is_file():
            text = f"{module} is another copy of this package, which `python -m {NAME}` takes in that folder"
            yield Finding("note", "name", text, f"the copy in use is {home}")
            continue
        where = "scripts in that folder" if folder == working else "every program of this environment"
        instead = "work in another folder" if folder == working else "take its folder off the path"
        yield Finding(
            "problem",
            "name",
            f"{module} hides this package from `python -m {NAME}` and from {where}",
            f"rename it, or {instead}",
        )


def _module(folder: Path, *, plain_folders: bool) -> Path | None:
    """Returns the module that `import pipeline` would take from this folder, None if there is none.

    plain_folders: a folder without `__init__` counts as a module too.
    """
    package = folder / NAME
    if any((package / f"__init__{suffix}").is_file() for suffix in all_suffixes()):
        return package
    files = (folder / f"{NAME}{suffix}" for suffix in all_suffixes())
    found = next((file for file in files if file.is_file()), None)
    return package if found is None and plain_folders and package.is_dir() else found


def _normal(name: str) -> str:
    """Returns the name in the form in which package indexes compare names (packaging.python.org, "Name
    normalization")."""
    return re.sub(r"[-_.]+", "-", name).lower()
