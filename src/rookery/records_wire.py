"""Groups as bytes, and the records that a replicated log keeps them in.

A *record* is one element of the log: a head, then a piece of what it carries::

    "Rk" | version | kind | epoch | boot | number | follows | wall | part | last | CRC payload | CRC head

A group takes one record, or several where it is larger than a record may be: it is complete with its last.
``follows`` is the sequence of the record before it that counts: what stands between the two was given up
by its writer and is void. So whoever reads the log in order knows what of it holds, and notices what is missing.

The body of a group is its fields, one after the other; integers are big-endian, and texts, bytes and lists
have their length before them.
"""

from struct import Struct, error, pack, unpack_from
from typing import Final, final
from zlib import crc32

from mypy_extensions import mypyc_attr

from rookery.records import Group, OutboundRow, ProgressRow, SessionRow, SubscriptionRow

VERSION: Final = 1
"""Of records and of the body of groups; a reader of another one refuses them."""

GROUP: Final = 1
"""A group, or a part of one."""
BEGIN: Final = 2
"""The owner of the cell was started and has read everything before this. Carries the cell's name."""
SEAL: Final = 3
"""Another node has taken over what the cell holds: nothing follows. Carries that node's name."""
KINDS: Final = (GROUP, BEGIN, SEAL)

_MAGIC: Final = b"Rk"
_HEAD: Final = Struct(">2sBBIQQQQIBI")
_CRC: Final = Struct(">I")
HEAD_BYTES: Final = 53
"""What a record has before its payload."""

_COUNT: Final = Struct(">I")
_NUMBER: Final = Struct(">Q")
_SESSION: Final = Struct(">QBIId")
_SUBSCRIPTION: Final = Struct(">QBBIQ")
_PROGRESS: Final = Struct(">QQQ")
_INBOUND: Final = Struct(">QHB")
_OUTBOUND: Final = Struct(">QHBQ")
_RETAINED: Final = Struct(">BQ")

# The states of a row: whether it is there, and what else is true of it.
_THERE: Final = 1
_DETACHED: Final = 2
_WILL: Final = 4
_NO_LOCAL: Final = 2
_RETAIN_AS_PUBLISHED: Final = 4
_RELEASED: Final = 2
_APART: Final = 4


class DamagedRecord(ValueError):
    """What was read is no record, or none that this program knows; the text says what is wrong."""


@final
@mypyc_attr(acyclic=True)
class Record:
    """One element of the log."""

    def __init__(
        self,
        kind: int,
        epoch: int,
        boot: int,
        number: int,
        follows: int,
        wall_ms: int,
        part: int,
        last: bool,
        payload: bytes,
    ) -> None:
        self.kind = kind
        self.epoch = epoch
        """Of its writer's ownership of the cell."""
        self.boot = boot
        """Which start of the writer it is from."""
        self.number = number
        """Of the group, by its writer: with ``boot`` and ``part`` no two records are alike."""
        self.follows = follows
        """The sequence of the record before it that counts; 0 for none."""
        self.wall_ms = wall_ms
        """When it was written, in milliseconds since 1970."""
        self.part = part
        self.last = last
        """Whether it completes its group."""
        self.payload = payload


def encode_record(record: Record) -> bytes:
    """The bytes of a record."""
    head = _HEAD.pack(
        _MAGIC,
        VERSION,
        record.kind,
        record.epoch,
        record.boot,
        record.number,
        record.follows,
        record.wall_ms,
        record.part,
        1 if record.last else 0,
        crc32(record.payload),
    )
    return b"".join((head, _CRC.pack(crc32(head)), record.payload))


def decode_record(data: bytes) -> Record:
    """The record of some bytes. Raises ``DamagedRecord``."""
    if len(data) < HEAD_BYTES or data[:2] != _MAGIC:
        raise DamagedRecord(f"{len(data)} bytes that begin with {data[:8]!r} are no record")
    if data[2] != VERSION:
        raise DamagedRecord(
            f"the record is of version {data[2]}, and this program knows {VERSION}: use the program that wrote it"
        )
    head = data[: HEAD_BYTES - 4]
    if crc32(head) != int.from_bytes(data[HEAD_BYTES - 4 : HEAD_BYTES], "big"):
        raise DamagedRecord("the head of the record is damaged: its check sum is another one")
    _, _, kind, epoch, boot, number, follows, wall_ms, part, last, crc = _HEAD.unpack(head)
    payload = data[HEAD_BYTES:]
    if crc32(payload) != crc:
        raise DamagedRecord(
            f"the {len(payload)} bytes of the record are damaged: another check sum"
        )
    if kind not in KINDS:
        raise DamagedRecord(f"a record of kind {kind} is not known")
    return Record(kind, epoch, boot, number, follows, wall_ms, part, last != 0, payload)


