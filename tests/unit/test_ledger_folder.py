"""Where ledgers lie, who may open them, and what their names tell."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from pipeline.dispatch.account import AccountKey
from pipeline.dispatch.ledger import Ask, Grant, LedgerError
from pipeline.dispatch.ledger_file import FileLedger
from pipeline.dispatch.ledger_folder import ledger_path
from pipeline.types import Secret

KEY = "sk-fake-0123456789abcdef"


@pytest.fixture
def runtime(own_runtime: Path) -> Path:
    return own_runtime


def key(**other: object) -> AccountKey:
    told: dict[str, object] = {"provider": "openai", "host": "h", "key": Secret(KEY), "model": "m", **other}
    return AccountKey(**told)  # type: ignore[arg-type]


def test_the_ledger_lies_in_the_runtime_folder_for_this_user_alone(runtime: Path) -> None:
    path = ledger_path(key())
    FileLedger(path).close()
    assert path.parent == runtime / "multimodal-batch"
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert {found.stat().st_mode & 0o777 for found in path.parent.iterdir()} == {0o600}
    assert len(list(path.parent.iterdir())) == 2  # the ledger and the salt


def test_no_name_and_no_file_tells_the_key(runtime: Path) -> None:
    path = ledger_path(key())
    FileLedger(path).close()
    for found in path.parent.iterdir():
        assert KEY not in found.name
        assert KEY.encode() not in found.read_bytes()


def test_another_salt_gives_another_name(runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ledger_path(key())
    other = tmp_path / "other"
    other.mkdir(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(other))
    assert ledger_path(key()).name != first.name


@pytest.mark.parametrize("other", [{"provider": "qianfan"}, {"host": "i"}, {"model": "n"}, {"key": Secret("sk-other")}])
def test_each_quota_of_its_own_has_a_ledger_of_its_own(runtime: Path, other: dict[str, object]) -> None:
    assert ledger_path(key()) == ledger_path(key())
    assert ledger_path(key(**other)) != ledger_path(key())


def test_keys_of_a_named_account_share_its_ledger(runtime: Path) -> None:
    one, other = key(account="night"), key(account="night", key=Secret("sk-other"))
    assert ledger_path(one) == ledger_path(other)
    assert ledger_path(one) != ledger_path(key(account="day"))


@pytest.mark.parametrize("variable", [None, "", "relative/folder", "/nonexistent/folder"])
def test_without_a_runtime_folder_the_temporary_one_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str | None
) -> None:
    if variable is None:
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    else:
        monkeypatch.setenv("XDG_RUNTIME_DIR", variable)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    path = ledger_path(key())
    assert path.parent == tmp_path / f"multimodal-batch-{os.geteuid()}"
    assert path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_a_folder_of_another_user_is_refused(runtime: Path) -> None:
    folder = runtime / "multimodal-batch"
    folder.mkdir(0o700)
    os.chown(folder, 12345, 12345)
    with pytest.raises(LedgerError, match="another user"):
        ledger_path(key())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_a_runtime_folder_of_another_user_is_passed_over(
    runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.chown(runtime, 12345, 12345)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert ledger_path(key()).parent.parent == tmp_path


def test_a_link_in_place_of_the_folder_is_refused(runtime: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(0o700)
    (runtime / "multimodal-batch").symlink_to(elsewhere)
    with pytest.raises(LedgerError, match="link"):
        ledger_path(key())


def test_a_folder_that_others_may_enter_is_refused_with_advice(runtime: Path) -> None:
    (runtime / "multimodal-batch").mkdir()
    (runtime / "multimodal-batch").chmod(0o755)
    with pytest.raises(LedgerError, match="chmod go-rwx"):
        ledger_path(key())


def test_a_link_in_place_of_the_file_is_refused(runtime: Path, tmp_path: Path) -> None:
    path = ledger_path(key())
    target = tmp_path / "target"
    target.write_bytes(b"mine")
    path.symlink_to(target)
    with pytest.raises(LedgerError):
        FileLedger(path)
    assert target.read_bytes() == b"mine"


def test_a_damaged_salt_is_said(runtime: Path) -> None:
    ledger_path(key()).parent.joinpath("salt").write_bytes(b"short")
    with pytest.raises(LedgerError, match="salt is damaged"):
        ledger_path(key())


def test_a_file_in_place_of_the_folder_is_refused(runtime: Path) -> None:
    (runtime / "multimodal-batch").write_bytes(b"")
    with pytest.raises(LedgerError):
        ledger_path(key())


def test_two_ledgers_of_one_file_are_one_quota_also_when_it_was_removed(runtime: Path) -> None:
    now = [100.0]
    path = ledger_path(key())
    one, other = (FileLedger(path, clock=lambda: now[0]) for _ in range(2))
    path.unlink()
    third = FileLedger(path, clock=lambda: now[0])
    now[0] += 1.5  # each looks for its file about once a second
    grants: list[Grant] = []
    for ledger in (one, other, third):
        ledger.lease(Ask(tokens=(0.0,), most_starts=10.0), grants.append)
    slots = [grant.slots[0] for grant in grants]
    assert len(set(slots)) == 3
    assert slots == sorted(slots)


def test_a_lock_that_another_run_holds_is_not_waited_for(runtime: Path) -> None:
    import fcntl

    now = [100.0]
    path = ledger_path(key())
    ledger = FileLedger(path, clock=lambda: now[0])
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        grants: list[Grant] = []
        ledger.lease(Ask(tokens=(0.0,)), grants.append)
        assert list(grants[0].slots) == []
        assert grants[0].again < 0.01
        with pytest.raises(LedgerError):
            ledger.pause(1.0)
        now[0] += 2.0  # a process that was stopped with the lock in its hand
        with pytest.raises(LedgerError, match="held its lock"):
            ledger.lease(Ask(tokens=(0.0,)), grants.append)
    ledger.lease(Ask(tokens=(0.0,)), grants.append)
    assert list(grants[-1].slots) == [0.0]
