import pytest
from structlog.testing import capture_logs

from rookery.auth.banned import NODE, made
from rookery.auth.flapping import Repeats
from rookery.auth.guard import Automatic, Guard, NotBanned, keep_nowhere
from rookery.engine.stats import Stats
from rookery.ports import Ban, Decision, Principal
from tests.support.engine import FakeAuthorizer, FakeClock

WHO = Principal("u", client_id="c")


class World:
    """A guard, and what it has kept."""

    def __init__(self, *bans: Ban, **more):
        self.clock = FakeClock()
        self.stats = Stats(0.0)
        self.guard = Guard(self.clock, self.stats, **more)
        self.kept: list[Ban] = []
        self.guard.keep = self.kept.append
        self.apply(*bans)

    def ban(self, kind: str, pattern: str, action: str = "deny", seconds: float | None = None):
        wall = self.clock.wall()
        ends = None if seconds is None else wall + seconds
        return made(kind, pattern, action, "why", "op", wall, ends)

    def apply(self, *bans: Ban) -> None:
        self.guard.apply(self.guard.prepare(bans))


def failing(count: int, **more) -> World:
    return World(failures=Automatic(Repeats(count, 60.0), 300.0), **more)


class TestKeepingOut:
    def test_nobody(self):
        guard = World().guard
        assert guard.of_address("192.0.2.1") is None
        assert guard.of_client("c", "u") is None
        assert guard.of_topic("publish", "t", WHO) is None
        assert guard.ending("c", "u", "192.0.2.1") is None

    def test_whom_a_ban_names(self):
        world = World()
        address, name, user = (
            world.ban("address", "192.0.2.0/24"),
            world.ban("client_id", "c*"),
            world.ban("username", "u"),
        )
        world.apply(address, name, user)
        assert world.guard.of_address("192.0.2.1") == address
        assert world.guard.of_client("cx", None) == name
        assert world.guard.of_client("x", "u") == user
        assert world.guard.of_client("x", None) is None
        assert world.stats.banned == {"client_id": 1, "username": 1, "address": 1, "topic": 0}

    def test_not_for_longer_than_it_says(self):
        world = World()
        world.apply(world.ban("client_id", "c", seconds=5.0))
        world.clock.now += 4
        assert world.guard.of_client("c", None) is not None
        world.clock.now += 1
        assert world.guard.of_client("c", None) is None
        assert (world.guard.expire(), len(world.guard.banned)) == (1, 0)

    def test_one_that_only_logs_keeps_nobody_out_and_hides_no_other(self):
        world = World()
        world.apply(world.ban("client_id", "c", "log"))
        with capture_logs() as logs:
            assert world.guard.of_client("c", None) is None
        assert [(line["event"], line["who"]) for line in logs] == [("ban_matched", "c")]
        deny = world.ban("client_id", "c*")
        world.apply(world.ban("client_id", "c", "log"), deny)
        assert world.guard.of_client("c", None) == deny

    def test_too_many_to_be_tried_is_told(self):
        world = World()
        with capture_logs() as logs:
            world.apply(*[world.ban("topic", f"t/{number}") for number in range(1_001)])
        assert logs[0]["event"] == "bans_left_out"


class TestSendingAway:
    def test_only_by_bans_that_say_so(self):
        world = World()
        ban = world.ban("address", "192.0.2.1", "disconnect")
        world.apply(world.ban("client_id", "c"), ban)
        assert world.guard.ending("c", "u", "192.0.2.1") == ban
        assert world.guard.ending("c", "u", "") is None

    @pytest.mark.parametrize("kind", ["client_id", "username"])
    def test_by_name(self, kind: str):
        world = World()
        world.apply(world.ban(kind, "x", "disconnect"))
        assert world.guard.ending("x", "x", "192.0.2.1") is not None

    def test_is_announced_once_for_each_that_is_new(self):
        world = World()
        ban, deny = world.ban("client_id", "c", "disconnect"), world.ban("client_id", "d")
        seen = []
        for bans in ([deny], [ban], [ban, deny], [ban], []):
            world.apply(*bans)
            seen.append(world.guard.disconnecting)
        assert seen == [0, 1, 1, 1, 1]
        assert world.guard.of_client("c", None) is None


