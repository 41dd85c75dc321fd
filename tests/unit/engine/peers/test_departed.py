"""A node dies and another one adopts its cell: what third nodes and the adopter itself had kept for its sessions."""

import pytest

from rookery.engine.peers.departed import DEPARTED_FACT
from rookery.engine.peers.remote_node import READ_AT_A_TIME
from rookery.mqtt.packets import Packet, PubAck, PubComp, Publish, PubRec, PubRel
from tests.support.adopting import adopt, survivor_of
from tests.support.engine import Peer, publish, said
from tests.support.peers import Cluster, hub_of

LASTING = {"session_expiry_interval": 3_600, "clean_start": False}
EPOCH = 1


class Dying(Cluster):
    """Of three nodes a is to die, on which a session asks for something whose client is away."""

    def __init__(self, qos: int = 2, topic_filter: str = "t") -> None:
        super().__init__("a", "b", "c")
        self.offline("a", "reader", topic_filter, qos)
        # Nobody is let in while a member does not answer.
        self.writers = {node: self.connect(node, f"writer {node}") for node in "bc"}
        self.others = {node: self.connect(node, f"another {node}") for node in "bc"}
        tell_members(self)

    def offline(self, node: str, client_id: str, topic_filter: str = "t", qos: int = 2) -> None:
        """A session whose client is away."""
        reader = self.connect(node, client_id, **LASTING)
        self.subscribe(reader, topic_filter, qos=qos)
        reader.drop()
        self.settle()

    def write(self, node: str, *payloads: int, qos: int = 2) -> None:
        """Publish; all of it is acknowledged."""
        kind = "PUBACK" if qos == 1 else "PUBREC"
        for payload in payloads:
            packet = publish("t", b"%d" % payload, qos, packet_id=payload + 1)
            told = self.send(self.writers[node], packet)
            assert told[0].split(" 0x10")[0] == f"{kind} #{payload + 1}"

    def write_at_once(self, node: str, *payloads: int, qos: int, retain: bool = False) -> None:
        """Publish, and look at nothing but that node."""
        writer = self.others[node]
        packets = [
            publish("t", b"%d" % payload, qos, packet_id=payload + 1, retain=retain)
            for payload in payloads
        ]
        writer.engine.turn((writer, writer.encode(*packets)))
        writer.engine.settle()


def tell_members(cluster: Cluster, without: str = "") -> None:
    """Say who is a member, as the registers do."""
    for engine in cluster.engines.values():
        members = {name: epoch for name, epoch in cluster.epochs.items() if name != without}
        hub_of(engine).set_members(members)
    cluster.settle()


def adopted(cluster: Cluster, by: str = "b", cell: str = "a") -> None:
    """Have a dead node's cell adopted; the cluster is not at rest then."""
    hub = hub_of(cluster.engines[by])
    epoch = cluster.epochs[cell]
    dead = survivor_of(cluster.stores[cell])
    adopt(
        cluster.engines[by],
        dead,
        cell,
        reachable=lambda: hub.departed.adopted_here(cell, epoch),
        epoch=epoch,
    )


def back_anew(cluster: Cluster, name: str = "a") -> None:
    """The dead node is back with an empty cell."""
    cluster.add_anew(name)
    tell_members(cluster)


def got(cluster: Cluster, node: str = "b", client_id: str = "reader") -> list[int]:
    """What a client gets when it is back, to the end."""
    peer = cluster.begin(node, client_id, **LASTING)
    cluster.settle()
    connack, *packets = peer.take()
    assert connack.session_present
    found = taken(cluster, peer, packets)
    peer.drop()
    cluster.settle()
    return found


def taken(cluster: Cluster, peer: Peer, packets: list[Packet]) -> list[int]:
    found: list[int] = []
    while packets:
        answers: list[Packet] = []
        for packet in packets:
            if isinstance(packet, Publish):
                found.append(int(packet.payload))
                answers.append((PubAck if packet.qos == 1 else PubRec)(packet.packet_id))
            elif isinstance(packet, PubRel):
                answers.append(PubComp(packet.packet_id))
        peer.engine.turn((peer, peer.encode(*answers)))
        cluster.settle()
        packets = peer.take()
    return found


