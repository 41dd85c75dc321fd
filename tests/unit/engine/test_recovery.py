"""A node goes down and another one starts on what it had committed, and on nothing else."""

import pytest

from rookery.engine.stats import DROP_QUEUE_FULL
from rookery.message import message_from_publish
from rookery.mqtt.packets import (
    ConnAck,
    Disconnect,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    Unsubscribe,
)
from rookery.mqtt.types import V3_1_1, V5
from rookery.records import OutboundRow, encode_message, pack_numbers
from tests.support.engine import Engine, FakeStore, Peer, connect, publish, said, will

LASTING = {"session_expiry_interval": 1_000, "clean_start": False}


class Node:
    """A broker on a store whose commits are done at once, so that all it said is kept."""

    def __init__(self, **changed) -> None:
        self.changed = changed
        self.store = FakeStore(at_once=True)
        self.engine = Engine(self.store, **changed)

    def connect(self, client_id: str, version: int = V5, **more) -> Peer:
        asked = LASTING if version == V5 else {"clean_start": False}
        return self.engine.connect(client_id, version, **(asked | more))

    def resume(self, client_id: str, version: int = V5, **more) -> tuple[Peer, list[str]]:
        """Connect a client whose session must be there."""
        asked = LASTING if version == V5 else {"clean_start": False}
        peer, (connack, *rest) = self.engine.ask(connect(client_id, version, **(asked | more)))
        assert isinstance(connack, ConnAck)
        assert connack.session_present
        return peer, rest

    def restart(self, after_seconds: float = 1.0) -> None:
        """Lose everything that was not committed, and start again."""
        self.store.at_once = True
        self.store.crash()
        self.engine = Engine.restart(self.store, after_seconds, **self.changed)

    def settle_progress(self) -> None:
        """Let what is committed lazily be committed."""
        self.engine.wait(1)


def offline(node: Node, client_id: str = "r", topic_filter: str = "t", **more) -> None:
    """A session that is subscribed and has no link."""
    reader = node.connect(client_id)
    reader.subscribe(topic_filter, **({"qos": 2} | more))
    reader.drop()


class TestSessions:
    @pytest.mark.parametrize("version", [V3_1_1, V5])
    def test_come_back(self, version):
        node = Node()
        node.connect("c", version).subscribe("t", qos=1)
        node.restart()
        node.resume("c", version)
        assert node.engine.connect("w").publish("t", b"m", 1, packet_id=1)

    def test_brief_ones_do_not(self):
        node = Node()
        node.engine.connect("c")
        node.restart()
        assert node.engine.broker.registry.actors == {}

    def test_what_was_not_committed_was_never_there(self):
        node = Node()
        node.store.at_once = False
        _, answers = node.engine.ask(connect("c", **LASTING))
        assert answers == []
        node.restart()
        assert node.engine.broker.registry.actors == {}

    def test_a_number_is_never_used_again(self):
        node = Node()
        first = node.connect("a").actor.number
        node.restart()
        assert node.connect("b").actor.number > first

    @pytest.mark.clause("5.0:MQTT-4.1.0-2")
    def test_end_in_time_with_the_downtime_counted(self):
        node = Node()
        for name, seconds in (("short", 50), ("long", 150)):
            node.connect(name, session_expiry_interval=seconds).send(Disconnect())
        node.settle_progress()
        node.restart(after_seconds=100)
        node.engine.wait(1)
        assert set(node.engine.broker.registry.actors) == {"long"}
        node.engine.wait(60)
        assert node.engine.broker.registry.actors == {}
        node.settle_progress()
        assert node.store.content.sessions == {}

    def test_one_with_a_link_counts_from_the_end_of_the_node(self):
        node = Node()
        node.connect("c", session_expiry_interval=150)
        node.engine.wait(200)
        node.connect("other")
        node.restart(after_seconds=100)
        assert "c" in node.engine.broker.registry.actors
        node.engine.wait(60)
        assert "c" not in node.engine.broker.registry.actors


