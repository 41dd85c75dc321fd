"""Publisher and subscriber against a socket whose other end is the test."""

import socket
from collections.abc import Iterator

import numpy as np
import pytest

from rookery_bench import wire
from rookery_bench.blocks import AckSeries, PublishBlock
from rookery_bench.latency import LatencySamples
from rookery_bench.links import Publisher, Subscriber, open_link, read_packet, subscribe
from rookery_bench.peers import Broker
from rookery_bench.sequence import Sequence

TOPIC = "bench/load/0000"


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, brokers = socket.socketpair()
    with ours, brokers:
        yield ours, brokers


Ends = tuple[socket.socket, socket.socket]


def subscriber(link: socket.socket, qos: int, publishers: int = 1) -> Subscriber:
    layout = wire.publish_layout(TOPIC, qos, wire.V3_1_1)
    sequences = {number: Sequence() for number in range(publishers)}
    return Subscriber(link, layout, qos, sequences, LatencySamples(1))


def publishes(first_number: int, count: int, qos: int, publisher: int = 0) -> bytes:
    return bytes(PublishBlock(TOPIC, qos, wire.V3_1_1, publisher).fill(first_number, count, 0))


def acks(first_byte: int, first_number: int, count: int) -> bytes:
    return AckSeries(first_byte).take(first_number, count)


def test_a_subscriber_acknowledges_a_read_in_one_write(ends: Ends) -> None:
    ours, brokers = ends
    reader = subscriber(ours, 1)
    brokers.sendall(publishes(0, 20, 1))
    reader.read(1)
    assert brokers.recv(1_000) == acks(wire.PUBACK, 0, 20)
    assert reader.received == 20
    assert reader.sequences[0].faults(20) == ""


@pytest.mark.parametrize("piece", [1, 7, 83, 84, 85, 200])
def test_pieces_of_any_size_give_the_same(ends: Ends, piece: int) -> None:
    ours, brokers = ends
    reader = subscriber(ours, 2)
    data = publishes(0, 3, 2) + acks(wire.PUBREL, 0, 2) + publishes(3, 1, 2)
    answers = b""
    for start in range(0, len(data), piece):
        brokers.sendall(data[start : start + piece])
        reader.read(1)
    brokers.setblocking(False)
    answers = brokers.recv(1_000)
    expected = acks(wire.PUBREC, 0, 4) + acks(wire.PUBCOMP, 0, 2)
    assert sorted(answers[at : at + 4] for at in range(0, len(answers), 4)) == sorted(
        expected[at : at + 4] for at in range(0, len(expected), 4)
    )
    assert reader.sequences[0].faults(4) == ""


def test_each_publishers_numbers_are_checked_for_themselves(ends: Ends) -> None:
    ours, brokers = ends
    reader = subscriber(ours, 0, publishers=3)
    brokers.sendall(
        publishes(0, 2, 0, 2)
        + publishes(0, 3, 0, 0)
        + publishes(2, 1, 0, 2)
        + publishes(1, 1, 0, 1)
    )
    reader.read(1)
    faults = {number: sequence.faults(3) for number, sequence in reader.sequences.items()}
    assert faults == {0: "", 1: "2 lost", 2: ""}


def test_what_is_no_message_is_refused(ends: Ends) -> None:
    ours, brokers = ends
    brokers.sendall(wire.packet(0xE0, b""))
    with pytest.raises(wire.WireError, match="unexpected packet e0 00"):
        subscriber(ours, 0).read(1)


def test_a_closed_connection_is_told(ends: Ends) -> None:
    ours, brokers = ends
    reader = subscriber(ours, 0)
    brokers.close()
    with pytest.raises(wire.WireError, match="closed"):
        reader.read(1)


def publisher(link: socket.socket, qos: int, window: int) -> tuple[Publisher, list[Sequence]]:
    reached = [Sequence(), Sequence()]
    block = PublishBlock(TOPIC, qos, wire.V3_1_1, 0)
    return Publisher(link, block, qos, window, reached), reached


def deliver(reached: list[Sequence], first_number: int, count: int) -> None:
    for sequence in reached:
        sequence.accept(np.arange(first_number, first_number + count, dtype=np.int64))


def test_the_window_is_never_passed(ends: Ends) -> None:
    ours, _ = ends
    sender, reached = publisher(ours, 0, 10)
    for _ in range(4):
        sender.publish(1)
    assert (sender.sent, sender.under_way) == (10, 10)
    reached[0].accept(np.arange(10, dtype=np.int64))
    sender.publish(1)
    assert sender.sent == 10, "one subscriber is still waiting"
    reached[1].accept(np.arange(4, dtype=np.int64))
    sender.publish(1)
    assert (sender.sent, sender.under_way) == (14, 10)


