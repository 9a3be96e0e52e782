"""Names that no file can have here, and that no answer can hold."""

from __future__ import annotations

import os
import sys


def no_file_name(path: str) -> str | None:
    """Why no file of this name can be opened and named in an answer; None for a good name."""
    encoding = sys.getfilesystemencoding()
    try:
        path.encode()
        os.fsencode(path)
    except UnicodeEncodeError:
        if encoding.lower() != "utf-8":
            return f"this Python takes file names as {encoding}: set PYTHONUTF8=1, or a locale such as LC_ALL=C.UTF-8"
        return "the name is not valid UTF-8: rename it"
    return None
