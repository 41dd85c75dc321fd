import asyncio

import pytest

from rookery.engine.broker import TURN_DELIVERIES_MAX
from rookery.engine.publishing import PERMISSIONS_MAX, is_utf8
from rookery.engine.stats import (
    DROP_COMMIT_FAILED,
    DROP_EXPIRED,
    DROP_INVALID,
    DROP_NOT_AUTHORIZED,
    DROP_RETAINED_FULL,
)
from rookery.mqtt.packets import PingReq, PubAck, PubRel
from rookery.mqtt.types import V3_1_1, V5
from rookery.records import Entry, Group, block_of, decode_message, index_of
from tests.support.engine import Engine, FakeAuthorizer, FakeStore, Peer, props, publish, said


def decoded(group: Group) -> list[Entry]:
    """The messages of a group."""
    return [decode_message(data, 0.0) for data in group.entries]


class TestAcknowledgement:
    @pytest.mark.parametrize("version", [V3_1_1, V5])
    def test_by_qos(self, version):
        engine = Engine()
        client = engine.connect("c", version)
        client.subscribe("t", qos=0)
        assert said(client.publish("t", b"0")) == ["PUBLISH t=0"]
        assert said(client.publish("t", b"1", 1, packet_id=7)) == ["PUBACK #7", "PUBLISH t=1"]
        assert said(client.publish("t", b"2", 2, packet_id=8)) == ["PUBREC #8", "PUBLISH t=2"]
        assert said(client.send(PubRel(8))) == ["PUBCOMP #8"]

    def test_nobody_subscribed_is_told_in_5_0_alone(self):
        engine = Engine()
        new, old = engine.connect("new"), engine.connect("old", V3_1_1)
        assert said(new.publish("t", qos=1, packet_id=1)) == ["PUBACK #1 0x10"]
        assert said(new.publish("t", qos=2, packet_id=2)) == ["PUBREC #2 0x10"]
        assert said(old.publish("t", qos=1, packet_id=1)) == ["PUBACK #1"]
        assert engine.stats.messages_unrouted == 3

    @pytest.mark.parametrize("qos", [1, 2])
    def test_the_counters_tell_each_qos(self, qos):
        engine = Engine()
        client = engine.connect("c")
        client.subscribe("t", qos=2)
        client.publish("t", b"12345", qos, packet_id=1)
        stats = engine.stats
        received = [getattr(stats, f"messages_received_qos{n}") for n in range(3)]
        sent = [getattr(stats, f"messages_sent_qos{n}") for n in range(3)]
        assert received == sent == [int(n == qos) for n in range(3)]
        assert (stats.payload_bytes_received, stats.payload_bytes_sent) == (5, 5)
        assert (stats.messages_received, stats.messages_sent, stats.messages_routed) == (1, 1, 1)


@pytest.mark.clause("5.0:MQTT-4.3.3-10", "5.0:MQTT-4.3.3-12")
class TestExactlyOnce:
    def test_a_resend_is_acknowledged_and_not_published_again(self):
        engine = Engine()
        reader, client = engine.connect("r"), engine.connect("c")
        reader.subscribe("t")
        assert said(client.publish("t", b"1", 2, packet_id=5)) == ["PUBREC #5"]
        assert said(client.publish("t", b"1", 2, packet_id=5, dup=True)) == ["PUBREC #5"]
        assert said(reader.take()) == ["PUBLISH t=1"]

    def test_after_pubrel_the_identifier_is_a_new_message(self):
        engine = Engine()
        reader, client = engine.connect("r"), engine.connect("c")
        reader.subscribe("t")
        client.publish("t", b"1", 2, packet_id=5)
        client.send(PubRel(5))
        client.publish("t", b"2", 2, packet_id=5)
        assert said(reader.take()) == ["PUBLISH t=1", "PUBLISH t=2"]

    def test_the_identifier_is_held_while_the_client_is_away(self):
        engine = Engine()
        reader = engine.connect("r")
        reader.subscribe("t")
        client = engine.connect("c", session_expiry_interval=60)
        client.publish("t", b"1", 2, packet_id=5)
        client.drop()
        client = engine.connect_more("c", clean_start=False)[0]
        assert said(client.publish("t", b"1", 2, packet_id=5, dup=True)) == ["PUBREC #5"]
        assert said(reader.take()) == ["PUBLISH t=1"]

    @pytest.mark.clause("5.0:MQTT-4.3.3-9")
    def test_what_was_refused_is_not_held(self):
        authorizer = FakeAuthorizer("t")
        engine = Engine(authorizer=authorizer)
        client = engine.connect("c")
        assert said(client.publish("t", qos=2, packet_id=5)) == ["PUBREC #5 0x87"]
        assert not client.actor.session.inbound.holds(5)
        assert said(client.send(PubRel(5))) == ["PUBCOMP #5 0x92"]

    def test_an_old_client_cannot_be_refused_so_it_is_held(self):
        engine = Engine(authorizer=FakeAuthorizer("t"))
        client = engine.connect("c", V3_1_1)
        assert said(client.publish("t", qos=2, packet_id=5)) == ["PUBREC #5"]
        assert said(client.send(PubRel(5))) == ["PUBCOMP #5"]


