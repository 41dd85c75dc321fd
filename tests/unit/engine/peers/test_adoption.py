"""A node died; another one takes over its cell, and its clients find there what their own node would have had."""

import pytest

from rookery.engine.peers.facts import adopted_fact, epoch_of, numbers_of, reaching_fact
from rookery.engine.peers.slices import CommitFailed
from rookery.mqtt.packets import Disconnect, PubAck, PubComp, PubRec, PubRel
from rookery.mqtt.types import V3_1_1, V5
from tests.support.adopting import CELL, EPOCH, Killed, adopt, neighbour, survivor_of
from tests.support.engine import Engine, FakeStore, Peer, publish, said, will

LASTING = {"session_expiry_interval": 1_000, "clean_start": False}
OLD = {"clean_start": False}


class Dying:
    """A node whose commits are done at once, until it dies."""

    def __init__(self) -> None:
        self.store = FakeStore(at_once=True)
        self.engine = Engine(self.store)

    def connect(self, client_id: str, version: int = V5, **more) -> Peer:
        return self.engine.connect(
            client_id, version, **((LASTING if version == V5 else OLD) | more)
        )

    def offline(self, client_id: str, *filters: str, qos: int = 2, **more) -> None:
        peer = self.connect(client_id)
        peer.subscribe(*filters, qos=qos, **more)
        peer.drop()

    def publish(self, topic: str, *payloads: bytes, qos: int = 1, **more) -> None:
        writer = self.engine.connect("writer")
        for number, payload in enumerate(payloads, start=1):
            writer.publish(topic, payload, qos, packet_id=number, **more)

    def die(self) -> FakeStore:
        self.store.crash()
        return survivor_of(self.store)


def resume(engine: Engine, client_id: str, version: int = V5, **more) -> tuple[Peer, list[str]]:
    asked = (LASTING if version == V5 else OLD) | more
    peer, packets = engine.connect_more(client_id, version, **asked)
    assert not peer.client.session_is_new, "its session came over"
    return peer, packets


def restarted(engine: Engine) -> Engine:
    """The adopting node after a crash of its own."""
    assert isinstance(engine.store, FakeStore)
    left = survivor_of(engine.store)
    left.at_once = True
    return Engine.restart(left)


def busy_cell() -> FakeStore:
    """Sessions in every state there is: what is compared is what their clients are sent."""
    node = Dying()
    node.offline("away", "n/#", qos=2, identifier=7, retain_as_published=True)
    node.offline("two", "n/a", "n/+", qos=1)
    node.offline("member", "$share/g/n/#", qos=1, identifier=9)
    there = node.connect("there")
    there.subscribe("n/#", qos=1)
    begun = node.connect("begun", receive_maximum=3)
    begun.subscribe("n/#", qos=2)
    old = node.connect("old", V3_1_1)
    old.subscribe("n/#", qos=2)
    node.publish("n/a", b"1", b"2", qos=2, content_type="text")
    assert len(there.take()) == len(begun.take()) == 2
    begun.send(PubRec(1))
    there.send(PubAck(2))
    old.send(PubRec(1))
    old.send(PubComp(1))
    old.drop()
    node.publish("n/b", b"3", b"4", qos=1, retain=True)
    node.publish("r", b"kept", qos=2, retain=True)
    unfinished = node.connect("unfinished")
    unfinished.publish("n/c", b"5", 2, packet_id=50)
    late = node.connect("late")
    late.subscribe("r", "+", qos=2)
    return node.die()


NAMES = {"away": V5, "two": V5, "member": V5, "there": V5, "begun": V5, "old": V3_1_1, "late": V5}


def seen_by_clients(engine: Engine) -> dict[str, list[object]]:
    """What each client gets when it is back, to the end."""
    found: dict[str, list[object]] = {}
    for name, version in NAMES.items():
        asked = {"receive_maximum": 2} if version == V5 else {}
        peer, packets = resume(engine, name, version, **asked)
        got: list[object] = []
        while packets:
            got += said(packets)
            got += [getattr(each, "properties", None) and told_by(each) for each in packets]
            answers = {
                "PUBLISH": lambda p: PubAck(p.packet_id) if p.qos == 1 else PubRec(p.packet_id)
            }
            answers["PUBREL"] = lambda p: PubComp(p.packet_id)
            packets = peer.send(*[answers[type(p).__name__.upper()](p) for p in packets])
        found[name] = got
    return found


