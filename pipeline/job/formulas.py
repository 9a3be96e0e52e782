"""Texts that a spreadsheet runs as formulas when it opens a CSV, and how they are made inert.

The signs are those of OWASP's page "CSV Injection". A spreadsheet shows no apostrophe before a text.
"""

from __future__ import annotations

FORMULA = "=+-@\t\r\n"


def inert(text: str) -> str:
    """The text with an apostrophe before it where it begins like a formula."""
    return f"'{text}" if text.startswith(tuple(FORMULA)) else text
