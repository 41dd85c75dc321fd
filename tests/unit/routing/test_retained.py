"""The retained messages, and the walk over those that match."""

import pytest

from rookery.message import Message, node_message
from rookery.routing.retained import LOOKS_MAX, RetainedCursor, RetainedIndex
from rookery.routing.wide import SPREAD_AT_KEYS


def message_of(topic: str, payload: bytes = b"x", expires_at: float | None = None) -> Message:
    message = node_message(topic, payload, True, 0.0)
    message.expires_at = expires_at
    return message


def index_of(*topics: str) -> RetainedIndex:
    index = RetainedIndex()
    for topic in topics:
        index.put(message_of(topic))
    return index


def rest_of(cursor: RetainedCursor, count: int = 100, now: float = 0.0) -> list[str]:
    topics = []
    while not cursor.done:
        taken = cursor.take(count, now)
        assert len(taken) <= count
        topics += [message.topic for message in taken]
    assert cursor.take(count, now) == []
    return topics


def found(index: RetainedIndex, topic_filter: str) -> list[str]:
    return sorted(rest_of(index.cursor(topic_filter)))


def test_everything_is_all_there_is_hidden_and_expired_alike():
    index = index_of("a", "a/b", "$x/y", "$x")
    index.put(message_of("z", expires_at=1.0))
    assert sorted(rest_of(index.everything(), 2, now=float("-inf"))) == [
        "$x", "$x/y", "a", "a/b", "z"
    ]  # fmt: skip
    assert found(index, "#") == ["a", "a/b", "z"]


class TestIndex:
    @pytest.mark.clause("MQTT-3.3.1-5")
    def test_keeps_the_last_message_of_a_topic(self):
        index = RetainedIndex()
        first, second = message_of("a/b", b"one"), message_of("a/b", b"three")
        index.put(first)
        assert (index.get("a/b"), index.count, index.bytes) == (first, 1, first.size_bytes)
        index.put(second)
        assert (index.get("a/b"), index.count, index.bytes) == (second, 1, second.size_bytes)

    def test_has_nothing_for_other_topics(self):
        index = index_of("a/b")
        assert [index.get(topic) for topic in ("a", "a/b/c", "b", "a/", "/", "#", "+/b")] == [
            None
        ] * 7

    @pytest.mark.clause("MQTT-3.3.1-6")
    def test_removes_a_topic_once(self):
        index = index_of("a/b", "a")
        assert index.remove("a/b")
        assert not index.remove("a/b")
        assert index.get("a/b") is None
        assert index.get("a") is not None
        assert (index.count, index.bytes) == (1, message_of("a").size_bytes)
        assert index.remove("a")
        assert (index.count, index.bytes) == (0, 0)

    def test_removes_no_topic_on_the_way(self):
        index = index_of("a", "a/b/c")
        assert not index.remove("a/b")
        assert not index.remove("x/y")
        assert index.remove("a")
        assert index.get("a/b/c") is not None
        assert index.remove("a/b/c")
        assert found(index, "#") == []

    def test_leaves_no_level_behind(self):
        topics = [f"a/{number}/c" for number in range(2 * LOOKS_MAX)]
        index = index_of(*topics)
        for topic in topics:
            index.remove(topic)
        cursor = index.cursor("#")
        cursor.take(1, 0.0)
        assert cursor.done  # There was nothing to look at.

    def test_an_expired_message_goes_unless_it_was_replaced(self):
        index = RetainedIndex()
        former, present = message_of("a"), message_of("a")
        index.put(former)
        index.put(present)
        assert not index.remove_if("a", former)
        assert index.get("a") is present
        assert index.remove_if("a", present)
        assert not index.remove_if("a", present)
        assert (index.get("a"), index.count, index.bytes) == (None, 0, 0)


@pytest.mark.clause("MQTT-4.7.1-1", "MQTT-4.7.1-2", "MQTT-4.7.2-1")
class TestMatching:
    TOPICS = ("a", "a/b", "a/b/c", "a/c", "b/b", "/b", "b/", "$SYS/b", "$SYS", "a/$b")

    @pytest.mark.parametrize(
        ("topic_filter", "topics"),
        [
            ("a", ["a"]),
            ("a/b", ["a/b"]),
            ("c", []),
            ("a/b/c/d", []),
            ("+", ["a"]),
            ("a/+", ["a/$b", "a/b", "a/c"]),
            ("+/b", ["/b", "a/b", "b/b"]),
            ("b/+", ["b/", "b/b"]),
            ("a/#", ["a", "a/$b", "a/b", "a/b/c", "a/c"]),
            ("a/b/#", ["a/b", "a/b/c"]),
            ("+/b/#", ["/b", "a/b", "a/b/c", "b/b"]),
            ("+/#", ["/b", "a", "a/$b", "a/b", "a/b/c", "a/c", "b/", "b/b"]),
            ("#", ["/b", "a", "a/$b", "a/b", "a/b/c", "a/c", "b/", "b/b"]),
            ("$SYS/#", ["$SYS", "$SYS/b"]),
            ("$SYS/+", ["$SYS/b"]),
            ("c/#", []),
            ("a/b/c/+", []),
        ],
    )
    @pytest.mark.parametrize("count", [1, 2, 100])
    def test_finds_each_topic_once(self, topic_filter, topics, count):
        cursor = index_of(*self.TOPICS).cursor(topic_filter)
        assert sorted(rest_of(cursor, count)) == topics

    @pytest.mark.parametrize("topic_filter", ["a", "a/+", "+/a", "#", "a/#", "+"])
    def test_finds_nothing_in_an_empty_index(self, topic_filter):
        assert found(RetainedIndex(), topic_filter) == []

    def test_topics_that_begin_with_a_dollar_sign_only(self):
        assert found(index_of("$a", "$b/c"), "#") == []
        assert found(index_of("$a", "$b/c"), "+") == []