def told_by(packet) -> tuple[object, ...]:
    properties = packet.properties
    return (properties.subscription_identifiers, properties.content_type)


class TestEveryClientFindsWhatItsOwnNodeWouldHave:
    def test_at_once(self):
        dead = busy_cell()
        engine = neighbour(dead)
        adopt(engine, dead)
        assert seen_by_clients(engine) == seen_by_clients(restarted_at(dead))

    def test_after_the_adopting_node_was_started_again(self):
        dead = busy_cell()
        engine = neighbour(dead)
        adopt(engine, dead)
        assert seen_by_clients(restarted(engine)) == seen_by_clients(restarted_at(dead))

    def test_at_a_third_node_when_the_second_one_dies_as_well(self):
        dead = busy_cell()
        second = neighbour(dead)
        adopt(second, dead)
        left = survivor_of(second.store)
        third = neighbour(left)
        adopt(third, left, "b")
        expected = seen_by_clients(restarted_at(dead))
        assert seen_by_clients(third) == expected

    def test_and_nothing_is_left_when_all_is_acknowledged(self):
        dead = busy_cell()
        engine = neighbour(dead)
        adopt(engine, dead)
        seen_by_clients(engine)
        peer, _ = resume(engine, "unfinished")
        peer.send(PubRel(50))
        engine.connect("w").send(*[])
        for topic in ("n/b", "r"):
            engine.connect("w").publish(topic, b"", retain=True)
        engine.wait(2)
        content = engine.store.content
        assert (content.outbound, content.inbound, content.retained) == ({}, set(), {})
        assert content.blocks == {}
        references = engine.broker.committer.references
        assert references._counts == references._weights == {}


def restarted_at(dead: FakeStore) -> Engine:
    """The node that died, had it been started again."""
    return Engine.restart(survivor_of(dead))


def ours_away(engine: Engine, *filters: str) -> None:
    """A session of the adopting node's own."""
    ours = engine.connect("ours", **LASTING)
    ours.subscribe(*filters, qos=2)
    ours.drop()


class TestOursAndTheirs:
    def test_ours_are_not_given_what_they_had_their_copy_of(self):
        node = Dying()
        node.offline("theirs", "n/#")
        node.publish("n/a", b"there")
        node.publish("k", b"there", retain=True)
        dead = node.die()
        engine = neighbour(dead)
        ours_away(engine, "n/#", "k")
        adopt(engine, dead)
        again = restarted(engine)
        for each in (engine, again):
            assert resume(each, "ours")[1] == []
        assert said(resume(again, "theirs")[1]) == ["PUBLISH n/a=there q1 #1"]

    @pytest.mark.parametrize("crash", [False, True])
    def test_theirs_get_what_is_published_from_the_moment_they_can_be_reached(self, crash):
        node = Dying()
        node.offline("theirs", "n/#")
        dead = node.die()
        engine = neighbour(dead)
        ours_away(engine, "n/#")  # So that the log has what is published meanwhile.
        writer = engine.connect("w")
        moments: list[int] = []

        def publish(step: int) -> None:
            before = b"before" if not moments else b"after"
            if step % 2 == 0 and len(moments) < 2:
                writer.publish("n/a", before, 1, packet_id=step + 1)

        adopt(engine, dead, CELL, 1, publish, lambda: moments.append(1))
        writer.publish("n/a", b"at last", 1, packet_id=60_000)
        if crash:
            engine = restarted(engine)
        _, more = resume(engine, "theirs")
        got = [each.payload for each in more]
        assert got[-1] == b"at last"
        assert b"before" not in got

    def test_that_moment_is_the_same_for_a_node_that_crashed_before_every_row_said_so(self):
        node = Dying()
        node.offline("theirs", *[f"n/{n}" for n in range(9)])
        dead = node.die()
        engine = neighbour(dead)
        ours_away(engine, "n/#")
        store = engine.store
        writer = engine.connect("w")
        moments: list[int] = []
        left: list[FakeStore] = []

        def publish(step: int) -> None:
            writer.publish("n/8", b"after" if moments else b"before", 1, packet_id=step + 1)
            if store.content.facts.get(reaching_fact(CELL)):
                left.append(survivor_of(store))
                raise Killed

        with pytest.raises(Killed):
            adopt(engine, dead, CELL, 1, publish, lambda: moments.append(1))
        for _ in range(2):
            again = Engine.restart(left[0])
            again.wait(1)
            assert reaching_fact(CELL) not in left[0].content.facts
            _, more = resume(again, "theirs")
            assert {each.payload for each in more} == {b"after"}

    def test_a_share_group_may_give_to_them_while_they_wake(self):
        node = Dying()
        node.offline("member", "$share/g/n/#", qos=1)
        dead = node.die()
        engine = neighbour(dead)
        writer = engine.connect("w")
        sent: list[bytes] = []

        def publish(step: int) -> None:
            if engine.broker.router.share("g", "n/#") is not None:
                sent.append(b"%d" % step)
                writer.publish("n/a", sent[-1], 1, packet_id=step + 1)

        adopt(engine, dead, meanwhile=publish)
        assert sent
        for each in (restarted(engine), engine):
            _, more = resume(each, "member")
            assert [packet.payload for packet in more] == sent

    def test_nobody_can_claim_them_before_all_is_ours(self):
        node = Dying()
        node.offline("theirs", "n/#")
        dead = node.die()
        engine = neighbour(dead, at_once=False)
        known: list[bool] = []

        def look(step: int) -> None:
            reached = "theirs" in engine.broker.registry.actors
            known.append(reached)
            assert not reached or adopted_fact(CELL) in engine.store.content.facts

        adopt(engine, dead, work_max=1, meanwhile=look)
        assert known[0] is False
        assert known[-1] is True
        assert engine.broker.registry.actors["theirs"].adopted_from == CELL

    def test_an_earlier_adoption_of_the_cell_is_no_more(self):
        first, second = Dying(), Dying()
        first.offline("one", "n/#")
        second.offline("two", "n/#")
        dead = first.die()
        engine = neighbour(dead)
        adopt(engine, dead)
        adopt(engine, second.die())
        for each in (engine, restarted(engine)):
            actors = each.broker.registry.actors
            assert [actors[name].adopted_from for name in ("one", "two")] == ["", CELL]


