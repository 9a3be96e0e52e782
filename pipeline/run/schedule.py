"""The text that makes a job run every night: a systemd service with its timer, or a line for cron.

Sources: systemd.service(5), systemd.timer(5), systemd.unit(5) ("Specifiers"), crontab(5).
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterator
from datetime import time
from pathlib import Path

import msgspec

from pipeline.errors import EXIT_PLANNED_STOP, JobError
from pipeline.job.load import LoadedJob

GRACE = 25
"""Seconds that a run waits for rows in flight when it is stopped (`--grace`)."""
KEYS = "multimodal-batch/env"
"""The file with the key below the user's configuration, as `NAME=value` lines."""


class Night(msgspec.Struct, frozen=True, kw_only=True):
    """When and how a job runs. until: the clock that ends the run, None: no end. env_file: a file with the key's
    variable; None: `~/.config/multimodal-batch/env`."""

    at: time
    until: time | None = None
    env_file: Path | None = None


def clock(text: str, option: str) -> time:
    """A time of day such as 02:00. Raises JobError."""
    try:
        return time.fromisoformat(text.strip())
    except ValueError:
        raise JobError(f"{option} {text}: expected a time of day such as 02:00") from None


def systemd_lines(spec: LoadedJob, night: Night) -> Iterator[str]:
    """Yields a service and a timer of the user, with the commands that install them."""
    name = _unit(spec)
    keys = _keys(night)
    yield from (
        f"# Save as ~/.config/systemd/user/{name}.service",
        "[Unit]",
        f"Description=pipeline: {_percent(spec.shown)}",
        "After=network-online.target",
        "Wants=network-online.target",
        "",
        "[Service]",
        "Type=oneshot",
        f"WorkingDirectory={_percent(os.getcwd())}",  # noqa: PTH109 - a text, as the unit takes it
        f"ExecStart={_percent(shlex.join(_command(spec, night, keys)))}",
        "# A planned stop (budget, --until) is no failure of the unit; rows that failed are (exit 1).",
        f"SuccessExitStatus={EXIT_PLANNED_STOP}",
        "# A stop lets rows in flight arrive.",
        f"TimeoutStopSec={GRACE + 35}",
        "Nice=10",
        "",
        f"# Save as ~/.config/systemd/user/{name}.timer",
        "[Unit]",
        f"Description=pipeline: {_percent(spec.shown)}, every night",
        "",
        "[Timer]",
        f"OnCalendar=*-*-* {night.at:%H:%M:%S}",
        "# A night that the machine slept through is made up for.",
        "Persistent=true",
        "",
        "[Install]",
        "WantedBy=timers.target",
        "",
        "# Then, once:",
        *_key_lines(spec, keys),
        f"#   systemctl --user daemon-reload && systemctl --user enable --now {name}.timer",
        '#   loginctl enable-linger "$USER"     # so that it runs while nobody is logged in',
        f"# Look: systemctl --user list-timers; journalctl --user -u {name}",
    )


def cron_lines(spec: LoadedJob, night: Night) -> Iterator[str]:
    """Yields a line for `crontab -e`, with the command that stores the key. In a crontab, `%` ends the command unless
    it is escaped."""
    keys = _keys(night)
    log = spec.output.with_name(f"{spec.output.name}.log")
    command = f"cd {shlex.quote(os.getcwd())} && {shlex.join(_command(spec, night, keys))}"  # noqa: PTH109
    yield from (
        "# Once:",
        *_key_lines(spec, keys),
        "# Then, in `crontab -e`; no two runs of the same job go on at once (exit 5):",
        f"{night.at.minute} {night.at.hour} * * * {command} >> {shlex.quote(str(log))} 2>&1".replace("%", r"\%"),
    )


def _command(spec: LoadedJob, night: Night, keys: Path) -> list[str]:
    """The command with whole paths. A run at night asks nobody, so it keeps answers when the job has changed."""
    job = str(Path(spec.name).absolute())
    command = [sys.executable, "-m", "pipeline", "run", job, *shlex.split(spec.options.flags), "--changed", "keep"]
    if night.until is not None:
        command += ["--until", f"{night.until:%H:%M}"]
    return command if spec.offline or spec.job.provider.api_key_file else [*command, "--env-file", str(keys)]


def _keys(night: Night) -> Path:
    if night.env_file is not None:
        return night.env_file.absolute()
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / KEYS


def _key_lines(spec: LoadedJob, keys: Path) -> Iterator[str]:
    """How the key gets into its file, without standing in the shell's history."""
    if spec.offline or spec.job.provider.api_key_file:
        return
    from pipeline.providers import load

    variable = spec.job.provider.api_key_env or load(spec.job.provider.name).KEY_ENV
    place = shlex.quote(str(keys))
    yield (
        f"#   (umask 077 && mkdir -p {shlex.quote(str(keys.parent))} && read -rs KEY && "
        f'echo "{variable}=$KEY" > {place})   # then type the key'
    )


def _unit(spec: LoadedJob) -> str:
    return "pipeline-" + (re.sub(r"[^A-Za-z0-9_.-]+", "-", spec.shown).strip("-.") or "job")


def _percent(text: str) -> str:
    """Returns the text as a unit file holds the text: `%` begins a specifier there."""
    return text.replace("%", "%%")
