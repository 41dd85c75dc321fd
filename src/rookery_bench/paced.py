"""A thin, even stream: many pairs, each with one QoS 1 message at a time.

Here nothing can be done in blocks: each message costs broker and load two reads and two writes.
The load sleeps until the next message is due or something arrives.
"""

import select
import socket
import struct
import time
from collections.abc import Callable
from typing import Final

from rookery_bench import wire
from rookery_bench.accounting import Pids, Usage
from rookery_bench.blocks import ACK_BYTES, PublishBlock, packet_ids
from rookery_bench.latency import percentiles
from rookery_bench.links import Where, open_link, subscribe
from rookery_bench.measurement import Measurement, per_unit
from rookery_bench.scenarios import Paced

_QOS: Final = 1
_PUBACK: Final = bytes((wire.PUBACK, 2))
_READ_BYTES: Final = 4_096
_ARRIVE_SECONDS: Final = 5.0
_STAMP: Final = struct.Struct("<qq")
_PACKET_ID: Final = struct.Struct(">H")


class Pair:
    """One publisher, one subscriber and at most one message between them."""

    def __init__(self, index: int, where: Where, version: int, *, persistent: bool = False) -> None:
        topic = f"bench/paced/{index:04d}"
        layout = wire.publish_layout(topic, _QOS, version)
        self._packet = bytearray(PublishBlock(topic, _QOS, version, index).fill(0, 1, 0))
        self._packet_bytes = layout.itemsize
        self._head = wire.publish_head(topic, _QOS, version)
        self._packet_id_at = len(self._head)
        self._stamp_at = layout.itemsize - wire.PAYLOAD_BYTES
        self._acks = self._messages = b""
        self.sent = self.acked = self.delivered = 0
        self.faults: list[str] = []
        self.subscriber = open_link(
            where.subscriber(index), f"bench-sub-{index}", version, persistent=persistent
        )
        subscribe(self.subscriber, topic, _QOS, version)
        self.publisher = open_link(where.publisher(index), f"bench-pub-{index}", version)
        for link in (self.subscriber, self.publisher):
            link.setblocking(False)

    @property
    def under_way(self) -> bool:
        """Whether the last message is still to be delivered or acknowledged."""
        return self.acked < self.sent or self.delivered < self.sent

    def publish(self, now_ns: int) -> None:
        """Send the next message."""
        packet_id = int(packet_ids(self.sent, 1)[0])
        _PACKET_ID.pack_into(self._packet, self._packet_id_at, packet_id)
        _STAMP.pack_into(self._packet, self._stamp_at, self.sent, now_ns)
        self.publisher.send(self._packet)
        self.sent += 1

    def read_ack(self) -> None:
        """Take the PUBACK."""
        data = self._acks + _received(self.publisher)
        if len(data) < ACK_BYTES:
            self._acks = data
            return
        self._acks = b""
        at = self._packet_id_at
        if data != _PUBACK + self._packet[at : at + 2]:
            self.faults.append(f"{data.hex(' ')} is not the PUBACK of message {self.sent - 1}")
        self.acked += 1

    def read_message(self) -> int | None:
        """Take the message and acknowledge it; return when it was sent, None until it is whole."""
        data = self._messages + _received(self.subscriber)
        if len(data) < self._packet_bytes:
            self._messages = data
            return None
        self._messages = b""
        if len(data) > self._packet_bytes or not data.startswith(self._head):
            raise wire.WireError(f"unexpected packet {data[:24].hex(' ')}")
        at = self._packet_id_at
        self.subscriber.send(_PUBACK + data[at : at + 2])
        number, sent_ns = _STAMP.unpack_from(data, self._stamp_at)
        if number != self.delivered:
            self.faults.append(f"message {number} instead of {self.delivered}")
        self.delivered += 1
        return int(sent_ns)

    def close(self) -> None:
        """Disconnect both clients."""
        for link in (self.publisher, self.subscriber):
            link.close()