def test_qos_1_waits_for_acks_too(ends: Ends) -> None:
    ours, brokers = ends
    sender, reached = publisher(ours, 1, 4)
    for _ in range(3):
        sender.publish(1)
    deliver(reached, 0, 4)
    assert sender.under_way == 4
    brokers.sendall(acks(wire.PUBACK, 0, 3))
    sender.read(1)
    assert sender.under_way == 1
    assert not sender.faults


def test_qos_2_releases_and_completes(ends: Ends) -> None:
    ours, brokers = ends
    sender, reached = publisher(ours, 2, 4)
    for _ in range(2):
        sender.publish(1)
    deliver(reached, 0, 4)
    assert brokers.recv(10_000) == bytes(
        b"".join(
            bytes(PublishBlock(TOPIC, 2, wire.V3_1_1, 0).fill(first, 2, 1)) for first in (0, 2)
        )
    )
    brokers.sendall(acks(wire.PUBREC, 0, 4))
    sender.read(1)
    assert brokers.recv(1_000) == acks(wire.PUBREL, 0, 4)
    brokers.sendall(acks(wire.PUBCOMP, 0, 4))
    sender.read(1)
    assert sender.under_way == 0
    assert not sender.faults


def test_acks_out_of_order_are_a_fault(ends: Ends) -> None:
    ours, brokers = ends
    sender, _ = publisher(ours, 1, 4)
    for _ in range(2):
        sender.publish(1)
    brokers.sendall(acks(wire.PUBACK, 1, 1) + acks(wire.PUBACK, 0, 1))
    sender.read(1)
    assert sender.faults == ["acks out of order"]


def test_an_ack_with_a_reason_is_refused(ends: Ends) -> None:
    ours, brokers = ends
    sender, _ = publisher(ours, 1, 4)
    brokers.sendall(b"\x40\x03\x00\x01")
    with pytest.raises(wire.WireError, match="with a reason"):
        sender.read(1)


def test_what_the_kernel_does_not_take_is_sent_later(ends: Ends) -> None:
    ours, brokers = ends
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
    sender, _ = publisher(ours, 0, 2_000)
    for turn in range(3):
        sender.publish(turn)
    assert sender.unsent
    received = bytearray()
    while len(received) < sender.sent * len(publishes(0, 1, 0)):
        received += brokers.recv(100_000)
        sender.flush()
    numbers = np.frombuffer(received, wire.publish_layout(TOPIC, 0, wire.V3_1_1))["number"]
    assert numbers.tolist() == list(range(sender.sent))
    assert not sender.unsent


def test_read_packet_takes_one_and_leaves_the_next(ends: Ends) -> None:
    ours, brokers = ends
    brokers.sendall(b"\x20\x02\x00\x00\x90\x03\x00\x01\x00")
    assert read_packet(ours) == (0x20, b"\x00\x00")
    assert read_packet(ours) == (0x90, b"\x00\x01\x00")


def test_a_publisher_whom_nobody_waits_for_counts_acks_alone(ends: Ends) -> None:
    ours, brokers = ends
    sender = Publisher(ours, PublishBlock(TOPIC, 1, wire.V3_1_1, 0), 1, 10, [])
    sender.send_messages(5, 1)
    brokers.sendall(acks(wire.PUBACK, 0, 3))
    sender.read(1)
    assert (sender.sent, sender.under_way) == (5, 2)


@pytest.mark.parametrize("version", [wire.V3_1_1, wire.V5])
def test_a_persistent_session_is_there_again(mosquitto: Broker, version: int) -> None:
    name, topic = f"again-{version}", f"again/{version}"
    message = bytes(PublishBlock(topic, 1, version, 0).fill(0, 1, 0))
    link = open_link(mosquitto.address, name, version, persistent=True)
    subscribe(link, topic, 1, version)
    link.sendall(message)
    assert {read_packet(link)[0] for _ in range(2)} == {wire.PUBACK, wire.PUBLISH | 2}
    link.close()
    link = open_link(mosquitto.address, name, version, persistent=True)
    assert read_packet(link)[0] == wire.PUBLISH | 2 | wire.DUP, "not acknowledged: sent again"
    link.close()
    link = open_link(mosquitto.address, name, version)
    link.sendall(message + wire.PINGREQ)
    assert [read_packet(link)[0] for _ in range(2)] == [wire.PUBACK, wire.PINGRESP]
    link.close()