@pytest.mark.clause("5.0:MQTT-3.3.4-7")
class TestReceiveMaximum:
    def test_as_many_as_it_says(self):
        client = Engine(receive_maximum=2).connect("c")
        answers = client.send(*[publish("t", qos=2, packet_id=n) for n in (1, 2)])
        assert said(answers) == ["PUBREC #1 0x10", "PUBREC #2 0x10"]
        assert not client.closed

    @pytest.mark.parametrize("qos", [1, 2])
    def test_one_more_ends_the_link(self, qos):
        client = Engine(receive_maximum=2).connect("c")
        client.send(*[publish("t", qos=2, packet_id=n) for n in (1, 2)])
        assert said(client.publish("t", qos=qos, packet_id=3)) == ["DISCONNECT 0x93"]
        assert client.closed

    def test_a_released_one_makes_room(self):
        client = Engine(receive_maximum=1).connect("c")
        client.publish("t", qos=2, packet_id=1)
        client.send(PubRel(1))
        assert said(client.publish("t", qos=1, packet_id=2)) == ["PUBACK #2 0x10"]

    def test_a_resend_counts_once(self):
        client = Engine(receive_maximum=1).connect("c")
        client.publish("t", qos=2, packet_id=1)
        assert said(client.publish("t", qos=2, packet_id=1, dup=True)) == ["PUBREC #1"]

    def test_qos_1_waiting_for_its_commit_counts(self):
        client = Engine(FakeStore(), receive_maximum=1).connect("c")
        assert client.publish("t", qos=1, packet_id=1, retain=True) == []
        assert said(client.publish("t", qos=1, packet_id=2, retain=True)) == ["DISCONNECT 0x93"]

    def test_an_old_client_was_never_told_it(self):
        client = Engine(receive_maximum=1).connect("c", V3_1_1)
        client.publish("t", qos=2, packet_id=1)
        assert said(client.publish("t", qos=2, packet_id=2)) == ["PUBREC #2"]


