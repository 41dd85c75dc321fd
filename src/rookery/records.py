"""What is made durable, as values: the entries of the message log and the state of sessions.

A message that is owed to a durable session, or retained, is stored once, as an entry of the log. Its
``position`` says where: in which block, and at which place in it. The entries of a group commit fill as
many blocks as they need, one after the other, and the next group begins with a new one. Positions rise in
the order of publication. Sessions and retained topics refer to positions.

A block holds few entries, because one of them is read at the cost of all, and what is owed to one session
lies scattered.

A ``Group`` is what one group commit makes durable, all of it or nothing. Within it each key stands once,
with its last state, so replaying groups is the same as applying their rows.

Times that outlive the process are wall-clock seconds since 1970; the rest of the program counts
monotonic ones.
"""

from collections.abc import Sequence
from typing import Final, final

from mypy_extensions import mypyc_attr

from rookery.message import Message
from rookery.mqtt.decode_properties import read_properties
from rookery.mqtt.encode import encode_properties, topic_to_wire
from rookery.mqtt.reader import Reader
from rookery.mqtt.types import PUBLISH

BLOCK_SHIFT: Final = 6
ENTRIES_PER_BLOCK_MAX: Final = 1 << BLOCK_SHIFT


def position_of(block: int, index: int) -> int:
    """The position of an entry; ``block`` counts from 1, so 0 is no position.

    An index beyond the block leads into the ones behind it.
    """
    return (block << BLOCK_SHIFT) + index


def block_of(position: int) -> int:
    """The block an entry lies in."""
    return position >> BLOCK_SHIFT


def index_of(position: int) -> int:
    """The place of an entry in its block."""
    return position & (ENTRIES_PER_BLOCK_MAX - 1)


@final
@mypyc_attr(acyclic=True)
class SessionRow:
    """A session that must be found again: a durable one, or one with a will."""

    def __init__(
        self,
        number: int,
        client_id: str,
        expiry_seconds: int,
        detached_at_wall: float | None,
        will: bytes | None,
        will_delay_seconds: int,
    ) -> None:
        self.number = number
        """Names the session in all other rows; never used again for another one."""
        self.client_id = client_id
        self.expiry_seconds = expiry_seconds
        """0 is a session that is only here for its will."""
        self.detached_at_wall = detached_at_wall
        """``None`` while it has a link: after a crash its link ended when the node did."""
        self.will = will
        """The will as a log entry (``encode_message``)."""
        self.will_delay_seconds = will_delay_seconds

    def promises_more_than(self, other: "SessionRow") -> bool:
        """Whether it promises the client something that another row of its session does not."""
        if self.expiry_seconds > other.expiry_seconds:
            return True
        return self.will is not None and (
            self.will != other.will or self.will_delay_seconds != other.will_delay_seconds
        )


@final
@mypyc_attr(acyclic=True)
class SubscriptionRow:
    """One subscription of a durable session."""

    def __init__(
        self,
        number: int,
        topic_filter: str,
        qos_max: int,
        no_local: bool,
        retain_as_published: bool,
        identifier: int,
        began: int,
    ) -> None:
        self.number = number
        self.topic_filter = topic_filter
        """As the client wrote it, share prefix and all: the key together with ``number``."""
        self.qos_max = qos_max
        self.no_local = no_local
        self.retain_as_published = retain_as_published
        self.identifier = identifier
        self.began = began
        """The first position it may receive."""


@final
@mypyc_attr(acyclic=True)
class ProgressRow:
    """How far a durable session has come in the log."""

    def __init__(self, number: int, cursor: int, sent: int, done: list[int]) -> None:
        self.number = number
        self.cursor = cursor
        """Everything before this position is done with."""
        self.sent = sent
        """Nothing after this position was ever sent to the client."""
        self.done = done
        """Positions from the cursor on that are done with all the same, ascending."""


@final
@mypyc_attr(acyclic=True)
class OutboundRow:
    """A QoS 2 delivery under way to a durable session's client."""

    def __init__(
        self,
        number: int,
        packet_id: int,
        position: int,
        released: bool,
        apart: bool = False,
    ) -> None:
        self.number = number
        self.packet_id = packet_id
        self.position = position
        """0 once released, and for what is not in the log."""
        self.released = released
        """Whether the client has the message (PUBREC came) and only the identifier is held."""
        self.apart = apart
        """Whether it is sent because of a subscription, as the retained message of its topic.

        The session's cursor may be far beyond it then, so this row alone says that it is owed.
        """


