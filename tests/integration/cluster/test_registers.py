"""Registers, leases and leaders on three real NATS servers, some of which die, stop and come back."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable

import pytest

from rookery.actors.clock import SystemClock
from rookery.cluster import names
from rookery.cluster.cell_log import JetStreamLog
from rookery.cluster.cells import CellRecord
from rookery.cluster.jetstream import JetStream, JetStreamSettings, NoAnswer, Refusal
from rookery.cluster.leaders import Leaders
from rookery.cluster.lease import Lease
from rookery.cluster.registers import Registers
from rookery.cluster.streams import ensure_streams, stream_info
from rookery.ports import LogUnavailable
from tests.support.nats_cluster import NatsCluster

WAIT_SECONDS_MAX = 40
RACES = 40


class Told:
    """Notes what becomes of a lease, and when."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def lease_lost(self) -> None:
        self.said.append("lost")

    def lease_regained(self) -> None:
        self.said.append("regained")

    def lease_taken(self, record: CellRecord) -> None:
        self.said.append(f"taken by {record.holder}")


@contextlib.asynccontextmanager
async def node(servers: NatsCluster, index: int) -> AsyncIterator[tuple[JetStream, Registers]]:
    """The connection of a node, whose streams are there and led as they should be, and its registers."""
    async with servers.connected(index) as jetstream:
        node_id = servers.node_ids[index]
        await ensure_streams(jetstream, node_id, 3, jetstream.server_name)
        registers = Registers(jetstream, SystemClock())
        yield jetstream, registers
        await registers.stop()


async def settled(servers: NatsCluster) -> None:
    """Wait until every server leads what it should."""
    async with contextlib.AsyncExitStack() as stack:
        leaders = []
        for index, node_id in enumerate(servers.node_ids):
            jetstream, _ = await stack.enter_async_context(node(servers, index))
            leaders.append(Leaders(jetstream, node_id))
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while not all([await each.look() for each in leaders]):
                await asyncio.sleep(0.1)