class TestPermission:
    def test_refused_with_its_reason_and_counted(self):
        engine = Engine(authorizer=FakeAuthorizer("secret"))
        reader, client = engine.connect("r"), engine.connect("c")
        reader.subscribe("#")
        (answer,) = client.publish("secret", qos=1, packet_id=1)
        assert said([answer]) == ["PUBACK #1 0x87"]
        assert answer.properties.reason_string == "not authorized"
        assert client.publish("secret") == []
        assert reader.take() == []
        assert engine.stats.dropped[DROP_NOT_AUTHORIZED] == 2

    def test_who_wants_no_reasons_gets_the_code_alone(self):
        engine = Engine(authorizer=FakeAuthorizer("secret"))
        client = engine.connect("c", request_problem_information=0)
        (answer,) = client.publish("secret", qos=1, packet_id=1)
        assert answer.properties is None

    def test_it_is_asked_once_for_a_topic(self):
        authorizer = FakeAuthorizer()
        client = Engine(authorizer=authorizer).connect("c")
        for topic in ("a", "b", "a", "a"):
            client.publish(topic)
        assert authorizer.asked == ["a", "b"]

    def test_a_new_generation_is_asked_again(self):
        authorizer = FakeAuthorizer()
        client = Engine(authorizer=authorizer).connect("c")
        client.publish("a", qos=1, packet_id=1)
        authorizer.denied.add("a")
        assert said(client.publish("a", qos=1, packet_id=1)) == ["PUBACK #1 0x10"]
        authorizer.generation += 1
        assert said(client.publish("a", qos=1, packet_id=1)) == ["PUBACK #1 0x87"]
        authorizer.denied.clear()
        authorizer.generation += 1
        assert said(client.publish("a", qos=1, packet_id=1)) == ["PUBACK #1 0x10"]

    def test_an_alias_stands_for_the_topic_it_was_given(self):
        engine = Engine(authorizer=FakeAuthorizer("secret"))
        reader, client = engine.connect("r"), engine.connect("c")
        reader.subscribe("#")

        def by_alias(topic, packet_id):
            packet = publish(topic, b"x", 1, packet_id=packet_id)
            packet.properties = props(topic_alias=1)
            return said(client.send(packet))

        assert by_alias("open", 1) == ["PUBACK #1"]
        assert by_alias("", 2) == ["PUBACK #2"]
        assert by_alias("secret", 3) == ["PUBACK #3 0x87"]
        assert by_alias("", 4) == ["PUBACK #4 0x87"]
        assert said(reader.take()) == ["PUBLISH open=x"] * 2

    @pytest.mark.parametrize("topic", ["$SYS/broker/uptime", "$SYS/"])
    def test_only_the_node_publishes_to_its_own_topics(self, topic):
        engine = Engine()
        reader, client = engine.connect("r"), engine.connect("c")
        reader.subscribe("$SYS/#")
        assert said(client.publish(topic, qos=1, packet_id=1, retain=True)) == ["PUBACK #1 0x87"]
        assert client.publish(topic) == []
        assert (reader.take(), engine.broker.retained.get(topic)) == ([], None)

    def test_what_is_remembered_is_bounded(self):
        authorizer = FakeAuthorizer()
        client = Engine(authorizer=authorizer).connect("c")
        client.send(*[publish(f"t/{n}") for n in range(PERMISSIONS_MAX)])
        assert len(client.actor.publish_permissions) == PERMISSIONS_MAX
        client.publish("one more")
        assert len(client.actor.publish_permissions) == 1


class TestContent:
    @pytest.mark.parametrize(("levels", "code"), [(3, "0x10"), (4, "0x90")])
    def test_topic_levels(self, levels, code):
        engine = Engine(topic_levels_max=3)
        client = engine.connect("c")
        topic = "/".join("t" * levels)
        assert said(client.publish(topic, qos=1, packet_id=1)) == [f"PUBACK #1 {code}"]
        assert engine.stats.dropped[DROP_INVALID] == int(code == "0x90")

    @pytest.mark.parametrize(("size", "code"), [(10, "0x10"), (11, "0x90")])
    def test_topic_bytes(self, size, code):
        client = Engine(topic_bytes_max=10).connect("c")
        assert said(client.publish("t" * size, qos=1, packet_id=1)) == [f"PUBACK #1 {code}"]

    @pytest.mark.parametrize(
        ("payload", "indicator", "code"),
        [
            (b"\xff", 1, "0x99"),
            (b"\xff", 0, "0x10"),
            ("ä".encode(), 1, "0x10"),
            (b"\xff", None, "0x10"),
        ],
    )
    def test_payload_format(self, payload, indicator, code):
        client = Engine().connect("c")
        packet = publish("t", payload, 1, packet_id=1)
        packet.properties = props(payload_format_indicator=indicator)
        assert said(client.send(packet)) == [f"PUBACK #1 {code}"]

    def test_payload_format_unchecked(self):
        client = Engine(payload_format_checked=False).connect("c")
        packet = publish("t", b"\xff", 1, packet_id=1, payload_format_indicator=1)
        assert said(client.send(packet)) == ["PUBACK #1 0x10"]

    def test_utf8(self):
        assert is_utf8(b"")
        assert not is_utf8(b"\xed\xa0\x80"), "a surrogate"


