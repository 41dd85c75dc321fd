import getpass
import os
from pathlib import Path

import pytest
import typer

from rookery.auth.access.file import AccessFault, AccessFile
from rookery.auth.access.users import UserRow, put_user
from rookery.cli.access import access_faults_told, access_or_exit, operator, stored_users


def test_it_lies_beside_the_store_with_every_durability(tmp_path: Path):
    file = tmp_path / "rookery.yaml"
    file.write_text("store: {durability: memory, directory: here}\n")
    found, loaded = access_or_exit(file, None)
    assert found.path == tmp_path / "here" / "access.db"
    assert loaded.source == file


def test_the_stored_users_are_counted(tmp_path: Path):
    file = tmp_path / "rookery.yaml"
    file.write_text("store: {directory: here}\n")
    access, loaded = access_or_exit(file, None)
    assert stored_users(loaded) == 0
    with access.change("op", 5.0) as change:
        put_user(change, UserRow("ann", "$6$x", "sha512"))
    assert stored_users(loaded) == 1
    access.path.write_text("no database" * 1000)
    assert stored_users(loaded) == 0


def test_a_fault_is_told_and_ends_with_1(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(typer.Exit) as end, access_faults_told():
        raise AccessFault("it is broken")
    assert end.value.exit_code == 1
    assert capsys.readouterr().err == "rookery: it is broken\n"


def test_who_it_was(monkeypatch: pytest.MonkeyPatch):
    assert operator() == getpass.getuser()

    def nameless() -> str:
        raise KeyError("no such user")

    monkeypatch.setattr(getpass, "getuser", nameless)
    assert operator() == f"uid {os.getuid()}"


def test_another_program_s_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "access.db").write_text("no database" * 1000)
    file = AccessFile(tmp_path)
    with pytest.raises(typer.Exit), access_faults_told(), file.change("op", 5.0):
        pass
    assert "access.db cannot be used" in capsys.readouterr().err