class TestSubscriptions:
    def test_come_back_with_their_options(self):
        node = Node()
        peer = node.connect("c")
        peer.subscribe("t/#", qos=1, identifier=7, no_local=True, retain_as_published=True)
        node.restart()
        peer, _ = node.resume("c")
        assert said(peer.publish("t/own", qos=1, packet_id=1)) == ["PUBACK #1 0x10"]
        node.engine.connect("w").publish("t/a", b"m", 2, packet_id=1, retain=True)
        message = peer.take_one()
        assert said([message]) == ["PUBLISH t/a=m q1 #1 retain"]
        assert message.properties.subscription_identifiers == [7]

    def test_an_ended_one_does_not(self):
        node = Node()
        peer = node.connect("c")
        peer.subscribe("t")
        peer.send(Unsubscribe(1, ["t"]))
        node.restart()
        assert node.engine.broker.router.subscription_count == 0

    def test_members_of_a_share_group(self):
        node = Node()
        for name in ("a", "b"):
            offline(node, name, "$share/g/t")
        writer = node.engine.connect("w")
        for n in range(4):
            writer.publish("t", b"%d" % n, 1, packet_id=n + 1)
        node.restart()
        got = [packet.payload for name in ("a", "b") for packet in node.resume(name)[1]]
        assert sorted(got) == [b"0", b"1", b"2", b"3"]
        node.engine.connect("w").publish("t", b"4", 1, packet_id=1)

    def test_a_member_of_two_share_groups_has_each_copy_as_its_own_allows(self):
        node = Node()
        reader = node.connect("r")
        reader.subscribe("$share/g/t", qos=1, identifier=1)
        reader.subscribe("$share/h/t", qos=2, identifier=2)
        reader.drop()
        node.engine.connect("w").publish("t", b"m", 2, packet_id=1)
        node.restart()
        _, more = node.resume("r")
        copies = sorted((each.qos, each.properties.subscription_identifiers) for each in more)
        assert copies == [(1, [1]), (2, [2])]

    def test_a_copy_is_owed_by_the_shared_subscription_it_came_by_alone(self):
        node = Node()
        reader = node.connect("r")
        reader.subscribe("$share/g/t", "$share/h/t", qos=1)
        node.engine.connect("w").publish("t", b"m", 1, packet_id=1)
        assert len(reader.take()) == 2
        reader.send(Unsubscribe(1, ["$share/h/t"]))
        node.restart()
        assert said(node.resume("r")[1]) == ["PUBLISH t=m q1 #1 dup"]


class TestMessages:
    def test_come_in_order_with_what_they_had(self):
        node = Node()
        offline(node, identifier=9)
        writer = node.engine.connect("w")
        for n in range(100):
            writer.publish("t", b"%d" % n, 1 + n % 2, packet_id=n + 1, user_properties=[("n", "v")])
        node.restart()
        _, more = node.resume("r")
        assert [packet.payload for packet in more] == [b"%d" % n for n in range(100)]
        assert [packet.qos for packet in more] == [1 + n % 2 for n in range(100)]
        assert not any(packet.dup for packet in more), "they were never sent"
        assert more[0].properties.user_properties == [("n", "v")]
        assert more[0].properties.subscription_identifiers == [9]

    def test_expire_while_the_node_is_down(self):
        node = Node()
        offline(node)
        writer = node.engine.connect("w")
        writer.publish("t", b"short", 1, packet_id=1, message_expiry_interval=50)
        writer.publish("t", b"long", 1, packet_id=2, message_expiry_interval=150)
        node.restart(after_seconds=100)
        _, (message,) = node.resume("r")
        assert message.payload == b"long"
        assert message.properties.message_expiry_interval in {49, 50}

    def test_older_than_the_subscription_are_not_owed(self):
        node = Node()
        offline(node, "first")
        node.engine.connect("w").publish("t", b"old", 1, packet_id=1)
        offline(node, "second")
        node.restart()
        assert node.resume("second")[1] == []
        assert said(node.resume("first")[1]) == ["PUBLISH t=old q1 #1"]

    def test_come_with_the_qos_that_held_when_they_were_published(self):
        node = Node()
        peer = node.connect("r")
        peer.subscribe("t", qos=1)
        peer.drop()
        node.engine.connect("w").publish("t", b"old", 2, packet_id=1)
        peer, _ = node.resume("r", receive_maximum=1)
        peer.subscribe("#", qos=2)
        node.restart()
        _, more = node.resume("r")
        assert said(more) == ["PUBLISH t=old q1 #1 dup"]

    @pytest.mark.clause("5.0:MQTT-3.3.1-1")
    def test_what_may_have_been_sent_is_a_duplicate(self):
        node = Node()
        reader = node.connect("r")
        reader.subscribe("t", qos=1)
        node.engine.connect("w").publish("t", b"sent", 1, packet_id=1)
        assert said(reader.take()) == ["PUBLISH t=sent q1 #1"]
        node.restart()
        node.engine.connect("w").publish("t", b"new", 1, packet_id=1)
        assert said(node.resume("r")[1]) == ["PUBLISH t=sent q1 #1 dup", "PUBLISH t=new q1 #2"]

    def test_what_was_acknowledged_does_not_come_again(self):
        node = Node()
        reader = node.connect("r")
        reader.subscribe("t", qos=1)
        writer = node.engine.connect("w")
        for n in range(5):
            writer.publish("t", b"%d" % n, 1, packet_id=n + 1)
        for packet_id in (1, 2, 4):
            reader.send(PubAck(packet_id))
        node.settle_progress()
        for _ in range(2):
            node.restart()
        reader, more = node.resume("r")
        assert [packet.payload for packet in more] == [b"2", b"4"]
        for packet in more:
            reader.send(PubAck(packet.packet_id))
        node.settle_progress()
        assert node.store.blocks == {}
        node.restart()
        assert node.resume("r")[1] == []

    def test_the_limits_hold(self):
        node = Node()
        offline(node)
        writer = node.engine.connect("w")
        for n in range(5):
            writer.publish("t", b"%d" % n, 1, packet_id=n + 1)
        node.changed = {"queue_messages_max": 3}
        node.restart()
        assert [packet.payload for packet in node.resume("r")[1]] == [b"0", b"1", b"2"]

    def test_what_is_over_the_limits_does_not_take_the_rest_of_its_block_along(self):
        node = Node()
        offline(node, "a", "t/a")
        offline(node, "b", "t/b")
        writer = node.engine.connect("w")
        first = publish("t/a", b"x" * 50, 1, packet_id=1)
        writer.send(first, publish("t/b", b"x", 1, packet_id=2))
        assert len(node.store.blocks) == 1
        node.changed = {"queue_bytes_max": 20}
        node.restart()
        node.settle_progress()
        node.restart()
        assert node.resume("a")[1] == []
        assert len(node.resume("b")[1]) == 1

    def test_a_damaged_entry_costs_itself_alone(self):
        node = Node()
        offline(node)
        writer = node.engine.connect("w")
        for n in range(3):
            writer.publish("t", b"%d" % n, 1, packet_id=n + 1)
        for block in list(node.store.blocks)[1:2]:
            node.store.blocks[block] = [b"\x01"]
        node.restart()
        assert [packet.payload for packet in node.resume("r")[1]] == [b"0", b"2"]
        assert node.engine.recovery.damaged == 1
        assert node.engine.recovery.entries == 3

    def test_a_block_nobody_is_owed_is_finished(self):
        node = Node()
        offline(node)
        node.engine.connect("w").publish("t", b"m", 1, packet_id=1)
        node.store.content.subscriptions.clear()
        node.restart()
        node.settle_progress()
        assert node.store.blocks == {}


