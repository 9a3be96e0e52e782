"""The command `pipeline`, also as `python -m pipeline`."""

from __future__ import annotations

import signal


def main() -> None:
    """Runs the command line. While the command line is being loaded, Ctrl-C ends the program without a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from pipeline.cli import main as command

    command()


if __name__ == "__main__":
    main()