def kept_by(cluster: Cluster, node: str) -> list[int]:
    return hub_of(cluster.engines[node]).kept_positions()


def at_rest(cluster: Cluster) -> None:
    """Nobody keeps anything for anybody."""
    for name, engine in cluster.engines.items():
        engine.wait(1)
        assert kept_by(cluster, name) == []
        assert hub_of(engine).departed.nodes == []
        facts = cluster.stores[name].content.facts
        assert not [fact for fact in facts if fact.startswith(DEPARTED_FACT)]


class TestWhatAThirdNodeKept:
    def test_is_handed_to_the_adopter_once_and_in_order_with_what_follows(self):
        cluster = Dying()
        cluster.kill("a")
        cluster.write("c", 0, 1)
        adopted(cluster)
        cluster.write("c", 2)
        assert got(cluster) == [0, 1, 2]
        at_rest(cluster)

    def test_waits_for_an_adopter_that_is_not_reached(self):
        cluster = Dying()
        cluster.kill("a")
        cluster.write("c", 0)
        cluster.cut("b", "c")
        adopted(cluster)
        cluster.write("c", 1)
        assert len(kept_by(cluster, "c")) == 2
        cluster.join("b", "c")
        cluster.settle()
        assert got(cluster) == [0, 1]
        at_rest(cluster)

    @pytest.mark.parametrize("arrived", [False, True])
    def test_comes_once_though_the_link_breaks_while_it_is_handed(self, arrived):
        cluster = Dying()
        cluster.kill("a")
        cluster.write("c", 0, 1, 2)
        adopted(cluster)
        cluster.settle(lambda link: link.source == "b")  # c knows now.
        if arrived:
            cluster.settle(lambda link: link.source == "c")
        cluster.cut("b", "c")
        assert len(kept_by(cluster, "c")) == 3
        cluster.join("b", "c")
        cluster.settle()
        assert got(cluster) == [0, 1, 2]
        at_rest(cluster)

    @pytest.mark.parametrize("restarted", ["b", "c"])
    def test_comes_once_though_one_of_the_two_starts_again_meanwhile(self, restarted):
        cluster = Dying()
        cluster.kill("a")
        cluster.write("c", 0, 1)
        adopted(cluster)
        cluster.settle(lambda link: link.source == "b")
        cluster.settle(lambda link: link.source == "c")
        cluster.kill(restarted)
        cluster.add(restarted)
        tell_members(cluster, without="a")
        assert got(cluster) == [0, 1]
        at_rest(cluster)

    def test_is_acknowledged_by_the_adopter_when_that_has_made_it_durable(self):
        cluster = Dying()
        cluster.kill("a")
        cluster.write("c", 0)
        adopted(cluster)
        cluster.settle(lambda link: link.source == "b")
        store = cluster.stores["b"]
        store.at_once = False
        cluster.settle()
        cluster.cut("b", "c")
        cluster.join("b", "c")
        cluster.settle()
        assert len(kept_by(cluster, "c")) == 1, "it came again, and the first is not durable yet"
        cluster.engines["b"].complete(OSError("full"))
        store.at_once = True
        cluster.engines["b"].wait(1)
        while store.waiting:
            cluster.engines["b"].complete()
        cluster.cut("b", "c")
        cluster.join("b", "c")
        cluster.settle()
        assert got(cluster) == [0]

    def test_is_for_no_session_that_was_the_adopters_own(self):
        cluster = Dying()
        cluster.offline("b", "near")
        cluster.settle()
        cluster.kill("a")
        cluster.write("c", 0, 1)
        adopted(cluster)
        cluster.settle()
        assert got(cluster, client_id="near") == [0, 1]
        assert got(cluster) == [0, 1]

    def test_stays_before_what_the_adopter_gets_directly(self):
        cluster = Dying(qos=1)
        cluster.kill("a")
        store = cluster.stores["c"]
        cluster.write("c", *range(READ_AT_A_TIME + 20), qos=1)
        store.reads_at_once = False
        adopted(cluster)
        cluster.settle()
        cluster.write_at_once("c", *range(READ_AT_A_TIME + 20, READ_AT_A_TIME + 23), qos=1)
        cluster.settle()
        while store.reading:
            store.complete_read()
            cluster.settle()
        assert got(cluster) == list(range(READ_AT_A_TIME + 23))