class TestExactlyOnce:
    def test_what_a_client_sent_is_known(self):
        node = Node()
        offline(node)
        writer = node.connect("w")
        assert said(writer.publish("t", b"m", 2, packet_id=5)) == ["PUBREC #5"]
        node.restart()
        writer, _ = node.resume("w")
        assert said(writer.publish("t", b"m", 2, packet_id=5, dup=True)) == ["PUBREC #5"]
        assert said(writer.send(PubRel(5))) == ["PUBCOMP #5"]
        assert said(node.resume("r")[1]) == ["PUBLISH t=m q2 #1"]
        node.restart()
        writer, _ = node.resume("w")
        assert said(writer.send(PubRel(5))) == ["PUBCOMP #5 0x92"], "it was released"

    def sent(self, node: Node) -> Peer:
        """A reader that got one message, its identifier being 1."""
        reader = node.connect("r")
        reader.subscribe("t", qos=2)
        node.engine.connect("w").publish("t", b"m", 2, packet_id=1)
        assert said(reader.take()) == ["PUBLISH t=m q2 #1"]
        return reader

    @pytest.mark.clause("5.0:MQTT-4.4.0-1")
    def test_what_was_sent_comes_again_with_its_identifier(self):
        node = Node()
        self.sent(node)
        node.engine.connect("w").publish("t", b"n", 2, packet_id=1)
        node.restart()
        _, more = node.resume("r")
        assert said(more) == ["PUBLISH t=m q2 #1 dup", "PUBLISH t=n q2 #2 dup"]

    def test_what_was_received_is_released(self):
        node = Node()
        reader = self.sent(node)
        assert said(reader.send(PubRec(1))) == ["PUBREL #1"]
        for _ in range(2):
            node.restart()
        reader, more = node.resume("r")
        assert said(more) == ["PUBREL #1"]
        reader.send(PubComp(1))
        node.settle_progress()
        assert (node.store.content.outbound, node.store.blocks) == ({}, {})

    @pytest.mark.clause("5.0:MQTT-3.10.4-3")
    def test_what_was_begun_is_brought_to_the_end(self):
        node = Node()
        self.sent(node)
        node.store.content.subscriptions.clear()
        node.restart()
        reader, more = node.resume("r")
        assert said(more) == ["PUBLISH t=m q2 #1 dup"]
        assert said(reader.send(PubRec(1))) == ["PUBREL #1"]
        reader.send(PubComp(1))
        node.settle_progress()
        assert (node.store.content.outbound, node.store.blocks) == ({}, {})

    @pytest.mark.parametrize("position", [0, 77 << 20])
    def test_an_identifier_without_its_message_is_let_go_of(self, position):
        node = Node()
        number = node.connect("r").actor.number
        node.store.content.outbound[number, 3] = OutboundRow(number, 3, position, False)
        node.restart()
        assert said(node.resume("r")[1]) == ["PUBREL #3"]