class TestRoute:
    @pytest.mark.clause("5.0:MQTT-3.8.4-8")
    @pytest.mark.parametrize("published", [0, 1, 2])
    @pytest.mark.parametrize("granted", [0, 1, 2])
    def test_the_lower_qos(self, published, granted):
        engine = Engine()
        reader, client = engine.connect("r"), engine.connect("c")
        reader.subscribe("t", qos=granted)
        client.publish("t", qos=published, packet_id=1 if published else 0)
        assert reader.take_one().qos == min(published, granted)

    @pytest.mark.clause("5.0:MQTT-3.8.3-3")
    def test_no_local(self):
        engine = Engine()
        client, other = engine.connect("c"), engine.connect("o")
        client.subscribe("t", no_local=True)
        other.subscribe("t", no_local=True)
        assert said(client.publish("t", qos=1, packet_id=1)) == ["PUBACK #1"]
        assert said(other.take()) == ["PUBLISH t=x"]

    @pytest.mark.clause("5.0:MQTT-3.3.1-12", "5.0:MQTT-3.3.1-13")
    def test_retain_as_published(self):
        engine = Engine()
        client = engine.connect("c")
        plain, kept = engine.connect("plain"), engine.connect("kept")
        plain.subscribe("t")
        kept.subscribe("t", retain_as_published=True)
        client.publish("t", retain=True)
        client.publish("t")
        assert said(plain.take()) == ["PUBLISH t=x", "PUBLISH t=x"]
        assert said(kept.take()) == ["PUBLISH t=x retain", "PUBLISH t=x"]

    def test_identifiers_of_each(self):
        engine = Engine()
        client = engine.connect("c")
        readers = [engine.connect(f"r{n}") for n in range(3)]
        readers[0].subscribe("t", identifier=5)
        readers[1].subscribe("t", identifier=6)
        readers[1].subscribe("+", identifier=7)
        readers[2].subscribe("t")
        client.publish("t")
        found = [reader.take_one().properties for reader in readers]
        assert [each and each.subscription_identifiers for each in found] == [[5], [6, 7], None]

    def test_the_same_order_for_everyone(self):
        engine = Engine()
        writer, reader = engine.connect("w"), engine.connect("r")
        reader.subscribe("t", qos=2)
        writer.send(*[publish("t", b"%d" % n, 1, packet_id=n) for n in range(1, 50)])
        assert [each.payload for each in reader.take()] == [b"%d" % n for n in range(1, 50)]

    def test_an_expired_message_reaches_nobody(self):
        engine = Engine()
        writer, reader = engine.connect("w"), engine.connect("r")
        reader.subscribe("t")
        writer.publish("t", message_expiry_interval=0)
        assert reader.take() == []
        assert engine.stats.dropped[DROP_EXPIRED] == 1


class TestShared:
    def test_one_member_gets_each(self):
        engine = Engine()
        writer = engine.connect("w")
        members = [engine.connect(f"m{n}") for n in range(2)]
        for member in members:
            member.subscribe("$share/g/t", qos=1, identifier=4)
        for n in range(4):
            writer.publish("t", b"%d" % n, 1, packet_id=1, retain=True)
        found = [[each.payload for each in member.take()] for member in members]
        assert sorted(found[0] + found[1]) == [b"0", b"1", b"2", b"3"]
        assert [len(each) for each in found] == [2, 2]
        assert engine.stats.messages_routed == 4

    def test_a_durable_member_is_recorded_by_name(self):
        store = FakeStore()
        engine = Engine(store)
        store.at_once = True
        member = engine.connect("m", session_expiry_interval=60)
        member.subscribe("$share/g/t", qos=1)
        store.at_once = False
        writer = engine.connect("w")
        assert writer.publish("t", qos=1, packet_id=1) == []
        (entry,) = decoded(store.groups[-1])
        assert entry.targets == (member.actor.number,)
        engine.complete()
        assert said(writer.take()) == ["PUBACK #1"]

    def test_a_group_that_lost_its_last_member_is_nobody(self):
        engine = Engine()
        writer = engine.connect("w")
        member = engine.connect("m")
        member.subscribe("$share/g/t")
        matches = engine.broker.router.match("t")
        member.drop()
        assert said(writer.publish("t", qos=1, packet_id=1)) == ["PUBACK #1 0x10"]
        assert matches.shares[0].pick(0) is None


