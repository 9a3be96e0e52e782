"""Keeps libtiff, which reads the TIFF pictures for Pillow, from printing to stderr.

libtiff prints a line for each broken row of a picture, straight to the process's stderr: between our log lines, and a
thousand of them for one bad fax. Pillow says nothing of them, and raises an error for what it cannot read.
"""

from __future__ import annotations

import functools


@functools.cache
def silence_libtiff() -> None:
    """Takes away libtiff's handlers of warnings and errors, for this process, and keeps Pillow's log off stderr.

    Where Pillow was built with libtiff inside it (Windows), the handlers cannot be reached, and nothing happens.
    Source: libtiff's manual, TIFFSetErrorHandler(3tiff) and TIFFSetWarningHandler(3tiff): NULL switches messages off.
    """
    import ctypes
    import logging

    from PIL import _imaging

    # Without a handler, Python prints what Pillow's readers log of a broken picture.
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    try:
        library = ctypes.CDLL(_imaging.__file__)
        for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
            set_handler = getattr(library, name)
            set_handler.argtypes = [ctypes.c_void_p]
            set_handler.restype = ctypes.c_void_p
            set_handler(None)
    except (AttributeError, OSError, TypeError):
        return
