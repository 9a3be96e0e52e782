"""Archives made for the tests: tar and zip, sound and hostile."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

Members = Mapping[str, bytes] | Iterable[tuple[str, bytes]]


def pairs(members: Members) -> list[tuple[str, bytes]]:
    return list(members.items()) if isinstance(members, Mapping) else list(members)


def tar(path: Path, members: Members, form: int = tarfile.PAX_FORMAT) -> Path:
    """A tar of these members in this order; a name may come twice."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=form) as archive:
        for name, body in pairs(members):
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            archive.addfile(entry, io.BytesIO(body))
    return path


def zipped(path: Path, members: Members, method: int = zipfile.ZIP_DEFLATED) -> Path:
    """A zip of these members in this order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, body in pairs(members):
            archive.writestr(name, body)
    return path


def archived(path: Path, members: Members) -> Path:
    """A tar or a zip, by the ending."""
    return tar(path, members) if path.suffix == ".tar" else zipped(path, members)
