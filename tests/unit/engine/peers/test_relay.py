import pytest

from rookery.engine.gauges import BrokerGauges
from rookery.engine.peers.hub import CLIENTS_SECONDS
from rookery.engine.peers.relay_handle import RelayHandle
from rookery.mqtt.packets import (
    Disconnect,
    PingReq,
    PubAck,
    PubRec,
    PubRel,
    Subscribe,
    SubscriptionRequest,
    Unsubscribe,
)
from rookery.mqtt.types import V3_1_1, V5, ReasonCode
from tests.support.engine import connect, props, publish, said, will
from tests.support.peers import Cluster, hub_of
from tests.unit.engine.peers.test_claims import LASTING, sessions

BACK = {"clean_start": False, **LASTING}


def away(cluster: Cluster, *filters: str, qos: int = 2) -> None:
    """A durable session on node a whose client is away."""
    peer = cluster.connect("a", "c", **LASTING)
    if filters:
        cluster.subscribe(peer, *filters, qos=qos)
    peer.drop()
    cluster.settle()


def handle_of(cluster: Cluster) -> RelayHandle | None:
    """The connection of that session's client."""
    client = cluster.engines["a"].broker.registry.actors["c"].client
    return None if client is None else client.io


class TestASessionOnAnotherNode:
    def test_is_resumed_with_what_it_is_owed(self):
        cluster = Cluster("a", "b")
        away(cluster, "t")
        writer = cluster.connect("b", "writer")
        cluster.send(writer, publish("t", b"1", 1, packet_id=1))
        cluster.send(writer, publish("t", b"2", 2, packet_id=2), PubRel(2))
        peer, told = cluster.connect_more("b", "c", **BACK)
        assert told == ["CONNACK present", "PUBLISH t=1 q1 #1", "PUBLISH t=2 q2 #2"]
        assert sessions(cluster) == ["a"]
        assert hub_of(cluster.engines["b"]).relays.count == 1
        assert cluster.send(peer, PubAck(1), PubRec(2)) == ["PUBREL #2"]

    def test_is_resumed_with_what_was_in_flight(self):
        cluster = Cluster("a", "b", "c")
        away(cluster, "t")
        first = cluster.connect("b", "c", **BACK)
        writer = cluster.connect("a", "writer")
        cluster.send(writer, publish("t", b"1", 1, packet_id=1))
        cluster.send(writer, publish("t", b"2", 2, packet_id=2), PubRel(2))
        cluster.send(writer, publish("t", b"3", 2, packet_id=3), PubRel(3))
        assert cluster.taken(first) == [f"PUBLISH t={n} q{min(n, 2)} #{n}" for n in (1, 2, 3)]
        # QoS 2 of its own, half done, and half done the other way as well.
        assert cluster.send(first, PubRec(3), publish("u", b"4", 2, packet_id=9)) == [
            "PUBREL #3",
            "PUBREC #9 0x10",
        ]
        first.drop()
        cluster.settle()
        second, told = cluster.connect_more("c", "c", **BACK)
        assert told == [
            "CONNACK present",
            "PUBLISH t=1 q1 #1 dup",
            "PUBLISH t=2 q2 #2 dup",
            "PUBREL #3",
        ]
        listener = cluster.connect("b", "listener")
        cluster.subscribe(listener, "u")
        resent = publish("u", b"4", 2, packet_id=9, dup=True)
        assert cluster.send(second, resent, PubRel(9)) == ["PUBREC #9", "PUBCOMP #9"]
        assert cluster.taken(listener) == []

    @pytest.mark.parametrize("version", [V3_1_1, V5])
    def test_serves_its_client_as_if_it_were_here(self, version: int):
        cluster = Cluster("a", "b")
        asked = LASTING if version == V5 else {}
        cluster.connect("a", "c", version, clean_start=False, **asked).drop()
        cluster.settle()
        peer = cluster.connect("b", "c", version, clean_start=False, **asked)
        other = cluster.connect("b", "other")
        cluster.subscribe(other, "up/#", qos=2)
        cluster.subscribe(peer, "down", qos=2)
        for qos in (0, 1, 2):
            cluster.send(peer, publish("up/x", b"%d" % qos, qos, packet_id=qos))
        cluster.send(peer, PubRel(2))
        assert [each.payload for each in other.take()] == [b"0", b"1", b"2"]
        cluster.send(other, publish("down", b"x", 1, packet_id=1))
        assert cluster.taken(peer) == ["PUBLISH down=x q1 #1"]
        assert cluster.send(peer, PingReq()) == ["PINGRESP"]
        assert cluster.send(peer, Unsubscribe(3, ["down"]))[0].startswith("UNSUBACK")

    def test_is_sent_what_stands_behind_the_connect(self):
        cluster = Cluster("a", "b")
        away(cluster)
        listener = cluster.connect("a", "listener")
        cluster.subscribe(listener, "u/#")
        peer = cluster.engines["b"].peer()
        peer.link.open_output(1_000_000, 10)
        data = peer.encode(
            connect("c", **BACK),
            publish("u/long", b"1"),
            publish("u/long", b"2"),
            Subscribe(5, [SubscriptionRequest("t", 1)], None),
        )
        # The second of them is named by the topic alias that the first one set.
        assert data.count(b"u/long") == 1
        peer.engine.turn((peer, data[:-3]))
        peer.engine.turn((peer, data[-3:]))
        assert cluster.taken(peer) == ["CONNACK present", "SUBACK 0x01"]
        assert [each.payload for each in listener.take()] == [b"1", b"2"]

    def test_ends_with_the_expiry_of_its_disconnect(self):
        cluster = Cluster("a", "b")
        away(cluster)
        peer = cluster.connect("b", "c", **BACK)
        cluster.send(peer, Disconnect(properties=props(session_expiry_interval=0)))
        assert peer.closed
        assert sessions(cluster) == []

    def test_that_ends_takes_its_client_along(self):
        cluster = Cluster("a", "b")
        away(cluster)
        peer = cluster.connect("b", "c", **BACK)
        actor = cluster.engines["a"].broker.registry.actors["c"]
        actor.client.disconnect(ReasonCode.ADMINISTRATIVE_ACTION, "administrative", "")
        assert cluster.taken(peer) == ["DISCONNECT 0x98"]
        assert peer.closed
        assert hub_of(cluster.engines["b"]).relays.count == 0
        assert hub_of(cluster.engines["a"]).relays.more_connected() == 0

    def test_that_has_gone_meanwhile_begins_anew(self):
        cluster = Cluster("a", "b")
        away(cluster)
        peer = cluster.begin("b", "c", **BACK)
        cluster.settle(lambda link: link.source == "b")
        # a has said that the session is there.
        registry = cluster.engines["a"].broker.registry
        registry.end_session(registry.actors["c"])
        assert cluster.taken(peer) == ["CONNACK"]
        assert sessions(cluster) == ["b"]


