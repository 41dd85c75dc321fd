import pytest

from rookery.auth import banned as module
from rookery.auth.banned import TRIED_MAX, BanFault, Banned, Network, made, standing
from rookery.auth.globs import Glob
from rookery.ports import Ban

WALL = 1_000.0


def ban(kind: str, pattern: str, action: str = "deny", until: float | None = None) -> Ban:
    return made(kind, pattern, action, "", "op", WALL, until)


def patterns(bans: list[Ban]) -> list[str]:
    return sorted(each.pattern for each in bans)


class TestMade:
    @pytest.mark.parametrize(
        ("kind", "pattern", "kept"),
        [
            ("address", "192.0.2.7", "192.0.2.7"),
            ("address", "192.0.2.7/32", "192.0.2.7"),
            ("address", "192.0.2.7/24", "192.0.2.0/24"),
            ("address", "2001:DB8::/32", "2001:db8::/32"),
            ("topic", "a/+/#", "a/+/#"),
            ("client_id", "a*", "a*"),
        ],
    )
    def test_in_one_form(self, kind: str, pattern: str, kept: str):
        assert ban(kind, pattern).pattern == kept

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            (("clientid", "a"), "no kind of ban 'clientid': must be one of client_id, username"),
            (("client_id", ""), "a pattern has 1 to 1024 bytes"),
            (("client_id", "a" * 1_025), "a pattern has 1 to 1024 bytes"),
            (("client_id", "a\0"), "no U+0000"),
            (("address", "192.0.2"), "no address or network '192.0.2': must be as 192.0.2.7"),
            (("topic", "a/#/b"), "no topic filter"),
            (("client_id", "a", "kick"), "no action 'kick': must be one of deny, disconnect, log"),
            (("client_id", "a", "deny", WALL), "its end has passed already"),
        ],
    )
    def test_says_what_is_wrong(self, arguments: tuple, text: str):
        with pytest.raises(BanFault) as fault:
            ban(*arguments)
        assert text in str(fault.value)

    def test_a_reason_is_no_book(self):
        with pytest.raises(BanFault, match="a reason has at most 1024"):
            made("client_id", "a", "deny", "x" * 1_025, "op", WALL, None)


class TestFound:
    def test_names(self):
        banned = Banned([ban("client_id", each) for each in ("a", "b*", "?c", "*d")])
        found = {
            name: patterns(banned.client_id(name, WALL)) for name in ("a", "bd", "bc", "x", "")
        }
        assert found == {"a": ["a"], "bd": ["*d", "b*"], "bc": ["?c", "b*"], "x": [], "": []}

    def test_users_are_not_client_ids(self):
        banned = Banned([ban("client_id", "a"), ban("username", "b")])
        assert banned.username("a", WALL) == banned.client_id("b", WALL) == []
        assert patterns(banned.username("b", WALL)) == ["b"]

    def test_addresses(self):
        banned = Banned(
            [
                ban("address", each)
                for each in ("192.0.2.7", "192.0.2.0/24", "2001:db8::/64", "::/0", "0.0.0.0/1")
            ]
        )
        assert patterns(banned.address("192.0.2.7", WALL)) == ["192.0.2.0/24", "192.0.2.7"]
        assert patterns(banned.address("192.0.3.7", WALL)) == []
        assert patterns(banned.address("10.1.1.1", WALL)) == ["0.0.0.0/1"]
        assert patterns(banned.address("2001:db8::9%eth0", WALL)) == ["2001:db8::/64", "::/0"]
        assert patterns(banned.address("::ffff:192.0.2.9", WALL)) == ["192.0.2.0/24"]
        assert banned.address("no address", WALL) == []

    def test_topics(self):
        banned = Banned([ban("topic", "secret/#"), ban("topic", "a/+/c")])
        assert patterns(banned.publishing("secret/x", WALL)) == ["secret/#"]
        assert banned.publishing("a/b/d", WALL) == []
        assert patterns(banned.subscribing("#", WALL)) == ["a/+/c", "secret/#"]
        assert patterns(banned.subscribing("a/b/+", WALL)) == ["a/+/c"]
        assert banned.subscribing("b/#", WALL) == []

    def test_not_when_their_time_is_up(self):
        found = [ban("client_id", "a", until=WALL + 5), ban("client_id", "b")]
        assert standing(found, WALL + 4.9) == found
        assert standing(found, WALL + 5) == found[1:]
        banned = Banned(found)
        assert banned.client_id("a", WALL + 5) == []


