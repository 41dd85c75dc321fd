"""The child process with a real server, and what is said where it cannot be run."""

import asyncio
import os
import signal
import stat
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rookery.cluster import nats_server
from rookery.cluster.nats_config import NatsServerSettings
from rookery.cluster.nats_server import (
    NatsServer,
    NatsServerFault,
    config_path,
    find_program,
    program_version,
)
from tests.support.slapd import free_ports

WAIT_SECONDS_MAX = 30


def settings(directory: Path) -> NatsServerSettings:
    port, route_port = free_ports(2)
    return NatsServerSettings(
        "n 1", directory / "nats", "secret", client_port=port, route_port=route_port
    )


async def until(there: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while not there():
            await asyncio.sleep(0.01)


def program(directory: Path, text: str) -> Path:
    path = directory / "program"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_it_starts_and_stops(tmp_path: Path):
    async def main() -> None:
        server = NatsServer(settings(tmp_path))
        assert server.problems() == ["nats-server: it was not started"]
        await server.start()
        pid = server.pid
        assert pid is not None
        assert server.problems() == []
        await server.stop()
        assert server.problems() == ["nats-server: it was stopped"]
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    asyncio.run(main())


def test_nobody_else_may_read_its_configuration(tmp_path: Path):
    subject = settings(tmp_path)
    subject.directory.mkdir()
    config_path(subject).touch(mode=0o644)
    nats_server.write_configuration(subject)
    assert stat.S_IMODE(config_path(subject).stat().st_mode) == 0o600


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path):
    (tmp_path / "nats").touch()
    fault = asyncio.run(fault_of(settings(tmp_path)))
    assert fault == (
        f"{tmp_path}/nats, where nats-server keeps its streams, cannot be written: File exists"
    )


async def fault_of(subject: NatsServerSettings) -> str:
    with pytest.raises(NatsServerFault) as caught:
        await NatsServer(subject).start()
    return str(caught.value)


def test_a_child_that_dies_is_started_again(tmp_path: Path):
    async def main() -> None:
        server = NatsServer(settings(tmp_path))
        await server.start()
        first = server.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await until(lambda: server.problems() != [])
        assert server.problems() == ["nats-server: it ended with status -9"]
        await until(lambda: server.problems() == [])
        assert server.pid != first
        assert server.restarts == 1
        await server.stop()

    asyncio.run(main())


def test_the_next_server_waits_until_the_one_before_is_gone(tmp_path: Path):
    async def main() -> None:
        subject = settings(tmp_path)
        one, two = NatsServer(subject), NatsServer(subject)
        await one.start()
        os.kill(one.pid, signal.SIGSTOP)
        starting = asyncio.get_running_loop().create_task(two.start())
        done, _ = await asyncio.wait({starting}, timeout=0.3)
        assert not done, "two servers would write to the same files"
        await one.stop(graceful=False)
        await starting
        assert two.problems() == []
        await two.stop()

    asyncio.run(main())


def test_the_next_server_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(nats_server, "STOP_SECONDS_MAX", 0.1)

    async def main() -> None:
        subject = settings(tmp_path)
        one, two = NatsServer(subject), NatsServer(subject)
        await one.start()
        with pytest.raises(NatsServerFault, match=f"another nats-server uses {subject.directory}"):
            await two.start()
        await one.stop(graceful=False)

    asyncio.run(main())


def test_a_child_that_cannot_start_says_why(tmp_path: Path):
    async def main() -> None:
        subject = replace(settings(tmp_path), route_port=70_000, routes=("127.0.0.1:1",))
        with pytest.raises(NatsServerFault, match=r"it ended with status 1: .*70000"):
            await NatsServer(subject).start()

    asyncio.run(main())


class TestTheProgram:
    def test_a_configured_one_must_be_a_program(self, tmp_path: Path):
        plain = tmp_path / "plain"
        plain.touch()
        for path in (tmp_path / "absent", plain, tmp_path):
            with pytest.raises(NatsServerFault, match=f"{path} is no program"):
                find_program(path)

    def test_a_configured_one_is_taken(self, tmp_path: Path):
        path = program(tmp_path, "")
        assert find_program(path) == path

    def test_the_one_beside_python_is_taken(self):
        assert find_program(None) == Path(sys.executable).parent / "nats-server"

    def test_where_there_is_none_it_says_what_brings_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(NatsServerFault, match=r"pip install 'rookery\[cluster\]'"):
            find_program(None)
        path = tmp_path / "nats-server"
        program(tmp_path, "").rename(path)
        assert find_program(None) == path

    @pytest.mark.parametrize("told", ["v2.11.9", "v1.99.0", "v2.9.10"])
    def test_an_old_one_is_refused(self, tmp_path: Path, told: str):
        with pytest.raises(NatsServerFault, match=r"2\.12 or later is needed"):
            asyncio.run(program_version(program(tmp_path, f"echo nats-server: {told}")))

    @pytest.mark.parametrize("told", ["2.12.0", "2.15.1", "3.0.0"])
    def test_a_newer_one_is_taken(self, tmp_path: Path, told: str):
        path = program(tmp_path, f"echo nats-server: v{told}")
        assert asyncio.run(program_version(path)) == told

    def test_something_else_is_refused(self, tmp_path: Path):
        with pytest.raises(NatsServerFault, match="told no version"):
            asyncio.run(program_version(program(tmp_path, "echo hello")))
        broken = tmp_path / "broken"
        broken.write_text("neither a script nor a binary")
        broken.chmod(0o755)
        with pytest.raises(NatsServerFault, match="cannot be run"):
            asyncio.run(program_version(broken))