def test_a_message_owed_with_a_lower_qos_than_its_subscriptions_of_now_would_give_it():
    node = Dying()
    reader = node.connect("r")
    reader.subscribe("n/a", qos=1)
    reader.drop()
    node.publish("n/a", b"m", qos=2, retain=True)
    reader, _ = node.engine.connect_more("r", **LASTING)
    reader.subscribe("n/+", qos=2, retain_handling=2)
    reader.drop()
    dead = node.die()
    engine = neighbour(dead)
    adopt(engine, dead)
    assert said(resume(restarted(engine), "r")[1]) == ["PUBLISH n/a=m q1 #1 dup"]
    assert engine.broker.retained.get("n/a").qos == 2


@pytest.mark.parametrize("upgrade", ["n/a", "n/+"])
def test_a_subscription_made_here_does_not_raise_the_qos_of_what_came_before(upgrade):
    node = Dying()
    node.offline("r", "n/a", qos=1)
    node.publish("n/a", b"m", qos=2)
    dead = node.die()
    engine = neighbour(dead)
    adopt(engine, dead)
    reader, _ = resume(engine, "r")
    reader.subscribe(upgrade, qos=2)
    reader.drop()
    assert said(resume(restarted(engine), "r")[1]) == ["PUBLISH n/a=m q1 #1 dup"]


class TestTime:
    def test_a_will_of_a_link_that_the_node_took_down_is_published_once(self):
        node = Dying()
        node.engine.connect("c", will=will("w", qos=1))
        dead = node.die()
        engine = neighbour(dead)
        watcher = engine.connect("watcher")
        watcher.subscribe("w", qos=1)
        summary = adopt(engine, dead)
        engine.wait(1)
        assert said(watcher.take()) == ["PUBLISH w=gone q1 #1"]
        assert summary.wills == 1
        assert "c" not in engine.broker.registry.actors
        again = restarted(engine)
        again.wait(2)
        assert again.stats.wills_published == 0

    def test_a_will_waits_for_its_delay_from_the_death_on(self):
        node = Dying()
        node.connect("c", will=will("w", qos=1, will_delay_interval=100))
        dead = node.die()
        engine = neighbour(dead, after_seconds=60)
        watcher = engine.connect("watcher")
        watcher.subscribe("w", qos=1)
        adopt(engine, dead)
        engine.wait(30)
        assert watcher.take() == []
        engine.wait(20)
        assert said(watcher.take()) == ["PUBLISH w=gone q1 #1"]

    def test_a_session_ends_in_time(self):
        node = Dying()
        for name, seconds in (("short", 50), ("middle", 150), ("long", 1_000)):
            node.connect(name, session_expiry_interval=seconds).send(Disconnect())
        dead = node.die()
        engine = neighbour(dead, after_seconds=100)
        adopt(engine, dead)
        engine.wait(1)
        assert set(engine.broker.registry.actors) == {"middle", "long"}
        engine.wait(60)
        assert set(engine.broker.registry.actors) == {"long"}


