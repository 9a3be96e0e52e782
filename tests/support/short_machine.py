"""A command on a machine that is short of something. As a program, with SHORTAGE and a command's ARGUMENTS.

The shortage is real, and begins with the first connection.
SHORTAGE: `descriptors=TIMES,SECONDS`: taken TIMES times for SECONDS each; `opened`: nothing is short, and every module
that is loaded after the first connection is written to stderr.
"""

from __future__ import annotations

import os
import resource
import sys
import threading
from typing import Any

CONNECT = "socket.connect"


def main() -> None:
    shortage, arguments = sys.argv[1], sys.argv[2:]
    name, _, told = shortage.partition("=")
    if name == "descriptors":
        times, seconds = told.split(",")
        at_first_connection(lambda: take_descriptors(int(times), float(seconds)))
    else:
        tell_modules()
    from pipeline.cli import main as command

    command(arguments)


def at_first_connection(begin: Any) -> None:
    begun = threading.Event()

    def hook(event: str, _: tuple[Any, ...]) -> None:
        if event == CONNECT and not begun.is_set():
            begun.set()
            threading.Thread(target=begin, daemon=True).start()

    sys.addaudithook(hook)


def take_descriptors(times: int, seconds: float) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    pause = threading.Event()
    for _ in range(times):
        taken = []
        try:
            while True:
                taken.append(os.dup(2))
        except OSError:
            pause.wait(seconds)
        for descriptor in taken:
            os.close(descriptor)
        pause.wait(0.1)


def tell_modules() -> None:
    connected = threading.Event()

    def hook(event: str, told: tuple[Any, ...]) -> None:
        if event == CONNECT:
            connected.set()
        elif event == "import" and connected.is_set():
            sys.stderr.write(f"late module: {told[0]}\n")

    sys.addaudithook(hook)


if __name__ == "__main__":
    main()
