import pytest

from rookery.mqtt.packets import PubRel, Unsubscribe
from tests.support.engine import publish, said
from tests.support.peers import Cluster, hub_of

LASTING = {"session_expiry_interval": 1_000, "clean_start": False}
SHARE = "$share/g/t"


def leave(peer):
    """Leave the group; whoever knows of it only by what is carried over later does not know yet."""
    peer.engine.turn((peer, peer.encode(Unsubscribe(7, [SHARE]))))
    peer.engine.settle()
    peer.take()


def grouped(*names, **asked):
    """A cluster of four, and one member of the group at each of these nodes."""
    cluster = Cluster("a", "b", "c", "d")
    members = [cluster.connect(name, f"m{name}", **asked) for name in names]
    for member in members:
        cluster.subscribe(member, SHARE, qos=2)
    cluster.settle()
    return cluster, members


def published(writer, count, qos):
    """Publish at the writer's node so that nothing is carried over yet."""
    packets = [publish("t", b"%d" % n, qos, packet_id=n + 1) for n in range(count)]
    writer.engine.turn((writer, writer.encode(*packets)))
    writer.engine.settle()


@pytest.mark.parametrize("asked", [{}, LASTING])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_goes_on_to_a_member_elsewhere_where_the_last_one_has_left(qos, asked):
    cluster, (leaving, staying) = grouped("b", "c", **asked)
    writer = cluster.connect("a", "writer")
    published(writer, 4, qos)
    leave(leaving)
    cluster.settle()
    answers = said(writer.take())
    answer = ("", "PUBACK", "PUBREC")[qos]
    assert answers == [f"{answer} #{n + 1}" for n in range(4) if qos]
    got = sorted(each.payload for each in staying.take())
    assert got == [b"0", b"1", b"2", b"3"]
    assert not leaving.take()
    assert not any(hub_of(each).waiting_items() for each in cluster.engines.values())


def test_outlives_the_node_that_sends_it_on():
    cluster, (leaving, staying) = grouped("b", "c", **LASTING)
    writer = cluster.connect("a", "writer")
    published(writer, 2, 1)
    leave(leaving)
    cluster.settle(lambda link: (link.source, link.target) != ("b", "c"))
    assert said(writer.take()) == ["PUBACK #1", "PUBACK #2"]
    assert cluster.links["b", "c"].frames
    cluster.links["b", "c"].frames.clear()
    cluster.kill("b")
    assert len(staying.take()) == 1
    cluster.add("b")
    assert len(staying.take()) == 1


@pytest.mark.parametrize("qos", [1, 2])
def test_is_dropped_and_counted_once_where_nobody_is_left(qos):
    cluster, members = grouped("b", "c", "d", **LASTING)
    writer = cluster.connect("a", "writer")
    published(writer, 6, qos)
    for member in members:
        leave(member)
    cluster.settle()
    writer.take()
    if qos == 2:
        cluster.send(writer, *[PubRel(n + 1) for n in range(6)])
    dropped = [each.stats.dropped["session_ended"] for each in cluster.engines.values()]
    assert sum(dropped) == 6
    assert not any(hub_of(each).waiting_items() for each in cluster.engines.values())


def test_comes_back_where_only_the_node_that_sent_it_away_has_a_member():
    cluster, (leaving, near) = grouped("b", "a", **LASTING)
    writer = cluster.connect("a", "writer")
    published(writer, 2, 1)
    leave(leaving)
    cluster.settle()
    assert said(writer.take()) == ["PUBACK #1", "PUBACK #2"]
    assert sorted(each.payload for each in near.take()) == [b"0", b"1"]


def test_is_not_sent_back_by_a_node_that_has_none_either():
    cluster, _ = grouped("b", "c")
    writer = cluster.connect("a", "writer")
    published(writer, 2, 1)
    for name in "bc":  # In the turn in which the message comes, so that nobody was told yet.
        registry = cluster.engines[name].broker.registry
        registry.end_session(registry.actors[f"m{name}"])
        cluster.links["a", name].carry()
    cluster.settle()
    assert said(writer.take()) == ["PUBACK #1", "PUBACK #2"]
    counts = [each.stats.messages_from_peers for each in cluster.engines.values()]
    assert counts == [0, 2, 2, 0]
    assert sum(each.stats.dropped["session_ended"] for each in cluster.engines.values()) == 2


def test_waits_for_a_node_that_has_not_said_yet_what_it_has():
    cluster, (leaving, staying) = grouped("b", "c", **LASTING)
    writer = cluster.connect("a", "writer")
    published(writer, 2, 2)
    leave(leaving)
    cluster.kill("b")
    assert len(staying.take()) == 1
    cluster.start("b")
    hub_of(cluster.engines["b"]).set_members(cluster.epochs)
    cluster.join("a", "b")
    cluster.settle()
    assert not staying.take()
    assert not hub_of(cluster.engines["a"]).kept_positions()
    for name in "cd":
        cluster.join("b", name)
    cluster.settle()
    assert len(staying.take()) == 1
    assert cluster.engines["b"].stats.dropped["session_ended"] == 0
