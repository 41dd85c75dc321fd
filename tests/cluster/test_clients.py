"""The clients keep to the standard over links, and what they see stands in the history; and they try every node."""

import asyncio
import random
import time

import pytest

from rookery.actors.tasks import Tasks
from rookery.mqtt.encode import topic_to_wire
from rookery.mqtt.link import SERVER, Link
from rookery.mqtt.packets import (
    ConnAck,
    Connect,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
)
from rookery.mqtt.types import PACKET_BYTES_LIMIT, ReasonCode
from tests.cluster.clients import Client, LastWill, Mortal, Publisher, Subscriber, World
from tests.cluster.history import History, Sending
from tests.support.ledger import Stream, payload_of

TWO = Stream("p", "load/p/0", 2)
ONE = Stream("p", "load/p/0", 1)


class Line:
    """A link as a client sees it, with what the client put on it."""

    def __init__(self, client, node="n1"):
        self.client = client
        self.node = node
        self.life = None
        self.said = []
        client.greeted(self, ConnAck(session_present=client.promised))

    def put(self, packet):
        self.said.append(packet)

    def end(self):
        self.client.detached(self)

    def take(self):
        said, self.said = self.said, []
        return [
            f"{type(each).__name__} {each.packet_id}{' dup' if getattr(each, 'dup', False) else ''}"
            for each in said
        ]


def world_of(addresses=None):
    failed = []
    world = World(
        History(),
        addresses or {},
        Tasks(lambda name, error: failed.append(error)),
        time.monotonic(),
    )
    world.failed = failed
    return world


def publisher_of(world, *streams):
    made = Publisher(world, "p", "n1", random.Random(1), list(streams), per_second=1.0)
    made.publishing = True
    return made


class TestPublisher:
    def test_resends_in_order_and_with_dup(self):
        publisher = publisher_of(world_of(), ONE)
        line = Line(publisher)
        for _ in range(3):
            publisher.tick(1.0)
        assert line.take() == ["Publish 1", "Publish 2", "Publish 3"]
        publisher.received(line, PubAck(1))
        line.end()
        line = Line(publisher, "n2")
        assert line.take() == ["Publish 2 dup", "Publish 3 dup"]
        messages = publisher.world.history.messages
        assert messages[ONE, 1].acknowledged_by == "n1"
        assert [len(each.resent_at) for each in messages.values()] == [0, 1, 1]
        publisher.received(line, PubAck(2))
        assert messages[ONE, 2].acknowledged_by == "n2"

    def test_releases_what_was_received(self):
        publisher = publisher_of(world_of(), TWO)
        line = Line(publisher)
        publisher.tick(1.0)
        publisher.received(line, PubRec(1))
        assert line.take() == ["Publish 1", "PubRel 1"]
        line.end()
        line = Line(publisher, "n2")
        assert line.take() == ["PubRel 1"]
        publisher.received(line, PubComp(1))
        assert publisher.inflight == {}
        assert publisher.world.history.messages[TWO, 1].acknowledged_by == "n1"

    def test_a_refusal_ends_an_exchange(self):
        publisher = publisher_of(world_of(), TWO)
        line = Line(publisher)
        publisher.tick(1.0)
        publisher.received(line, PubRec(1, ReasonCode.QUOTA_EXCEEDED))
        assert publisher.inflight == {}
        sending = publisher.world.history.messages[TWO, 1]
        assert (sending.acknowledged_at, sending.refused) == (None, ReasonCode.QUOTA_EXCEEDED)

    def test_an_answer_to_nothing_is_noted(self):
        publisher = publisher_of(world_of(), ONE)
        publisher.received(Line(publisher), PubAck(7))
        assert len(publisher.world.history.misbehaviour) == 1

    def test_without_a_link_nothing_is_sent(self):
        publisher = publisher_of(world_of(), ONE)
        publisher.tick(5.0)
        assert publisher.world.history.messages == {}


