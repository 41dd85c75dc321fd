"""One slow session, and all that was stored around what it is owed."""

import asyncio
from pathlib import Path

import pytest

from rookery.engine.trimming import LOOKS_PER_TURN, WALK_POSITIONS
from rookery.mqtt.packets import PubAck, Publish
from rookery.records import ENTRIES_PER_BLOCK_MAX
from rookery.store import inspect
from rookery.store.memory import MemoryStore
from tests.support.engine import Engine, FakeStore, Peer, publish
from tests.support.stores import commit, sqlite_store

LASTING = {"session_expiry_interval": 1_000, "clean_start": False}
PAYLOAD = b"x" * 300
ENTRY_BYTES = 330


class Firehose:
    """A fast durable reader of everything, and a slow one that is away and owed every so many-th message."""

    def __init__(self, store=None, **changed) -> None:
        self.store = store or FakeStore(at_once=True)
        self.engine = Engine(self.store, queue_messages_max=1_000_000, **changed)
        self.trimmer = self.engine.broker.trimmer
        self.trimmer.loose_bytes_min = 20_000
        self.fast = self.engine.connect("fast", **LASTING)
        self.fast.subscribe("f/#", qos=1)
        slow = self.engine.connect("slow", **LASTING)
        slow.subscribe("f/slow", qos=1)
        slow.drop()
        self.publisher = self.engine.connect("p")
        self.sent = 0
        self.owed: list[bytes] = []

    def publish(self, count: int, every: int) -> None:
        packets = []
        for _ in range(count):
            self.sent += 1
            topic = "f/x"
            payload = b"%d " % self.sent + PAYLOAD
            if self.sent % every == 0:
                topic = "f/slow"
                self.owed.append(payload)
            packets.append(publish(topic, payload, 1, packet_id=self.sent % 60_000 + 1))
        self.publisher.send(*packets)

    def acknowledge(self) -> None:
        """Let the fast reader take all that came."""
        while got := [each for each in self.fast.take() if isinstance(each, Publish)]:
            self.fast.send(*[PubAck(each.packet_id) for each in got])

    def settle(self) -> None:
        """Commit what is committed lazily, and what follows from it."""
        self.acknowledge()
        self.engine.wait(3)

    def run(self, count: int, every: int) -> None:
        for _ in range(count // 200):
            self.publish(200, every)
            self.acknowledge()

    def come_back(self) -> list[bytes]:
        """The slow one takes what it is owed."""
        slow, more = self.engine.connect_more("slow", **LASTING)
        return drained(slow, more)


def drained(peer: Peer, packets: list) -> list[bytes]:
    found = []
    while packets:
        got = [each for each in packets if isinstance(each, Publish)]
        found += [each.payload for each in got]
        packets = peer.send(*[PubAck(each.packet_id) for each in got]) if got else []
    return found


def test_one_in_a_thousand_keeps_no_more_than_itself():
    store = MemoryStore()
    hose = Firehose(store)
    most = 0
    for _ in range(50):
        hose.publish(200, 1_000)
        hose.acknowledge()
        most = max(most, store.bytes_used())
    owed_bytes = len(hose.owed) * ENTRY_BYTES
    assert len(hose.owed) == 10
    assert most < 4 * (owed_bytes + hose.trimmer.loose_bytes_min)
    hose.trimmer.loose_bytes_min = 1
    hose.settle()
    assert owed_bytes * 0.9 < store.bytes_used() < owed_bytes * 1.3
    assert hose.come_back() == hose.owed
    hose.settle()
    assert store.bytes_used() == 0


def test_the_file_keeps_no_more_either(tmp_path: Path):
    hose = Firehose()
    hose.run(10_000, 500)
    hose.trimmer.loose_bytes_min = 1
    hose.settle()

    async def put() -> None:
        store = sqlite_store(tmp_path)
        await store.open()
        for group in hose.store.groups:
            assert await commit(store, group) is None
        await store.close()

    asyncio.run(put())
    found = inspect.stats(tmp_path)
    assert found.messages == len(hose.owed) == 20
    assert inspect.check(tmp_path) == []
    empty_bytes = 60_000  # The tables themselves.
    assert found.live_bytes < empty_bytes + 3 * len(hose.owed) * ENTRY_BYTES


def test_what_the_fast_one_has_not_acknowledged_stays():
    hose = Firehose()
    hose.publish(ENTRIES_PER_BLOCK_MAX * 3, 50)
    hose.trimmer.loose_bytes_min = 1
    got = [each for each in hose.fast.take() if isinstance(each, Publish)]
    kept = got[7:9]
    hose.fast.send(*[PubAck(each.packet_id) for each in got if each not in kept])
    hose.engine.wait(3)
    payloads = [*(each.payload for each in kept), *hose.owed]
    assert len(entries_of(hose.store)) == len(payloads)
    for payload in payloads:
        assert any(entry.endswith(payload) for entry in entries_of(hose.store))
    hose.fast.drop()
    fast, more = hose.engine.connect_more("fast", **LASTING)
    assert drained(fast, more) == [each.payload for each in kept]
    assert hose.come_back() == hose.owed


def entries_of(store: FakeStore) -> list[bytes]:
    """What is stored, by position."""
    return [entry for block in sorted(store.blocks) for entry in store.blocks[block] if entry]


def test_what_is_retained_stays_hidden_topics_too():
    hose = Firehose()
    for topic in ("r/1", "$hidden/1"):
        hose.publisher.publish(topic, b"kept " + PAYLOAD, retain=True)
        hose.publish(ENTRIES_PER_BLOCK_MAX, 1_000)
    hose.trimmer.loose_bytes_min = 1
    together = [
        publish(topic, b"kept " + PAYLOAD, 1, retain=True, packet_id=9_000 + number)
        for number, topic in enumerate(("r/2", "$hidden/2"))
    ]
    others = [publish("f/x", PAYLOAD, 1, packet_id=9_100 + number) for number in range(30)]
    owed = publish("f/slow", b"in the same block", 1, packet_id=9_200)
    hose.publisher.send(*together, owed, *others)
    hose.settle()
    assert hose.trimmer.walks > 0
    hose.engine = Engine.restart(hose.store)
    retained = hose.engine.broker.retained
    for topic in ("r/1", "r/2", "$hidden/1", "$hidden/2"):
        message = retained.get(topic)
        assert message is not None, topic
        assert message.payload == b"kept " + PAYLOAD


def test_no_step_does_more_than_its_share():
    hose = Firehose()
    hose.trimmer.looks_max = 100
    most = 0
    turn = hose.engine.turn

    def counted(*inputs) -> None:
        nonlocal most
        turn(*inputs)
        most = max(most, hose.trimmer.looks)

    hose.engine.turn = counted
    for number in range(300):
        hose.engine.connect(f"idle-{number}", **LASTING).drop()
    hose.run(10_000, 3)
    assert hose.trimmer.walks > 0
    assert 100 <= most <= 100 + max(WALK_POSITIONS, 100) + 1
    assert LOOKS_PER_TURN >= WALK_POSITIONS


def test_while_nothing_can_be_stored_nobody_trims():
    hose = Firehose()
    hose.publish(ENTRIES_PER_BLOCK_MAX, 50)
    hose.store.at_once = False
    hose.trimmer.loose_bytes_min = 1
    hose.acknowledge()
    hose.engine.wait(1)
    while hose.store.waiting:
        hose.engine.complete(OSError("full"))
    assert hose.engine.broker.committer.failing
    walks = hose.trimmer.walks
    for _ in range(5):
        hose.engine.turn()
    assert hose.trimmer.walks == walks
    hose.store.at_once = True
    hose.engine.wait(5)
    assert len(entries_of(hose.store)) == len(hose.owed)
    assert hose.come_back() == hose.owed


def test_a_stop_is_not_put_off():
    hose = Firehose()
    hose.publish(ENTRIES_PER_BLOCK_MAX, 50)
    hose.acknowledge()
    hose.trimmer.loose_bytes_min = 1
    hose.engine.broker.drain()
    hose.engine.wait(3)
    assert hose.trimmer.walks == 0


@pytest.mark.parametrize("every", [1, 2])
def test_blocks_mostly_in_use_are_left_and_not_looked_at_again(every: int):
    hose = Firehose()
    hose.trimmer.loose_bytes_min = 1
    for _ in range(10):
        hose.publish(ENTRIES_PER_BLOCK_MAX, every)
        hose.settle()
    trimmed = sum(len(group.trimmed) for group in hose.store.groups)
    assert (trimmed == 0) == (every == 1)
    walks = hose.trimmer.walks
    hose.settle()
    assert hose.trimmer.walks == walks
    assert hose.come_back() == hose.owed


def test_what_is_dead_at_the_start_is_trimmed_then():
    hose = Firehose()
    hose.trimmer.loose_bytes_min = 1 << 40
    hose.publish(ENTRIES_PER_BLOCK_MAX * 4, 50)
    hose.acknowledge()
    hose.engine.wait(1)
    assert len(entries_of(hose.store)) > 200
    hose.engine = Engine.restart(hose.store)
    trimmer = hose.engine.broker.trimmer
    assert hose.engine.broker.committer.references.loose_bytes > 60_000
    trimmer.loose_bytes_min = 60_000
    hose.engine.wait(1)
    assert len(entries_of(hose.store)) == len(hose.owed)
    hose.engine = Engine.restart(hose.store)
    recovery = hose.engine.recovery
    assert (recovery.entries, recovery.damaged) == (len(hose.owed), 0)
    assert hose.come_back() == hose.owed


def test_no_walk_begins_while_somebody_asks_for_a_pause():
    firehose = Firehose()
    firehose.trimmer.pauses += 1
    firehose.run(2_000, 50)
    assert firehose.trimmer.walks == 0
    firehose.trimmer.pauses -= 1
    firehose.settle()
    assert firehose.trimmer.walks > 0
