"""A node whose store is full, as users run it: what is owed goes out, and that makes the room."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import wire
from tests.support.node_process import NodeProcess
from tests.support.wire import PUBACK, V3_1_1, V5
from tests.support.wire_client import Client, Closed, tcp

BYTES_MAX = 16_777_216
"""The least that a configuration may allow."""
PAYLOAD_BYTES = 60_000
ROUNDS = 3
MEMORY_BYTES_MAX = 5 * BYTES_MAX
"""How much more the node may take, full and drained once, than it did when it was empty: what the
allocator keeps of it afterwards varies by half."""
GROWTH_BYTES_MAX = 24 * 1_048_576
"""How much more again after further rounds, each of which moves as much as the store holds."""
LASTING = {"session_expiry": 600}
ROOM_SECONDS_MAX = 10.0


@pytest.fixture
def settings(tmp_path: Path) -> list[str]:
    return [
        "--set",
        "listeners=[{type: tcp, host: 127.0.0.1, port: 0}]",
        *("--set", f"store={{directory: {tmp_path}, bytes_max: {BYTES_MAX}, durability: os}}"),
        *("--set", "limits={queue_bytes_max: 1073741824}", "--set", "metrics.enabled=false"),
    ]


def payload(number: int) -> bytes:
    return b"%08d" % number + b"x" * PAYLOAD_BYTES


def memory_bytes(node: NodeProcess) -> int:
    status = Path(f"/proc/{node._process.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024


def come(address: tuple[str, int], client_id: str, version: int, **options: object) -> Client:
    client = Client(tcp(address), version)
    properties = LASTING if version == V5 else None
    client.connect(client_id, clean=False, properties=properties, **options)
    return client


def fill(address: tuple[str, int], qos: int) -> list[int]:
    """Publish until the node refuses; which messages it has acknowledged."""
    kept: list[int] = []
    with Client(tcp(address), V5) as writer:
        writer.connect("writer")
        for number in range(1_000):
            try:
                answer = writer.publish("t", payload(number), qos=qos)
            except Closed:
                return kept
            assert answer is not None
            if (answer.reason or 0) >= 0x80:
                assert answer.reason == 0x97
                return kept
            kept.append(number)
    raise AssertionError("it is never full")


def drained(reader: Client) -> Iterator[int]:
    """The numbers of all messages, as they come and are acknowledged."""
    while True:
        try:
            message = reader.receive(2.0)
        except TimeoutError:
            return
        reader.complete(message)
        yield int(message.payload[:8])


@pytest.mark.parametrize(("qos", "version"), [(1, V5), (1, V3_1_1), (2, V5)])
def test_it_drains_and_goes_on_without_a_restart(settings: list[str], qos: int, version: int):
    with NodeProcess(*settings) as node:
        (address,) = node.addresses("tcp")
        with come(address, "reader", version) as reader:
            reader.subscribe(("t", qos))
        empty_bytes = memory_bytes(node)
        kept = fill(address, qos)
        assert len(kept) * PAYLOAD_BYTES > BYTES_MAX // 2

        with Client(tcp(address), V5) as writer, Client(tcp(address), V3_1_1) as old:
            writer.connect("5.0")
            old.connect("3.1.1")
            refused = writer.publish("t", payload(0), qos=1)
            assert refused is not None
            assert refused.reason == 0x97
            old.send(wire.publish(V3_1_1, "t", payload(0), qos=1, packet_id=1))
            old.expect_end()
            # Who is owed nothing of it goes on as ever.
            assert writer.publish("other", b"x", qos=1) is not None

        with come(address, "reader", version) as reader:
            assert reader.connack is not None
            assert reader.connack.session_present
            assert reader.subscribe(("t", qos)).reasons == [qos]
            assert list(drained(reader)) == kept

        once_bytes = memory_bytes(node)
        assert once_bytes - empty_bytes < MEMORY_BYTES_MAX
        for _ in range(ROUNDS - 1):
            kept = fill(address, qos)
            with come(address, "reader", version) as reader:
                assert list(drained(reader)) == kept
        assert memory_bytes(node) - once_bytes < GROWTH_BYTES_MAX
        again = fill(address, qos)
        assert len(again) * PAYLOAD_BYTES > BYTES_MAX // 2
        node.send(signal.SIGKILL)
        node.wait()
    with (
        NodeProcess(*settings) as node,
        come(node.addresses("tcp")[0], "reader", version) as reader,
    ):
        assert list(drained(reader)) == again


def test_a_new_session_and_a_will_take_little_and_pass(settings: list[str]):
    with NodeProcess(*settings) as node:
        (address,) = node.addresses("tcp")
        with come(address, "reader", V5) as reader:
            reader.subscribe(("t", 1))
        fill(address, 1)
        last = wire.Will("t", b"00000999", qos=1)
        with come(address, "new", V5, will=last) as new:
            new.subscribe(("else", 1))
        with come(address, "reader", V5) as reader:
            numbers = list(drained(reader))
            assert numbers[-1] == 999, "its will came when there was room"


def test_messages_are_taken_again_while_it_drains(settings: list[str]):
    with NodeProcess(*settings) as node:
        (address,) = node.addresses("tcp")
        with come(address, "reader", V5) as reader:
            reader.subscribe(("t", 1))
        kept = fill(address, 1)
        with come(address, "reader", V5) as reader, Client(tcp(address), V5) as writer:
            writer.connect("writer")
            taken = drained(reader)
            for _ in range(len(kept) // 2):
                next(taken)
            # What was acknowledged becomes room with a later commit, within a second.
            deadline = time.monotonic() + ROOM_SECONDS_MAX
            while time.monotonic() < deadline:
                writer.send(wire.publish(V5, "t", payload(5_000), qos=1, packet_id=1))
                if (writer.expect(PUBACK).reason or 0) < 0x80:
                    break
            rest = list(taken)
            assert rest[-1] == 5_000