class TestWhatTheAdopterItselfKept:
    @pytest.mark.parametrize("restarted", [False, True])
    def test_reaches_the_sessions_before_what_it_publishes_now(self, restarted):
        cluster = Dying(qos=1)
        cluster.offline("b", "near")
        cluster.kill("a")
        store = cluster.stores["b"]
        cluster.write("b", *range(READ_AT_A_TIME + 20), qos=1)
        store.reads_at_once = False
        adopted(cluster)
        for n in range(READ_AT_A_TIME + 20, READ_AT_A_TIME + 23):
            cluster.write_at_once("b", n, qos=1, retain=n % 2 == 0)
        while store.reading:
            store.complete_read()
            cluster.settle()
        store.reads_at_once = True
        if restarted:
            cluster.kill("b")
            cluster.add("b")
        assert got(cluster) == list(range(READ_AT_A_TIME + 23))
        assert got(cluster, client_id="near") == list(range(READ_AT_A_TIME + 23))

    def test_lets_others_wait_for_no_more_than_what_is_to_be_read(self):
        cluster = Dying()
        cluster.kill("a")
        cluster.write("b", 0)
        store = cluster.stores["b"]
        engine = cluster.engines["b"]
        hub = hub_of(engine)
        store.reads_at_once = False

        def reachable() -> None:
            hub.departed.adopted_here("a", EPOCH)
            assert engine.broker.publishing.behind == {"a"}, "from the first moment on"

        adopt(engine, survivor_of(cluster.stores["a"]), "a", reachable=reachable, epoch=EPOCH)
        store.at_once = False
        cluster.write_at_once("b", 1, qos=2)
        store.complete_read()
        cluster.settle()
        assert store.waiting, "the last one is not durable"
        assert engine.broker.publishing.behind == set()
        store.at_once = store.reads_at_once = True
        while store.waiting:
            engine.complete()
        assert got(cluster) == [0, 1]

    def test_is_not_done_with_before_it_is_durable_for_them(self):
        cluster = Dying()
        cluster.kill("a")
        cluster.write("b", 0)
        store = cluster.stores["b"]
        store.reads_at_once = False
        adopted(cluster)
        store.at_once = False
        store.reads_at_once = True
        store.complete_read()
        cluster.settle()
        cluster.engines["b"].complete(OSError("full"))
        store.at_once = True
        cluster.engines["b"].wait(1)
        while store.waiting:
            cluster.engines["b"].complete()
        cluster.engines["b"].wait(2)
        cluster.settle()
        cluster.kill("b")
        cluster.add("b")
        assert got(cluster) == [0]

    def test_is_given_to_them_by_its_next_process(self):
        cluster = Dying()
        cluster.kill("a")
        cluster.write("b", 0)
        dead = survivor_of(cluster.stores["a"])
        # It has all of the cell, and dies before its sessions were reachable.
        adopt(cluster.engines["b"], dead, "a", epoch=EPOCH)
        cluster.kill("b")
        cluster.add("b")
        back_anew(cluster)
        assert got(cluster) == [0]
        at_rest(cluster)


