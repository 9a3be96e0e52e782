"""The version of the installed distribution."""

from __future__ import annotations


def version() -> str:
    """Returns the version as pip knows it; `0+unknown` if only the source folder is there and nothing is installed."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("multimodal-batch")
    except PackageNotFoundError:
        return "0+unknown"
