"""The log of a cell on three real NATS servers: appended to, fenced, read, and what holds when servers die."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable

import pytest

from rookery.cluster import names
from rookery.cluster.cell_log import JetStreamLog
from rookery.cluster.jetstream import JetStream, NoAnswer
from rookery.cluster.streams import ensure_streams, stream_info
from rookery.ports import LogFenced, LogUnavailable
from tests.support.nats_cluster import NatsCluster

ATTEMPT_SECONDS_MAX = 40


async def made(jetstream: JetStream, node_id: str) -> JetStreamLog:
    await ensure_streams(jetstream, node_id, 3, jetstream.server_name)
    return JetStreamLog(jetstream, node_id)


async def parts_of(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def leader(jetstream: JetStream, node_id: str) -> str:
    """Who leads the log, once somebody does."""
    async with asyncio.timeout(ATTEMPT_SECONDS_MAX):
        while True:
            try:
                found = (await stream_info(jetstream, names.log_stream(node_id)))["cluster"]
            except NoAnswer:
                found = {}
            if found.get("leader"):
                return str(found["leader"])
            await asyncio.sleep(0.05)


async def appended(log: JetStreamLog, record: bytes, after: int) -> int:
    """Append as the store does: again, until it is known to be there."""
    async with asyncio.timeout(ATTEMPT_SECONDS_MAX):
        while True:
            try:
                return await log.append(record, after)
            except LogUnavailable:
                pass


async def fill(log: JetStreamLog, count: int) -> list[tuple[int, bytes]]:
    records = []
    last = 0
    for number in range(count):
        last = await log.append(b"record %d" % number, last)
        records.append((last, b"record %d" % number))
    return records


def test_records_come_back_in_order(servers: NatsCluster):
    async def main() -> None:
        async with servers.connected() as jetstream:
            log = await made(jetstream, "odd.id > with *")
            assert await log.last() == 0
            assert await log.read(1, 10) == []
            assert await log.snapshot() is None
            records = await fill(log, 5)
            assert [sequence for sequence, _ in records] == [1, 2, 3, 4, 5]
            assert await log.read(1, 3) == records[:3]
            assert await log.read(4, 10) == records[3:]
            assert await log.read(6, 10) == []
            assert await log.last() == 5
            await log.forget(4)
            assert await log.read(1, 10) == records[3:]

    asyncio.run(main())


def test_large_records(servers: NatsCluster):
    async def main() -> None:
        async with servers.connected() as jetstream:
            log = await made(jetstream, "large")
            record = bytes(log.record_bytes_max)
            assert await log.append(record, 0) == 1
            assert await log.append(b"", 1) == 2
            found = await log.read(1, 2)
            assert found[0] == (1, record)
            assert found[1:] == [(2, b"")] or await log.read(2, 1) == [(2, b"")]

    asyncio.run(main())


def test_whoever_does_not_know_the_end_is_fenced(servers: NatsCluster):
    async def main() -> None:
        async with servers.connected(0) as one, servers.connected(1) as two:
            mine, theirs = await made(one, "fenced"), JetStreamLog(two, "fenced")
            await mine.append(b"a", 0)
            await theirs.append(b"b", 1)
            with pytest.raises(LogFenced, match="LOG_fenced ends at 2, not at 1"):
                await mine.append(b"c", 1)
            assert await theirs.read(1, 10) == [(1, b"a"), (2, b"b")]

    asyncio.run(main())


def test_a_record_that_is_there_already_is_not_fenced(servers: NatsCluster):
    async def main() -> None:
        async with servers.connected() as jetstream:
            log = await made(jetstream, "again")
            await log.append(b"a", 0)
            assert await log.append(b"b", 1) == 2
            assert await log.append(b"b", 1) == 2
            await log.append(b"c", 2)
            assert await log.append(b"b", 1) == 2
            assert await log.read(1, 10) == [(1, b"a"), (2, b"b"), (3, b"c")]

    asyncio.run(main())


def test_nothing_is_appended_beyond_the_end(servers: NatsCluster):
    async def main() -> None:
        async with servers.connected() as jetstream:
            log = await made(jetstream, "beyond")
            await log.append(b"a", 0)
            with pytest.raises(LogUnavailable, match="LOG_beyond ends at 1"):
                await log.append(b"b", 5)

    asyncio.run(main())


def test_a_seal_stands_behind_all_and_shows_all(servers: NatsCluster):
    async def main() -> None:
        async with servers.connected(0) as one, servers.connected(1) as two:
            owner, adopter = await made(one, "sealed"), JetStreamLog(two, "sealed")
            records = await fill(owner, 3)
            sealed = await adopter.seal(b"seal", 2)
            assert sealed == [*records[1:], (4, b"seal")]
            with pytest.raises(LogFenced):
                await owner.append(b"late", 3)
            # Sealing twice changes nothing: an answer may have been lost.
            assert await adopter.seal(b"seal", 4) == [(4, b"seal")]

    asyncio.run(main())


def test_an_emptied_log_goes_on_where_it_was(servers: NatsCluster):
    async def main() -> None:
        async with servers.connected() as jetstream:
            log = await made(jetstream, "emptied")
            await fill(log, 3)
            await log.put_snapshot(2, parts_of([b"x"]))
            assert await log.empty() == 3
            assert await log.snapshot() is None
            assert await log.read(1, 10) == []
            assert await log.seal(b"seal", 1) == [(4, b"seal")]

    asyncio.run(main())


class TestSnapshots:
    def test_the_last_complete_one_comes_back(self, servers: NatsCluster):
        async def main() -> None:
            async with servers.connected() as jetstream:
                log = await made(jetstream, "snapshots")
                for sequence, parts in ((7, [b"old"] * 3), (9, [b"a" * 1_000_000, b"", b"c"])):
                    await log.put_snapshot(sequence, parts_of(parts))
                    found = await log.snapshot()
                    assert found is not None
                    assert found.sequence == sequence
                    assert found.size_bytes == sum(map(len, parts))
                    assert [part async for part in found.parts] == [part for part in parts if part]
                state = (await stream_info(jetstream, "SNAP_snapshots"))["state"]
                assert state["messages"] == 3, "what was before is gone"

        asyncio.run(main())

    def test_one_that_was_not_finished_counts_for_nothing(self, servers: NatsCluster):
        async def broken() -> AsyncIterator[bytes]:
            yield b"begun"
            raise ConnectionError

        async def main() -> None:
            async with servers.connected() as jetstream:
                log = await made(jetstream, "unfinished")
                await log.put_snapshot(1, parts_of([b"whole"]))
                with pytest.raises(ConnectionError):
                    await log.put_snapshot(2, broken())
                found = await log.snapshot()
                assert found is not None and found.sequence == 1
                assert [part async for part in found.parts] == [b"whole"]
                await log.put_snapshot(3, parts_of([b"next"]))
                assert (await stream_info(jetstream, "SNAP_unfinished"))["state"]["messages"] == 2

        asyncio.run(main())

    def test_two_writers_do_not_mix_theirs(self, servers: NatsCluster):
        async def main() -> None:
            async with servers.connected() as jetstream:
                log = await made(jetstream, "mixed")

                async def parts() -> AsyncIterator[bytes]:
                    yield b"a"
                    await log.put_snapshot(2, parts_of([b"other"]))
                    yield b"b"

                with pytest.raises(LogFenced, match="somebody else writes to SNAP_mixed"):
                    await log.put_snapshot(1, parts())
                found = await log.snapshot()
                assert found is not None and found.sequence == 2

        asyncio.run(main())

    def test_one_with_a_part_missing_is_not_taken_for_whole(self, servers: NatsCluster):
        async def main() -> None:
            async with servers.connected() as jetstream:
                log = await made(jetstream, "damaged")
                await log.put_snapshot(1, parts_of([b"a", b"b", b"c"]))
                await jetstream.api("STREAM.MSG.DELETE.SNAP_damaged", {"seq": 2})
                found = await log.snapshot()
                assert found is not None
                with pytest.raises(LogUnavailable, match="a part of the snapshot is not there"):
                    _ = [part async for part in found.parts]

        asyncio.run(main())

    def test_one_that_is_replaced_while_it_is_read_is_not_taken_for_whole(
        self, servers: NatsCluster
    ):
        async def main() -> None:
            async with servers.connected() as jetstream:
                log = await made(jetstream, "replaced")
                await log.put_snapshot(1, parts_of([b"a", b"b"]))
                found = await log.snapshot()
                assert found is not None
                await log.put_snapshot(2, parts_of([b"c", b"d"]))
                with pytest.raises(LogUnavailable, match="a part of the snapshot is not there"):
                    _ = [part async for part in found.parts]

        asyncio.run(main())


def test_without_a_leader_all_is_readable_and_nothing_appended_is_lost(servers: NatsCluster):
    async def main() -> None:
        async with servers.connected(0) as jetstream:
            log = await made(jetstream, "leaderless")
            records = await fill(log, 50)
            await log.put_snapshot(20, parts_of([b"snapshot"]))
            victim = servers.node_ids.index(await leader(jetstream, "leaderless"))
        survivor = (victim + 1) % 3
        async with servers.connected(survivor) as jetstream:
            log = JetStreamLog(jetstream, "leaderless")
            began = time.monotonic()
            servers.kill(victim)
            assert await log.read(1, 100) == records
            print(f"read whole after {time.monotonic() - began:.3f} s")
            snapshot = await log.snapshot()
            assert snapshot is not None
            assert [part async for part in snapshot.parts] == [b"snapshot"]
            print(f"snapshot whole after {time.monotonic() - began:.3f} s")
            with pytest.raises(LogUnavailable):
                await log.append(b"too early", 50)
            with pytest.raises(LogUnavailable):
                await log.last()
            print(f"said to have no leader after {time.monotonic() - began:.3f} s")
            assert await appended(log, b"next", 50) == 51
            print(f"next record after {time.monotonic() - began:.3f} s")
            assert await log.read(1, 100) == [*records, (51, b"next")]
        servers.wipe(victim)
        servers.restart(victim)
        # A server without its disk gets everything from the others, and serves it.
        async with servers.connected(victim) as jetstream:
            async with asyncio.timeout(ATTEMPT_SECONDS_MAX):
                while not await current(jetstream, "leaderless"):
                    await asyncio.sleep(0.05)
            print(f"wiped server current after {time.monotonic() - began:.3f} s")
            assert len(await JetStreamLog(jetstream, "leaderless").read(1, 100)) == 51

    asyncio.run(main())


async def current(jetstream: JetStream, node_id: str) -> bool:
    """Whether all replicas of the log have all of it."""
    try:
        cluster = (await stream_info(jetstream, names.log_stream(node_id)))["cluster"]
    except NoAnswer:
        return False
    replicas = cluster.get("replicas", [])
    return len(replicas) == 2 and all(replica["current"] for replica in replicas)
