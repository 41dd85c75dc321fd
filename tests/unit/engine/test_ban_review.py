from structlog.testing import capture_logs

from rookery.engine.ban_review import REVIEWED_PER_TURN_MAX
from rookery.mqtt.types import V3_1_1, ReasonCode
from rookery.ports import Accepted, Ban, Principal, Refused
from tests.support.engine import Engine, FakeAuthenticator, FakeBans, connect, said, will


class SomeBans(FakeBans):
    """Bans of client ids and users, and the one that is made when somebody connects."""

    def __init__(self) -> None:
        self.names: dict[str, Ban] = {}
        self.count = 0
        self.on_connect: Ban | None = None
        self.failures: list[str] = []

    @property
    def disconnecting(self) -> int:
        return self.count

    def ban(self, name: str) -> None:
        self.names[name] = Ban("client_id", name, "disconnect", "because")
        self.count += 1

    def of_client(self, client_id: str, username: str | None) -> Ban | None:
        return self.names.get(client_id) or self.names.get(username or "")

    def of_address(self, address: str) -> Ban | None:
        return self.names.get(address)

    def ending(self, client_id: str, username: str | None, address: str) -> Ban | None:
        return self.of_client(client_id, username) or self.of_address(address)

    def connected(self, client_id: str) -> Ban | None:
        return self.on_connect

    def failed(self, address: str) -> None:
        self.failures.append(address)


class TestThere:
    def test_who_is_banned_is_sent_away_and_nobody_else(self):
        bans = SomeBans()
        engine = Engine(bans=bans)
        bad, old, good = (
            engine.connect("bad"),
            engine.connect("old", V3_1_1),
            engine.connect("good"),
        )
        bans.ban("bad")
        bans.ban("old")
        with capture_logs() as logs:
            engine.turn()
        assert said(bad.take()) == ["DISCONNECT 0x98"]
        assert [bad.closed, old.closed, good.closed] == [True, True, False]
        assert engine.stats.disconnects["administrative"] == 2
        refusals = [line["detail"] for line in logs if line["event"] == "client_refused"]
        assert refusals == ["ban of client_id bad: because", "ban of client_id old: because"]

    def test_below_a_mountpoint_by_the_id_that_the_client_gave(self):
        bans = SomeBans()
        engine = Engine(bans=bans)
        engine.broker.mountpoint_of = lambda _listener, _principal: "a/"
        one, other = engine.connect("dev"), engine.connect("other")
        bans.ban("a/other")
        bans.ban("dev")
        engine.turn()
        assert [one.closed, other.closed] == [True, False]

    def test_by_its_address_and_its_user(self):
        bans = SomeBans()
        engine = Engine(bans=bans)
        one, _ = engine.ask(connect("a", username="u"))
        other = engine.connect("b")
        bans.ban("u")
        engine.turn()
        assert [one.closed, other.closed] == [True, False]
        bans.ban("192.0.2.1")
        engine.turn()
        assert other.closed

    def test_its_will_is_published(self):
        bans = SomeBans()
        engine = Engine(bans=bans)
        watcher = engine.connect("watcher")
        watcher.subscribe("w")
        engine.connect("bad", will=will("w"))
        bans.ban("bad")
        engine.turn()
        engine.settle()
        assert said(watcher.take()) == ["PUBLISH w=gone"]

    def test_a_few_in_each_turn(self):
        bans = SomeBans()
        engine = Engine(bans=bans, connections_max=2_000)
        count = REVIEWED_PER_TURN_MAX + 10
        peers = [engine.connect(f"c{number}") for number in range(count)]
        for number in range(count):
            bans.ban(f"c{number}")
        engine.turn()
        assert sum(peer.closed for peer in peers) == REVIEWED_PER_TURN_MAX
        engine.settle()
        assert all(peer.closed for peer in peers)

    def test_a_session_without_a_link_is_let_be(self):
        bans = SomeBans()
        engine = Engine(bans=bans)
        engine.connect("bad", session_expiry_interval=60).drop()
        bans.ban("bad")
        engine.turn()
        assert "bad" in engine.broker.registry.actors


class TestComing:
    def test_who_is_banned_is_refused_before_anybody_asks_who_it_is(self):
        bans = SomeBans()
        authenticator = FakeAuthenticator()
        engine = Engine(bans=bans, authenticator=authenticator)
        for name in ("bad", "u", "192.0.2.1"):
            bans.ban(name)
            peer, answer = engine.ask(connect("bad" if name == "bad" else "x", username=name))
            assert said(answer) == ["CONNACK 0x8A"]
            assert peer.closed
        assert authenticator.attempts == []

    def test_a_3_x_client_is_told_what_it_knows(self):
        bans = SomeBans()
        engine = Engine(bans=bans)
        bans.ban("bad")
        assert said(engine.ask(connect("bad", V3_1_1))[1]) == ["CONNACK 0x87"]

    def test_the_name_that_it_proves_counts_too(self):
        bans = SomeBans()
        verdict = Accepted(Principal("proved"))
        engine = Engine(bans=bans, authenticator=FakeAuthenticator(verdict))
        bans.ban("proved")
        assert said(engine.ask(connect("c", username="told"))[1]) == ["CONNACK 0x8A"]

    def test_who_comes_too_often_is_refused_at_once(self):
        bans = SomeBans()
        engine = Engine(bans=bans)
        bans.on_connect = Ban("client_id", "c")
        assert said(engine.ask(connect("c"))[1]) == ["CONNACK 0x8A"]
        assert engine.broker.registry.actors == {}

    def test_only_who_cannot_prove_who_it_is_has_failed(self):
        bans = SomeBans()
        verdicts = [
            Refused(ReasonCode.BAD_USER_NAME_OR_PASSWORD, ""),
            Refused(ReasonCode.SERVER_BUSY, ""),
            Accepted(Principal("u")),
            Refused(ReasonCode.NOT_AUTHORIZED, ""),
        ]
        engine = Engine(bans=bans, authenticator=FakeAuthenticator(*verdicts))
        for _ in verdicts:
            engine.ask(connect("c"))
        assert bans.failures == ["192.0.2.1"] * 2
