"""What a command says about a job besides the job file: keys to replace, values of variables, another output."""

from __future__ import annotations

import os
import re
import shlex
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from pipeline.errors import JobError
from pipeline.job.values import for_message


class JobOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a command says about a job besides the job file.

    `overrides`: nested tables or dotted keys ({"provider.model": "…"}), which replace the file's keys. `variables`:
    values of `{name}` in `manifest`, `output` and `media.root`. `output`: another folder (relative to the working
    folder) instead of the job's folder. `offline`: the embedded service answers.
    """

    overrides: Mapping[str, Any] = {}
    variables: Mapping[str, str] = {}
    output: str | Path | None = None
    offline: bool = False

    @property
    def flags(self) -> str:
        """Returns the options as a command takes them: "--offline --set provider.model=…"."""
        parts = ["--offline"] if self.offline else []
        if self.output is not None:
            parts += ["--output", str(self.output)]
        for option, pairs in (("--set", self.overrides), ("--var", self.variables)):
            for key, value in pairs.items():
                text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
                parts += [option, f"{key}={text}"]
        return shlex.join(parts)


NO_OPTIONS = JobOptions()


def parse_setting(text: str) -> tuple[str, Any]:
    """Splits `provider.model=qwen3-vl-plus` into (dotted key, value). The value is read as TOML if possible, else as
    text.

    Raises JobError without a `=`.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise JobError(f"--set {text}: expected KEY=VALUE, such as provider.model=qwen3-vl-plus")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value


def override(tables: dict[str, Any], key: str, value: Any) -> None:
    """Sets a dotted key in `tables`. A model's quoted name (models."a.b".price) is one part of the key."""
    parts = [quoted or plain for quoted, plain in re.findall(r'"([^"]*)"|([^.]+)', key)]
    table = tables
    if parts[0] == "manifest" and len(parts) > 1 and isinstance(table.get("manifest"), str):
        table["manifest"] = {"path": table["manifest"]}
    for part in parts[:-1]:
        inner = table.setdefault(part, {})
        if not isinstance(inner, dict):
            raise JobError(f"{key}: {part} is {for_message(inner)}, not a table")
        table = inner
    existing = table.get(parts[-1])
    plain = os.fspath(value) if isinstance(value, os.PathLike) else value
    if isinstance(value, Mapping) and isinstance(existing, dict):
        for inner_key, inner_value in value.items():
            override(existing, f'"{inner_key}"', inner_value)
    else:
        table[parts[-1]] = dict(value) if isinstance(value, Mapping) else plain
