"""Publishers that keep an account of what they were told, as clients do that keep their session."""

from collections import Counter
from typing import Final

from tests.support import wire
from tests.support.wire import DISCONNECT, PUBACK, PUBCOMP, PUBREC, PUBREL, V5
from tests.support.wire_client import Client, Closed, tcp

QUOTA_EXCEEDED: Final = 0x97
UNSPECIFIED_ERROR: Final = 0x80
EXPIRY: Final[wire.Properties] = {"session_expiry": 3600}


class Publisher:
    """One client that publishes at one QoS, one message at a time."""

    def __init__(self, address: tuple[str, int], version: int, qos: int) -> None:
        self.name = f"p{version}-{qos}"
        self.topic = f"t/{self.name}"
        self.acknowledged: list[bytes] = []
        self.refused: list[bytes] = []
        self._address = address
        self._version = version
        self._qos = qos
        self._count = 0
        self._unanswered: bytes | None = None
        self._packet_id = 0
        self._client: Client | None = None

    def attach(self) -> None:
        """Open a link, and send again what has no answer yet."""
        self._client = Client(tcp(self._address), self._version)
        self._client.connect(self.name, clean=False, properties=EXPIRY)
        if self._unanswered is not None:
            assert self._ask(dup=True) == 0

    def publish(self) -> int | None:
        """Publish a message; the reason code of the answer, ``None`` when the link was ended."""
        self._count += 1
        self._packet_id = self._packet_id % 65_535 + 1
        self._unanswered = b"%s %d" % (self.name.encode(), self._count)
        return self._ask(dup=False)

    def flood(self, messages: int, size: int) -> None:
        """Publish many at once, each of which must be refused."""
        assert self._client is not None
        packets = []
        for packet_id in range(10_000, 10_000 + messages):
            payload = b"flood %d " % packet_id + bytes(size)
            packets.append(self._packet(payload, packet_id, dup=False))
        self._client.send(*packets)
        kind = PUBACK if self._qos == 1 else PUBREC
        for _ in range(messages):
            self._client.expect(kind, reason=QUOTA_EXCEEDED)

    def close(self) -> None:
        """Drop the link, if there is one."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _packet(self, payload: bytes, packet_id: int, *, dup: bool) -> bytes:
        return wire.publish(
            self._version, self.topic, payload, qos=self._qos, packet_id=packet_id, dup=dup
        )

    def _ask(self, *, dup: bool) -> int | None:
        client, payload = self._client, self._unanswered
        assert client is not None and payload is not None
        client.send(self._packet(payload, self._packet_id, dup=dup))
        reason = self._answer(client)
        if reason is None:
            self.close()
            return None
        self._unanswered = None
        (self.acknowledged if reason == 0 else self.refused).append(payload)
        return reason

    def _answer(self, client: Client) -> int | None:
        try:
            found = client.receive()
        except Closed:
            assert self._version < V5, "a 5.0 client was not told why its link ended"
            return None
        if found.kind == DISCONNECT:
            assert found.reason == UNSPECIFIED_ERROR, found
            return None
        assert found.kind == (PUBACK if self._qos == 1 else PUBREC), found
        assert found.packet_id == self._packet_id
        if self._qos == 2 and not found.reason:
            client.send(wire.acknowledge(self._version, PUBREL, self._packet_id))
            client.expect(PUBCOMP, reason=0)
        return found.reason


def subscribe(address: tuple[str, int], name: str) -> None:
    """Let a session begin that is owed everything, and leave it without a link."""
    with Client(tcp(address), V5) as client:
        client.connect(name, clean=False, properties=EXPIRY)
        client.subscribe("t/#")
        client.disconnect()


def collect(address: tuple[str, int], name: str, publishers: list[Publisher]) -> Counter[bytes]:
    """Everything the session is owed, up to the last message of each publisher."""
    found: Counter[bytes] = Counter()
    with Client(tcp(address), V5) as client:
        assert client.connect(name, clean=False, properties=EXPIRY).session_present
        wanted = {payload for each in publishers for payload in each.acknowledged}
        while wanted:
            message = client.receive_message()
            assert message.payload is not None
            found[message.payload] += 1
            wanted.discard(message.payload)
        client.expect_silence()
    return found


def check(found: Counter[bytes], publishers: list[Publisher]) -> None:
    """Everything acknowledged is there, QoS 2 once; and nothing that was refused."""
    for publisher in publishers:
        assert not [each for each in publisher.acknowledged if not found[each]], "lost"
        assert not [each for each in publisher.refused if found[each]], "refused, and there"
        if publisher._qos == 2:
            assert not [each for each in publisher.acknowledged if found[each] > 1], "twice"
    assert not [payload for payload in found if payload.startswith(b"flood")]