class TestRetained:
    def test_comes_over_unless_we_have_one(self):
        node = Dying()
        for topic in ("a", "b"):
            node.publish(topic, b"theirs", retain=True)
        node.publish("c", b"theirs", retain=True, message_expiry_interval=10)
        dead = node.die()
        engine = neighbour(dead, after_seconds=20)
        engine.connect("w").publish("b", b"ours", retain=True)
        assert adopt(engine, dead).retained == 1
        for each in (engine, restarted(engine)):
            assert sorted(said(each.connect("reader").subscribe("#", qos=1))) == [
                "PUBLISH a=theirs q1 #1 retain",
                "PUBLISH b=ours retain",
            ]


class TestACrashInTheMiddle:
    last_left: FakeStore
    """What was durable when a node was killed, as nobody has used it since."""

    def cell(self) -> tuple[FakeStore, Engine]:
        node = Dying()
        node.offline("away", "n/#", qos=2)
        node.offline("member", "$share/g/n/#", qos=1)
        begun = node.connect("begun")
        begun.subscribe("n/#", qos=2)
        node.publish("n/a", *[b"%d" % n for n in range(8)], qos=2)
        dead = node.die()
        engine = neighbour(dead)
        ours = engine.connect("ours", **LASTING)
        ours.subscribe("n/#", qos=1)
        ours.drop()
        engine.connect("w").publish("n/a", b"ours", 1, packet_id=1)
        return dead, engine

    def killed(
        self, engine: Engine, dead: FakeStore, groups: int, last_is_kept: bool
    ) -> Engine | None:
        """The node again, which was killed in a group's commit; ``None`` where it never had so many."""
        store = engine.store
        store.at_once = False
        before = len(store.groups)
        left: list[FakeStore] = []
        writer = engine.connect("w")

        def kill(step: int) -> None:
            if step == 0:  # Kept elsewhere for those who are not ours yet.
                engine.turn((writer, writer.encode(publish("n/a", b"during", 1, packet_id=9))))
            if len(store.groups) >= before + groups:
                if last_is_kept and store.waiting:
                    store.complete()
                left.append(survivor_of(store))
                raise Killed

        try:
            adopt(engine, dead, work_max=2, meanwhile=kill)
        except Killed:
            self.last_left = survivor_of(left[0])
            self.last_left.at_once = left[0].at_once = True
            return Engine.restart(left[0])
        return None

    @pytest.mark.parametrize("last_is_kept", [False, True])
    def test_leaves_ours_whole_and_nothing_or_all_of_theirs(self, last_is_kept):
        outcomes: list[bool] = []
        for groups in range(1, 200):
            dead, engine = self.cell()
            again = self.killed(engine, dead, groups, last_is_kept)
            if again is None:
                break
            again.wait(1)
            content = again.store.content
            complete = adopted_fact(CELL) in content.facts
            outcomes.append(complete)
            assert len(content.sessions) == (4 if complete else 1)
            assert set(content.facts) == ({adopted_fact(CELL)} if complete else set())
            if not complete:
                assert {row.number for row in content.subscriptions.values()} == set(
                    content.sessions
                )
                assert content.outbound == {}
                assert len(content.blocks) <= 2
                adopt(again, dead)
            self.check(again)
        assert outcomes == sorted(outcomes), "complete from one group on"
        assert outcomes.count(False) > 3
        assert outcomes.count(True) == last_is_kept

    def check(self, engine: Engine) -> None:
        ours = [each.payload for each in resume(engine, "ours")[1]]
        assert ours in ([b"ours"], [b"ours", b"during"])
        away = resume(engine, "away")[1]
        assert said(away) == [f"PUBLISH n/a={n} q2 #{n + 1}" for n in range(8)]
        begun = resume(engine, "begun")[1]
        assert said(begun) == [f"PUBLISH n/a={n} q2 #{n + 1} dup" for n in range(8)]
        member = resume(engine, "member")[1]
        assert said(member) == [f"PUBLISH n/a={n} q1 #{n + 1}" for n in range(8)]

    def test_a_commit_that_fails_leaves_nothing_and_another_attempt_succeeds(self):
        for groups in range(1, 200):
            dead, engine = self.cell()
            if not self.fails(engine, dead, groups):
                break
            adopt(engine, dead)
            self.check(engine)
        assert groups > 8

    def fails(self, engine: Engine, dead: FakeStore, groups: int) -> bool:
        """Have a group fail and see that nothing is left; whether there were so many before it was complete."""
        store = engine.store
        store.at_once = False
        committer = engine.broker.committer
        before = dict(committer.references._counts)
        fails_at = len(store.groups) + groups

        def fill(step: int) -> None:
            complete = adopted_fact(CELL) in store.content.facts
            store.is_broken = fails_at <= len(store.groups) < fails_at + 2 and not complete
            if committer.stuck:
                # What is tried again by itself would say no more than that it is provisional.
                facts = committer.group.facts
                assert reaching_fact(CELL) not in facts or facts[reaching_fact(CELL)] is None
                assert facts.get(adopted_fact(CELL)) is None
                assert facts

        try:
            adopt(engine, dead, work_max=2, meanwhile=fill)
        except CommitFailed:
            store.is_broken = False
            engine.complete_all()
            engine.wait(2)
            engine.complete_all()
            store.at_once = True
            assert len(store.content.sessions) == 1
            assert store.content.facts == {}
            assert committer.references._counts == before
            return True
        return False

    def test_of_a_node_that_had_not_finished_with_another_cell_leaves_that_out(self):
        dead, engine = self.cell()
        engine.connect("w").publish("k", b"kept", 1, packet_id=2, retain=True)
        second = self.killed(engine, dead, 5, last_is_kept=True)
        assert second is not None
        left = survivor_of(self.last_left)
        assert any(name.startswith("adopting/") for name in left.content.facts)
        third = neighbour(left)
        assert adopt(third, left, "b").sessions == 1
        assert set(third.broker.registry.actors) == {"ours"}

    def test_of_a_node_whose_adopted_sessions_were_not_reachable_yet(self):
        for groups in range(1, 200):
            dead, engine = self.cell()
            self.killed(engine, dead, groups, last_is_kept=True)
            if reaching_fact(CELL) in self.last_left.content.facts:
                break
        left = survivor_of(self.last_left)
        assert left.content.facts[reaching_fact(CELL)] == b""
        third = neighbour(left)
        adopt(third, left, "b")
        self.check(third)