class TestRetain:
    def test_set_replaced_and_cleared(self):
        store = FakeStore()
        engine = Engine(store)
        client = engine.connect("c")
        for payload in (b"1", b"2"):
            client.publish("t", payload, retain=True)
            engine.complete_all()
            ((_, position),) = store.content.retained.items()
            assert store.blocks[block_of(position)][index_of(position)].endswith(payload)
        engine.wait(1)
        engine.complete_all()
        assert len(store.blocks) == 1, "what was replaced is gone"
        for _ in range(2):
            client.publish("t", b"", retain=True)
            engine.complete_all()
        assert (store.content.retained, store.blocks) == ({}, {})
        assert (engine.stats.messages_retained, engine.stats.retained_cleared) == (2, 1)
        assert engine.broker.retained.count == 0

    def test_a_message_to_clear_is_delivered_like_any(self):
        engine = Engine()
        client = engine.connect("c")
        client.subscribe("t", retain_as_published=True)
        assert said(client.publish("t", b"", retain=True)) == ["PUBLISH t= retain"]

    def test_the_number_is_limited(self):
        engine = Engine(retained_messages_max=1)
        client = engine.connect("c")
        assert said(client.publish("a", qos=1, packet_id=1, retain=True)) == ["PUBACK #1 0x10"]
        assert said(client.publish("b", qos=1, packet_id=2, retain=True)) == ["PUBACK #2 0x97"]
        assert said(client.publish("a", b"new", 1, packet_id=3, retain=True)) == ["PUBACK #3 0x10"]
        assert engine.stats.dropped[DROP_RETAINED_FULL] == 1

    def test_the_bytes_are_limited(self):
        engine = Engine(retained_bytes_max=100)
        client = engine.connect("c")
        client.publish("a", b"x" * 60, retain=True)
        assert said(client.publish("b", b"x" * 60, 1, packet_id=1, retain=True)) == [
            "PUBACK #1 0x97"
        ]
        client.publish("a", b"x" * 90, retain=True)
        assert engine.broker.retained.get("a").payload == b"x" * 90

    def test_what_cannot_be_kept_is_delivered_nonetheless(self):
        engine = Engine(retained_messages_max=1)
        client = engine.connect("c")
        client.publish("a", retain=True)
        client.subscribe("b")
        assert said(client.publish("b", retain=True)) == ["PUBLISH b=x"]

    @pytest.mark.clause("5.0:MQTT-3.3.2-5")
    def test_it_goes_when_it_expires(self):
        engine = Engine()
        client = engine.connect("c")
        client.publish("t", retain=True, message_expiry_interval=5)
        engine.wait(4)
        assert engine.broker.retained.count == 1
        engine.wait(2)
        assert engine.broker.retained.count == 0

    def test_its_successor_stays(self):
        engine = Engine()
        client = engine.connect("c")
        client.publish("t", b"1", retain=True, message_expiry_interval=5)
        client.publish("t", b"2", retain=True)
        engine.wait(20)
        assert engine.broker.retained.get("t").payload == b"2"


class TestRecords:
    def test_a_message_for_durable_sessions_is_recorded_once_with_their_names(self):
        store = FakeStore()
        engine = Engine(store)
        store.at_once = True
        readers = [engine.connect(name, session_expiry_interval=60) for name in ("a", "b")]
        for reader in (*readers, engine.connect("brief")):
            reader.subscribe("t", qos=1)
        store.at_once = False
        writer = engine.connect("w")
        assert writer.publish("t", b"m", 2, packet_id=1) == []
        (entry,) = decoded(store.groups[-1])
        assert (entry.message.payload, entry.message.qos, entry.targets) == (b"m", 2, ())
        engine.complete()
        assert said(writer.take()) == ["PUBREC #1"]
        assert len(store.blocks) == 1
        for reader in readers:
            assert len(store.blocks) == 1, "somebody is owed it"
            reader.send(PubAck(1))
            engine.wait(1)
            engine.complete_all()
        assert store.blocks == {}

    @pytest.mark.parametrize(("published", "granted"), [(0, 1), (1, 0)])
    def test_qos_0_is_owed_to_nobody(self, published, granted):
        store = FakeStore(at_once=True)
        engine = Engine(store)
        engine.connect("a", session_expiry_interval=60).subscribe("t", qos=granted)
        count = len(store.groups)
        writer = engine.connect("w")
        writer.publish("t", qos=published, packet_id=published)
        assert len(store.groups) == count

    def test_who_is_owed_qos_0_refers_to_nothing(self):
        """Dropped for one, it is not released for the other."""
        store = FakeStore(at_once=True)
        engine = Engine(store)
        for name, qos in (("a", 1), ("b", 0)):
            reader = engine.connect(name, session_expiry_interval=60)
            reader.subscribe("t", qos=qos)
            reader.drop()
        engine.connect("w").publish("t", b"m", 1, packet_id=1)
        engine.wait(1)
        _, more = engine.connect_more("a", clean_start=False, session_expiry_interval=60)
        assert said(more) == ["PUBLISH t=m q1 #1"]


