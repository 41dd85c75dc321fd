import random
from itertools import combinations

import pytest

from rookery.mqtt.packets import Disconnect
from rookery.mqtt.types import V3_1, V3_1_1, V5
from rookery.ports import Principal
from tests.support.engine import Peer, will
from tests.support.peers import Cluster, FakeLink, hub_of

LASTING = {"session_expiry_interval": 3_600}


def sessions(cluster: Cluster, client_id: str = "c") -> list[str]:
    """The nodes that have a session of the client."""
    return [
        name
        for name, engine in cluster.engines.items()
        if client_id in engine.broker.registry.actors
    ]


class TestATakeover:
    @pytest.mark.parametrize("version", [V3_1, V3_1_1, V5])
    def test_leaves_one_link_and_one_session(self, version: int):
        cluster = Cluster("a", "b", "c")
        first = cluster.connect("a", "c", version)
        second, told = cluster.connect_more("b", "c", version)
        assert told == ["CONNACK"]
        assert cluster.taken(first) == (["DISCONNECT 0x8E"] if version == V5 else [])
        assert first.closed
        assert not second.closed
        assert sessions(cluster) == ["b"]

    def test_begins_anew_where_the_client_asks_for_it(self):
        cluster = Cluster("a", "b")
        first = cluster.connect("a", "c", **LASTING)
        cluster.subscribe(first, "t")
        _, told = cluster.connect_more("b", "c", **LASTING)
        assert told == ["CONNACK"]
        assert first.closed
        assert sessions(cluster) == ["b"]
        assert cluster.engines["a"].stats.sessions_discarded == 1

    def test_ends_a_session_that_does_not_outlive_its_link(self):
        cluster = Cluster("a", "b")
        first = cluster.connect("a", "c", will=will("t"))
        watcher = cluster.connect("b", "watcher")
        cluster.subscribe(watcher, "t")
        _, told = cluster.connect_more("b", "c", clean_start=False)
        assert told == ["CONNACK"]
        assert first.closed
        assert sessions(cluster) == ["b"]
        assert cluster.taken(watcher) == ["PUBLISH t=gone"]

    def test_answers_once_the_old_session_cannot_come_back(self):
        cluster = Cluster("a", "b")
        cluster.connect("a", "c", **LASTING).send(Disconnect())
        store = cluster.stores["a"]
        store.at_once = False
        peer, told = cluster.connect_more("b", "c", **LASTING)
        assert told == []
        store.at_once = True
        while store.waiting:
            store.complete()
        assert cluster.taken(peer) == ["CONNACK"]
        cluster.kill("a")
        assert store.content.sessions == {}

    def test_answers_in_the_end_though_a_commit_failed(self):
        cluster = Cluster("a", "b")
        cluster.connect("a", "c", **LASTING).send(Disconnect())
        store = cluster.stores["a"]
        store.is_broken = True
        peer, told = cluster.connect_more("b", "c", **LASTING)
        assert told == []
        store.is_broken = False
        cluster.engines["a"].wait(1)
        assert cluster.taken(peer) == ["CONNACK"]
        assert store.content.sessions == {}

    def test_needs_nobody_where_the_session_is_here(self):
        cluster = Cluster("a", "b")
        cluster.connect("a", "c")
        cluster.connect("a", "c")
        assert cluster.engines["a"].stats.claims_asked == 1

    def test_of_one_key_only(self):
        cluster = Cluster("a", "b")
        first = cluster.connect("a", "c")
        cluster.connect("b", "d")
        assert not first.closed