class Group:
    """What one group commit makes durable. ``None`` as a value removes the row."""

    def __init__(self, block: int) -> None:
        self.block = block
        """The first of the blocks that its entries form; taken only if there are any."""
        self.entries: list[bytes] = []
        self.entry_bytes: int = 0
        self.sessions: dict[int, SessionRow | None] = {}
        """By number. Removing one removes all its rows of every kind."""
        self.subscriptions: dict[tuple[int, str], SubscriptionRow | None] = {}
        self.progress: dict[int, ProgressRow] = {}
        self.inbound: dict[tuple[int, int], bool] = {}
        """By session and packet identifier: a QoS 2 message was taken and not yet released."""
        self.outbound: dict[tuple[int, int], OutboundRow | None] = {}
        self.retained: dict[str, int | None] = {}
        """By topic name: the position of its retained message."""
        self.finished_blocks: list[int] = []
        """Blocks nobody refers to any more."""
        self.trimmed: dict[int, list[int]] = {}
        """By block: the positions in it that somebody still refers to. All others of it are let go."""
        self.facts: dict[str, bytes | None] = {}
        """By key: small values that are remembered with the rest.

        Those of a group that could not be committed go with a later one, without its messages.
        """

    def next_block(self) -> int:
        """The first block behind its own."""
        return self.block + ((len(self.entries) + ENTRIES_PER_BLOCK_MAX - 1) >> BLOCK_SHIFT)

    def block_entries(self, block: int) -> list[bytes]:
        """The entries that form one of its blocks."""
        begin = (block - self.block) << BLOCK_SHIFT
        return self.entries[begin : begin + ENTRIES_PER_BLOCK_MAX]

    def empty(self) -> bool:
        """Whether there is nothing to commit."""
        return not (
            self.entries
            or self.sessions
            or self.subscriptions
            or self.progress
            or self.inbound
            or self.outbound
            or self.retained
            or self.finished_blocks
            or self.trimmed
            or self.facts
        )


class Loaded:
    """All that a store holds, but for the entries of the log, which are read block by block."""

    def __init__(self) -> None:
        self.sessions: list[SessionRow] = []
        self.subscriptions: list[SubscriptionRow] = []
        self.progress: list[ProgressRow] = []
        self.inbound: list[tuple[int, int]] = []
        """Session and packet identifier."""
        self.outbound: list[OutboundRow] = []
        self.retained: list[tuple[str, int]] = []
        self.blocks: list[int] = []
        """The numbers of all blocks, ascending."""
        self.next_block: int = 1
        """Higher than any block ever used."""
        self.next_number: int = 1
        """Higher than any session number ever used."""
        self.alive_at_wall: float = 0.0
        """When the store was last known to be in use: when a node that crashed went down."""
        self.facts: dict[str, bytes] = {}


# An entry: flags, expiry, date, stamp, sessions, then length-prefixed parts. Integers are big-endian.
_QOS_MASK: Final = 0x03
_RETAIN: Final = 0x04
_EXPIRES: Final = 0x08
_TARGETED: Final = 0x10
_SHARED: Final = 0x20
_DATED: Final = 0x40
_MORE: Final = 0x80
"""A second byte of flags follows."""
_INHERITED: Final = 0x01
_STAMPED: Final = 0x02
_PASSED_ON: Final = 0x04


def pack_numbers(numbers: Sequence[int]) -> bytes:
    """Session numbers, ascending, in a few bytes: distance and length of each run of neighbours."""
    packed = bytearray()
    end = 0
    at = 0
    while at < len(numbers):
        first = numbers[at]
        length = 1
        at += 1
        while at < len(numbers) and numbers[at] == first + length:
            length += 1
            at += 1
        for value in (first - end, length):
            left = value
            while left > 0x7F:
                packed.append((left & 0x7F) | 0x80)
                left >>= 7
            packed.append(left)
        end = first + length
    return bytes(packed)


def unpack_numbers(packed: bytes) -> list[int]:
    """What was packed. Raises ``IndexError`` where it is cut off."""
    numbers: list[int] = []
    values = [0, 0]
    end = 0
    at = 0
    while at < len(packed):
        for each in range(2):
            value = 0
            shift = 0
            byte = packed[at]
            while byte & 0x80:
                value |= (byte & 0x7F) << shift
                shift += 7
                at += 1
                byte = packed[at]
            values[each] = value | byte << shift
            at += 1
        first = end + values[0]
        end = first + values[1]
        numbers.extend(range(first, end))
    return numbers


