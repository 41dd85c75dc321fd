"""Blocks of many packets as numpy arrays: built by filling columns, read by finding runs.

This is what keeps the load cheaper than the broker: the work in Python is per block, not per packet.
"""

from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from rookery_bench import wire

PacketIds = npt.NDArray[np.int64]

BLOCK_BYTES: Final = 65_536
"""The most that one send carries."""

ACK_BYTES: Final = wire.ACK_LAYOUT.itemsize
_PACKET_IDS: Final = 65_535
_ROWS_MAX: Final = BLOCK_BYTES // ACK_BYTES
_COUNT_UP: Final = np.arange(_ROWS_MAX, dtype=np.int64)
_PACKET_ID_OF: Final[PacketIds] = (
    np.arange(_PACKET_IDS + _ROWS_MAX, dtype=np.int64) % _PACKET_IDS + 1
)
_LOOK_AHEAD: Final = 16


def packet_ids(first_number: int, count: int) -> PacketIds:
    """Return the packet identifiers of consecutive messages: 1 to 65,535 and over again."""
    start = first_number % _PACKET_IDS
    return _PACKET_ID_OF[start : start + count]


class Block(Protocol):
    """Packets of consecutive messages."""

    rows_max: int

    def fill(self, first_number: int, count: int, now_ns: int) -> memoryview:
        """Return ``count`` packets (at most ``rows_max``), valid until the next call."""
        ...


class PublishBlock:
    """The PUBLISH packets of one publisher, ready but for number, time and packet identifier."""

    def __init__(self, topic: str, qos: int, version: int, publisher: int) -> None:
        layout = wire.publish_layout(topic, qos, version)
        self.rows_max = BLOCK_BYTES // layout.itemsize
        self._packet_bytes = layout.itemsize
        self._rows = np.zeros(self.rows_max, layout)
        self._rows["head"] = np.frombuffer(wire.publish_head(topic, qos, version), np.uint8)
        self._rows["publisher"] = publisher
        self._rows["filler"] = ord(".")
        self._numbers = self._rows["number"]
        self._sent_ns = self._rows["sent_ns"]
        self._packet_ids = self._rows["packet_id"] if qos else None
        self._view = self._rows.view(np.uint8).data

    def fill(self, first_number: int, count: int, now_ns: int) -> memoryview:
        """Return ``count`` packets (at most ``rows_max``), valid until the next call."""
        np.add(_COUNT_UP[:count], first_number, out=self._numbers[:count])
        self._sent_ns[:count] = now_ns
        if self._packet_ids is not None:
            self._packet_ids[:count] = packet_ids(first_number, count)
        return self._view[: count * self._packet_bytes]


class TopicsBlock:
    """The PUBLISH packets of one publisher to many topics in turn, each with numbers of its own.

    Message ``n`` goes to topic ``n % len(topics)``; ``publisher`` in the payload tells the topic.
    """

    def __init__(self, topics: list[str], qos: int, version: int) -> None:
        layout = wire.publish_layout(topics[0], qos, version)
        self.rows_max = BLOCK_BYTES // layout.itemsize
        self._packet_bytes = layout.itemsize
        heads = b"".join(wire.publish_head(topic, qos, version) for topic in topics)
        self._heads = np.frombuffer(heads, np.uint8).reshape(len(topics), -1)
        self._rows = np.zeros(self.rows_max, layout)
        self._rows["filler"] = ord(".")
        self._view = self._rows.view(np.uint8).data

    def fill(self, first_number: int, count: int, now_ns: int) -> memoryview:
        """Return ``count`` packets (at most ``rows_max``), valid until the next call."""
        numbers, topics = np.divmod(_COUNT_UP[:count] + first_number, len(self._heads))
        rows = self._rows[:count]
        rows["head"] = self._heads[topics]
        rows["number"] = numbers
        rows["publisher"] = topics
        rows["sent_ns"] = now_ns
        rows["packet_id"] = packet_ids(first_number, count)
        return self._view[: count * self._packet_bytes]


class AckBlock:
    """Acks of one type for the packet identifiers that the broker chose."""

    def __init__(self, first_byte: int) -> None:
        self._rows = np.zeros(_ROWS_MAX, wire.ACK_LAYOUT)
        self._rows["type"] = first_byte
        self._rows["length"] = 2
        self._packet_ids = self._rows["packet_id"]
        self._view = self._rows.view(np.uint8).data

    def fill(self, ids: npt.NDArray[np.unsignedinteger]) -> memoryview:
        """Return one ack for each packet identifier, valid until the next call."""
        self._packet_ids[: len(ids)] = ids
        return self._view[: len(ids) * ACK_BYTES]


class AckSeries:
    """Acks of one type for consecutive messages, as this load numbers them."""

    def __init__(self, first_byte: int) -> None:
        rows = np.zeros(len(_PACKET_ID_OF), wire.ACK_LAYOUT)
        rows["type"] = first_byte
        rows["length"] = 2
        rows["packet_id"] = _PACKET_ID_OF
        self._bytes = rows.tobytes()

    def take(self, first_number: int, count: int) -> bytes:
        """Return the acks of ``count`` messages."""
        start = first_number % _PACKET_IDS * ACK_BYTES
        return self._bytes[start : start + count * ACK_BYTES]


class Run(NamedTuple):
    """Neighbouring packets with the same first byte."""

    first_byte: int
    offset: int
    packets: int


def find_runs(data: memoryview, sizes: dict[int, int]) -> tuple[list[Run], int]:
    """Split a stream into runs; ``sizes`` tells each first byte's packet size.

    Returns the runs and how many bytes they cover; the rest is the beginning of a packet.

    Raises:
        wire.WireError: a packet begins with a byte that ``sizes`` does not have.
    """
    runs: list[Run] = []
    offset, total = 0, len(data)
    while offset < total:
        first_byte = data[offset]
        size = sizes.get(first_byte)
        if size is None:
            raise wire.WireError(f"unexpected packet {bytes(data[offset : offset + 16]).hex(' ')}")
        whole = (total - offset) // size
        if not whole:
            break
        count = _run_length(data[offset : offset + whole * size : size])
        runs.append(Run(first_byte, offset, count))
        offset += count * size
    return runs, offset


def _run_length(first_bytes: memoryview) -> int:
    """Count how many entries equal the first one; short runs are found without a look at the rest."""
    look_ahead = _LOOK_AHEAD
    while True:
        ahead = first_bytes[:look_ahead].tobytes()
        count = len(ahead) - len(ahead.lstrip(ahead[:1]))
        if count < len(ahead) or look_ahead >= len(first_bytes):
            return count
        look_ahead *= _LOOK_AHEAD
