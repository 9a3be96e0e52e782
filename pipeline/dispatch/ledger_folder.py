"""The folder, the names and the permissions of a user's ledger files."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

import msgspec

from pipeline.dispatch.account import AccountKey
from pipeline.dispatch.ledger import LedgerError

NAME = "multimodal-batch"
SALT_BYTES = 32
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def ledger_path(key: AccountKey) -> Path:
    """Returns the file of an account's ledger. Raises the same errors as `account_path`."""
    return account_path(key, usual_folder())


def account_path(key: AccountKey, folder: Path) -> Path:
    """Returns the file of an account in `folder`, which is created if it is missing.

    The name is a SHA-256 hash of the key and a random salt that stays in the folder, so that a name does not show the
    key. Raises LedgerError if the folder cannot be used or other users may use it.
    """
    try:
        _make(folder)
        salt = _salt(folder)
    except OSError as error:
        raise LedgerError(f"{error.filename or folder}: {error.strerror}") from None
    if key.account is None:
        account = "key " + hmac.new(salt, key.key.reveal().encode(), hashlib.sha256).hexdigest()
    else:
        account = "name " + key.account
    parts = (key.provider, key.host, account, key.model)
    text = msgspec.json.encode(parts)  # different parts never give the same text
    return folder / hashlib.sha256(text).hexdigest()[:32]


def usual_folder() -> Path:
    """Returns `$XDG_RUNTIME_DIR/multimodal-batch` if that variable names a folder of this user. Otherwise returns a
    folder for this user in the system's folder of temporary files. XDG Base Directory Specification 0.8: the variable's
    folder belongs to the user, and no other user may enter it."""
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    if runtime.is_absolute():
        try:
            found = runtime.stat()
        except OSError:
            found = None
        if found is not None and stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid():
            return runtime / NAME
    return Path(tempfile.gettempdir()) / f"{NAME}-{os.geteuid()}"


def open_private(path: Path) -> int:
    """Returns a descriptor of the file, which is created if it is missing. Raises LedgerError for a link, for a file or
    folder of another user, and for a file or folder that other users may use."""
    try:
        _make(path.parent)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise LedgerError(f"{path} is no plain file")
            _require_ours(path, found)
        except BaseException:
            os.close(fd)
            raise
    except OSError as error:
        raise LedgerError(f"{error.filename or path}: {error.strerror}") from None
    return fd


def _make(folder: Path) -> None:
    """Creates the folder, or checks that the existing folder belongs to this user alone. No other user can replace the
    folder later, because the folder's parent belongs to this user or has the sticky bit."""
    with suppress(FileExistsError):
        folder.mkdir(0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise LedgerError(f"{folder} is no folder (a link is not followed)")
    _require_ours(folder, found)


def _require_ours(path: Path, found: os.stat_result) -> None:
    if found.st_uid != os.geteuid():
        raise LedgerError(f"{path} belongs to another user")
    if found.st_mode & OTHERS:
        raise LedgerError(f"others may use {path}; take their permissions away (chmod go-rwx)")


def _salt(folder: Path) -> bytes:
    """Returns the folder's salt, which is created once. The file gets its name only when it is completely written."""
    path = folder / "salt"
    for _ in range(2):
        try:
            salt = path.read_bytes()
        except FileNotFoundError:
            _write_salt(path)
            continue
        if len(salt) == SALT_BYTES:
            return salt
        break
    raise LedgerError(f"{path} is damaged; remove it when no run is under way")


def _write_salt(path: Path) -> None:
    draft = path.with_name(f"salt-{secrets.token_hex(8)}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, secrets.token_bytes(SALT_BYTES))
        os.fsync(fd)
        with suppress(FileExistsError):  # another run was first
            os.link(draft, path)
    finally:
        os.close(fd)
        draft.unlink()