@final
@mypyc_attr(acyclic=True)
class Entry:
    """A decoded log entry."""

    def __init__(
        self,
        message: Message,
        targets: tuple[int, ...],
        share: str,
        kept_at: float | None,
        heirs: bytes = b"",
        origin: str = "",
        number: int = 0,
    ) -> None:
        self.message = message
        self.targets = targets
        """The sessions (by number) chosen by share groups; others get it by their subscriptions."""
        self.share = share
        """The shared subscription (``$share/group/filter``) that they were chosen by."""
        self.kept_at = kept_at
        """When it was put into the log, on the monotonic clock, where that matters."""
        self.heirs = heirs
        """The sessions (``pack_numbers``) that alone are owed it, by their own subscriptions.

        It was published before these held here: the sessions brought it with them from another node's cell.
        """
        self.origin = origin
        """The node whose log kept it first, for the node it is kept for or for this one; empty where none did."""
        self.number = number
        """Its position there."""

    def older_than(self, seconds: int | None, now: float) -> bool:
        """Whether it was put into the log longer ago than that; ``None`` is no bound."""
        return seconds is not None and self.kept_at is not None and now >= self.kept_at + seconds


def encode_message(
    message: Message,
    wall_minus_monotonic: float,
    targets: tuple[int, ...],
    share: str = "",
    kept_at: float | None = None,
    heirs: bytes = b"",
    origin: str = "",
    number: int = 0,
) -> bytes:
    """A message as a log entry."""
    flags = message.qos
    if message.retain:
        flags |= _RETAIN
    parts: list[bytes] = [b""]
    if message.expires_at is not None:
        flags |= _EXPIRES
        milliseconds = int((message.expires_at + wall_minus_monotonic) * 1000.0)
        parts.append(milliseconds.to_bytes(8, "big"))
    if kept_at is not None:
        flags |= _DATED
        parts.append(int((kept_at + wall_minus_monotonic) * 1000.0).to_bytes(8, "big"))
    more = 0
    if message.stamp:
        more |= _STAMPED
        parts.append(message.stamp.to_bytes(8, "big"))
    if targets:
        flags |= _TARGETED
        parts.append(len(targets).to_bytes(2, "big"))
        parts.extend([number.to_bytes(8, "big") for number in targets])
    if heirs:
        more |= _INHERITED
        parts.append(len(heirs).to_bytes(4, "big"))
        parts.append(heirs)
    if origin:
        more |= _PASSED_ON
        parts.append(topic_to_wire(origin))
        parts.append(number.to_bytes(8, "big"))
    if share:
        flags |= _SHARED
        parts.append(topic_to_wire(share))
    parts[0] = bytes((flags | _MORE, more)) if more else bytes((flags,))
    parts.append(topic_to_wire(message.publisher))
    parts.append(message.topic_wire)
    parts.append(encode_properties(PUBLISH, message.properties))
    parts.append(message.payload)
    return b"".join(parts)


def decode_message(data: bytes, wall_minus_monotonic: float) -> Entry:
    """The message of a log entry. Raises ``PeerFault`` or ``IndexError`` where it is damaged."""
    flags = data[0]
    at = 1
    more = 0
    if flags & _MORE:
        more = data[1]
        at = 2
    expires_at: float | None = None
    if flags & _EXPIRES:
        expires_at = int.from_bytes(data[at : at + 8], "big") / 1000.0 - wall_minus_monotonic
        at += 8
    kept_at: float | None = None
    if flags & _DATED:
        kept_at = int.from_bytes(data[at : at + 8], "big") / 1000.0 - wall_minus_monotonic
        at += 8
    stamp = 0
    if more & _STAMPED:
        stamp = int.from_bytes(data[at : at + 8], "big")
        at += 8
    targets: list[int] = []
    if flags & _TARGETED:
        count = int.from_bytes(data[at : at + 2], "big")
        at += 2
        for _ in range(count):
            targets.append(int.from_bytes(data[at : at + 8], "big"))
            at += 8
    heirs = b""
    if more & _INHERITED:
        begin = at + 4
        at = begin + int.from_bytes(data[at:begin], "big")
        heirs = data[begin:at]
    reader = Reader(data, at, len(data))
    origin = ""
    number = 0
    if more & _PASSED_ON:
        origin = reader.text()
        number = int.from_bytes(data[reader.at : reader.at + 8], "big")
        reader.at += 8
    share = reader.text() if flags & _SHARED else ""
    publisher = reader.text()
    begin = reader.at
    topic = reader.text()
    topic_wire = data[begin : reader.at]
    properties = read_properties(reader, PUBLISH)
    payload = data[reader.at :]
    message = Message(
        topic,
        topic_wire,
        payload,
        flags & _QOS_MASK,
        flags & _RETAIN != 0,
        properties,
        publisher,
        0.0,
    )
    message.expires_at = expires_at
    message.stamp = stamp
    return Entry(message, tuple(targets), share, kept_at, heirs, origin, number)
