import getpass
import os
from pathlib import Path

import pytest
import typer

from rookery.auth.access.file import AccessFault
from rookery.cli.access import access_faults_told, access_or_exit, operator


def test_it_lies_beside_the_store_with_every_durability(tmp_path: Path):
    file = tmp_path / "rookery.yaml"
    file.write_text("store: {durability: memory, directory: here}\n")
    found, loaded = access_or_exit(file, None)
    assert found.path == tmp_path / "here" / "access.db"
    assert loaded.source == file


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