class TestChange:
    def test_one_more(self):
        banned = Banned()
        for each in (ban("client_id", "a"), ban("address", "192.0.2.0/24"), ban("username", "u*")):
            banned.add(each)
        assert patterns(banned.client_id("a", WALL)) == ["a"]
        assert patterns(banned.address("192.0.2.9", WALL)) == ["192.0.2.0/24"]
        assert patterns(banned.username("uv", WALL)) == ["u*"]
        assert len(banned) == 3

    @pytest.mark.parametrize(
        ("kind", "pattern", "name"),
        [("client_id", "a", "a"), ("client_id", "a*", "ab"), ("address", "192.0.2.7", "192.0.2.7")],
    )
    def test_in_place_of_one_of_the_same_pattern(self, kind: str, pattern: str, name: str):
        banned = Banned([ban(kind, pattern)])
        banned.add(ban(kind, pattern, "log"))
        (found,) = getattr(banned, kind)(name, WALL)
        assert found.action == "log"
        assert len(banned) == 1
        banned.remove(kind, pattern)
        assert getattr(banned, kind)(name, WALL) == []

    def test_those_that_are_over_go(self):
        banned = Banned([ban("client_id", "a", until=WALL + 5), ban("client_id", "b")])
        assert banned.expire(WALL + 4) == 0
        assert banned.expire(WALL + 5) == 1
        assert patterns(list(banned)) == ["b"]

    def test_cached_answers_about_topics_are_asked_again_only_then(self):
        banned = Banned()
        banned.add(ban("client_id", "a"))
        assert banned.topics_generation == 0
        banned.add(ban("topic", "t", until=WALL + 5))
        assert banned.topics_generation == 1
        banned.expire(WALL + 5)
        assert banned.topics_generation == 2


class TestBounds:
    def test_no_more_are_tried_one_by_one_and_it_is_told(self):
        many = [ban("client_id", f"*-{number}-") for number in range(TRIED_MAX + 3)]
        topics = [ban("topic", f"t/{number}") for number in range(TRIED_MAX + 2)]
        banned = Banned(many + topics)
        assert banned.left_out == 5
        assert banned.client_id("x-999-", WALL) != []
        assert banned.client_id(f"x-{TRIED_MAX + 2}-", WALL) == []

    def test_an_address_is_looked_up_once_for_each_length_in_use(self):
        banned = Banned(Ban("address", f"10.{a}.{b}.1") for a in range(100) for b in range(100))
        banned.add(ban("address", "192.0.2.0/24"))
        asked: list[Network] = []

        class Counting(dict[Network, Ban]):
            def get(self, key: Network, default: Ban | None = None) -> Ban | None:
                asked.append(key)
                return super().get(key, default)

        networks = banned._networks
        networks._by_network = Counting(networks._by_network)
        assert patterns(banned.address("10.7.7.1", WALL)) == ["10.7.7.1"]
        assert banned.address("198.51.100.7", WALL) == []
        assert len(asked) == 2 * 2

    def test_a_change_takes_a_moment_however_many_patterns_there_are(self, monkeypatch):
        banned = Banned(ban("client_id", f"*{number}*") for number in range(TRIED_MAX))
        made_globs: list[str] = []
        monkeypatch.setattr(
            module, "Glob", lambda pattern: made_globs.append(pattern) or Glob(pattern)
        )
        banned.add(ban("address", "192.0.2.7", until=WALL + 1))
        banned.remove("client_id", "*7*")
        banned.add(ban("client_id", "*x*"))
        assert banned.expire(WALL + 1) == 1
        assert made_globs == ["*x*"]
        assert banned.left_out == 0
        assert patterns(banned.client_id("-x-", WALL)) == ["*x*"]
        assert "*7*" not in patterns(banned.client_id("77", WALL))

    def test_no_more_expire_at_once_than_so_many(self):
        banned = Banned(ban("client_id", str(n), until=WALL + 1) for n in range(2_500))
        assert [banned.expire(WALL + 1) for _ in range(4)] == [1_000, 1_000, 500, 0]

    def test_one_that_was_renewed_does_not_end_when_the_first_would_have(self):
        banned = Banned([ban("client_id", "a", until=WALL + 1)])
        banned.add(ban("client_id", "a", until=WALL + 9))
        assert banned.expire(WALL + 5) == 0
        assert banned.expire(WALL + 9) == 1
