from rookery.engine.peers.items import ROUTE, SYNCED, item_end
from rookery.engine.peers.syncing import AHEAD_BYTES_MAX, RETAINED_PER_TURN, ROUTES_PER_TURN
from tests.support.engine import publish
from tests.support.peers import Cluster, hub_of


def kinds(frames: list[bytes]) -> list[int]:
    found = []
    for frame in frames:
        at = 0
        while at < len(frame):
            found.append(frame[at + 4])
            at = item_end(frame, at)
    return found


def test_all_routes_and_retained_messages_are_told_in_parts():
    routes, retained = ROUTES_PER_TURN + 100, RETAINED_PER_TURN + 50
    cluster = Cluster("a", subscriptions_per_session_max=100_000)
    one = cluster.connect("a", "one")
    for start in range(0, routes, 500):
        cluster.subscribe(one, *[f"f/{n}" for n in range(start, min(start + 500, routes))])
    for number in range(retained):
        cluster.send(one, publish(f"r/{number}", b"x", 1, packet_id=1, retain=True))
    other = cluster.add("b")
    node = hub_of(other).nodes["a"]
    assert node.synced
    assert len(node.routes) == routes
    assert other.broker.retained.count == retained


def test_no_more_is_told_than_the_link_takes():
    cluster = Cluster("a", "b")
    cluster.subscribe(cluster.connect("a", "one"), "t")
    cluster.cut("a", "b")
    cluster.join("a", "b")
    link = cluster.links["a", "b"]
    link.unsent_bytes = AHEAD_BYTES_MAX + 1
    for _ in range(3):
        cluster.engines["a"].turn()
    assert ROUTE not in kinds(link.frames)
    link.unsent_bytes = 0
    cluster.engines["a"].turn()
    assert {ROUTE, SYNCED} <= set(kinds(link.frames))
    cluster.settle()
    assert hub_of(cluster.engines["b"]).nodes["a"].synced


def test_a_link_that_ends_meanwhile_is_told_from_the_beginning():
    cluster = Cluster("a", "b")
    cluster.subscribe(cluster.connect("a", "one"), "t")
    cluster.cut("a", "b")
    cluster.join("a", "b")
    cluster.links["a", "b"].unsent_bytes = AHEAD_BYTES_MAX + 1
    cluster.engines["a"].turn()
    cluster.cut("a", "b")
    cluster.join("a", "b")
    cluster.settle()
    assert hub_of(cluster.engines["b"]).nodes["a"].routes.keys() == {"t"}
