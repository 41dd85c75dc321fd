"""The two ends of the load: publishers and subscribers over raw sockets.

Reading and writing happen once per turn of the load, for all that has come together by then. A run
that finds anything out of order says so in ``faults``; a stream that is not MQTT raises WireError.
"""

import socket
from collections.abc import Sequence as Several
from itertools import pairwise
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from rookery_bench import wire
from rookery_bench.blocks import ACK_BYTES, AckBlock, AckSeries, Block, find_runs
from rookery_bench.latency import LatencySamples
from rookery_bench.sequence import Numbers, Sequence

RECEIVE_BYTES: Final = 262_144
PORTIONS: Final = 2
"""A window leaves in at least so many portions: while the broker works on one, the next is there."""
_HANDSHAKE_SECONDS: Final = 10.0

_PUBACKS: Final = AckSeries(wire.PUBACK)
_RECORDED: Final = AckSeries(wire.PUBREC)
_RELEASES: Final = AckSeries(wire.PUBREL)
_COMPLETED: Final = AckSeries(wire.PUBCOMP)
_ACKS_OF_QOS: Final = ((), (wire.PUBACK,), (wire.PUBREC, wire.PUBCOMP))

Rows = npt.NDArray[np.void]


class Address:
    """Where a broker listens and what it wants to hear in CONNECT."""

    def __init__(self, port: int, username: str, password: str, host: str = "127.0.0.1") -> None:
        self.host = host
        self.port = port
        self.username = username
        self.password = password

    def publisher(self, index: int) -> "Address":
        """Where a publisher connects: all of them here."""
        return self

    def subscriber(self, index: int) -> "Address":
        """Where a subscriber connects: all of them here."""
        return self


class Where(Protocol):
    """Which client connects where; an ``Address`` is the answer for all."""

    def publisher(self, index: int) -> Address:
        """Where a publisher connects."""
        ...

    def subscriber(self, index: int) -> Address:
        """Where a subscriber connects."""
        ...


class Spread:
    """Clients over the nodes of a cluster: publishers take turns with some, subscribers with others."""

    def __init__(self, publishers: Several[Address], subscribers: Several[Address]) -> None:
        self._publishers = publishers
        self._subscribers = subscribers

    def publisher(self, index: int) -> Address:
        """Where a publisher connects."""
        return self._publishers[index % len(self._publishers)]

    def subscriber(self, index: int) -> Address:
        """Where a subscriber connects."""
        return self._subscribers[index % len(self._subscribers)]


def open_link(
    address: Address, client_id: str, version: int, *, persistent: bool = False
) -> socket.socket:
    """Connect a client and wait for its CONNACK (a blocking socket).

    Raises:
        OSError: no connection.
        wire.WireError: the broker refuses.
    """
    link = socket.create_connection((address.host, address.port), _HANDSHAKE_SECONDS)
    try:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.sendall(
            wire.connect(
                client_id, address.username, address.password, version, persistent=persistent
            )
        )
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

    def receive(self) -> memoryview:
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
        return view[: kept + received]

    def keep_rest(self, rest: memoryview) -> None:
        """Keep the beginning of a packet for the next read."""
        self._rest = rest.tobytes()

    def send(self, data: memoryview | bytes) -> None:
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
        self.send(unsent)

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

    def _accept_many(self, publishers: npt.NDArray[np.int32], numbers: Numbers) -> None:
        order = publishers.argsort(kind="stable")
        publishers, numbers = publishers[order], numbers[order]
        starts = [0, *(np.flatnonzero(np.diff(publishers)) + 1).tolist(), len(order)]
        for start, end in pairwise(starts):
            self.sequences[int(publishers[start])].accept(numbers[start:end])

    def _answer(self, acks: AckBlock, rows: Rows) -> None:
        answer = acks.fill(rows["packet_id"])
        self.unsent += bytes(answer)


class Publisher(Link):
    """Keeps ``window`` messages under way, from the sending to the last delivery and the last ack.

    Without ``deliveries`` nobody waits for the messages, and the ack is all that counts.
    """

    def __init__(
        self,
        link: socket.socket,
        block: Block,
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
        self._portion = max(1, window // PORTIONS)
        self._deliveries = deliveries
        self._recorded = 0
        self._sizes = dict.fromkeys(_ACKS_OF_QOS[qos], ACK_BYTES)

    @property
    def under_way(self) -> int:
        """How many messages are not yet delivered to all, or not yet acknowledged."""
        finished = min((each.expected for each in self._deliveries), default=self.sent)
        return self.sent - (min(finished, self.acked) if self._qos else finished)

    def publish(self, now_ns: int) -> None:
        """Send the next portion of the window, as far as there is room."""
        if self.unsent:
            self.flush()
            return
        self.send_messages(min(self._window - self.under_way, self._portion), now_ns)

    def send_messages(self, wanted: int, now_ns: int) -> None:
        """Send so many messages, whatever is under way."""
        while wanted > 0:
            count = min(wanted, self._block.rows_max)
            self.send(self._block.fill(self.sent, count, now_ns))
            self.sent += count
            wanted -= count

    def read(self, now_ns: int) -> None:
        """Take the acks that have come."""
        data = self.receive()
        runs, covered = find_runs(data, self._sizes)
        for first_byte, offset, count in runs:
            acks = bytes(data[offset : offset + count * ACK_BYTES])
            if first_byte == wire.PUBREC:
                self._check(acks, _RECORDED.take(self._recorded, count))
                self.send(_RELEASES.take(self._recorded, count))
                self._recorded += count
            else:
                series = _PUBACKS if first_byte == wire.PUBACK else _COMPLETED
                self._check(acks, series.take(self.acked, count))
                self.acked += count
        self.keep_rest(data[covered:])

    def _check(self, acks: bytes, expected: bytes) -> None:
        # The standard asks this order of clients; a broker that keeps it makes this one comparison.
        if acks != expected:
            if any(length != 2 for length in acks[1::ACK_BYTES]):
                raise wire.WireError(f"an ack with a reason: {acks[:16].hex(' ')}")
            self.faults.append("acks out of order")