class TestRetainedUnderWay:
    """Sent with QoS 2 because of a subscription, as the retained message of its topic."""

    def begin(self, node: Node) -> Peer:
        node.engine.connect("w").publish("a", b"m", 2, packet_id=1, retain=True)
        reader = node.connect("r")
        reader.subscribe("t", qos=2)
        for n in (1, 2):
            node.engine.connect("w").publish("t", b"%d" % n, n, packet_id=1)
        assert said(reader.take()) == ["PUBLISH t=1 q1 #1", "PUBLISH t=2 q2 #2"]
        reader.send(PubAck(1), PubRec(2))
        reader.send(PubComp(2))
        node.settle_progress()
        assert said(reader.subscribe("a", qos=2)) == ["PUBLISH a=m q2 #3 retain"]
        return reader

    @pytest.mark.clause("5.0:MQTT-4.3.3-6", "5.0:MQTT-4.4.0-1")
    @pytest.mark.parametrize("what", [None, b"other", b""])
    def test_is_sent_again_to_its_end_whatever_is_retained_now(self, what):
        node = Node()
        self.begin(node)
        if what is not None:
            node.engine.connect("w").publish("a", what, retain=True)
            node.settle_progress()
        node.restart()
        reader, more = node.resume("r")
        assert said(more) == ["PUBLISH a=m q2 #3 dup retain"]
        reader.send(PubRec(3))
        reader.send(PubComp(3))
        node.engine.connect("w").publish("a", b"", retain=True)
        node.settle_progress()
        node.settle_progress()
        assert (node.store.content.outbound, node.store.blocks) == ({}, {})

    def test_brings_nothing_back_that_is_acknowledged(self):
        node = Node()
        offline(node, "keeps the log", "#")
        self.begin(node)
        for _ in range(2):
            node.settle_progress()
            node.restart()
            _, more = node.resume("r")
            assert said(more) == ["PUBLISH a=m q2 #3 dup retain"]

    def test_ends_with_its_session(self):
        node = Node()
        reader = self.begin(node)
        node.engine.connect("w").publish("a", b"", retain=True)
        reader.drop()
        node.engine.broker.registry.expire(node.engine.broker.registry.actors["r"])
        node.engine.turn()
        node.settle_progress()
        assert node.store.blocks == {}

    def test_without_its_entry_its_identifier_is_let_go_of(self):
        node = Node()
        self.begin(node)
        node.store.blocks.clear()
        node.restart()
        assert said(node.resume("r")[1]) == ["PUBREL #3"]


class TestRetained:
    def test_comes_back_with_its_properties(self):
        node = Node()
        writer = node.engine.connect("w")
        writer.publish("a", b"old", 1, packet_id=1, retain=True)
        writer.publish("a", b"new", 1, packet_id=2, retain=True, content_type="text")
        writer.publish("b", b"m", retain=True)
        writer.publish("b", b"", retain=True)
        node.restart()
        (message,) = node.engine.connect("c").subscribe("#", qos=1)
        assert said([message]) == ["PUBLISH a=new q1 #1 retain"]
        assert message.properties.content_type == "text"
        assert len(node.store.blocks) == 1

    def test_expires_while_the_node_is_down_or_later(self):
        node = Node()
        writer = node.engine.connect("w")
        for topic, seconds in (("a", 50), ("b", 150)):
            writer.publish(topic, retain=True, message_expiry_interval=seconds)
        node.restart(after_seconds=100)
        assert node.engine.broker.retained.count == 1
        node.engine.wait(60)
        assert node.engine.broker.retained.count == 0
        node.settle_progress()
        assert (node.store.content.retained, node.store.blocks) == ({}, {})

    def test_one_whose_entry_is_lost_is_forgotten(self):
        node = Node()
        node.engine.connect("w").publish("a", retain=True)
        node.store.blocks.clear()
        node.restart()
        node.settle_progress()
        assert node.store.content.retained == {}


