"""Providers and tasks of other distributions, which are found by the names of entry points and checked before use."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any

import msgspec

from pipeline.errors import JobError
from pipeline.job.values import did_you_mean, for_message


class Extensible(msgspec.Struct, frozen=True):
    """A kind of object that other distributions may bring (providers, tasks). `key`: the key of the job file that names
    the object. `group`: the group of the entry points. `built_in`: the names of this package's own objects. `needed`:
    the attributes that a brought object must have."""

    key: str
    group: str
    built_in: tuple[str, ...]
    needed: Sequence[str]

    def names(self) -> tuple[str, ...]:
        """Returns the built-in names, then the names of entry points."""
        others = sorted(point.name for point in entry_points(group=self.group) if point.name not in self.built_in)
        return (*self.built_in, *others)

    def brought(self, name: str) -> Any:
        """Returns the object of the entry point `name`.

        Raises JobError: for an unknown name, with the known names; for an object that cannot be used, with its
        distribution.
        """
        for point in entry_points(group=self.group, name=name):
            origin = "an unknown distribution" if point.dist is None else f"{point.dist.name} {point.dist.version}"
            where = f"{self.key}: {for_message(name)} is brought by {origin} ({point.value})"
            try:
                found = point.load()
            except Exception as error:  # the code of another distribution may raise anything
                raise JobError(f"{where}, which cannot be loaded: {type(error).__name__}: {error}") from error
            missing = [part for part in self.needed if not hasattr(found, part)]
            if missing:
                raise JobError(f"{where}, which lacks {', '.join(missing)}")
            return found
        known = self.names()
        expected = f"expected one of {', '.join(known)}{did_you_mean(name, known)}"
        raise JobError(f"{self.key}: found {for_message(name)}, {expected}")