class TestATakeover:
    @pytest.mark.parametrize("node", ["a", "b", "c"])
    def test_of_a_relayed_client_from_anywhere(self, node: str):
        cluster = Cluster("a", "b", "c")
        away(cluster)
        first = cluster.connect("b", "c", **BACK)
        second, told = cluster.connect_more(node, "c", **BACK)
        assert told == ["CONNACK present"]
        assert cluster.taken(first) == ["DISCONNECT 0x8E"]
        assert first.closed
        assert not second.closed
        assert sessions(cluster) == ["a"]

    def test_that_begins_anew(self):
        cluster = Cluster("a", "b", "c")
        away(cluster)
        first = cluster.connect("b", "c", **BACK)
        _, told = cluster.connect_more("c", "c", **LASTING)
        assert told == ["CONNACK"]
        assert cluster.taken(first) == ["DISCONNECT 0x8E"]
        assert sessions(cluster) == ["c"]


class TestALinkThatIsLost:
    def test_ends_the_relay_and_the_will_is_published_once(self):
        cluster = Cluster("a", "b")
        away(cluster)
        peer = cluster.connect("b", "c", will=will("t"), **BACK)
        watcher = cluster.connect("a", "watcher")
        cluster.subscribe(watcher, "t")
        cluster.cut("a", "b")
        assert peer.closed
        assert cluster.taken(watcher) == ["PUBLISH t=gone"]
        cluster.join("a", "b")
        assert cluster.taken(watcher) == []
        _, told = cluster.connect_more("b", "c", **BACK)
        assert told == ["CONNACK present"]
        assert cluster.taken(watcher) == []

    def test_before_the_owner_has_answered_refuses_the_client(self):
        cluster = Cluster("a", "b")
        away(cluster)
        peer = cluster.begin("b", "c", **BACK)
        cluster.settle(lambda link: link.source == "b")
        cluster.links["a", "b"].carry()
        cluster.cut("a", "b")
        assert cluster.taken(peer) == ["CONNACK 0x88"]
        assert not cluster.engines["a"].broker.registry.actors["c"].attached

    def test_of_a_node_that_stops_is_none_to_come_by(self):
        cluster = Cluster("a", "b")
        away(cluster)
        cluster.engines["a"].broker.drain()
        _, told = cluster.connect_more("b", "c", **BACK)
        assert told == ["CONNACK 0x88"]
        assert handle_of(cluster) is None

    def test_of_a_node_that_may_not_speak_for_its_sessions_any_more_is_none_to_come_by(self):
        cluster = Cluster("a", "b")
        away(cluster)
        peer = cluster.begin("b", "c", **BACK)
        cluster.links["b", "a"].carry()
        cluster.engines["a"].broker.closed_for = "it may not speak for its sessions"
        assert cluster.taken(peer) == ["CONNACK 0x88"]
        assert handle_of(cluster) is None

    def test_of_a_node_that_is_emptied_goes_on_by_way_of_others(self):
        cluster = Cluster("a", "b")
        emptied = cluster.engines["a"].broker
        emptied.other_servers = ["b:1883"]
        away(cluster)
        here = cluster.connect("b", "c", **BACK)
        there = cluster.connect("a", "d", **LASTING)
        emptied.emptied_for = "it is being emptied"
        assert emptied.send_away(9) == 1
        assert cluster.taken(there) == ["DISCONNECT 0x9C"]
        assert cluster.connect_more("a", "e")[1] == ["CONNACK 0x9C"]
        back = cluster.connect("b", "d", **BACK)
        here.drop()
        here = cluster.connect("b", "c", **BACK)
        for peer in (here, back):
            assert cluster.subscribe(peer, "t") == []
        writer = cluster.connect("b", "writer")
        assert cluster.send(writer, publish("t", b"1", 1, packet_id=1)) == ["PUBACK #1"]
        assert cluster.taken(here) == cluster.taken(back) == ["PUBLISH t=1 q1 #1"]
        assert emptied.send_away(9, brought_as_well=True) == 2

    def test_has_its_client_counted_where_that_is_connected(self):
        cluster = Cluster("a", "b")
        away(cluster)
        cluster.connect("b", "c", **BACK)
        cluster.connect("b", "d")
        for engine in cluster.engines.values():
            engine.wait(CLIENTS_SECONDS)
        cluster.settle()
        hubs = {name: hub_of(engine) for name, engine in cluster.engines.items()}
        assert (hubs["a"].clients_here(), hubs["b"].clients_here()) == (0, 2)
        assert hubs["a"].clients_elsewhere(["b"]) == [2]
        assert hubs["b"].clients_elsewhere(["a", "x"]) == [0]
        assert hubs["a"].clients_elsewhere([]) == []

    @pytest.mark.parametrize(("version", "told"), [(V3_1_1, "0x88"), (V5, "0x9C")])
    def test_is_reached_through_no_node_that_is_emptied(self, version: int, told: str):
        cluster = Cluster("a", "b")
        away(cluster)
        emptied = cluster.engines["b"].broker
        emptied.other_servers = ["a:1883"]
        more = LASTING if version == V5 else {}
        peer = cluster.begin("b", "c", version, **{"clean_start": False, **more})
        emptied.emptied_for = "it is being emptied"
        assert emptied.send_away(9) == 0  # It is not let in yet.
        assert cluster.taken(peer) == [f"CONNACK {told}"]
        assert peer.closed
        assert hub_of(cluster.engines["b"]).relays.count == 0
        assert cluster.connect_more("a", "c", **BACK)[1] == ["CONNACK present"]

    def test_for_the_cell_is_adopted_ends_the_relay(self):
        cluster = Cluster("a", "b", "c")
        away(cluster)
        peer = cluster.connect("b", "c", **BACK)
        hub_of(cluster.engines["c"]).departed.adopted_here("a", 1)
        cluster.engines["c"].settle()
        cluster.settle(lambda link: "a" not in (link.source, link.target))
        assert peer.closed

    def test_of_the_client_is_told(self):
        cluster = Cluster("a", "b")
        away(cluster)
        peer = cluster.connect("b", "c", will=will("t"), **BACK)
        watcher = cluster.connect("b", "watcher")
        cluster.subscribe(watcher, "t")
        peer.drop()
        assert cluster.taken(watcher) == ["PUBLISH t=gone"]
        assert cluster.engines["a"].stats.disconnects["connection_lost"] == 2


