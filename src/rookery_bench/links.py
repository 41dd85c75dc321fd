"""The two ends of the load: publishers and subscribers over raw sockets.

Reading and writing happen once per turn of the load, for all that has come together by then. A run
that finds anything out of order says so in ``faults``; a stream that is not MQTT raises WireError.
"""

import socket
from typing import Final

import numpy as np
import numpy.typing as npt

from rookery_bench import wire
from rookery_bench.blocks import ACK_BYTES, AckBlock, PublishBlock, find_runs, packet_ids
from rookery_bench.latency import LatencySamples
from rookery_bench.sequence import Sequence

RECEIVE_BYTES: Final = 262_144
_HANDSHAKE_SECONDS: Final = 10.0

Rows = npt.NDArray[np.void]


class Address:
    """Where a broker listens and what it wants to hear in CONNECT."""

    def __init__(self, port: int, username: str, password: str, host: str = "127.0.0.1") -> None:
        self.host = host
        self.port = port
        self.username = username
        self.password = password


def open_link(address: Address, client_id: str, version: int) -> socket.socket:
    """Connect a client and wait for its CONNACK (a blocking socket).

    Raises:
        OSError: no connection.
        wire.WireError: the broker refuses.
    """
    link = socket.create_connection((address.host, address.port), _HANDSHAKE_SECONDS)
    try:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.sendall(wire.connect(client_id, address.username, address.password, version))
        wire.expect_connack(*read_packet(link))
    except (OSError, wire.WireError):
        link.close()
        raise
    return link


def subscribe(link: socket.socket, topic_filter: str, qos: int, version: int) -> None:
    """Subscribe and wait for the SUBACK."""
    link.sendall(wire.subscribe(topic_filter, qos, version))
    wire.expect_suback(*read_packet(link), qos)


def read_packet(link: socket.socket) -> tuple[int, bytes]:
    """Read one packet from a blocking socket: its first byte and its body."""
    data = bytearray()
    while (found := wire.take_packet(data)) is None:
        received = link.recv(1)
        if not received:
            raise wire.WireError("the broker closed the connection")
        data += received
    return found[0], found[1]


class Link:
    """A non-blocking socket with what could not be sent yet and what is not a whole packet yet."""

    receive_buffer: Final = bytearray(RECEIVE_BYTES)
    """Shared: a read is done with before the next one begins."""

    def __init__(self, link: socket.socket) -> None:
        link.setblocking(False)
        self.socket = link
        self.unsent = b""
        self._rest = b""

    def receive(self) -> npt.NDArray[np.uint8]:
        """Return what came, after the rest of the last time (a view of the shared buffer)."""
        view = memoryview(self.receive_buffer)
        kept = len(self._rest)
        view[:kept] = self._rest
        try:
            received = self.socket.recv_into(view[kept:])
        except BlockingIOError:
            received = 0
        else:
            if not received:
                raise wire.WireError("the broker closed the connection")
        return np.frombuffer(view, np.uint8, kept + received)

    def keep_rest(self, rest: npt.NDArray[np.uint8]) -> None:
        """Keep the beginning of a packet for the next read."""
        self._rest = rest.tobytes()

    def send(self, data: memoryview) -> None:
        """Send, and keep what the kernel does not take."""
        if self.unsent:
            self.unsent += bytes(data)
            return
        try:
            sent = self.socket.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self.unsent = bytes(data[sent:])

    def flush(self) -> None:
        """Send what was kept."""
        unsent, self.unsent = self.unsent, b""
        self.send(memoryview(unsent))

    def close(self) -> None:
        """Say goodbye and close."""
        try:
            self.socket.send(wire.DISCONNECT)
        except OSError:
            pass  # The broker is gone or stuck, which the run has already told.
        self.socket.close()


