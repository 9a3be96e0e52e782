"""The machine under a command, broken at a chosen moment: system calls on an output folder that kill or refuse.

For a child process of its own (see commands.py): it changes the calls of `os`, below everything that is tested.
"""

from __future__ import annotations

import errno
import fnmatch
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

_CALLS = ("open", "write", "pwrite", "fdatasync", "fsync", "ftruncate", "replace", "unlink", "mkdir")


class Rule:
    """`call` (a name, or `*`) on a path under the output that fits `path`: at the n-th one, `do`.

    do: `before` or `after` kills the process there, `half` kills it with half of a write done, the name of an errno
    refuses this call and, with `lasting`, every later one.
    """

    def __init__(self, *, call: str, do: str, path: str = "*", nth: int = 1, lasting: bool = True) -> None:
        self.call, self.do, self.path, self.nth, self.lasting = call, do, path, nth, lasting
        self.seen = 0

    def strikes(self, call: str, path: str) -> bool:
        if self.call not in ("*", call) or not fnmatch.fnmatch(path, self.path):
            return False
        self.seen += 1
        return self.seen == self.nth or (self.lasting and self.seen > self.nth)


def broken(output: str, rules: list[dict[str, Any]]) -> None:
    """From now on, the calls of this process on `output` follow the rules."""
    chosen = [Rule(**rule) for rule in rules]
    lock = threading.Lock()
    for call in _CALLS:
        setattr(os, call, _wrapped(call, getattr(os, call), output, chosen, lock))


def _wrapped(call: str, real: Callable[..., Any], output: str, rules: list[Rule], lock: threading.Lock) -> Any:
    def wrapper(*arguments: Any, **options: Any) -> Any:
        path = _path(call, arguments, output)
        if path is None:
            return real(*arguments, **options)
        with lock:
            actions = [rule.do for rule in rules if rule.strikes(call, path)]
        if "before" in actions:
            _die()
        if "half" in actions:
            data = bytes(arguments[1])
            real(arguments[0], data[: len(data) // 2], *arguments[2:])
            _die()
        for action in actions:
            if action != "after":
                number = getattr(errno, action)
                raise OSError(number, os.strerror(number))
        result = real(*arguments, **options)
        if "after" in actions:
            _die()
        return result

    return wrapper


def _path(call: str, arguments: tuple[Any, ...], output: str) -> str | None:
    """The path that a call changes, relative to the output; None for what is elsewhere or only read."""
    if call == "open" and not arguments[1] & (os.O_CREAT | os.O_WRONLY | os.O_RDWR):
        return None
    target = arguments[1] if call == "replace" else arguments[0]
    if isinstance(target, int):
        try:
            target = Path(f"/proc/self/fd/{target}").readlink()
        except OSError:
            return None
    text = os.fspath(target)
    text = text.decode() if isinstance(text, bytes) else text
    if text == output:
        return "."
    return text[len(output) + 1 :] if text.startswith(f"{output}/") else None


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()