class TestWhoComesFirst:
    def test_the_later_of_two_at_once_has_it(self):
        cluster = Cluster("a", "b")
        first = cluster.begin("a", "c")
        second = cluster.begin("b", "c")
        assert cluster.taken(second) == ["CONNACK"]
        assert cluster.taken(first) == ["CONNACK", "DISCONNECT 0x8E"]
        assert sessions(cluster) == ["b"]

    def test_the_later_of_two_at_one_node_displaces_the_earlier(self):
        cluster = Cluster("a", "b")
        first = cluster.begin("a", "c")
        second = cluster.begin("a", "c")
        assert cluster.taken(second) == ["CONNACK"]
        assert cluster.taken(first) == ["CONNACK 0x88"]
        assert first.closed
        assert sessions(cluster) == ["a"]

    def test_one_that_has_gone_keeps_nobody_waiting(self):
        cluster = Cluster("a", "b", "c")
        for engine in cluster.engines.values():
            hub_of(engine).set_members(dict.fromkeys("abc", 1))
        cluster.cut("a", "c")
        first = cluster.begin("a", "c")
        second = cluster.begin("b", "c")
        assert cluster.taken(second) == []
        first.drop()
        assert cluster.taken(second) == ["CONNACK"]

    def test_an_earlier_one_that_begins_anew_is_waited_for_by_a_later_that_resumes(self):
        cluster = Cluster("a", "b", "c")
        cluster.connect("a", "c", **LASTING).drop()
        first = cluster.begin("c", "c")
        second = cluster.begin("b", "c", clean_start=False, **LASTING)
        # The owner hears of the second only, and says that it has the session.
        ways = {("b", "a"), ("a", "b"), ("b", "c")}
        cluster.settle(lambda link: (link.source, link.target) in ways)
        assert cluster.taken(second) == ["CONNACK"]
        assert cluster.taken(first) == ["CONNACK", "DISCONNECT 0x8E"]
        assert sessions(cluster) == ["b"]

    def test_what_a_client_sends_meanwhile_waits(self):
        cluster = Cluster("a", "b")
        first = cluster.begin("a", "c", **LASTING)
        assert first.send(Disconnect()) == []
        assert first.io.paused
        cluster.settle()
        assert first.closed
        assert sessions(cluster) == ["a"]