class TestWhileNothingCanBeKept:
    def failing(self) -> tuple[Engine, FakeStore]:
        """A broker whose last commit failed, with a durable session and a retained message."""
        store = FakeStore(at_once=True)
        engine = Engine(store)
        engine.connect("r", session_expiry_interval=60).subscribe("t", qos=1)
        engine.connect("b").subscribe("brief", qos=1)
        store.at_once = False
        writer = engine.connect("first")
        writer.publish("t", b"lost", 1, packet_id=1)
        engine.complete(OSError("full"))
        assert writer.closed
        assert said(writer.take()) == ["DISCONNECT 0x80"]
        return engine, store

    def test_new_messages_are_refused_where_somebody_is_owed_them(self):
        engine, _ = self.failing()
        writer = engine.connect("w")
        assert said(writer.publish("t", qos=1, packet_id=1)) == ["PUBACK #1 0x97"]
        assert said(writer.publish("t", qos=2, packet_id=2)) == ["PUBREC #2 0x97"]
        assert said(writer.publish("x", qos=1, packet_id=3, retain=True)) == ["PUBACK #3 0x97"]
        assert said(writer.publish("brief", qos=1, packet_id=4)) == ["PUBACK #4"]
        assert engine.stats.dropped[DROP_COMMIT_FAILED] == 3

    def test_an_old_client_loses_its_link(self):
        engine, _ = self.failing()
        writer = engine.connect("w", V3_1_1)
        assert writer.publish("t", qos=1, packet_id=1) == []
        assert writer.closed

    def test_it_ends_without_a_restart(self):
        engine, store = self.failing()
        engine.wait(1)
        engine.complete_all()
        store.at_once = True
        writer = engine.connect("w")
        assert said(writer.publish("t", b"m", 1, packet_id=1)) == ["PUBACK #1"]

    def test_a_retained_message_is_kept_when_it_can_be(self):
        engine, store = self.failing()
        engine.wait(1)
        engine.complete_all()
        writer = engine.connect("w")
        writer.publish("x", b"old", 1, packet_id=1, retain=True)
        engine.complete()
        writer.publish("x", b"new", 1, packet_id=2, retain=True)
        engine.complete(OSError("full"))
        engine.wait(1)
        engine.complete_all()
        store.crash()
        again = Engine.restart(store)
        assert said(again.connect("c").subscribe("x")) == ["PUBLISH x=new retain"]

    @pytest.mark.parametrize("qos", [1, 2])
    def test_what_was_lost_comes_once_when_it_is_sent_again(self, qos):
        store = FakeStore(at_once=True)
        engine = Engine(store)
        lasting = {"session_expiry_interval": 60, "clean_start": False}
        reader = engine.connect("r", **lasting)
        reader.subscribe("t", qos=2)
        reader.drop()
        writer = engine.connect("w", **lasting)
        store.at_once = False
        writer.publish("t", b"m", qos, packet_id=1)
        engine.complete(OSError("full"))
        engine.wait(1)
        engine.complete_all()
        store.at_once = True
        writer = engine.connect("w", **lasting)
        writer.publish("t", b"m", qos, packet_id=1, dup=True)
        reader, more = engine.connect_more("r", **lasting)
        assert said(more) == [f"PUBLISH t=m q{qos} #1"]

    def full(self) -> tuple[Engine, FakeStore, Peer]:
        """A broker on a full disk; its writer retained "old" on ``x`` before."""
        store = FakeStore(at_once=True)
        engine = Engine(store)
        engine.connect("w").publish("x", b"old", 1, packet_id=1, retain=True)
        store.is_full = True
        return engine, store, engine.connect("w")

    def test_a_retained_message_that_found_no_room_keeps_nothing_else_from_the_disk(self):
        engine, store, writer = self.full()
        writer.publish("x", b"new", 1, packet_id=2, retain=True)
        reader = engine.connect("r", session_expiry_interval=60)
        assert not reader.closed
        engine.wait(1)
        assert len(store.content.sessions) == 1
        again = Engine.restart(store)
        assert said(again.connect("c").subscribe("x")) == ["PUBLISH x=old retain"]

    def test_and_is_kept_once_there_is_room(self):
        engine, store, writer = self.full()
        writer.publish("x", b"new", 1, packet_id=2, retain=True)
        engine.wait(1)
        store.is_full = False
        engine.wait(2)
        assert len(store.blocks) == 1
        again = Engine.restart(store)
        assert said(again.connect("c").subscribe("x")) == ["PUBLISH x=new retain"]

    def test_one_that_is_cleared_meanwhile_is_gone(self):
        engine, store, writer = self.full()
        writer.publish("x", b"new", 1, packet_id=2, retain=True)
        engine.broker.publish("x", b"", retain=True)
        engine.settle()
        engine.wait(1)
        store.is_full = False
        engine.wait(2)
        assert store.blocks == store.content.retained == {}

    def test_messages_are_refused_until_there_is_room(self):
        engine, store, writer = self.full()
        writer.publish("x", b"new", 1, packet_id=2, retain=True)
        engine.wait(5)
        commits_failed = engine.stats.commits_failed
        writer = engine.connect("w")
        assert said(writer.publish("x", b"n", 1, packet_id=3, retain=True)) == ["PUBACK #3 0x97"]
        assert engine.stats.commits_failed == commits_failed
        store.is_full = False
        engine.wait(1)
        assert said(writer.publish("x", b"n", 1, packet_id=3, retain=True)) == ["PUBACK #3 0x10"]


