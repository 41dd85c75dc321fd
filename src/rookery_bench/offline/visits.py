"""Sessions that come for a moment: to subscribe and leave, or to fetch what they are owed.

A few dozen are under way at once, so thousands of sessions need no more descriptors than that.
"""

import select
import socket
import time
from collections.abc import Iterable
from itertools import islice
from typing import Final

import numpy as np

from rookery_bench import wire
from rookery_bench.blocks import AckBlock, find_runs
from rookery_bench.links import Address, Link
from rookery_bench.offline.plan import Plan
from rookery_bench.sequence import Sequence

VERSION: Final = wire.V3_1_1
QOS: Final = 1
_CONNACK_BYTES: Final = 4
_PINGRESP_BYTES: Final = 2
_CONNECT_SECONDS: Final = 10.0
_ANSWER_SECONDS: Final = 20.0
"""Without a word to any of those under way for so long, they are given up."""


class Forgotten(wire.WireError):
    """The broker does not know a session that it must have."""


class Visit(Link):
    """A persistent session with a connection, from CONNECT to DISCONNECT."""

    def __init__(self, address: Address, session: int) -> None:
        self.client_id: Final = f"offline-{session:06d}"
        link = socket.create_connection((address.host, address.port), _CONNECT_SECONDS)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__(link)
        self.connect_ns: Final = time.monotonic_ns()
        self.send(
            wire.connect(
                self.client_id, address.username, address.password, VERSION, persistent=True
            )
        )

    def read(self, now_ns: int) -> bool:
        """Take what has come; return whether the visit is over.

        Raises:
            wire.WireError: the broker answers something else, or ends the connection.
        """
        raise NotImplementedError


class Subscribing(Visit):
    """The first visit: a new session that subscribes."""

    def __init__(self, address: Address, session: int, plan: Plan) -> None:
        super().__init__(address, session)
        self._subscribe = wire.subscribe(plan.filter_of(session), QOS, VERSION)

    def read(self, now_ns: int) -> bool:
        """Answer the CONNACK with SUBSCRIBE; the SUBACK ends the visit."""
        data = self.receive()
        found = wire.take_packet(bytes(data))
        if found is None:
            self.keep_rest(data)
            return False
        first_byte, body, size = found
        self.keep_rest(data[size:])
        if first_byte == wire.CONNACK:
            wire.expect_connack(first_byte, body)
            if body[0]:
                raise wire.WireError("the broker knows a session that is new")
            self.send(self._subscribe)
            return False
        wire.expect_suback(first_byte, body, QOS)
        return True


class Return(Visit):
    """A later visit: takes and acknowledges what has come meanwhile.

    When the last message owed is there, a PINGREQ follows: what comes before its answer counts.
    """

    def __init__(self, address: Address, session: int, plan: Plan, owed: int) -> None:
        super().__init__(address, session)
        self.owed: Final = owed
        self.received = self.foreign = 0
        self.sequence: Final = Sequence()
        self.connack_ns: int | None = None
        self.first_ns: int | None = None
        self._asked = False
        self._group = plan.group_of(session)
        topic = plan.topic_of(session)
        head = wire.publish_head(topic, QOS, VERSION)
        self._head = np.frombuffer(head, np.uint8)[1:]
        self._layout = wire.publish_layout(topic, QOS, VERSION)
        self._sizes = {
            wire.CONNACK: _CONNACK_BYTES,
            head[0]: self._layout.itemsize,
            head[0] | wire.DUP: self._layout.itemsize,
            wire.PINGRESP: _PINGRESP_BYTES,
        }

    acks: Final = AckBlock(wire.PUBACK)
    """Shared: what it gives is sent before the next one fills it."""

    def read(self, now_ns: int) -> bool:
        """Take messages and acknowledge them; the answer to the PINGREQ ends the visit."""
        data = self.receive()
        runs, covered = find_runs(data, self._sizes)
        over = False
        for first_byte, offset, count in runs:
            if first_byte == wire.CONNACK:
                self._begin(bytes(data[offset + 2 : offset + _CONNACK_BYTES]), now_ns)
            elif first_byte == wire.PINGRESP:
                over = True
            else:
                self._take(np.frombuffer(data, self._layout, count, offset), now_ns)
        self.keep_rest(data[covered:])
        if self.unsent:
            self.flush()
        if not self._asked and self.connack_ns and self.sequence.expected >= self.owed:
            self._asked = True
            self.send(wire.PINGREQ)
        return over

    def _begin(self, body: bytes, now_ns: int) -> None:
        wire.expect_connack(wire.CONNACK, body)
        if not body[0]:
            raise Forgotten("the broker has forgotten the session")
        self.connack_ns = now_ns

    def _take(self, rows: np.ndarray[tuple[int], np.dtype[np.void]], now_ns: int) -> None:
        if self.first_ns is None:
            self.first_ns = now_ns
        self.received += len(rows)
        own = (rows["head"][:, 1:] == self._head).all(axis=1) & (rows["publisher"] == self._group)
        self.foreign += len(rows) - int(own.sum())
        self.sequence.accept(rows["number"][own])
        self.send(self.acks.fill(rows["packet_id"]))


def pay(visits: Iterable[Visit], under_way: int) -> list[str]:
    """Pay all visits, so many at once; return what went wrong, one line for each.

    Raises:
        OSError: no connection.
    """
    faults: list[str] = []
    waiting: dict[int, Visit] = {}
    coming = iter(visits)
    with select.epoll() as epoll:
        while True:
            for visit in islice(coming, under_way - len(waiting)):
                waiting[visit.socket.fileno()] = visit
                epoll.register(visit.socket, select.EPOLLIN)
            if not waiting:
                return faults
            events = epoll.poll(_ANSWER_SECONDS)
            over = [descriptor for descriptor, _ in events if _read(waiting[descriptor], faults)]
            if not events:
                faults += [f"{visit.client_id}: no answer" for visit in waiting.values()]
                over = list(waiting)
            for descriptor in over:
                epoll.unregister(descriptor)
                waiting.pop(descriptor).close()


def _read(visit: Visit, faults: list[str]) -> bool:
    """Let a visit read; return whether it is over, well or not."""
    try:
        return visit.read(time.monotonic_ns())
    except (OSError, wire.WireError) as error:
        faults.append(f"{visit.client_id}: {error}")
        return True