def split_body(body: bytes, bytes_max: int) -> list[bytes]:
    """The payloads of the records that a body takes; at least one, none larger than ``bytes_max``."""
    if len(body) <= bytes_max:
        return [body]
    return [body[at : at + bytes_max] for at in range(0, len(body), bytes_max)]


def encode_group(group: Group) -> bytes:
    """The body of a group. Raises ``ValueError`` where a value has no room in its field."""
    try:
        return b"".join(_parts(group))
    except error as fault:
        raise ValueError(f"the group cannot be written as bytes: {fault}") from fault


def _parts(group: Group) -> list[bytes]:
    parts: list[bytes] = [_NUMBER.pack(group.block)]
    lengths: list[int] = [len(entry) for entry in group.entries]
    parts.append(pack(f">I{len(lengths)}I", len(lengths), *lengths))
    parts.extend(group.entries)
    _add_sessions(parts, group.sessions)
    _add_subscriptions(parts, group.subscriptions)
    parts.append(_COUNT.pack(len(group.progress)))
    for progress in group.progress.values():
        parts.append(_PROGRESS.pack(progress.number, progress.cursor, progress.sent))
        parts.append(_numbers(progress.done))
    parts.append(_COUNT.pack(len(group.inbound)))
    for (number, packet_id), taken in group.inbound.items():
        parts.append(_INBOUND.pack(number, packet_id, 1 if taken else 0))
    _add_outbound(parts, group.outbound)
    parts.append(_COUNT.pack(len(group.retained)))
    for topic, position in group.retained.items():
        _add_bytes(parts, topic.encode())
        parts.append(_RETAINED.pack(0, 0) if position is None else _RETAINED.pack(1, position))
    parts.append(_numbers(group.finished_blocks))
    parts.append(_COUNT.pack(len(group.trimmed)))
    for block, kept in group.trimmed.items():
        parts.append(_NUMBER.pack(block))
        parts.append(_numbers(kept))
    parts.append(_COUNT.pack(len(group.facts)))
    for key, fact in group.facts.items():
        _add_bytes(parts, key.encode())
        parts.append(b"\x00" if fact is None else b"\x01")
        _add_bytes(parts, b"" if fact is None else fact)
    return parts


def _add_bytes(parts: list[bytes], data: bytes) -> None:
    parts.append(_COUNT.pack(len(data)))
    parts.append(data)


def _numbers(numbers: list[int]) -> bytes:
    if not numbers:
        return _COUNT.pack(0)
    return pack(f">I{len(numbers)}Q", len(numbers), *numbers)


def _add_sessions(parts: list[bytes], sessions: dict[int, SessionRow | None]) -> None:
    parts.append(_COUNT.pack(len(sessions)))
    for number, row in sessions.items():
        if row is None:
            parts.append(_SESSION.pack(number, 0, 0, 0, 0.0))
            continue
        state = _THERE
        detached = row.detached_at_wall
        if detached is not None:
            state |= _DETACHED
        if row.will is not None:
            state |= _WILL
        expiry, delay = row.expiry_seconds, row.will_delay_seconds
        parts.append(_SESSION.pack(number, state, expiry, delay, detached or 0.0))
        _add_bytes(parts, row.client_id.encode())
        if row.will is not None:
            _add_bytes(parts, row.will)


def _add_subscriptions(
    parts: list[bytes], subscriptions: dict[tuple[int, str], SubscriptionRow | None]
) -> None:
    parts.append(_COUNT.pack(len(subscriptions)))
    for (number, topic_filter), row in subscriptions.items():
        if row is None:
            parts.append(_SUBSCRIPTION.pack(number, 0, 0, 0, 0))
        else:
            state = _THERE
            if row.no_local:
                state |= _NO_LOCAL
            if row.retain_as_published:
                state |= _RETAIN_AS_PUBLISHED
            parts.append(_SUBSCRIPTION.pack(number, state, row.qos_max, row.identifier, row.began))
        _add_bytes(parts, topic_filter.encode())


def _add_outbound(parts: list[bytes], outbound: dict[tuple[int, int], OutboundRow | None]) -> None:
    parts.append(_COUNT.pack(len(outbound)))
    for (number, packet_id), row in outbound.items():
        if row is None:
            parts.append(_OUTBOUND.pack(number, packet_id, 0, 0))
            continue
        state = _THERE
        if row.released:
            state |= _RELEASED
        if row.apart:
            state |= _APART
        parts.append(_OUTBOUND.pack(number, packet_id, state, row.position))


