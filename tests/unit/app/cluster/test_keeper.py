"""A NATS server that outlives nodes, and sits out a time in which nobody hears it."""

import asyncio
from dataclasses import replace
from pathlib import Path

from rookery.app.cluster import keeper as module
from rookery.app.cluster.keeper import ServerKeeper, any_reached
from rookery.cluster.nats_config import NatsServerSettings
from tests.support.slapd import free_ports

WAIT_SECONDS_MAX = 30


def settings(directory: Path) -> NatsServerSettings:
    port, route_port = free_ports(2)
    return NatsServerSettings(
        "n1", directory / "nats", "secret", client_port=port, route_port=route_port
    )


def test_a_node_that_begins_anew_finds_the_server_running(tmp_path: Path):
    async def main() -> None:
        keeper = ServerKeeper()
        asked = settings(tmp_path)
        first = await keeper.have(asked)
        pid = first.pid
        assert await keeper.have(replace(asked)) is first
        assert first.pid == pid is not None
        await keeper.end()
        assert (first.pid, keeper.server) == (None, None)

    asyncio.run(main())


def test_another_configuration_is_another_server(tmp_path: Path):
    async def main() -> None:
        keeper = ServerKeeper()
        first = await keeper.have(settings(tmp_path / "one"))
        second = await keeper.have(settings(tmp_path / "other"))
        assert first.pid is None
        assert second.pid is not None
        await keeper.end()

    asyncio.run(main())


def test_it_runs_on_while_another_node_is_reached(tmp_path: Path):
    async def main() -> None:
        other = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        host, port = other.sockets[0].getsockname()
        keeper = ServerKeeper()
        server = await keeper.have(settings(tmp_path))
        pid = server.pid
        await keeper.sit_out([f"127.0.0.1:{free_ports(1)[0]}", f"{host}:{port}"])
        assert server.pid == pid
        await keeper.end()
        other.close()

    asyncio.run(main())


def test_it_is_stopped_until_another_node_is_reached(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)

    async def main() -> None:
        (port,) = free_ports(1)
        keeper = ServerKeeper()
        server = await keeper.have(settings(tmp_path))
        pid = server.pid
        async with asyncio.timeout(WAIT_SECONDS_MAX), asyncio.TaskGroup() as tasks:
            sitting = tasks.create_task(keeper.sit_out([f"127.0.0.1:{port}"]))
            while server.pid is not None:
                await asyncio.sleep(0.01)
            other = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port)
            await sitting
        assert server.pid not in (None, pid)
        assert server.problems() == []
        await keeper.end()
        other.close()

    asyncio.run(main())


def test_a_node_that_begins_anew_meanwhile_starts_it(tmp_path: Path):
    async def main() -> None:
        keeper = ServerKeeper()
        asked = settings(tmp_path)
        server = await keeper.have(asked)
        sitting = asyncio.get_running_loop().create_task(
            keeper.sit_out([f"127.0.0.1:{free_ports(1)[0]}"])
        )
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while server.pid is not None:
                await asyncio.sleep(0.01)
        sitting.cancel()
        assert (await keeper.have(asked)).pid is not None
        await keeper.end()

    asyncio.run(main())


def test_it_starts_afresh_where_it_runs(tmp_path: Path):
    async def main() -> None:
        keeper = ServerKeeper()
        await keeper.start_afresh()
        server = await keeper.have(settings(tmp_path))
        pid = server.pid
        await keeper.start_afresh()
        assert server.pid not in (None, pid)
        await server.stop()
        await keeper.start_afresh()
        assert server.pid is None

    asyncio.run(main())


def test_alone_there_is_nothing_to_sit_out(tmp_path: Path):
    async def main() -> None:
        keeper = ServerKeeper()
        await keeper.sit_out(["127.0.0.1:9"])
        server = await keeper.have(settings(tmp_path))
        pid = server.pid
        await keeper.sit_out([])
        assert server.pid == pid
        await keeper.end()

    asyncio.run(main())


def test_who_is_reached():
    async def main() -> None:
        other = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        host, port = other.sockets[0].getsockname()
        assert await any_reached([f"{host}:{port}"])
        other.close()
        await other.wait_closed()
        assert not await any_reached([f"{host}:{port}", "nowhere.invalid:1"])

    asyncio.run(main())
