"""The version of the package, for `--version`, Python and the header in which downloads name their client."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def current() -> str:
    """The version of the installed package, such as "0.2.0"; "0+unknown" for the source folder alone."""
    try:
        return version("multimodal-batch")
    except PackageNotFoundError:
        return "0+unknown"