class TestBounds:
    def test_large_messages_pass(self):
        cluster = Cluster("a", "b", queue_bytes_max=10_000_000)
        away(cluster, "t", qos=1)
        peer = cluster.connect("b", "c", **BACK)
        payload = b"x" * 1_000_000
        told = cluster.send(peer, *[publish("t", payload, 1, packet_id=n) for n in (1, 2, 3)])
        assert sorted(each[:9] for each in told) == ["PUBACK #1", "PUBACK #2", "PUBACK #3"] + 3 * [
            "PUBLISH t"
        ]


class TestWhoCounts:
    def test_connections_count_where_they_are(self):
        cluster = Cluster("a", "b", connections_max=1, connections_per_user_max=1)
        away(cluster)
        peer = cluster.connect("b", "c", username="u", **BACK)
        _, told = cluster.connect_more("b", "d")
        assert told == ["CONNACK 0x97"]
        local, told = cluster.connect_more("a", "d", username="u")
        assert told == ["CONNACK"]
        local.drop()
        peer.drop()
        cluster.settle()
        assert cluster.connect_more("b", "d", username="u")[1] == ["CONNACK"]

    def test_keep_alive_is_watched_by_the_owner(self):
        cluster = Cluster("a", "b")
        away(cluster)
        peer = cluster.connect("b", "c", keep_alive_seconds=60, **BACK)
        cluster.engines["b"].wait(80)
        assert not peer.closed
        cluster.engines["a"].wait(20)
        assert cluster.taken(peer) == ["DISCONNECT 0x8D"]

    def test_who_may_not_be_here_any_more_is_told_by_the_node_that_let_it_in(self):
        cluster = Cluster("a", "b")
        away(cluster)
        peer = cluster.connect("b", "c", username="u", **BACK)
        authenticator = cluster.engines["a"].broker.authenticator
        authenticator.unwanted["u"] = "changed"
        authenticator.generation += 1
        cluster.engines["a"].turn()
        assert cluster.taken(peer) == []
        authenticator = cluster.engines["b"].broker.authenticator
        authenticator.unwanted["u"] = "changed"
        authenticator.generation += 1
        cluster.engines["b"].turn()
        assert cluster.taken(peer) == ["DISCONNECT 0x87"]
        assert not cluster.engines["a"].broker.registry.actors["c"].attached

    def test_clients_that_are_sent_away_are_those_here(self):
        cluster = Cluster("a", "b")
        away(cluster)
        peer = cluster.connect("b", "c", **BACK)
        assert cluster.engines["b"].broker.send_away(0) == 0
        assert BrokerGauges(cluster.engines["b"].broker).relayed_clients() == 1
        assert cluster.engines["b"].broker.send_away(5) == 1
        assert cluster.taken(peer) == ["DISCONNECT 0x89"]
        assert handle_of(cluster) is None
        assert cluster.engines["a"].stats.disconnects["moved"] == 1

    def test_a_node_that_stops_publishes_no_will(self):
        cluster = Cluster("a", "b")
        away(cluster)
        peer = cluster.connect("b", "c", will=will("t"), **BACK)
        watcher = cluster.connect("a", "watcher")
        cluster.subscribe(watcher, "t")
        cluster.engines["b"].broker.drain()
        assert cluster.taken(peer) == ["DISCONNECT 0x8B"]
        assert cluster.taken(watcher) == []
        assert said(watcher.take()) == []
