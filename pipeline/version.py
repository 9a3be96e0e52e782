"""The version of the installed distribution."""

from __future__ import annotations


def version() -> str:
    """As pip knows it; `0+unknown` for the source folder alone, with nothing installed."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("multimodal-batch")
    except PackageNotFoundError:
        return "0+unknown"
