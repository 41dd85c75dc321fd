"""A raw MQTT client for tests: hand-made bytes over a blocking socket, with a deadline on every read."""

import socket
from typing import Final, Protocol, Self

from tests.support import wire
from tests.support.wire import (
    CONNACK,
    DISCONNECT,
    NAMES,
    PINGREQ_PACKET,
    PINGRESP,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBACK,
    UNSUBACK,
    V5,
    Packet,
    Properties,
)

READ_SECONDS_MAX: Final = 5.0
"""How long a test waits for a packet that must come."""


class Stream(Protocol):
    """What a client needs of a socket: a TCP one is it, a WebSocket one imitates it."""

    def sendall(self, data: bytes, /) -> None: ...
    def recv(self, count: int, /) -> bytes: ...
    def settimeout(self, seconds: float, /) -> None: ...
    def close(self) -> None: ...


def tcp(address: tuple[str, int]) -> Stream:
    """A TCP connection without Nagle's delay."""
    stream = socket.create_connection(address, READ_SECONDS_MAX)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return stream


class Closed(Exception):
    """The broker closed the network connection."""


class Client:
    """One network connection. ``expect`` takes the very next packet; nothing is answered by itself."""

    def __init__(self, stream: Stream, version: int) -> None:
        self.stream = stream
        self.version = version
        self.connack: Packet | None = None
        self._data = b""
        self._inbox: list[Packet] = []
        self._packet_id = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the network connection without a DISCONNECT."""
        self.stream.close()

    def send(self, *packets: bytes) -> None:
        """Write the bytes in one go."""
        self.stream.sendall(b"".join(packets))

    def next_packet_id(self) -> int:
        """A packet identifier this client has not used yet."""
        self._packet_id += 1
        return self._packet_id

    # Reading

    def _fill(self, count: int) -> None:
        while len(self._data) < count:
            try:
                data = self.stream.recv(65536)
            except ConnectionError as error:
                raise Closed from error
            if not data:
                raise Closed
            self._data += data

    def _read(self, seconds: float) -> Packet:
        self.stream.settimeout(seconds)
        self._fill(2)
        place = 1
        while self._data[place] >= 0x80:
            place += 1
            assert place < 5, "the broker's remaining length does not end"
            self._fill(place + 1)
        length = wire.Reader(self._data[1 : place + 1]).varint()
        end = place + 1 + length
        self._fill(end)
        first_byte, body = self._data[0], self._data[place + 1 : end]
        self._data = self._data[end:]
        return wire.decode(self.version, first_byte, body, end)

    def receive(self, seconds: float = READ_SECONDS_MAX) -> Packet:
        """The next packet, whatever it is."""
        return self._inbox.pop(0) if self._inbox else self._read(seconds)

    def expect(self, kind: int, *, seconds: float = READ_SECONDS_MAX, **fields: object) -> Packet:
        """The next packet, which must be of this kind and have these attributes."""
        try:
            found = self.receive(seconds)
        except TimeoutError:
            raise AssertionError(f"no {NAMES[kind]} within {seconds} s") from None
        except Closed:
            raise AssertionError(f"closed instead of {NAMES[kind]}") from None
        assert found.kind == kind, f"{NAMES[found.kind]} instead of {NAMES[kind]}: {found}"
        for name, value in fields.items():
            assert getattr(found, name) == value, f"{name} is not {value!r}: {found}"
        return found

    def take(self, kind: int) -> Packet:
        """The next packet of this kind; those before it stay to be expected, in their order."""
        for place, waiting in enumerate(self._inbox):
            if waiting.kind == kind:
                return self._inbox.pop(place)
        while (found := self._read(READ_SECONDS_MAX)).kind != kind:
            self._inbox.append(found)
        return found

    def expect_silence(self) -> None:
        """Nothing is waiting: the answer to a ping is the next packet."""
        self.send(PINGREQ_PACKET)
        self.expect(PINGRESP)

    def expect_closed(
        self, reason: int | None = None, *, seconds: float = READ_SECONDS_MAX
    ) -> None:
        """The broker closes the connection, with a DISCONNECT before it where the version has one.

        A 5.0 broker must name ``reason`` when it is given; before 5.0 no packet may precede the end.
        """
        try:
            last = self.receive(seconds)
        except Closed:
            assert reason is None or self.version < V5, f"closed without DISCONNECT {reason:#04x}"
            return
        except TimeoutError:
            raise AssertionError(f"still open after {seconds} s") from None
        assert self.version >= V5, f"a packet before the end: {last}"
        assert last.kind == DISCONNECT, f"{NAMES[last.kind]} before the end: {last}"
        assert reason is None or last.reason == reason, f"not {reason:#04x}: {last}"
        self.expect_end()

    def expect_refused(self, *reasons: int) -> None:
        """The broker refuses the CONNECT: it closes, and a CONNACK before it names one of the reasons.

        With no reasons, and with 3.x always, nothing may precede the end unless reasons are given.
        """
        try:
            last = self.receive()
        except Closed:
            assert self.version >= V5 or not reasons, "closed without a CONNACK"
            return
        assert last.kind == CONNACK, f"{NAMES[last.kind]} as the first packet: {last}"
        assert last.reason in reasons, f"not among {reasons}: {last}"
        assert not last.session_present, "session present with a refusal"
        self.expect_end()

    def expect_end(self) -> None:
        """The connection closes with no further packet."""
        try:
            more = self.receive()
        except Closed:
            return
        except TimeoutError:
            raise AssertionError("the connection stays open") from None
        raise AssertionError(f"a packet after the last: {more}")

    # Whole exchanges

    def connect(self, client_id: str = "", **options: object) -> Packet:
        """CONNECT and the accepting CONNACK. Options are those of ``wire.connect``."""
        self.send(wire.connect(self.version, client_id, **options))  # type: ignore[arg-type]
        self.connack = self.expect(CONNACK, reason=0)
        return self.connack

    def subscribe(
        self, *filters: str | tuple[str, int], properties: Properties | None = None
    ) -> Packet:
        """SUBSCRIBE and its SUBACK. A bare filter asks for QoS 2; a pair holds the options byte."""
        pairs = [(one, 2) if isinstance(one, str) else one for one in filters]
        packet_id = self.next_packet_id()
        self.send(wire.subscribe(self.version, pairs, packet_id=packet_id, properties=properties))
        found = self.take(SUBACK)
        assert found.packet_id == packet_id, f"not {packet_id}: {found}"
        return found

    def unsubscribe(self, *filters: str) -> Packet:
        """UNSUBSCRIBE and its UNSUBACK."""
        packet_id = self.next_packet_id()
        self.send(wire.unsubscribe(self.version, filters, packet_id=packet_id))
        found = self.take(UNSUBACK)
        assert found.packet_id == packet_id, f"not {packet_id}: {found}"
        return found

    def publish(
        self,
        topic: str,
        payload: bytes = b"",
        *,
        qos: int = 0,
        retain: bool = False,
        properties: Properties | None = None,
    ) -> Packet | None:
        """PUBLISH and the whole exchange of its QoS. Returns the PUBACK or PUBREC."""
        packet_id = self.next_packet_id() if qos else 0
        self.send(
            wire.publish(
                self.version,
                topic,
                payload,
                qos=qos,
                packet_id=packet_id,
                retain=retain,
                properties=properties,
            )
        )
        if qos == 0:
            return None
        found = self.take(PUBACK if qos == 1 else PUBREC)
        assert found.packet_id == packet_id, f"not {packet_id}: {found}"
        if qos == 2 and (found.reason or 0) < 0x80:
            self.send(wire.acknowledge(self.version, PUBREL, packet_id))
            assert self.take(PUBCOMP).packet_id == packet_id
        return found

    def receive_message(self, topic: str | None = None, payload: bytes | None = None) -> Packet:
        """The next packet, a PUBLISH; its exchange is completed whatever its QoS."""
        found = self.expect(PUBLISH)
        assert topic is None or found.topic == topic, f"not {topic!r}: {found}"
        assert payload is None or found.payload == payload, f"not {payload!r}: {found}"
        self.complete(found)
        return found

    def complete(self, message: Packet) -> None:
        """Acknowledge a received PUBLISH to the end of its QoS exchange."""
        if message.qos == 0:
            return
        assert message.packet_id is not None
        if message.qos == 1:
            self.send(wire.acknowledge(self.version, PUBACK, message.packet_id))
            return
        self.send(wire.acknowledge(self.version, PUBREC, message.packet_id))
        assert self.take(PUBREL).packet_id == message.packet_id
        self.send(wire.acknowledge(self.version, PUBCOMP, message.packet_id))

    def disconnect(self, reason: int = 0, properties: Properties | None = None) -> None:
        """DISCONNECT, and wait until the broker has closed the connection too."""
        self.send(
            wire.disconnect(self.version, reason if reason or properties else None, properties)
        )
        self.expect_end()
        self.close()