def _received(link: socket.socket) -> bytes:
    data = link.recv(_READ_BYTES)
    if not data:
        raise wire.WireError("the broker closed the connection")
    return data


class PacedLoad:
    """All pairs and the beat at which their messages leave."""

    def __init__(self, load: Paced, where: Where, pids: Pids) -> None:
        self._interval_ns = 1_000_000_000 // load.messages_per_second
        self._pids = pids
        self._prompt = load.prompt
        self._epoll = select.epoll()
        self._readers: dict[int, Callable[[], int | None]] = {}
        self.pairs: list[Pair] = []
        self._next_pair = 0
        self._late = 0
        self._delivered = 0
        self._latencies_ns: list[int] = []
        try:
            for index in range(load.pairs):
                self._add(Pair(index, where, load.version))
        except BaseException:
            self.close()
            raise

    def _add(self, pair: Pair) -> None:
        self.pairs.append(pair)
        for link, reader in (
            (pair.publisher, pair.read_ack),
            (pair.subscriber, pair.read_message),
        ):
            self._readers[link.fileno()] = reader
            self._epoll.register(link, select.EPOLLIN)

    def run(self, seconds: float, warm_up_seconds: float) -> Measurement:
        """Keep the beat, measure after the warm-up, and let everything arrive."""
        usage = Usage(self._pids)
        try:
            self._beat_until(time.monotonic_ns() + int(warm_up_seconds * 1e9))
            usage.restart()
            self._latencies_ns.clear()
            delivered = self._delivered
            self._beat_until(time.monotonic_ns() + int(seconds * 1e9))
            latency = percentiles(self._latencies_ns)
            measured = per_unit(usage, self._delivered - delivered, latency, [])
            self._drain()
        except (OSError, wire.WireError) as error:
            return Measurement(0.0, None, None, None, None, [str(error)])
        measured.faults.extend(self.faults())
        return measured

    def _beat_until(self, end_ns: int) -> None:
        due_ns = time.monotonic_ns()
        while (now_ns := time.monotonic_ns()) < end_ns:
            while now_ns >= due_ns:
                self._publish(now_ns)
                due_ns += self._interval_ns
            spare_ns = due_ns - time.monotonic_ns()
            if spare_ns > 0:
                self._rest(spare_ns / 1e9)
            self._read(0)

    def _rest(self, seconds: float) -> None:
        if self._prompt:
            # The set of descriptors is a descriptor itself, and select counts in less than milliseconds.
            select.select([self._epoll], [], [], seconds)
        else:
            time.sleep(seconds)

    def _publish(self, now_ns: int) -> None:
        pair = self.pairs[self._next_pair]
        self._next_pair = (self._next_pair + 1) % len(self.pairs)
        if pair.under_way:
            self._late += 1
        else:
            pair.publish(now_ns)

    def _read(self, timeout_seconds: float) -> None:
        for descriptor, _ in self._epoll.poll(timeout_seconds):
            sent_ns = self._readers[descriptor]()
            if sent_ns is not None:
                self._delivered += 1
                self._latencies_ns.append(time.monotonic_ns() - sent_ns)

    def _drain(self) -> None:
        deadline_ns = time.monotonic_ns() + int(_ARRIVE_SECONDS * 1e9)
        while any(pair.under_way for pair in self.pairs) and time.monotonic_ns() < deadline_ns:
            self._read(0.01)

    def faults(self) -> list[str]:
        """What was lost, out of order, or could not leave in time."""
        found = [fault for pair in self.pairs for fault in pair.faults[:1]]
        lost = sum(pair.sent - pair.delivered for pair in self.pairs)
        unacked = sum(pair.sent - pair.acked for pair in self.pairs)
        if lost or unacked:
            found.append(f"{lost} lost, {unacked} never acknowledged")
        sent = sum(pair.sent for pair in self.pairs)
        if self._late > sent * 0.02:
            found.append(f"{self._late} of {self._late + sent} were not sent: still one under way")
        return found

    def close(self) -> None:
        """Disconnect all clients."""
        for pair in self.pairs:
            pair.close()
        self._epoll.close()
