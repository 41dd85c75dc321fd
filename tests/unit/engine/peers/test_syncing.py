import pytest

from rookery.engine.peers.syncing import AHEAD_BYTES_MAX, RETAINED_PER_TURN, ROUTES_PER_TURN
from rookery.mqtt.packets import Unsubscribe
from tests.support.adopting import adopt, survivor_of
from tests.support.engine import Engine, FakeStore, Peer, publish
from tests.support.peers import Cluster, hub_of

ROUTES = 2 * ROUTES_PER_TURN + 10
RETAINED = RETAINED_PER_TURN + 10
LIMITS = {"subscriptions_per_session_max": ROUTES, "retained_messages_max": RETAINED}


class Much(Cluster):
    """A node that has more to tell than it does in a turn, and another one that has just been linked to it."""

    def __init__(self) -> None:
        super().__init__("a", **LIMITS)
        self.reader: Peer = self.connect("a", "reader")
        for first in range(0, ROUTES, 10):
            self.subscribe(self.reader, *[f"f/{n}" for n in range(first, first + 10)])
        writer = self.connect("a", "writer")
        writer.send(*[publish(f"r/{n}", b"x", retain=True) for n in range(RETAINED)])
        self.start("b")
        self.join("a", "b")
        self.a = self.engines["a"]
        self.node = hub_of(self.engines["b"]).node("a")

    def turn(self) -> None:
        """A turn of the node with much to tell; what it tells arrives."""
        self.a.turn()
        self.links["a", "b"].carry()


def test_a_new_peer_is_told_all_in_parts_and_then_that_it_is_all():
    cluster = Much()
    turns = 0
    while not cluster.node.synced:
        assert cluster.a.turn_requested
        cluster.turn()
        turns += 1
    assert turns > 3
    assert cluster.node.routes.keys() == {f"f/{n}" for n in range(ROUTES)}
    assert cluster.engines["b"].broker.retained.count == RETAINED


def test_what_ends_meanwhile_is_not_told_to_be_there():
    cluster = Much()
    cluster.turn()
    gone = [f"f/{ROUTES - 1}", "f/0"]
    cluster.reader.engine.turn((cluster.reader, cluster.reader.encode(Unsubscribe(7, gone))))
    cluster.settle()
    assert cluster.node.synced
    assert not cluster.node.routes.keys() & set(gone)


@pytest.mark.parametrize("how", ["replaced", "cut", "restarted"])
def test_a_link_that_breaks_meanwhile_begins_it_again(how):
    cluster = Much()
    for _ in range(3):
        cluster.turn()
    assert not cluster.node.synced
    if how == "cut":
        cluster.cut("a", "b")
    elif how == "restarted":
        cluster.kill("b")
        cluster.start("b")
        cluster.node = hub_of(cluster.engines["b"]).node("a")
    cluster.join("a", "b")
    told = 0
    while not cluster.node.synced:
        cluster.turn()
        told = max(told, len(cluster.node.routes))
        assert cluster.node.synced == (cluster.a.broker.peers.nodes["b"].told_all)
    assert told == ROUTES
    cluster.settle()
    assert not cluster.a.turn_requested


def test_a_peer_that_takes_it_slowly_is_not_told_more_and_costs_no_turns():
    cluster = Much()
    cluster.turn()
    known = len(cluster.node.routes)
    cluster.links["a", "b"].unsent_bytes = AHEAD_BYTES_MAX + 1
    cluster.settle()
    assert len(cluster.node.routes) == known
    cluster.links["a", "b"].unsent_bytes = 0
    cluster.clock.now += 1
    cluster.turn()  # The tick of whoever takes the turns.
    cluster.settle()
    assert cluster.node.synced


def test_only_who_keeps_a_retained_message_tells_it():
    cluster = Cluster("a", "b")
    writer = cluster.connect("a", "writer")
    cluster.send(writer, publish("r", b"x", 1, packet_id=1, retain=True))
    cluster.start("c")
    cluster.join("b", "c")
    cluster.settle()
    assert cluster.engines["c"].broker.retained.count == 0
    cluster.join("a", "c")
    cluster.settle()
    assert cluster.engines["c"].broker.retained.count == 1


class Beginning(Cluster):
    """A cluster whose node ``a`` was a single node before, with retained messages."""

    def __init__(self, *others: str) -> None:
        super().__init__(*others)
        self.stores["a"] = FakeStore(at_once=True)
        alone = Engine(self.stores["a"], clock=self.clock)
        alone.connect("writer").publish("r", b"before", retain=True)
        alone.settle()
        self.stores["a"].crash()

    def write(self, node: str, payload: bytes) -> None:
        writer = self.connect(node, f"writer-{node}")
        self.send(writer, publish("r", payload, 1, packet_id=1, retain=True))

    def held(self) -> list[bytes | None]:
        """What each node has."""
        retained = [each.broker.retained.get("r") for each in self.engines.values()]
        return [None if message is None else message.payload for message in retained]


def test_what_a_single_node_kept_reaches_all_others():
    cluster = Beginning("b")
    cluster.add("a")
    cluster.add("c")
    assert cluster.held() == [b"before"] * 3
    cluster.kill("a")
    cluster.add("a")
    assert cluster.held() == [b"before"] * 3
    cluster.write("b", b"after")
    assert cluster.held() == [b"after"] * 3


@pytest.mark.parametrize("payload", [b"after", b""])
def test_what_was_published_or_cleared_in_the_cluster_is_later_than_what_a_single_node_kept(
    payload,
):
    cluster = Beginning("b", "c")
    cluster.write("b", payload)
    cluster.add("a")
    assert cluster.held() == [payload or None] * 3


def test_of_two_single_nodes_messages_all_choose_the_same():
    cluster = Beginning()
    cluster.stores["b"] = FakeStore(at_once=True)
    alone = Engine(cluster.stores["b"], clock=cluster.clock)
    alone.connect("writer").publish("r", b"too", retain=True)
    alone.settle()
    cluster.stores["b"].crash()
    for name in ("a", "b", "c"):
        cluster.add(name)
    assert len(set(cluster.held())) == 1


def test_who_adopts_the_cell_of_a_former_single_node_keeps_its_messages():
    cluster = Beginning("b", "c")
    cluster.add("a")
    cluster.kill("a")
    adopt(cluster.engines["b"], survivor_of(cluster.stores["a"]), "a", epoch=1)
    cluster.settle()
    assert set(cluster.stores["b"].content.retained) == {"r"}
    assert cluster.held() == [b"before"] * 2