class TestTopics:
    def test_are_asked_before_the_rules(self):
        world, rules = World(), FakeAuthorizer("closed")
        world.apply(world.ban("topic", "secret/#"), world.ban("topic", "bomb", "disconnect"))
        asked = NotBanned(rules, world.guard)
        denied = Decision(False, "ban of topic secret/#")
        assert asked.may_publish(WHO, "secret/x", 0, False) == denied
        assert asked.may_subscribe(WHO, "secret/+", 0) == denied
        assert asked.may_publish(WHO, "bomb", 0, False) == Decision(
            False, "ban of topic bomb", ends_link=True
        )
        assert rules.asked == []
        assert asked.may_publish(WHO, "closed", 0, False) == Decision(False, "a rule")
        assert asked.may_subscribe(WHO, "open", 0) == Decision(True, "a rule")
        assert rules.asked == ["closed", "open"]

    def test_answers_hold_until_something_changes(self):
        world, rules = World(), FakeAuthorizer()
        asked = NotBanned(rules, world.guard)
        before = asked.generation
        world.apply(world.ban("client_id", "c"))
        assert asked.generation == before
        world.apply(world.ban("topic", "t"))
        rules.generation += 1
        assert asked.generation == before + 2


class TestFailures:
    def test_one_too_many_bans_the_address_for_a_while(self):
        world = failing(2)
        with capture_logs() as logs:
            for _ in range(3):
                assert world.guard.of_address("198.51.100.1") is None
                world.guard.failed("198.51.100.1")
        (ban,) = world.kept
        assert (ban.kind, ban.pattern, ban.action, ban.by) == (
            "address",
            "198.51.100.1",
            "deny",
            NODE,
        )
        assert ban.reason == "more than 2 failed authentications in 60 s"
        assert ban.until_wall == world.clock.wall() + 300
        assert world.guard.of_address("198.51.100.1") == ban
        assert world.stats.bans_made == {"authentication_failures": 1, "flapping": 0}
        assert [line["event"] for line in logs] == ["ban_made"]

    def test_a_network_of_ipv6_is_one(self):
        world = failing(2)
        for number in range(3):
            world.guard.failed(f"2001:db8::{number}")
        assert [ban.pattern for ban in world.kept] == ["2001:db8::/64"]
        assert world.guard.of_address("2001:db8::ffff") is not None

    @pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "", "nonsense"])
    def test_some_are_exempt(self, address: str):
        world = failing(1, exempt_addresses=["127.0.0.0/8", "::1"])
        for _ in range(5):
            world.guard.failed(address)
        assert world.kept == []

    def test_an_operator_s_ban_stands(self):
        world = failing(1)
        ban = world.ban("address", "198.51.100.1")
        world.apply(ban)
        for _ in range(2):
            world.guard.failed("198.51.100.1")
        assert world.kept == []
        assert world.guard.of_address("198.51.100.1") == ban

    def test_they_are_bounded(self):
        world = failing(1, automatic_max=2)
        for number in (1, 2, 3):
            for _ in range(2):
                world.guard.failed(f"198.51.100.{number}")
        assert [ban.pattern for ban in world.guard.banned] == ["198.51.100.2", "198.51.100.3"]

    def test_none_without_a_limit(self):
        world = World()
        for _ in range(1_000):
            world.guard.failed("198.51.100.1")
        assert world.kept == []
        assert keep_nowhere(world.ban("client_id", "c")) is None


class TestFlapping:
    def test_one_connect_too_many(self):
        world = World(flapping=Automatic(Repeats(2, 60.0), 300.0))
        assert [world.guard.connected("c") for _ in range(2)] == [None, None]
        ban = world.guard.connected("c")
        assert ban is not None and ban.reason == "more than 2 connects in 60 s"
        assert world.kept == [ban]
        assert world.guard.of_client("c", None) == ban
        assert world.stats.bans_made["flapping"] == 1

    def test_a_name_that_would_keep_out_others_is_let_be(self):
        world = World(flapping=Automatic(Repeats(1, 60.0), 300.0))
        assert [world.guard.connected("*") for _ in range(3)] == [None] * 3
        assert world.kept == []