def test_a_turn_that_delivered_enough_is_full():
    engine = Engine()
    engine.broker.publishing.deliveries = TURN_DELIVERIES_MAX - 1
    assert not engine.broker.turn_is_full()
    client = engine.connect("c")
    client.subscribe("t")
    engine.broker.begin_turn()
    engine.broker.publishing.deliveries = TURN_DELIVERIES_MAX - 1
    client.client.received(client.encode(publish("t")), engine.broker.now)
    assert engine.broker.turn_is_full()
    engine.broker.begin_turn()
    assert not engine.broker.turn_is_full()


class TestPermissions:
    def test_each_qos_and_retain_is_asked_about_once(self):
        authorizer = FakeAuthorizer()
        engine = Engine(authorizer=authorizer)
        peer = engine.connect("a")
        for _ in range(2):
            for qos in (0, 1, 2):
                for retain in (False, True):
                    packet_id = 1 + qos * 2 + retain if qos else 0
                    peer.send(publish("t", qos=qos, retain=retain, packet_id=packet_id))
        assert authorizer.asked == ["t"] * 6

    def test_an_answer_that_does_not_last_is_asked_for_each_time(self):
        authorizer = FakeAuthorizer("u")
        engine = Engine(authorizer=authorizer)
        peer = engine.connect("a")
        authorizer.lasting = False
        for packet_id in (1, 2):
            assert said(peer.publish("t", qos=1, packet_id=packet_id)) == [
                f"PUBACK #{packet_id} 0x10"
            ]
            assert said(peer.publish("u", qos=1, packet_id=packet_id)) == [
                f"PUBACK #{packet_id} 0x87"
            ]
        assert authorizer.asked == ["t", "u"] * 2

    def test_a_refusal_is_remembered(self):
        authorizer = FakeAuthorizer("t")
        peer = Engine(authorizer=authorizer).connect("a")
        for packet_id in (1, 2):
            answer = peer.publish("t", qos=1, packet_id=packet_id)
            assert said(answer) == [f"PUBACK #{packet_id} 0x87"]
        assert authorizer.asked == ["t"]

    @pytest.mark.parametrize("version", [V5, V3_1_1])
    @pytest.mark.parametrize("qos", [0, 1, 2])
    def test_where_it_is_asked_for_the_client_is_put_out(self, version, qos):
        engine = Engine(
            authorizer=FakeAuthorizer("t"), denied_v5_disconnects=True, denied_v3_disconnects=True
        )
        peer = engine.connect("a", version)
        found = peer.send(publish("t", qos=qos, packet_id=qos), publish("u"))
        assert said(found) == (["DISCONNECT 0x87"] if version == V5 else [])
        assert peer.closed
        assert engine.stats.messages_received == 0
        assert engine.stats.dropped["not_authorized"] == 1

    def test_a_resend_of_what_was_taken_is_acknowledged(self):
        authorizer = FakeAuthorizer()
        peer = Engine(authorizer=authorizer).connect("a")
        assert said(peer.publish("t", qos=2, packet_id=1)) == ["PUBREC #1 0x10"]
        authorizer.deny("t")
        assert said(peer.publish("t", qos=2, packet_id=1, dup=True)) == ["PUBREC #1"]


