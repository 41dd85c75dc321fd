"""How the commands reach a node, and how they end."""

import asyncio
import ssl
from pathlib import Path

import pytest
import typer

from rookery.cli.remote import Remote, Version, run
from rookery.client import ConnectionLost
from tests.support.certificates import Authority

NOTHING = {
    "host": "node",
    "port": None,
    "unix": None,
    "client_id": None,
    "username": None,
    "password": None,
    "password_file": None,
    "version": Version.V5,
    "tls": False,
    "cafile": None,
    "certificate": None,
    "key": None,
    "insecure": False,
}


def remote(**options):
    return Remote(**{**NOTHING, **options})


def connect_of(target):
    async def make():
        return target.client()._connect

    return asyncio.run(make())


def test_the_port_follows_tls():
    assert remote().where == "node:1883"
    assert remote(tls=True).where == "node:8883"
    assert remote(tls=True, port=99).where == "node:99"
    assert remote(unix=Path("/run/s")).where == "/run/s"


@pytest.mark.parametrize("version", list(Version))
def test_a_client_id_is_made_up(version):
    first, second = connect_of(remote(version=version)), connect_of(remote(version=version))
    assert first.version == {"3.1": 3, "3.1.1": 4, "5": 5}[version.value]
    assert first.client_id != second.client_id
    assert 1 <= len(first.client_id) <= 23
    assert connect_of(remote(client_id="mine")).client_id == "mine"


def test_the_password_comes_from_the_option_the_file_or_the_environment(tmp_path, monkeypatch):
    file = tmp_path / "password"
    file.write_bytes(b"from file\r\nsecond line")
    monkeypatch.setenv("ROOKERY_PASSWORD", "from environment")
    assert connect_of(remote(username="u", password="given")).password == b"given"
    assert connect_of(remote(username="u", password_file=file)).password == b"from file"
    assert connect_of(remote(username="u")).password == b"from environment"
    # It belongs to a user, and a node may want none.
    assert connect_of(remote()).password is None


@pytest.mark.parametrize(
    "options",
    [
        {"key": Path("k")},
        {"password": "p", "password_file": Path("f")},
        {"password": "p", "version": Version.V3_1_1},
        {"cafile": Path("/dev/null")},
        {"certificate": Path("/dev/null")},
    ],
)
def test_what_does_not_go_together_is_a_wrong_command_line(options):
    with pytest.raises(typer.BadParameter):
        remote(**options)


def test_tls_checks_unless_told_not_to(tmp_path):
    authority = Authority(tmp_path)
    pair = authority.client()
    assert remote().context is None
    for checked in (
        remote(tls=True),
        remote(cafile=authority.certificate),
        remote(certificate=pair.certificate, key=pair.private_key),
    ):
        assert checked.context.verify_mode is ssl.CERT_REQUIRED
        assert checked.context.check_hostname
    assert remote(insecure=True).context.verify_mode is ssl.CERT_NONE


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ConnectionLost("gone"), 1, "rookery: node:1883: gone\n"),
        (OSError("no route"), 1, "rookery: node:1883: no route\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_every_end_has_its_exit_code(error, code, said, capsys):
    async def work():
        raise error

    with pytest.raises(typer.Exit) as exit_:
        run(remote(), work())
    assert (exit_.value.exit_code, capsys.readouterr().err) == (code, said)


def test_the_code_of_the_work_is_the_exit_code():
    async def work():
        return 27

    with pytest.raises(typer.Exit) as exit_:
        run(remote(), work())
    assert exit_.value.exit_code == 27
