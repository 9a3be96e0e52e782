"""Keeps what a run found of an account's quota for the next run: in a small file for each account, without the key."""

from __future__ import annotations

import os
import secrets
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from pipeline.dispatch.account import AccountKey
from pipeline.dispatch.found import Learnt
from pipeline.dispatch.ledger import LedgerError
from pipeline.dispatch.ledger_folder import NAME, account_path
from pipeline.errors import MachineError

OLDEST_SECONDS = 90 * 86_400.0
"""A quota that was found longer ago is found anew."""


def learnt_path(key: AccountKey) -> Path:
    """Returns the file of an account in the user's folder for states (XDG Base Directory Specification 0.8). The file's
    name does not show the key. Raises LedgerError if the folder cannot be used."""
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    try:
        if not state.is_absolute():
            state = Path.home() / ".local" / "state"
        state.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LedgerError(f"{error.filename or state}: {error.strerror}") from None
    except RuntimeError as error:  # the user has no home folder
        raise LedgerError(str(error)) from None
    return account_path(key, state / NAME).with_suffix(".json")


def recall(path: Path) -> Learnt | None:
    """Returns what the last run found; None if no usable quota is known."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Learnt)
    except (OSError, msgspec.MsgspecError):
        return None
    return found if found.sound and 0 <= time.time() - found.at < OLDEST_SECONDS else None


def keep(path: Path, learnt: Learnt) -> None:
    """Writes `learnt` with the current time. Replaces the file in one step. Raises MachineError."""
    draft = path.with_name(f"{path.stem}-{secrets.token_hex(4)}.tmp")
    try:
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, msgspec.json.encode(msgspec.structs.replace(learnt, at=time.time())))
        finally:
            os.close(fd)
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        raise MachineError(f"cannot keep the quota that was found in {path}: {error.strerror}") from error
