"""What nodes tell each other, as bytes: a frame is one item after the other.

An item is its length (four bytes, big-endian, of what follows), its kind (one byte) and its body. Items of
every kind but ``ACK`` are counted on each link from 1; an ``ACK`` says up to which of them everything is done.
Texts in bodies are UTF-8 behind two bytes of length.
"""

from typing import Final

from rookery.mqtt.encode import topic_to_wire
from rookery.mqtt.errors import MalformedPacket
from rookery.mqtt.reader import Reader

ACK: Final = 0
"""u64: the number of the last item that is done with, and all before it."""
PUBLISH: Final = 1
"""A message as a log entry; its share field names the group that a member here was picked for."""
KEPT: Final = 2
"""A message that its node keeps until this is acknowledged: origin (text), u64 number in it, entry."""
ROUTE: Final = 3
"""u32 value (0 removes), the topic filter with its share prefix (text)."""
RETAINED: Final = 4
"""A retained message of the sender's keeping, at the start of a link: an entry."""
SYNCED: Final = 5
"""All routes and retained messages of the sender have been told."""
CLAIM: Final = 6
"""u64 number of the question, u64 ticket, u8 clean start, the key of a session (the rest)."""
CLAIMED: Final = 7
"""u64 number of the question, u8 answer."""
RELAY: Final = 8
"""All of a client whose session is on another node: see ``rookery.engine.peers.relay``."""
ADOPTED: Final = 9
"""The sender has taken over a cell, whose routes it has told before this: cell (text), u64 epoch."""
HANDED: Final = 10
"""A message for the sessions of an adopted cell: cell, origin (texts), u64 number, entry."""

HOLDING: Final = 11
"""At the start of a link: each cell that the sender keeps messages for or would (text), and its epoch (u64)."""
SWITCHED: Final = 12
"""What was published before this for an adopted cell (text) its node has kept for it; from now on routes say it."""

LIGHT: Final = 14
"""A message like ``PUBLISH``, of which nobody there gets more than QoS 0: its acknowledgement is not asked for."""
CLIENTS: Final = 13
"""How many clients the sender has: a u64."""
ASLEEP: Final = 15
"""Until the next ``SWITCHED`` for this adopted cell (text) its node has kept for it what follows."""

HEADER_BYTES: Final = 5


def item(kind: int, body: bytes) -> bytes:
    """One item."""
    return (len(body) + 1).to_bytes(4, "big") + bytes((kind,)) + body


def ack_item(number: int) -> bytes:
    """The acknowledgement of all items up to this one."""
    return item(ACK, number.to_bytes(8, "big"))


def kept_item(origin: str, number: int, entry: bytes) -> bytes:
    """A message that is told again until it is acknowledged; the receiver knows it by origin and number."""
    return item(KEPT, topic_to_wire(origin) + number.to_bytes(8, "big") + entry)


def handed_item(cell: str, origin: str, number: int, entry: bytes) -> bytes:
    """The same for the sessions of a cell that the receiver has adopted."""
    head = topic_to_wire(cell) + topic_to_wire(origin)
    return item(HANDED, head + number.to_bytes(8, "big") + entry)


def adopted_item(cell: str, epoch: int) -> bytes:
    """The sender has adopted a cell that was in this epoch."""
    return item(ADOPTED, topic_to_wire(cell) + epoch.to_bytes(8, "big"))


def holding_item(cells: list[tuple[str, int]]) -> bytes:
    """The cells that the sender keeps messages for, and their epochs."""
    return item(
        HOLDING,
        b"".join([topic_to_wire(cell) + epoch.to_bytes(8, "big") for cell, epoch in cells]),
    )


def route_item(key: str, value: int) -> bytes:
    """What the sender's sessions ask for with one filter."""
    return item(ROUTE, value.to_bytes(4, "big") + topic_to_wire(key))


def item_end(frame: bytes, at: int) -> int:
    """Where the item that begins there ends. Raises ``MalformedPacket`` where the frame has no whole one."""
    if len(frame) - at < HEADER_BYTES:
        raise MalformedPacket("a frame ends within the head of an item")
    length = (frame[at] << 24) | (frame[at + 1] << 16) | (frame[at + 2] << 8) | frame[at + 3]
    end = at + 4 + length
    if length < 1 or end > len(frame):
        raise MalformedPacket("an item is longer than its frame")
    return end


def u64_at(body: bytes, at: int) -> int:
    """An eight byte integer; ``MalformedPacket`` where the body ends before."""
    if len(body) < at + 8:
        raise MalformedPacket("an item is shorter than its fields")
    return int.from_bytes(body[at : at + 8], "big")


def text_of(body: bytes) -> tuple[str, bytes]:
    """The text a body begins with, and the rest. Raises ``MalformedPacket``."""
    reader = Reader(body, 0, len(body))
    text = reader.text()
    return text, body[reader.at :]


# The value of a route: of a filter 1 and the highest QoS, of a share group its members.
DURABLE: Final = 1 << 31
_ATTACHED_SHIFT: Final = 16
_QOS_SHIFT: Final = 28
MEMBERS_MAX: Final = 0xFFF


def share_value(members: int, attached: int, qos_max: int, durable: bool) -> int:
    """The value of a share group; counts beyond 4,095 are told as that."""
    value = min(members, MEMBERS_MAX) | min(attached, MEMBERS_MAX) << _ATTACHED_SHIFT
    return value | qos_max << _QOS_SHIFT | (DURABLE if durable else 0)


def members_of(value: int) -> int:
    """How many members a share group has there."""
    return value & MEMBERS_MAX


def attached_of(value: int) -> int:
    """How many of them have a link."""
    return (value >> _ATTACHED_SHIFT) & MEMBERS_MAX


def share_qos_of(value: int) -> int:
    """The highest QoS among them."""
    return (value >> _QOS_SHIFT) & 0x3


def route_value(found: int, durable: bool) -> int:
    """The value of a filter: ``found`` is 0, or 1 and the highest QoS."""
    return found | (DURABLE if durable and found else 0)


def qos_of(value: int) -> int:
    """The highest QoS of a filter."""
    return (value & 0x3) - 1
