"""A small distribution beside the package, as another project would install it: modules and entry points."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def distribution(
    folder: Path, name: str, modules: Mapping[str, str], entry_points: Mapping[str, Mapping[str, str]]
) -> Path:
    """Writes `modules` (file name → source) and the metadata of a distribution into `folder`; returns the folder.

    entry_points: group → name → `module` or `module:object`.
    """
    for file, source in modules.items():
        (folder / file).write_text(source, encoding="utf-8")
    info = folder / f"{name}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    lines = []
    for group, points in entry_points.items():
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return folder


def beside(folder: Path) -> dict[str, str]:
    """The environment of a command that finds the distributions in `folder`."""
    path = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(folder), path)))}
