from rookery.engine.peers.switches import SWITCH_FACT
from tests.support.adopting import adopt, survivor_of
from tests.support.engine import publish
from tests.support.peers import Cluster, hub_of

LASTING = {"session_expiry_interval": 3_600, "clean_start": False}


def offline(cluster: Cluster, node: str, client_id: str) -> None:
    reader = cluster.connect(node, client_id, **LASTING)
    cluster.subscribe(reader, "t", qos=2)
    reader.drop()
    cluster.settle()


def count(cluster: Cluster, node: str, client_id: str) -> int:
    """How many messages a session there is owed."""
    actor = cluster.engines[node].broker.registry.actors[client_id]
    return actor.session.outbound.backlog_count()


def both_kept_and_delivered() -> Cluster:
    """C has a message for b, that it cannot be told, which a had as well before b adopted its cell."""
    cluster = Cluster("a", "b", "c")
    offline(cluster, "a", "far")
    offline(cluster, "b", "near")
    cluster.cut("b", "c")
    writer = cluster.connect("c", "writer")
    assert cluster.send(writer, publish("t", b"x", 2, packet_id=1)) == ["PUBREC #1"]
    assert count(cluster, "a", "far") == 1
    cluster.kill("a")
    hub = hub_of(cluster.engines["b"])
    dead = survivor_of(cluster.stores["a"])
    adopt(
        cluster.engines["b"],
        dead,
        "a",
        reachable=lambda: hub.departed.adopted_here("a", 1),
        epoch=1,
    )
    return cluster


def test_what_was_kept_for_an_adopter_before_is_for_its_own_sessions_alone():
    cluster = both_kept_and_delivered()
    cluster.join("b", "c")
    cluster.settle()
    assert (count(cluster, "b", "far"), count(cluster, "b", "near")) == (1, 1)


def test_even_when_it_is_told_by_a_later_process():
    cluster = both_kept_and_delivered()
    store = cluster.stores["c"]
    store.reads_at_once = False
    cluster.join("b", "c")
    cluster.settle()
    cluster.engines["c"].wait(1)
    assert SWITCH_FACT + "b/a" in store.content.facts
    cluster.kill("c")
    store.reads_at_once = True
    cluster.add("c")
    assert (count(cluster, "b", "far"), count(cluster, "b", "near")) == (1, 1)


def test_a_later_adoption_of_the_cell_counts_anew():
    cluster = both_kept_and_delivered()
    switches = hub_of(cluster.engines["c"]).departed.switches
    committer = cluster.engines["c"].broker.committer
    switches.note("b", "a", 1)
    first = committer.end()
    assert switches.apart("b", first - 1) == ["a"]
    assert switches.apart("b", first) == []
    assert switches.apart("a", first - 1) == []
    committer.append_entry(b"x")
    switches.note("b", "a", 1)  # Said again, with another link.
    assert switches.apart("b", first) == []
    switches.note("b", "a", 2)
    assert switches.apart("b", first) == switches.apart("b", first - 1) == ["a"]