def decode_group(body: bytes) -> Group:
    """The group of a body. Raises ``DamagedRecord``."""
    reader = _BodyReader(body)
    try:
        group = _group(reader)
    except (error, UnicodeDecodeError, IndexError) as fault:
        raise DamagedRecord(f"the group is damaged near byte {reader.at}: {fault}") from fault
    if reader.at != len(body):
        raise DamagedRecord(f"the group has {len(body) - reader.at} bytes behind its end")
    return group


@final
class _BodyReader:
    """Takes values from a body, one after the other. Raises ``struct.error`` at its end."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at: int = 0

    def count(self) -> int:
        found: int = _COUNT.unpack_from(self.data, self.at)[0]
        self.at += 4
        return found

    def number(self) -> int:
        found: int = _NUMBER.unpack_from(self.data, self.at)[0]
        self.at += 8
        return found

    def taken(self, length: int) -> bytes:
        end = self.at + length
        if end > len(self.data):
            raise IndexError(
                f"{length} bytes are said to follow, and {len(self.data) - self.at} do"
            )
        found = self.data[self.at : end]
        self.at = end
        return found

    def piece(self) -> bytes:
        return self.taken(self.count())

    def text(self) -> str:
        return self.taken(self.count()).decode()

    def numbers(self) -> list[int]:
        count = self.count()
        self._check(count, 8)
        found: list[int] = list(unpack_from(f">{count}Q", self.data, self.at))
        self.at += 8 * count
        return found

    def lengths(self) -> list[int]:
        count = self.count()
        self._check(count, 4)
        found: list[int] = list(unpack_from(f">{count}I", self.data, self.at))
        self.at += 4 * count
        return found

    def _check(self, count: int, size: int) -> None:
        """Before anything as large as a damaged count says is made."""
        if count * size > len(self.data) - self.at:
            raise IndexError(
                f"{count} numbers are said to follow, and {len(self.data) - self.at} bytes do"
            )


def _group(reader: _BodyReader) -> Group:
    group = Group(reader.number())
    for length in reader.lengths():
        group.entries.append(reader.taken(length))
        group.entry_bytes += length
    for _ in range(reader.count()):
        _read_session(reader, group)
    for _ in range(reader.count()):
        _read_subscription(reader, group)
    for _ in range(reader.count()):
        number, cursor, sent = reader.number(), reader.number(), reader.number()
        group.progress[number] = ProgressRow(number, cursor, sent, reader.numbers())
    for _ in range(reader.count()):
        number, packet_id, taken = _INBOUND.unpack_from(reader.data, reader.at)
        reader.at += _INBOUND.size
        group.inbound[number, packet_id] = taken != 0
    for _ in range(reader.count()):
        _read_outbound(reader, group)
    for _ in range(reader.count()):
        topic = reader.text()
        there, position = _RETAINED.unpack_from(reader.data, reader.at)
        reader.at += _RETAINED.size
        group.retained[topic] = position if there else None
    group.finished_blocks = reader.numbers()
    for _ in range(reader.count()):
        block = reader.number()
        group.trimmed[block] = reader.numbers()
    for _ in range(reader.count()):
        key = reader.text()
        known = reader.taken(1) != b"\x00"
        fact = reader.piece()
        group.facts[key] = fact if known else None
    return group


def _read_session(reader: _BodyReader, group: Group) -> None:
    number, state, expiry, delay, detached = _SESSION.unpack_from(reader.data, reader.at)
    reader.at += _SESSION.size
    if not state:
        group.sessions[number] = None
        return
    client_id = reader.text()
    will: bytes | None = None
    if state & _WILL:
        will = reader.piece()
    detached_at: float | None = None
    if state & _DETACHED:
        detached_at = detached
    group.sessions[number] = SessionRow(number, client_id, expiry, detached_at, will, delay)


def _read_subscription(reader: _BodyReader, group: Group) -> None:
    number, state, qos_max, identifier, began = _SUBSCRIPTION.unpack_from(reader.data, reader.at)
    reader.at += _SUBSCRIPTION.size
    topic_filter = reader.text()
    row: SubscriptionRow | None = None
    if state:
        row = SubscriptionRow(
            number,
            topic_filter,
            qos_max,
            state & _NO_LOCAL != 0,
            state & _RETAIN_AS_PUBLISHED != 0,
            identifier,
            began,
        )
    group.subscriptions[number, topic_filter] = row


def _read_outbound(reader: _BodyReader, group: Group) -> None:
    number, packet_id, state, position = _OUTBOUND.unpack_from(reader.data, reader.at)
    reader.at += _OUTBOUND.size
    row: OutboundRow | None = None
    if state:
        row = OutboundRow(number, packet_id, position, state & _RELEASED != 0, state & _APART != 0)
    group.outbound[number, packet_id] = row
