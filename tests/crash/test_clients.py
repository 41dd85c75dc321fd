"""The clients keep their side of MQTT, against a broker that the test plays byte by byte."""

import socket

import pytest

from tests.crash.clients import Brief, Mortal, Publisher, Subscriber
from tests.crash.links import Links
from tests.support import wire
from tests.support.ledger import Ledger, Stream, payload_of
from tests.support.wire import V3_1_1, V5

STREAM = Stream("p", "load/p/0", 2)
CONNACK_NEW = b"\x20\x02\x00\x00"
CONNACK_PRESENT = b"\x20\x02\x01\x00"
CONNACK_V5 = b"\x20\x03\x00\x00\x00"


class Played:
    """A broker's listening socket, and the link it has accepted last."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.links = Links(self._listening.getsockname())
        self._accepted: list[socket.socket] = []

    def accept(self, client, connect=None) -> None:
        """Let the client connect; its CONNECT is passed over."""
        (connect or client.connect)()
        self._accepted.append(self._listening.accept()[0])
        assert self.receive()[0][0] == 0x10

    def send(self, client, *packets: bytes) -> None:
        """Send, and let the client take and answer it."""
        self._accepted[-1].sendall(b"".join(packets))
        self.links.turn(1.0)
        client.step(0.0)

    def receive(self) -> list[bytes]:
        """What the client has sent, packet by packet; each is short."""
        self.links.turn(0.0)
        data, packets = self._accepted[-1].recv(65536), []
        while data:
            assert data[1] < 0x80
            packets.append(data[: 2 + data[1]])
            data = data[2 + data[1] :]
        return packets

    def hang_up(self) -> None:
        """Close from the broker's side."""
        self._accepted.pop().close()
        self.links.turn(1.0)

    def kinds(self) -> list[str]:
        return [each.kind for each in self.ledger.violations]

    def close(self) -> None:
        self.links.close()
        for each in (self._listening, *self._accepted):
            each.close()


@pytest.fixture
def played():
    made = Played()
    yield made
    made.close()


@pytest.fixture
def subscriber(played) -> Subscriber:
    client = Subscriber(played.links, played.ledger, "s", V3_1_1, "load/#", 2)
    played.accept(client)
    played.send(client, CONNACK_NEW)
    assert played.receive() == [wire.subscribe(V3_1_1, [("load/#", 2)])]
    played.send(client, b"\x90\x03\x00\x01\x02")
    payload = payload_of(STREAM, 1, 0)
    played.ledger.sent(STREAM, 1, len(payload))
    return client


def message(*, dup: bool = False, packet_id: int = 5) -> bytes:
    payload = payload_of(STREAM, 1, 0)
    return wire.publish(V3_1_1, STREAM.topic, payload, qos=2, packet_id=packet_id, dup=dup)


class TestSubscriber:
    def test_an_identifier_that_is_held_brings_no_new_message(self, played, subscriber):
        played.send(subscriber, message(), message(dup=True))
        pubrec = wire.acknowledge(V3_1_1, wire.PUBREC, 5)
        assert played.receive() == [pubrec, pubrec]
        assert (played.ledger.counts.arrived, played.kinds()) == (1, [])

    def test_it_is_held_over_the_end_of_the_link(self, played, subscriber):
        played.send(subscriber, message())
        subscriber.close()
        played.accept(subscriber)
        played.send(subscriber, CONNACK_PRESENT, message(dup=True))
        assert (played.ledger.counts.arrived, played.kinds()) == (1, [])

    def test_a_released_identifier_brings_a_new_one(self, played, subscriber):
        pubrel = wire.acknowledge(V3_1_1, wire.PUBREL, 5)
        played.send(subscriber, message(), pubrel, message(dup=True))
        assert played.receive()[1] == wire.acknowledge(V3_1_1, wire.PUBCOMP, 5)
        assert played.kinds() == ["twice"]

    def test_another_identifier_brings_a_new_one(self, played, subscriber):
        played.send(subscriber, message(), message(packet_id=6))
        assert played.kinds() == ["twice"]

    def test_a_session_that_is_gone(self, played, subscriber):
        played.send(subscriber, message())
        subscriber.close()
        played.accept(subscriber)
        played.send(subscriber, CONNACK_NEW)
        assert played.kinds() == ["session"]
        assert not subscriber.subscribed
        played.send(subscriber, message())
        assert played.kinds() == ["session", "twice"]

    def test_a_link_that_ends_without_a_cause(self, played, subscriber):
        played.hang_up()
        assert played.kinds() == ["closed"]

    def test_a_link_that_may_end(self, played, subscriber):
        subscriber.expects_end = True
        played.hang_up()
        assert played.kinds() == []

    def test_what_is_not_mqtt(self, played, subscriber):
        played.send(subscriber, b"\xf0\x00")
        assert played.kinds() == ["malformed"]

    def test_late_acknowledgements_keep_their_order(self, played):
        late = Subscriber(played.links, played.ledger, "t", V3_1_1, "load/#", 2, late_seconds=1.0)
        played.accept(late)
        played.send(late, CONNACK_NEW, b"\x90\x03\x00\x01\x02")
        played.receive()
        played.ledger.sent(STREAM, 1, len(payload_of(STREAM, 1, 0)))
        played.send(late, message())
        assert late.busy
        late.step(0.9)
        late.ping()
        late.step(1.0)
        assert played.receive() == [
            wire.PINGREQ_PACKET,
            wire.acknowledge(V3_1_1, wire.PUBREC, 5),
        ]