class TestAMemberWithoutALink:
    def test_is_waited_for(self):
        cluster = Cluster("a", "b")
        hub_of(cluster.engines["a"]).set_members(dict.fromkeys("ab", 1))
        old = cluster.connect("b", "c")
        cluster.cut("a", "b")
        peer, told = cluster.connect_more("a", "c")
        assert told == []
        cluster.join("a", "b")
        assert cluster.taken(peer) == ["CONNACK"]
        assert old.closed

    def test_is_not_when_it_is_none_any_more(self):
        cluster = Cluster("a", "b")
        hub_of(cluster.engines["a"]).set_members(dict.fromkeys("ab", 1))
        cluster.cut("a", "b")
        peer, told = cluster.connect_more("a", "c")
        assert told == []
        hub_of(cluster.engines["a"]).set_members(dict.fromkeys("a", 1))
        assert cluster.taken(peer) == ["CONNACK"]

    def test_is_not_for_longer_than_a_connect_may_take(self):
        cluster = Cluster("a", "b")
        hub_of(cluster.engines["a"]).set_members(dict.fromkeys("ab", 1))
        cluster.cut("a", "b")
        peer, _ = cluster.connect_more("a", "c")
        cluster.engines["a"].wait(11)
        assert cluster.taken(peer) == ["CONNACK 0x88"]
        assert peer.closed

    def test_that_is_none_any_more_makes_all_others_asked_again(self):
        cluster = Cluster("a", "b", "c")
        hub_of(cluster.engines["a"]).set_members(dict.fromkeys("abc", 1))
        cluster.kill("c")
        peer, told = cluster.connect_more("a", "c")
        assert told == []
        # b has said that it has nothing; then it takes over what c had.
        registry = cluster.engines["b"].broker.registry
        registry.restore("c", Principal("u", "c"))
        hub_of(cluster.engines["a"]).set_members(dict.fromkeys("ab", 1))
        assert cluster.taken(peer) == ["CONNACK"]
        assert sessions(cluster) == ["a"]

    def test_is_not_where_another_has_the_session(self):
        cluster = Cluster("a", "b", "c")
        hub_of(cluster.engines["a"]).set_members(dict.fromkeys("abc", 1))
        cluster.connect("b", "c", **LASTING)
        cluster.cut("a", "c")
        _, told = cluster.connect_more("a", "c", clean_start=False, **LASTING)
        assert told == ["CONNACK present"]

    def test_is_not_where_the_session_has_come_here(self):
        cluster = Cluster("a", "b", "c")
        hub_of(cluster.engines["a"]).set_members(dict.fromkeys("abc", 1))
        cluster.cut("a", "c")
        cluster.kill("b")
        peer, told = cluster.connect_more("a", "c", clean_start=False, **LASTING)
        assert told == []
        broker = cluster.engines["a"].broker
        broker.registry.restore("c", Principal("u", "c"))
        hub_of(cluster.engines["a"]).set_members(dict.fromkeys("ac", 1))
        assert cluster.taken(peer) == ["CONNACK present"]

    def test_that_has_gone_is_not_answered(self):
        cluster = Cluster("a", "b")
        cluster.connect("b", "c", **LASTING).send(Disconnect())
        store = cluster.stores["b"]
        store.at_once = False
        cluster.connect_more("a", "c", **LASTING)
        cluster.kill("a")
        cluster.add("a")
        store.complete()
        cluster.engines["b"].settle()
        assert cluster.links["b", "a"].frames == []
        store.at_once = True

    def test_is_asked_again_for_it_may_have_begun_anew(self):
        cluster = Cluster("a", "b", "c")
        for engine in cluster.engines.values():
            hub_of(engine).set_members(dict.fromkeys("abc", 1))
        cluster.cut("a", "c")
        peer, told = cluster.connect_more("a", "c")
        assert told == []
        cluster.cut("a", "b")
        cluster.join("a", "c")
        assert cluster.taken(peer) == []
        cluster.join("a", "b")
        assert cluster.taken(peer) == ["CONNACK"]

    def test_that_comes_back_without_its_sessions_makes_all_others_asked_again(self):
        cluster = Cluster("a", "b", "c")
        hub = hub_of(cluster.engines["a"])
        hub.set_members(dict.fromkeys("abc", 1))
        cluster.kill("b")
        peer, told = cluster.connect_more("a", "c", clean_start=False, **LASTING)
        assert told == []
        cluster.engines["c"].broker.registry.restore("c", Principal("u", "c"))
        hub.peer_up("b", "2-x", FakeLink(cluster, "a", "b"))
        assert cluster.taken(peer) == ["CONNACK"]
        assert sessions(cluster) == ["a"]

    def test_that_becomes_one_with_its_link_up_is_asked(self):
        cluster = Cluster("a", "b")
        hub = hub_of(cluster.engines["a"])
        old = cluster.connect("b", "c")
        cluster.add("d")
        hub.set_members({"a": 1, "d": 1})
        peer = cluster.begin("a", "c")
        hub.set_members({"a": 1, "b": 1, "d": 1})
        assert cluster.taken(peer) == ["CONNACK"]
        assert old.closed


class TestASessionThatIsOver:
    def test_is_owned_by_nobody(self):
        cluster = Cluster("a", "b")
        cluster.connect("a", "c", session_expiry_interval=5).drop()
        cluster.clock.now += 5
        _, told = cluster.connect_more("b", "c", clean_start=False, session_expiry_interval=5)
        assert told == ["CONNACK"]
        assert sessions(cluster) == ["b"]


class TestANodeThatLetsNobodyIn:
    def test_says_what_it_has_when_it_does_again(self):
        cluster = Cluster("a", "b")
        cluster.connect("a", "c", **LASTING).drop()
        owner = cluster.engines["a"].broker
        owner.closed_for = "it may not speak for its sessions"
        peer, told = cluster.connect_more("b", "c", clean_start=False, **LASTING)
        assert told == []
        assert cluster.connect_more("b", "d")[1] == ["CONNACK"]
        owner.closed_for = ""
        owner.request_turn()
        assert cluster.taken(peer) == ["CONNACK present"]

    def test_lets_nobody_in_who_began_before(self):
        cluster = Cluster("a", "b")
        peer = cluster.begin("a", "c")
        cluster.engines["a"].broker.closed_for = "it may not speak for its sessions"
        assert cluster.taken(peer) == ["CONNACK 0x88"]
        assert sessions(cluster) == []