class TestTaking:
    def test_the_order_is_the_same_each_time(self):
        index = index_of(*(f"{one}/{two}" for one in "abc" for two in "xyz"))
        assert rest_of(index.cursor("#"), 1) == rest_of(index.cursor("+/+"), 4)

    def test_expired_messages_are_passed_over(self):
        index = RetainedIndex()
        for number in range(10):
            index.put(message_of(f"t/{number}", expires_at=float(number) if number % 2 else None))
        assert sorted(rest_of(index.cursor("t/+"), now=5.0)) == [
            "t/0", "t/2", "t/4", "t/6", "t/7", "t/8", "t/9",
        ]  # fmt: skip

    def test_gives_the_message_of_the_moment(self):
        index = index_of("a/1", "a/2")
        cursor = index.cursor("a/+")
        first = cursor.take(1, 0.0)[0].topic
        index.put(message_of("a/1", b"new"))
        index.put(message_of("a/2", b"new"))
        rest = cursor.take(10, 0.0)
        assert [(message.topic, message.payload) for message in rest] == [
            ("a/2" if first == "a/1" else "a/1", b"new")
        ]
        assert cursor.done

    def test_one_turn_looks_at_few_topics_even_if_none_match(self):
        index = index_of(*(f"{number}/x" for number in range(3 * LOOKS_MAX)), "y/z")
        cursor = index.cursor("+/z")
        turns = 0
        topics = []
        while not cursor.done:
            topics += cursor.take(10, 0.0)
            turns += 1
        assert [message.topic for message in topics] == ["y/z"]
        assert turns > 3

    def test_a_wide_level_is_given_once_though_it_grows_and_shrinks(self):
        count = 2 * SPREAD_AT_KEYS
        index = index_of(*(f"t/{number}" for number in range(count)))
        cursor = index.cursor("t/+")
        topics = []
        turn = 0
        while not cursor.done:
            topics += [message.topic for message in cursor.take(500, 0.0)]
            for number in range(turn * 100, turn * 100 + 100):
                if number % 2:
                    index.remove(f"t/{number}")
                index.put(message_of(f"other/{number}"))
                index.put(message_of(f"t/x{number}"))
            turn += 1
        assert len(topics) == len(set(topics))
        assert {f"t/{number}" for number in range(0, count, 2)} <= set(topics)

    @pytest.mark.parametrize("topic_filter", ["t/+", "t/#", "#", "+/+"])
    def test_a_level_that_is_spread_meanwhile_is_given_once(self, topic_filter):
        index = index_of(*(f"t/{number}" for number in range(1000)))
        cursor = index.cursor(topic_filter)
        topics = [message.topic for message in cursor.take(10, 0.0)]
        for number in range(1000, SPREAD_AT_KEYS + 10):
            index.put(message_of(f"t/{number}"))
        topics += rest_of(cursor)
        assert len(topics) == len(set(topics))
        assert {f"t/{number}" for number in range(1000)} <= set(topics)

    def test_a_wide_level_that_is_emptied_and_filled_again_gives_nothing_twice(self):
        count = SPREAD_AT_KEYS + 10
        index = index_of("u", *(f"t/{number}" for number in range(count)))
        cursor = index.cursor("t/+")
        topics = []
        for _ in range(5):
            topics += [message.topic for message in cursor.take(1000, 0.0)]
        for number in range(count):
            index.remove(f"t/{number}")
        for number in range(count):
            index.put(message_of(f"t/{number}"))
        topics += rest_of(cursor)
        assert len(topics) == len(set(topics))

    def test_a_level_that_ends_ends_the_walk(self):
        index = index_of("a/1", "a/2", "a/3")
        cursor = index.cursor("a/+")
        cursor.take(1, 0.0)
        for topic in ("a/1", "a/2", "a/3"):
            index.remove(topic)
        assert rest_of(cursor) == []

    @pytest.mark.parametrize("level", ["a", ""])
    def test_as_many_levels_as_the_wire_can_carry(self, level):
        topic = "/".join([level] * (32_768 if level else 65_535))
        index = index_of(topic)
        assert index.get(topic) is not None
        assert found(index, "#") == [topic]
        assert found(index, topic) == [topic]
        assert found(index, "/".join("+" for _ in topic.split("/"))) == [topic]
        assert index.remove(topic)
        assert found(index, "#") == []