class Subscriber(Link):
    """Takes messages, checks their numbers and acknowledges all of one read in one write."""

    def __init__(
        self,
        link: socket.socket,
        layout: np.dtype[np.void],
        qos: int,
        sequences: dict[int, Sequence],
        latency: LatencySamples,
    ) -> None:
        super().__init__(link)
        self.received = 0
        self.sequences: Final = sequences
        """By the publisher's number."""
        self._layout = layout
        self._latency = latency
        self._ack = AckBlock(wire.PUBACK if qos == 1 else wire.PUBREC) if qos else None
        self._complete = AckBlock(wire.PUBCOMP)
        self._publish_byte = wire.PUBLISH | qos << 1
        self._sizes = {self._publish_byte: layout.itemsize}
        if qos == 2:
            self._sizes[wire.PUBREL] = ACK_BYTES

    def read(self, now_ns: int) -> None:
        """Take what has come."""
        data = self.receive()
        runs, covered = find_runs(data, self._sizes)
        for first_byte, offset, count in runs:
            if first_byte == self._publish_byte:
                self._take(np.frombuffer(data, self._layout, count, offset), now_ns)
            else:
                released = np.frombuffer(data, wire.ACK_LAYOUT, count, offset)
                self._answer(self._complete, released)
        self.keep_rest(data[covered:])
        if self.unsent:
            self.flush()

    def _take(self, rows: Rows, now_ns: int) -> None:
        self.received += len(rows)
        self._latency.add(rows["sent_ns"], now_ns)
        if len(self.sequences) == 1:
            (only,) = self.sequences.values()
            only.accept(rows["number"])
        else:
            self._accept_many(rows["publisher"], rows["number"])
        if self._ack is not None:
            self._answer(self._ack, rows)

    def _accept_many(self, publishers: npt.NDArray[np.int32], numbers: Rows) -> None:
        order = publishers.argsort(kind="stable")
        publishers, numbers = publishers[order], numbers[order]
        starts = [0, *(np.flatnonzero(np.diff(publishers)) + 1).tolist(), len(order)]
        for start, end in zip(starts, starts[1:], strict=False):
            self.sequences[int(publishers[start])].accept(numbers[start:end])

    def _answer(self, acks: AckBlock, rows: Rows) -> None:
        answer = acks.fill(rows["packet_id"])
        self.unsent += bytes(answer)


class Publisher(Link):
    """Keeps ``window`` messages under way, from the sending to the last delivery and the last ack."""

    def __init__(
        self,
        link: socket.socket,
        block: PublishBlock,
        qos: int,
        window: int,
        deliveries: list[Sequence],
    ) -> None:
        super().__init__(link)
        self.sent = 0
        self.acked = 0
        self.faults: list[str] = []
        self._block = block
        self._qos = qos
        self._window = window
        self._deliveries = deliveries
        self._received = 0
        self._release = AckBlock(wire.PUBREL)
        self._sizes = {
            0: {},
            1: {wire.PUBACK: ACK_BYTES},
            2: {wire.PUBREC: ACK_BYTES, wire.PUBCOMP: ACK_BYTES},
        }[qos]

    @property
    def under_way(self) -> int:
        """How many messages are not yet delivered to all, or not yet acknowledged."""
        finished = min(sequence.expected for sequence in self._deliveries)
        return self.sent - (min(finished, self.acked) if self._qos else finished)

    def publish(self, now_ns: int) -> None:
        """Fill the window up again."""
        if self.unsent:
            self.flush()
            return
        count = min(self._window - self.under_way, self._block.rows_max)
        if count > 0:
            self.send(self._block.fill(self.sent, count, now_ns))
            self.sent += count

    def read(self, now_ns: int) -> None:
        """Take the acks that have come."""
        data = self.receive()
        runs, covered = find_runs(data, self._sizes)
        for first_byte, offset, count in runs:
            rows = np.frombuffer(data, wire.ACK_LAYOUT, count, offset)
            if (rows["length"] != 2).any():
                raise wire.WireError(f"an ack with a reason: {bytes(data[offset:][:16]).hex(' ')}")
            if first_byte == wire.PUBREC:
                self._check_order("PUBREC", rows, self._received)
                self._received += count
                self.send(self._release.fill(rows["packet_id"]))
            else:
                self._check_order("ack", rows, self.acked)
                self.acked += count
        self.keep_rest(data[covered:])

    def _check_order(self, name: str, rows: Rows, first_number: int) -> None:
        # [MQTT-4.6.0-2] Acks come in the order of the PUBLISH packets.
        if not np.array_equal(rows["packet_id"], packet_ids(first_number, len(rows))):
            self.faults.append(f"{name} out of order after {first_number}")