class TestANodeThatStops:
    def test_sends_away_who_waits(self):
        cluster = Cluster("a", "b")
        peer = cluster.begin("a", "c")
        cluster.engines["a"].broker.drain()
        assert cluster.taken(peer) == ["CONNACK 0x88"]
        assert peer.closed


class Schedule:
    """CONNECTs of one client id at three nodes, and everything else, in an order drawn by chance."""

    def __init__(self, seed: int, cuts: bool) -> None:
        self.chance = random.Random(seed)
        self.cluster = Cluster("a", "b", "c")
        for engine in self.cluster.engines.values():
            hub_of(engine).set_members(dict.fromkeys("abc", 1))
        self.peers: list[Peer] = []
        self.down: set[tuple[str, str]] = set()
        self.cuts = cuts
        for store in self.cluster.stores.values():
            store.at_once = self.chance.random() < 0.5

    def run(self) -> None:
        """Begin all CONNECTs among a hundred other things, then let it come to rest."""
        begins = sorted(self.chance.sample(range(60), self.chance.randint(2, 6)))
        for at in range(100):
            if at in begins:
                self.begin()
            else:
                self.step()
            found = sessions(self.cluster)
            assert len(found) <= 1, f"{found} have the session at once"
        for one, other in self.down:
            self.cluster.join(one, other)
        for store in self.cluster.stores.values():
            store.at_once = True
            while store.waiting:
                store.complete()
        self.cluster.settle()

    def begin(self) -> None:
        chance = self.chance
        asked = LASTING if chance.random() < 0.6 else {}
        version = chance.choice([V3_1_1, V5])
        clean_start = chance.random() < 0.3
        peer = self.cluster.begin(
            chance.choice("abc"),
            "c",
            version,
            clean_start=clean_start,
            **(asked if version == V5 else {}),
        )
        self.peers.append(peer)

    def step(self) -> None:
        chance = self.chance
        cluster = self.cluster
        what = chance.random()
        if what < 0.75:
            link = chance.choice(list(cluster.links.values()))
            if link.frames:
                engine = cluster.engines[link.target]
                hub_of(engine).peer_frames(link.source, [link.frames.pop(0)])
                engine.settle()
        elif what < 0.9 or not self.cuts:
            name = chance.choice("abc")
            if cluster.stores[name].waiting:
                cluster.engines[name].complete()
        else:
            self.cut_or_join(chance.choice(list(combinations("abc", 2))))

    def cut_or_join(self, pair: tuple[str, str]) -> None:
        cluster = self.cluster
        if pair in self.down:
            self.down.remove(pair)
            cluster.join(*pair)
            return
        if len(cluster.links) == 2:
            return
        self.down.add(pair)
        for source, target in (pair, pair[::-1]):
            del cluster.links[source, target]
            hub_of(cluster.engines[source]).peer_down(target, "cut")
            cluster.engines[source].settle()

    def linked(self) -> list[Peer]:
        """The clients that have a link; nobody waits for one any more."""
        found = []
        for peer in self.peers:
            told = [type(each).__name__ for each in peer.take()]
            assert told or peer.closed, "a client was never answered"
            if not peer.closed:
                assert told == ["ConnAck"]
                found.append(peer)
        return found


class TestWhateverTheOrder:
    @pytest.mark.parametrize("seed", range(150))
    def test_one_link_and_one_session_remain(self, seed: int):
        schedule = Schedule(seed, cuts=False)
        schedule.run()
        assert len(schedule.linked()) == 1
        assert len(sessions(schedule.cluster)) == 1

    @pytest.mark.parametrize("seed", range(150))
    def test_no_more_than_one_remains_if_links_are_cut(self, seed: int):
        schedule = Schedule(seed, cuts=True)
        schedule.run()
        # One that was relayed over a link that was cut has gone.
        assert len(schedule.linked()) <= 1
        assert len(sessions(schedule.cluster)) <= 1
        peer, told = schedule.cluster.connect_more("a", "c")
        assert told == ["CONNACK"]
        assert schedule.linked() == []
        assert sessions(schedule.cluster) == ["a"]
        assert not peer.closed
