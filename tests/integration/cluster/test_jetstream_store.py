"""The store on a log kept by three real NATS servers: the contract of every store, and what holds when servers die."""

import asyncio
import contextlib
import itertools
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rookery.cluster import names
from rookery.cluster.cell_log import JetStreamLog
from rookery.cluster.jetstream import JetStream, JetStreamSettings, NoAnswer
from rookery.cluster.streams import ensure_streams, stream_info
from rookery.records import Loaded
from rookery.store.foreign import open_foreign
from rookery.store.replicated import ReplicatedStore
from tests.properties.test_store_contract import *  # noqa: F403
from tests.support.nats_cluster import SECRET, NatsCluster
from tests.support.stores import SteppedClock, commit, group, replicated_store

SECONDS_MAX = 40
nodes = (f"node-{number}" for number in itertools.count())


class JetStreamStore:
    """A store with a connection of its own, for it may live in a loop of its own."""

    def __init__(self, servers: NatsCluster, node_id: str, directory: Path, home: int = 0) -> None:
        self._servers = servers
        self._node_id = node_id
        self._directory = directory
        self._jetstream = JetStream(JetStreamSettings(servers.addresses(home), SECRET))
        self._store: ReplicatedStore | None = None

    async def open(self) -> Loaded:
        await self._jetstream.connect()
        await ensure_streams(self._jetstream, self._node_id, 3, self._jetstream.server_name)
        log = JetStreamLog(self._jetstream, self._node_id)
        self._store = replicated_store(
            self._directory, log, patience_seconds=3.0, open_patience_seconds=SECONDS_MAX
        )
        return await self._store.open()

    async def close(self) -> None:
        if self._store is not None:
            await self._store.close()
        await self._jetstream.close()

    def __getattr__(self, name: str):
        return getattr(self._store, name)

    @property
    def durability(self) -> str:
        return "replicated"


class Stores:
    """What the contract's tests open again and again."""

    kind = "replicated"

    def __init__(self, servers: NatsCluster, directory: Path, wiped: bool) -> None:
        self._servers = servers
        self._directory = directory
        self._wiped = wiped
        self._node_id = next(nodes)

    def store(self) -> JetStreamStore:
        if self._wiped:
            shutil.rmtree(self._directory, ignore_errors=True)
        return JetStreamStore(self._servers, self._node_id, self._directory)


@pytest.fixture(params=["kept", "wiped"])
def stores(request: pytest.FixtureRequest, servers: NatsCluster, tmp_path: Path) -> Stores:
    return Stores(servers, tmp_path / "data", request.param == "wiped")


@contextlib.asynccontextmanager
async def running(
    servers: NatsCluster, node_id: str, directory: Path, home: int = 0
) -> AsyncIterator[tuple[JetStreamStore, Loaded]]:
    store = JetStreamStore(servers, node_id, directory, home)
    loaded = await store.open()
    try:
        yield store, loaded
    finally:
        await store.close()


async def leader(jetstream: JetStream, node_id: str) -> str:
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            try:
                found = (await stream_info(jetstream, names.log_stream(node_id)))["cluster"]
            except NoAnswer:
                found = {}
            if found.get("leader"):
                return str(found["leader"])
            await asyncio.sleep(0.05)


class Publisher:
    """Commits one group after the other and remembers which were acknowledged."""

    def __init__(self, store: JetStreamStore, block: int = 1) -> None:
        self.acknowledged: list[int] = []
        self.failed: list[int] = []
        self.stop = False
        self._store = store
        self._block = block

    async def run(self) -> None:
        while not self.stop:
            block = self._block
            self._block += 1
            made = group(block, b"%d" % block, facts={"last": b"%d" % block})
            error = await commit(self._store, made)
            (self.acknowledged if error is None else self.failed).append(block)

    async def reaches(self, count: int) -> None:
        async with asyncio.timeout(SECONDS_MAX):
            while len(self.acknowledged) < count:
                await asyncio.sleep(0.005)


def check(loaded: Loaded, publisher: Publisher) -> None:
    """All that was acknowledged is there; of what failed at most the very last."""
    last = publisher.acknowledged[-1]
    assert [block for block in loaded.blocks if block <= last] == publisher.acknowledged
    assert set(loaded.blocks) - set(publisher.acknowledged) <= set(publisher.failed)
    assert len(loaded.blocks) <= len(publisher.acknowledged) + 1
    assert loaded.facts["last"] == b"%d" % loaded.blocks[-1]


