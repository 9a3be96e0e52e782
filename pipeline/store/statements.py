"""The named statements of views.sql."""

from __future__ import annotations

import functools
import re
from importlib.resources import files


@functools.cache
def _blocks() -> dict[str, str]:
    text = files("pipeline.store").joinpath("views.sql").read_text("utf-8")
    found = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


def block(name: str, **values: str | int) -> str:
    """One named block, each `{key}` replaced by its value. Braces of other names stay."""
    text = _blocks()[name]
    for key, value in values.items():
        text = text.replace(f"{{{key}}}", str(value))
    return text.strip() + "\n"


def literal(text: str) -> str:
    """The inside of an SQL string."""
    return text.replace("'", "''")


def pattern(folder: str) -> str:
    """A glob for the parts of a folder, whatever characters the folder's name has; for the inside of an SQL string."""
    return literal(escaped(folder)) + "/*.parquet"


def escaped(path: str) -> str:
    """The path as a glob that fits nothing but itself."""
    return re.sub(r"([\[*?])", r"[\1]", path)