def test_a_cell_that_cannot_be_read_is_not_adopted():
    node = Dying()
    node.offline("away", "n/#")
    node.publish("n/a", b"m")
    dead = node.die()
    engine = neighbour(dead)

    async def unreadable(blocks):
        raise OSError("the log has no leader")

    dead.read_blocks = unreadable
    with pytest.raises(OSError, match="no leader"):
        adopt(engine, dead)
    engine.wait(1)
    assert engine.broker.registry.actors == {}
    assert engine.store.content.sessions == {}
    assert engine.store.content.facts == {}
    assert engine.broker.trimmer.pauses == 0


def test_the_summary_and_the_facts_say_what_came():
    node = Dying()
    node.offline("one", "n/#", "x", qos=1)
    node.offline("two", "n/+", qos=1)
    node.publish("n/a", b"1", b"2")
    node.publish("x", b"3", retain=True)
    dead = node.die()
    engine = neighbour(dead)
    summary = adopt(engine, dead)
    assert (summary.sessions, summary.subscriptions) == (2, 3)
    assert (summary.messages, summary.deliveries, summary.retained) == (3, 5, 1)
    assert summary.numbers == [
        engine.broker.registry.actors[name].number for name in ("one", "two")
    ]
    engine.wait(1)
    ((name, value),) = engine.store.content.facts.items()
    assert name == adopted_fact(CELL)
    assert (epoch_of(value), numbers_of(value)) == (EPOCH, summary.numbers)


def test_no_walk_of_the_trimmer_begins_while_sessions_are_out_of_its_sight():
    node = Dying()
    node.offline("away", "n/#")
    node.publish("n/a", *[b"%d" % n for n in range(20)])
    dead = node.die()
    engine = neighbour(dead)
    engine.broker.trimmer.loose_bytes_min = 0
    adopt(engine, dead, meanwhile=lambda step: engine.turn())
    assert len(resume(engine, "away")[1]) == 20