class TestSubscriber:
    def subscriber(self):
        world = world_of()
        world.history.sent(Sending(TWO, 1, 0.0, "n1"))
        return Subscriber(world, "s", "n1", random.Random(1), "load/#", 2)

    def message(self, dup=False, payload=None):
        payload = payload_of(TWO, 1, 64) if payload is None else payload
        return Publish(TWO.topic, topic_to_wire(TWO.topic), payload, 2, False, dup, 9)

    def test_subscribes_once(self):
        subscriber = self.subscriber()
        line = Line(subscriber)
        subscriber.received(line, SubAck(1, [ReasonCode.GRANTED_QOS_2]))
        assert line.take() == ["Subscribe 1"]
        line.end()
        assert Line(subscriber).take() == []
        assert subscriber.world.history.subscriptions["s"][0].topic_filter == "load/#"

    def test_the_same_packet_identifier_is_the_same_message_over_links(self):
        subscriber = self.subscriber()
        line = Line(subscriber)
        subscriber.received(line, self.message())
        line.end()
        line = Line(subscriber, "n2")
        subscriber.received(line, self.message(dup=True))
        subscriber.received(line, PubRel(9))
        assert line.take()[-2:] == ["PubRec 9", "PubComp 9"]
        arrivals = subscriber.world.history.arrivals["s"]
        assert [(each.number, each.node) for each in arrivals] == [(1, "n1")]
        subscriber.received(line, self.message())
        assert len(arrivals) == 2

    def test_what_nobody_sent_is_noted(self):
        subscriber = self.subscriber()
        subscriber.received(Line(subscriber), self.message(payload=b"x"))
        assert len(subscriber.world.history.unknown) == 1


def test_a_will_is_known_when_its_client_was_let_in():
    world = world_of()
    mortal = Mortal(world, "m", "n1", random.Random(1))
    assert world.history.last_wills == {}
    Line(mortal, "n2")
    assert isinstance(world.history.last_wills["m"], LastWill)
    assert world.history.last_wills["m"].node == "n2"
    assert mortal.ends_for_good()


class Gate(asyncio.Protocol):
    """A node that answers CONNECT in one way and says nothing else."""

    def __init__(self, answer):
        self._answer = answer
        self._link = Link(SERVER, PACKET_BYTES_LIMIT, 0)

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        for packet in self._link.receive(data):
            if isinstance(packet, Connect) and self._answer is not None:
                self._link.send(ConnAck(self._answer))
                self.transport.write(self._link.take_output())
            elif isinstance(packet, Subscribe):
                self.transport.abort()


@pytest.mark.parametrize("answer", [ReasonCode.SERVER_UNAVAILABLE, None, "closed port"])
def test_a_node_that_does_not_serve_is_left_for_another(answer, monkeypatch):
    monkeypatch.setattr("tests.cluster.clients.GREETING_SECONDS_MAX", 0.1)

    async def run():
        loop = asyncio.get_running_loop()
        bad = await loop.create_server(lambda: Gate(answer), "127.0.0.1", 0)
        good = await loop.create_server(lambda: Gate(ReasonCode.SUCCESS), "127.0.0.1", 0)
        addresses = {
            name: server.sockets[0].getsockname() for name, server in (("n1", bad), ("n2", good))
        }
        if answer == "closed port":
            bad.close()
        world = world_of(addresses)
        client = Client(world, "c", "n1", random.Random(1))
        client.start()
        async with asyncio.timeout(20):
            await client.attached.wait()
        client.stop()
        await world.tasks.stop()
        bad.close()
        good.close()
        assert world.failed == []
        return world.history

    history = asyncio.run(run())
    assert [(life.node, life.end) for life in history.lives] == [("n2", "left")]
    assert history.refusals[0].node == "n1"
    wanted = {None: "no CONNACK", "closed port": "ConnectionRefusedError"}
    assert history.refusals[0].why == wanted.get(answer, "server_unavailable")