class TestPublisher:
    def test_what_has_no_answer_is_sent_again(self, played):
        client = Publisher(played.links, played.ledger, "p", V3_1_1, window=8, topics=1)
        client.publishing = True
        played.accept(client)
        played.send(client, CONNACK_NEW)
        client.publishing = False
        played.links.turn(0.0)
        begun = list(client.inflight.items())
        assert len(begun) == 8
        # Two are answered: one of QoS 2 and any other.
        released = next(key for key, exchange in begun if exchange.stream.qos == 2)
        played.send(client, wire.acknowledge(V3_1_1, wire.PUBREC, released))
        client.close()
        assert played.ledger.counts.acknowledged == 1
        played.accept(client)
        played.send(client, CONNACK_PRESENT)
        assert played.ledger.counts.resent == 7
        assert list(client.inflight) == [key for key, _ in begun]
        again = client.inflight[released]
        assert again.released
        played.send(client, wire.acknowledge(V3_1_1, wire.PUBCOMP, released))
        assert released not in client.inflight
        assert played.kinds() == []

    def test_a_refusal_ends_the_exchange(self, played):
        client = Publisher(played.links, played.ledger, "p", V5, window=1, topics=1)
        client.publishing = True
        played.accept(client)
        played.send(client, CONNACK_V5)
        client.publishing = False
        ((packet_id, exchange),) = client.inflight.items()
        kind = wire.PUBACK if exchange.stream.qos == 1 else wire.PUBREC
        played.send(client, wire.acknowledge(V5, kind, packet_id, 0x97))
        assert not client.inflight
        assert (played.ledger.counts.refused, played.ledger.counts.acknowledged) == (1, 0)

    def test_an_answer_to_nothing(self, played):
        client = Publisher(played.links, played.ledger, "p", V3_1_1, window=1, topics=1)
        played.accept(client)
        played.send(client, CONNACK_NEW, wire.acknowledge(V3_1_1, wire.PUBACK, 9))
        assert played.kinds() == ["malformed"]


class TestMortal:
    def test_a_goodbye_is_noted_when_the_link_has_ended(self, played):
        client = Mortal(played.links, played.ledger, "m", "goodbye", 2, 1)
        client.step(1.0)
        played.accept(client, client.arm)
        assert not client.armed
        played.send(client, CONNACK_V5)
        assert client.armed
        client.disconnect()
        assert played.receive() == [wire.disconnect(V5)]
        played.hang_up()
        client.step(3.0)
        assert (client.gone_at, played.kinds()) == (3.0, [])


class TestSessions:
    @pytest.mark.parametrize("answer", [CONNACK_NEW, CONNACK_PRESENT])
    def test_whether_an_unanswered_connect_began_a_session_nobody_knows(self, played, answer):
        client = Subscriber(played.links, played.ledger, "s", V3_1_1, "load/#", 2)
        played.accept(client)
        client.expects_end = True
        played.hang_up()
        played.accept(client)
        played.send(client, answer)
        assert played.kinds() == []
        client.close()
        played.accept(client)
        played.send(client, CONNACK_NEW)  # From the answer on it must be there.
        assert played.kinds() == ["session"]

    @pytest.mark.parametrize("present", [True, False])
    def test_a_session_whose_time_is_over_must_be_gone(self, played, present: bool):
        brief = self.left(played, 1)
        played.accept(brief, lambda: brief.return_after(2.5))
        played.send(brief, b"\x20\x03%c\x00\x00" % present)
        assert played.kinds() == (["session"] if present else [])

    @pytest.mark.parametrize("present", [True, False])
    def test_a_session_whose_time_is_not_over_must_be_there(self, played, present: bool):
        brief = self.left(played, 3600)
        played.accept(brief, lambda: brief.return_after(100.0))
        played.send(brief, b"\x20\x03%c\x00\x00" % present)
        assert played.kinds() == ([] if present else ["session"])

    def left(self, played, expiry_seconds: int) -> Brief:
        brief = Brief(played.links, played.ledger, "e1", expiry_seconds)
        played.accept(brief)
        played.send(brief, CONNACK_V5)
        brief.close()
        return brief