class TestAnAnswerThatTakesTime:
    def test_packets_wait_in_order_and_others_do_not(self):
        async def main():
            authorizer = FakeAuthorizer("u", slow=True)
            engine = Engine(authorizer=authorizer)
            peer, other = engine.connect("a"), engine.connect("b")
            packets = [
                publish("t", qos=1, packet_id=1),
                publish("u", qos=1, packet_id=2),
                PingReq(),
            ]
            assert peer.send(*packets) == []
            assert peer.io.paused
            assert said(other.send(PingReq())) == ["PINGRESP"]
            assert peer.send(PingReq()) == []
            authorizer.answer()
            await engine.until(lambda: authorizer.open)
            assert said(peer.take()) == ["PUBACK #1 0x10"]
            authorizer.answer()
            await engine.until(lambda: not peer.io.paused)
            assert said(peer.take()) == ["PUBACK #2 0x87", "PINGRESP", "PINGRESP"]
            assert authorizer.asked == ["t", "u"]
            assert engine.stats.messages_received == 2

        asyncio.run(main())

    @pytest.mark.parametrize("how", ["lost", "taken over"])
    def test_the_link_may_end_meanwhile(self, how):
        async def main():
            authorizer = FakeAuthorizer(slow=True)
            engine = Engine(authorizer=authorizer)
            peer = engine.connect("a", session_expiry_interval=99)
            peer.send(publish("t", qos=1, packet_id=1))
            if how == "lost":
                peer.drop()
            else:
                back = engine.connect("a", clean_start=False, session_expiry_interval=99)
                assert back.client.actor is not None
            authorizer.answer()
            await engine.until(lambda: not engine.broker.tasks._running)
            assert engine.stats.messages_received == 0
            assert said(peer.take()) in ([], ["DISCONNECT 0x8E"])

        asyncio.run(main())

    def test_an_answer_to_other_rules_is_asked_for_again(self):
        async def main():
            authorizer = FakeAuthorizer(slow=True)
            engine = Engine(authorizer=authorizer)
            peer = engine.connect("a")
            peer.send(publish("t", qos=1, packet_id=1))
            authorizer.answer()
            authorizer.deny("t")
            await engine.until(lambda: authorizer.open)
            authorizer.answer()
            await engine.until(lambda: peer.io.written)
            assert said(peer.take()) == ["PUBACK #1 0x87"]

        asyncio.run(main())

    def test_a_failure_of_ours_costs_the_link(self):
        async def main():
            authorizer = FakeAuthorizer(slow=True)
            engine = Engine(authorizer=authorizer)
            peer = engine.connect("a")
            peer.send(publish("t"))
            authorizer.open[0][1].set_exception(RuntimeError("ours"))
            await engine.until(lambda: peer.closed)

        asyncio.run(main())

    def test_the_keep_alive_does_not_count_meanwhile(self):
        async def main():
            authorizer = FakeAuthorizer(slow=True)
            engine = Engine(authorizer=authorizer)
            peer = engine.connect("a", keep_alive_seconds=2)
            peer.send(publish("t", qos=1, packet_id=1))
            engine.wait(10)
            assert not peer.closed
            authorizer.answer()
            await engine.until(lambda: peer.io.written)

        asyncio.run(main())


class TestTooManyBranches:
    """A deep topic name that leads to very many filters. (What that takes is in ``routing/test_router.py``.)"""

    TOPIC = "a/" * 39 + "x"

    def bombed(self) -> Engine:
        engine = Engine(topic_levels_max=50, subscriptions_per_session_max=10_000)
        bomber = engine.connect("bomber")
        for number in range(1_200):
            bits = f"{number:011b}" * 4
            parts = ["+" if bit == "1" else "a" for bit in bits[:39]]
            bomber.subscribe("/".join([*parts, "never"]))
        return engine

    def test_it_is_refused_and_not_retained(self):
        engine = self.bombed()
        peer = engine.connect("c")
        peer.subscribe("#")
        answer = peer.publish(self.TOPIC, qos=1, packet_id=1, retain=True)
        assert said(answer) == ["PUBACK #1 0x97"]
        assert engine.broker.retained.count == 0
        assert engine.stats.dropped["too_many_branches"] == 1
        assert said(peer.publish("a/x", qos=1, packet_id=2))[0] == "PUBACK #2"

    def test_the_turn_has_what_it_took(self):
        engine = self.bombed()
        engine.broker.begin_turn()
        assert not engine.broker.turn_is_full()
        for number in range(4):
            engine.broker.router.match(self.TOPIC + str(number))
        assert engine.broker.turn_is_full()
        engine.end_turn()
        engine.broker.begin_turn()
        assert not engine.broker.turn_is_full()
        engine.end_turn()