def test_the_leader_is_killed_under_commits(servers: NatsCluster, tmp_path: Path):
    node_id = next(nodes)

    async def main() -> None:
        async with servers.connected() as jetstream:
            await ensure_streams(jetstream, node_id, 3, jetstream.server_name)
            victim = servers.node_ids.index(await leader(jetstream, node_id))
        home = (victim + 1) % 3
        async with running(servers, node_id, tmp_path / "a", home) as (store, _):
            publisher = Publisher(store)
            publishing = asyncio.create_task(publisher.run())
            await publisher.reaches(100)
            servers.kill(victim)
            killed_at = len(publisher.acknowledged)
            await publisher.reaches(killed_at + 100)
            publisher.stop = True
            await publishing
            print(f"{len(publisher.acknowledged)} acknowledged, {len(publisher.failed)} failed")
            assert store.problems() == []
        for directory in ("a", "b"):
            async with running(servers, node_id, tmp_path / directory, home) as (store, loaded):
                check(loaded, publisher)
                found = await store.read_blocks(loaded.blocks)
                assert found == [[b"%d" % block] for block in loaded.blocks]
        servers.restart(victim)

    asyncio.run(main())


def test_all_servers_are_killed_at_once_under_commits(servers: NatsCluster, tmp_path: Path):
    node_id = next(nodes)

    async def main() -> None:
        async with running(servers, node_id, tmp_path / "a") as (store, _):
            publisher = Publisher(store)
            publishing = asyncio.create_task(publisher.run())
            await publisher.reaches(150)
            for index in range(3):
                servers.kill(index)
            killed_at = len(publisher.acknowledged)
            while not publisher.failed:
                await asyncio.sleep(0.02)
            assert len(publisher.acknowledged) <= killed_at + 1
            assert "does not answer" in store.problems()[0]
            for index in range(3):
                servers.restart(index)
            # The same process goes on when they are back.
            await publisher.reaches(killed_at + 50)
            publisher.stop = True
            await publishing
        async with running(servers, node_id, tmp_path / "b") as (_, loaded):
            check(loaded, publisher)

    asyncio.run(main())


def test_a_node_dies_with_its_server_and_comes_back_without_its_disk(
    servers: NatsCluster, tmp_path: Path
):
    """Its cell is read while the log has no leader, and what it had acknowledged is there."""
    node_id = next(nodes)

    async def main() -> None:
        async with servers.connected() as jetstream:
            await ensure_streams(jetstream, node_id, 3, jetstream.server_name)
            victim = servers.node_ids.index(await leader(jetstream, node_id))
        store = JetStreamStore(servers, node_id, tmp_path / "a", victim)
        await store.open()
        publisher = Publisher(store)
        publishing = asyncio.create_task(publisher.run())
        await publisher.reaches(60)
        await store.snapshot_now()
        await publisher.reaches(120)
        servers.kill(victim)
        acknowledged = list(publisher.acknowledged)
        publisher.stop = True
        async with servers.connected((victim + 1) % 3) as jetstream:
            log = JetStreamLog(jetstream, node_id)
            (tmp_path / "b").mkdir()
            cell = await open_foreign(log, tmp_path / "b", "n1", 1, SteppedClock())
            assert cell.loaded.blocks[: len(acknowledged)] == acknowledged
            (last,) = await cell.read_blocks(acknowledged[-1:])
            assert last == [b"%d" % acknowledged[-1]]
            await cell.close()
            await publishing
        await store.close()
        servers.restart(victim)
        shutil.rmtree(tmp_path / "a")
        async with running(servers, node_id, tmp_path / "a", victim) as (store, loaded):
            check(loaded, publisher)
            publisher = Publisher(store, loaded.next_block)
            publishing = asyncio.create_task(publisher.run())
            await publisher.reaches(10)
            publisher.stop = True
            await publishing

    asyncio.run(main())


def test_a_cell_is_sealed_by_who_takes_it_over(servers: NatsCluster, tmp_path: Path):
    node_id = next(nodes)

    async def main() -> None:
        async with running(servers, node_id, tmp_path / "a") as (store, _):
            assert await commit(store, group(1, b"x")) is None
            async with servers.connected(1) as jetstream:
                log = JetStreamLog(jetstream, node_id)
                cell = await open_foreign(log, tmp_path, "n1", 1, SteppedClock())
                assert await commit(store, group(2, b"y")) is None
                async with asyncio.timeout(SECONDS_MAX):
                    found = []
                    while not await cell.seal("n2"):
                        found += await cell.follow()
                assert [each.entries for each in found] == [[b"y"]]
                assert "has another owner" in str(await commit(store, group(3, b"z")))
                assert await cell.follow() == []
                assert await cell.read_blocks([1, 2, 3]) == [[b"x"], [b"y"], []]
                await cell.close()

    asyncio.run(main())


def test_a_group_of_several_records(servers: NatsCluster, tmp_path: Path):
    node_id = next(nodes)
    entries = [bytes([index]) * 100_000 for index in range(30)]

    async def main() -> None:
        async with running(servers, node_id, tmp_path / "a") as (store, _):
            assert await commit(store, group(1, *entries * 4)) is None
        async with running(servers, node_id, tmp_path / "b") as (store, _):
            assert await store.read_blocks([1, 2]) == [
                (entries * 4)[:64],
                (entries * 4)[64:],
            ]

    asyncio.run(main())
