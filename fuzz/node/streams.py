"""What one hostile connection sends: packets of the vectors, mutated, reordered and cut, from a seed.

Most connections begin with a good CONNECT, or nothing behind the first packet would ever be reached.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from rookery.mqtt.encode import encode_packet, topic_to_wire
from rookery.mqtt.packets import Connect, Packet, Publish, Subscribe, SubscriptionRequest
from tests.support import vectors

VERSIONS: Final = (3, 4, 5)
PACKETS_MAX: Final = 40
CUTS_MAX: Final = 12
BLOB_BYTES_MAX: Final = 200_000
CLIENTS: Final = 40
"""Client ids the hostile ones share, so that they take each other's sessions over."""

Mutation = Callable[[bytearray, random.Random], None]


@dataclass(frozen=True)
class Script:
    """One connection: what is sent in which pieces, and how it ends."""

    web_socket: bool
    pieces: tuple[bytes, ...]
    raw: bool
    """Whether a WebSocket connection sends the pieces as they are, without frames."""
    reads: bool
    """Whether the answers are read."""
    resets: bool
    """Whether it ends with a reset and not in good order."""


class Scripts:
    """Makes scripts from seeds."""

    def __init__(self) -> None:
        sent = [each for each in vectors.load() if each.sender == "client"]
        self._packets = {
            version: [each.data for each in sent if each.version == version] for version in VERSIONS
        }

    def script(self, seed: str) -> Script:
        """The same script for the same seed."""
        chance = random.Random(seed)
        version = chance.choice(VERSIONS)
        packets = [self._packet(version, chance) for _ in range(chance.randrange(PACKETS_MAX))]
        chance.shuffle(packets)
        if chance.random() < 0.85:
            packets.insert(0, encode_packet(_connect(version, chance), version))
        if chance.random() < 0.3:
            packets = [_mutated(packet, chance) for packet in packets]
        stream = b"".join(packets)
        if chance.random() < 0.2:
            stream = stream[: chance.randrange(len(stream) + 1)]
        return Script(
            web_socket=chance.random() < 0.35,
            pieces=tuple(_cut(stream, chance)),
            raw=chance.random() < 0.1,
            reads=chance.random() < 0.8,
            resets=chance.random() < 0.5,
        )

    def _packet(self, version: int, chance: random.Random) -> bytes:
        kind = chance.random()
        if kind < 0.35:
            return encode_packet(_good(chance), version)
        packet = chance.choice(self._packets[version])
        return _mutated(packet, chance) if kind > 0.6 else packet


def _connect(version: int, chance: random.Random) -> Connect:
    return Connect(
        f"fuzz-{chance.randrange(CLIENTS)}",
        version,
        chance.random() < 0.5,
        chance.choice((0, 1, 60)),
    )


def _good(chance: random.Random) -> Packet:
    """A packet that is right, so that the wrong ones meet a session with something in it."""
    levels = [chance.choice(("a", "b", "", "$SYS", "ü")) for _ in range(chance.randrange(1, 6))]
    topic = "/".join(["fuzz", *levels])
    packet_id = chance.randrange(1, 6)
    if chance.random() < 0.3:
        filters = (topic, "fuzz/#", "+/+", "$share/g/fuzz/#", "#")
        requests = [
            SubscriptionRequest(chance.choice(filters), chance.randrange(3))
            for _ in range(chance.randrange(1, 4))
        ]
        return Subscribe(packet_id, requests)
    qos = chance.randrange(3)
    size = chance.choice((0, 1, 100, chance.randrange(BLOB_BYTES_MAX)))
    return Publish(
        topic,
        topic_to_wire(topic),
        chance.randbytes(size),
        qos,
        chance.random() < 0.2,
        packet_id=packet_id if qos else 0,
    )


def _mutated(packet: bytes, chance: random.Random) -> bytes:
    data = bytearray(packet)
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        if data:
            chance.choice(MUTATIONS)(data, chance)
    return bytes(data)


def _flip(data: bytearray, chance: random.Random) -> None:
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _replace(data: bytearray, chance: random.Random) -> None:
    data[chance.randrange(len(data))] = chance.choice(
        (0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256))
    )


def _insert(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data) + 1)
    data[at:at] = chance.randbytes(chance.randrange(1, 9))


def _remove(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data))
    del data[at : at + chance.randrange(1, 9)]


def _repeat(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data))
    data[at:at] = data[at : at + chance.randrange(1, 17)] * chance.randrange(1, 4)


def _stretch(data: bytearray, chance: random.Random) -> None:
    """Say another length than there is."""
    data[1:2] = chance.choice((b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"\x80\x80\x01", b"\0"))


MUTATIONS: Final[tuple[Mutation, ...]] = (_flip, _replace, _insert, _remove, _repeat, _stretch)


def _cut(stream: bytes, chance: random.Random) -> list[bytes]:
    places = sorted(chance.randrange(len(stream) + 1) for _ in range(chance.randrange(CUTS_MAX)))
    edges = [0, *places, len(stream)]
    return [stream[begin:end] for begin, end in pairwise(edges) if begin < end]