class TestACellThatIsAdopted:
    def test_is_passed_over_by_who_keeps_for_it_elsewhere_and_by_its_next_process(self):
        """The log says who is owed what others keep for the rest."""
        cluster = Dying()
        cluster.offline("b", "near")
        cluster.kill("a")
        adopted(cluster)
        # c does not know yet that b has the sessions: it keeps for a, and tells b for its own.
        cluster.write_at_once("c", 0, qos=2)
        cluster.settle(lambda link: link.source != "b")
        cluster.settle()
        cluster.kill("b")
        cluster.add("b")
        assert got(cluster) == [0]
        assert got(cluster, client_id="near") == [0]

    def test_is_told_of_what_is_kept_for_its_adopter_from_then_on(self):
        cluster = Dying()
        cluster.offline("b", "near")
        cluster.kill("a")
        adopted(cluster)
        cluster.settle()
        cluster.cut("b", "c")
        cluster.write("c", 0, 1)
        for _ in range(2):
            cluster.join("b", "c")
            cluster.settle(lambda link: link.source == "b")
            cluster.cut("b", "c")
        cluster.join("b", "c")
        cluster.settle()
        assert got(cluster) == [0, 1]
        assert got(cluster, client_id="near") == [0, 1]

    def test_begins_anew_without_being_kept_for(self):
        cluster = Dying()
        cluster.offline("b", "near")
        cluster.kill("a")
        adopted(cluster)
        cluster.settle()
        tell_members(cluster, without="a")
        cluster.cut("b", "c")
        cluster.empty("a")
        cluster.start("a")  # c knows that it is there, and has no link to it yet.
        hub_of(cluster.engines["c"]).set_members(dict(cluster.epochs))
        cluster.write("c", 0)
        cluster.join("b", "c")
        cluster.settle()
        assert got(cluster) == [0]

    def test_is_kept_for_until_somebody_says_that_it_has_the_sessions(self):
        cluster = Dying()
        cluster.offline("b", "near")
        cluster.settle()
        cluster.cut("b", "c")
        cluster.kill("a")
        cluster.write("c", 0)
        adopted(cluster)
        cluster.empty("a")
        cluster.start("a")
        hub_of(cluster.engines["a"]).set_members(dict(cluster.epochs))
        hub_of(cluster.engines["c"]).set_members(dict(cluster.epochs))
        cluster.join("a", "c")
        cluster.settle()
        cluster.write("c", 1)
        cluster.join("b", "c")
        cluster.settle()
        cluster.write("c", 2)
        assert got(cluster) == [0, 1, 2]
        assert got(cluster, client_id="near") == [0, 1, 2]
        at_rest(cluster)

    def test_that_nobody_has_is_kept_for_no_longer_than_somebody_may(self):
        cluster = Dying()
        cluster.cut("b", "c")
        cluster.kill("a")
        cluster.empty("a")  # The sessions are lost: an operator let go of them.
        cluster.start("a")
        hub_of(cluster.engines["c"]).set_members(dict(cluster.epochs))
        cluster.join("a", "c")
        cluster.settle()
        hub = hub_of(cluster.engines["c"])
        (gone,) = hub.departed.nodes
        assert gone.routes.keys() == {"t"}
        cluster.join("b", "c")
        cluster.settle()
        packet = publish("t", b"0", 1, packet_id=1)
        assert cluster.send(cluster.writers["c"], packet) == ["PUBACK #1 0x10"]
        assert hub.departed.nodes == []

    def test_makes_no_claim_wait_for_it(self):
        cluster = Dying()
        cluster.kill("a")
        waits = cluster.begin("c", "reader", **LASTING)
        assert cluster.taken(waits) == []
        adopted(cluster)
        assert cluster.taken(waits) == ["CONNACK present"]


def test_a_share_group_there_gets_what_was_kept_for_it():
    cluster = Dying(topic_filter="$share/g/t")
    cluster.kill("a")
    cluster.write("c", 0)
    adopted(cluster)
    cluster.settle()
    assert got(cluster) == [0]


def test_what_was_waited_for_from_it_is_answered_when_it_is_kept():
    cluster = Dying(qos=1)
    cluster.write_at_once("c", 0, qos=1)
    assert cluster.others["c"].take() == []
    cluster.kill("a")
    assert said(cluster.others["c"].take()) == ["PUBACK #1"]
