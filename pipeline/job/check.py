"""Refuses job files that cannot mean anything: unknown keys, keys that contradict each other, values that cannot be
read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pipeline.errors import JobError
from pipeline.job.schema import JobFile, Section
from pipeline.job.shape import hints_of
from pipeline.job.values import allowance, did_you_mean, duration, for_message, looks_like_key, short


def unknown_keys(tables: Mapping[str, Any]) -> None:
    """Raises ValueError for the first key that no section has, with its path and the nearest valid name."""
    _unknown(tables, JobFile, "")


def _unknown(tables: Mapping[str, Any], section: type[Section], prefix: str) -> None:
    hints = hints_of(section)
    for key, value in tables.items():
        if key not in hints:
            where = f" in [{prefix[:-1]}]" if prefix else ""
            valid = ", ".join(hints)
            hint = did_you_mean(key, hints)
            if f"{prefix}{key}" in ("provider.api_key", "provider.key"):
                hint = "; a key is never written in a job: set its variable's name as api_key_env"
            raise ValueError(f"{prefix}{_shown_key(key)}: unknown key{hint} (known{where}: {valid})")
        for inner in (hints[key], *get_args(hints[key])):
            if isinstance(inner, type) and issubclass(inner, Section) and isinstance(value, Mapping):
                _unknown(value, inner, f"{prefix}{key}.")


def _shown_key(key: str) -> str:
    """Returns a key's name for a message; `…` if the name may be a secret that was pasted by mistake."""
    return "…" if looks_like_key(key) else short(key)


def check(name: str, job: JobFile) -> None:
    """Raises JobError for the first problem of `job`. The message begins with the job's name."""
    for problem in _problems(job):
        raise JobError(f"{name}: {problem}")


def _problems(job: JobFile) -> Iterator[str]:
    provider = job.provider
    if provider.api_key_env is not None and not _is_variable(provider.api_key_env):
        yield (
            f"provider.api_key_env: found {for_message(provider.api_key_env)}, expected the name of an environment "
            "variable such as DASHSCOPE_API_KEY; the key itself is never written in a job"
        )
    if provider.api_key_env is not None and provider.api_key_file is not None:
        yield "provider.api_key_env and provider.api_key_file: set one of them"
    if provider.base_url is not None and not provider.base_url.startswith(("http://", "https://")):
        yield f"provider.base_url: found {for_message(provider.base_url)}, expected http://… or https://…"
    if not provider.model.strip():
        yield "provider.model: is empty"
    if job.dedupe.cache is not None and not job.dedupe.equal:
        yield "dedupe.cache: answers are shared only with dedupe.equal = true; take one of them out"
    if job.limits.account is not None and not job.limits.account.strip():
        yield f"limits.account: found {for_message(job.limits.account)}, expected a name for the account"
    yield from _texts(job)


def _is_encoding(name: str) -> bool:
    try:
        "".encode(name)
    except (LookupError, ValueError):
        return False
    return True


def _is_variable(name: str) -> bool:
    return name.isidentifier() and name.isascii() and not looks_like_key(name)


def _texts(job: JobFile) -> Iterator[str]:
    encoding = job.source.encoding
    if encoding is not None and not _is_encoding(encoding):
        yield (
            f"manifest.encoding: no encoding {for_message(encoding)} is known; expected one such as gb18030, cp1252, "
            "utf-16"
        )
    for key, read in (
        ("retry.deadline", lambda: duration(job.retry.deadline)),
        ("run.accept_failures", lambda: allowance(job.run.accept_failures, 1)),
    ):
        try:
            read()
        except ValueError as error:
            yield f"{key}: {error}"