class TestWills:
    def watch(self, node: Node) -> Peer:
        watcher = node.engine.connect("watcher")
        watcher.subscribe("w", qos=1)
        return watcher

    def test_is_published_when_the_node_took_the_link_down(self):
        node = Node()
        offline(node, "r", "w")
        node.engine.connect("c", will=will("w", qos=1))
        node.restart()
        node.engine.wait(1)
        assert said(node.resume("r")[1]) == ["PUBLISH w=gone q1 #1"]
        node.restart()
        node.engine.wait(1)
        assert said(node.resume("r")[1]) == ["PUBLISH w=gone q1 #1 dup"]
        assert node.engine.stats.wills_published == 0, "once"

    def test_waits_for_its_delay_with_the_downtime_counted(self):
        node = Node()
        node.connect("c", will=will("w", qos=1, will_delay_interval=100))
        node.restart(after_seconds=60)
        watcher = self.watch(node)
        node.engine.wait(30)
        assert watcher.take() == []
        node.engine.wait(20)
        assert said(watcher.take()) == ["PUBLISH w=gone q1 #1"]

    @pytest.mark.clause("5.0:MQTT-3.1.3-9")
    def test_is_not_published_when_the_client_is_back(self):
        node = Node()
        node.connect("c", will=will("w", qos=1, will_delay_interval=100))
        node.restart(after_seconds=60)
        watcher = self.watch(node)
        node.resume("c")
        node.engine.wait(100)
        assert watcher.take() == []

    def test_one_given_up_is_not_kept(self):
        node = Node()
        node.connect("c", will=will("w", qos=1)).send(Disconnect())
        node.settle_progress()
        node.restart()
        node.engine.wait(2)
        assert node.engine.stats.wills_published == 0


def test_a_burst_is_read_back_in_order_through_the_window():
    node = Node()
    offline(node)
    writer = node.engine.connect("w")
    for n in range(300):
        writer.publish("t", b"%d" % n, 1, packet_id=n + 1)
    node.restart()
    reader, more = node.resume("r", receive_maximum=7)
    got: list[bytes] = []
    while more:
        assert len(more) <= 7
        assert all(isinstance(packet, Publish) for packet in more)
        got += [packet.payload for packet in more]
        more = reader.send(*[PubAck(packet.packet_id) for packet in more])
    assert got == [b"%d" % n for n in range(300)]
    assert node.engine.stats.dropped[DROP_QUEUE_FULL] == 0


class TestWhatSessionsBroughtWithThem:
    """Entries that came with sessions from another node's cell name who inherited them."""

    def inherit(self, node: Node, *client_ids: str, qos: int = 2) -> None:
        broker = node.engine.broker
        actors = [broker.registry.actors[client_id] for client_id in client_ids]
        message = message_from_publish(publish("t", b"m", qos, retain=True), "p", 0.0)
        heirs = pack_numbers([actor.number for actor in actors])
        offset = broker.committer.wall_minus_monotonic
        position = broker.committer.append_entry(encode_message(message, offset, (), heirs=heirs))
        broker.committer.refer(position, len(actors))
        node.engine.turn()

    def test_is_owed_to_heirs_alone_though_their_subscription_began_later(self):
        node = Node()
        for name in ("heir", "other", "without"):
            offline(node, name, qos=1, identifier=3, retain_as_published=True)
        self.inherit(node, "heir", "without")
        number = node.engine.broker.registry.actors["heir"].number
        later = node.engine.broker.committer.end()
        node.store.content.subscriptions[number, "t"].began = later
        gone = node.engine.broker.registry.actors["without"].number
        del node.store.content.subscriptions[gone, "t"]
        node.restart()
        (message,) = node.resume("heir")[1]
        assert said([message]) == ["PUBLISH t=m q1 #1 retain"]
        assert message.properties.subscription_identifiers == [3]
        assert node.resume("other")[1] == node.resume("without")[1] == []

    def test_is_not_owed_again_when_it_was_acknowledged(self):
        node = Node()
        offline(node, "heir", qos=1)
        self.inherit(node, "heir")
        node.restart()
        peer, more = node.resume("heir")
        peer.send(PubAck(more[0].packet_id))
        node.settle_progress()
        assert node.store.blocks == {}
        node.restart()
        assert node.resume("heir")[1] == []