async def until(there: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while not there():
            await asyncio.sleep(0.02)


def record(cell: str, holder: str, boot: str = "1") -> CellRecord:
    return CellRecord(cell, holder, boot)


def test_every_server_leads_its_own_and_one_register(servers: NatsCluster):
    async def main() -> None:
        began = time.monotonic()
        await settled(servers)
        print(f"leaders placed after {time.monotonic() - began:.3f} s")
        async with servers.connected() as jetstream:
            for index, node_id in enumerate(servers.node_ids):
                for stream in (
                    names.log_stream(node_id),
                    names.snapshot_stream(node_id),
                    names.register_stream(index),
                ):
                    assert (await stream_info(jetstream, stream))["cluster"]["leader"] == node_id

    asyncio.run(main())


def test_contenders_never_both_win(servers: NatsCluster):
    chance = random.Random(7)

    async def main() -> None:
        await settled(servers)
        async with (
            node(servers, 0) as (_, one),
            node(servers, 1) as (_, two),
            node(servers, 2) as (_, three),
        ):
            nodes = [one, two, three]
            last = None
            for race in range(RACES):
                sightings = [(await each.read_all()).get("raced") for each in nodes]

                async def contend(index: int, seen=sightings) -> CellRecord | None:
                    await asyncio.sleep(chance.random() * 0.002)
                    return await nodes[index].claim(
                        "raced", seen[index], record("raced", f"n{index}")
                    )

                outcomes = await asyncio.gather(*(contend(index) for index in range(3)))
                won = [each for each in outcomes if each is not None]
                assert len(won) <= 1, (race, won)
                if won:
                    assert last is None or won[0].term > last.term
                    last = won[0]
            assert last is not None

    asyncio.run(main())


def test_with_a_dead_server_claims_renewals_and_appends_go_on(servers: NatsCluster):
    async def main() -> None:
        await settled(servers)
        async with node(servers, 0) as (jetstream, registers):
            log = JetStreamLog(jetstream, "n0")
            last = await log.append(b"before", await log.last())
            held = await registers.claim("living", None, record("living", "n0"))
            assert held is not None
            servers.kill(2)
            began = time.monotonic()
            slowest = 0.0
            for beat in range(20):
                started = time.monotonic()
                last = await log.append(b"%d" % beat, last)
                renewal = await registers.renew(CellRecord(**{**fields(held), "beat": beat + 1}))
                assert renewal.succeeded
                assert await registers.claim(f"new {beat}", None, record(f"new {beat}", "n0"))
                slowest = max(slowest, time.monotonic() - started)
            print(f"20 appends, renewals and claims in {time.monotonic() - began:.3f} s,")
            print(f"the slowest three in {slowest:.3f} s")
            assert (
                len([cell for cell in await registers.read_all() if cell.startswith("new")]) == 20
            )
        servers.wipe(2)
        servers.restart(2)
        await settled(servers)
        print(f"wiped server leads its own again after {time.monotonic() - began:.3f} s")
        async with node(servers, 2) as (_, registers):
            assert (
                len([cell for cell in await registers.read_all() if cell.startswith("new")]) == 20
            )

    asyncio.run(main())


def fields(held: CellRecord) -> dict[str, object]:
    return {name: getattr(held, name) for name in CellRecord.__slots__}


def test_a_lease_is_lost_with_two_servers_and_comes_back_with_them(servers: NatsCluster):
    async def main() -> None:
        await settled(servers)
        async with node(servers, 0) as (jetstream, registers):
            clock = SystemClock()
            told = Told()
            lease = Lease(registers, clock, told)

            async def empty() -> None:
                raise AssertionError("nobody adopted it")

            await lease.acquire(record("leased", "leased"), empty)
            term = lease.record.term
            assert lease.valid(clock.monotonic())
            log = JetStreamLog(jetstream, "n0")
            last = await log.last()
            servers.pause(1)
            servers.pause(2)
            began = time.monotonic()
            try:
                await until(lambda: told.said == ["lost"])
                assert not lease.valid(clock.monotonic())
                print(f"lease lost after {time.monotonic() - began:.3f} s")
                with pytest.raises(LogUnavailable):
                    await log.append(b"alone", last)
            finally:
                servers.resume(1)
                servers.resume(2)
            began = time.monotonic()
            await until(lambda: told.said == ["lost", "regained"])
            assert lease.valid(clock.monotonic())
            assert lease.record.term == term
            print(f"lease regained after {time.monotonic() - began:.3f} s")
            await lease.release()
            assert (await registers.read_all())["leased"].record.state == "left"

    asyncio.run(main())


def test_the_connection_goes_elsewhere_and_comes_home(servers: NatsCluster):
    async def main() -> None:
        await settled(servers)
        async with node(servers, 1) as (jetstream, _):
            assert jetstream.at_home
            servers.kill(1)
            began = time.monotonic()
            await until(lambda: jetstream.connected and not jetstream.at_home)
            print(f"connected elsewhere after {time.monotonic() - began:.3f} s")
            servers.restart(1)
            leaders = Leaders(jetstream, "n1")
            async with asyncio.timeout(WAIT_SECONDS_MAX):
                while not (jetstream.at_home and await leaders.look()):
                    await leaders.look()
                    await asyncio.sleep(0.05)
            print(f"at home again after {time.monotonic() - began:.3f} s")

    asyncio.run(main())


def test_a_stopped_server_is_left(servers: NatsCluster):
    async def main() -> None:
        await settled(servers)
        async with node(servers, 0) as (jetstream, _):
            servers.pause(0)
            began = time.monotonic()
            try:
                await until(lambda: jetstream.connected and not jetstream.at_home)
                print(f"left after {time.monotonic() - began:.3f} s")
            finally:
                servers.resume(0)

    asyncio.run(main())


def test_an_error_that_a_server_tells_is_not_the_end(servers: NatsCluster):
    async def main() -> None:
        async with node(servers, 0) as (jetstream, registers):
            client = jetstream._client
            # As the library takes it; a server says so when it is told to let fewer in.
            await client._process_err("'Maximum Connections Exceeded'")
            await until(lambda: jetstream.connected and jetstream._client is not client)
            assert jetstream.problems() == []
            assert isinstance(await registers.read_all(), dict)

    asyncio.run(main())


def test_nobody_without_the_secret_gets_in(servers: NatsCluster):
    async def main() -> None:
        stranger = JetStream(JetStreamSettings(servers.addresses(), "another secret"))
        connecting = asyncio.get_running_loop().create_task(stranger.connect())
        done, _ = await asyncio.wait({connecting}, timeout=1.0)
        assert not done
        assert not stranger.connected
        assert stranger.problems() == ["NATS: no connection: nats: 'Authorization Violation'"]
        connecting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await connecting
        await stranger.close()

    asyncio.run(main())


def test_what_jetstream_refuses_is_told(servers: NatsCluster):
    async def main() -> None:
        async with servers.connected() as jetstream:
            with pytest.raises(Refusal, match="stream not found"):
                await stream_info(jetstream, "ABSENT")
            with pytest.raises(NoAnswer, match="nobody answers"):
                await jetstream.put("absent", b"")
            with pytest.raises(NoAnswer, match="nobody answers for ABSENT"):
                await jetstream.get("ABSENT", {"seq": 1, "batch": 1})

    asyncio.run(main())
