"""The retained index and its cursors against a dict."""

from itertools import islice

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from rookery.message import Message, node_message
from rookery.mqtt.topics import matches
from rookery.routing import wide
from rookery.routing.retained import RetainedIndex

LEVELS = st.sampled_from(["a", "b", "c", "", "$s"])
TOPICS = st.lists(LEVELS, min_size=1, max_size=3).map("/".join).filter(bool)
FILTERS = st.sampled_from(
    ["#", "+", "a/#", "+/+", "a/+", "+/b", "a/+/#", "a/b", "$s/#", "+/#", "w/+", "w/#", "+/a/c"]
)
CROWD = wide.SPREAD_AT_KEYS + 10


class Walk:
    """A cursor, and what it must still give and may never give again."""

    def __init__(self, index: RetainedIndex, topic_filter: str, held: set[str]) -> None:
        self.cursor = index.cursor(topic_filter)
        self.topic_filter = topic_filter
        self.stayed = {topic for topic in held if matches(topic_filter, topic)}
        self.given: set[str] = set()


class RetainedMachine(RuleBasedStateMachine):
    walks = Bundle("walks")

    def __init__(self) -> None:
        super().__init__()
        self.index = RetainedIndex()
        self.held: dict[str, Message] = {}
        self.held_bytes = 0
        self.running: list[Walk] = []

    def forget(self, topic: str) -> None:
        self.held_bytes -= self.held.pop(topic).size_bytes
        for walk in self.running:
            walk.stayed.discard(topic)

    def retain(self, topic: str, payload: bytes = b"x", expires_at: float | None = None) -> None:
        message = node_message(topic, payload, True, 0.0)
        message.expires_at = expires_at
        self.index.put(message)
        if topic in self.held:
            self.held_bytes -= self.held[topic].size_bytes
        self.held[topic] = message
        self.held_bytes += message.size_bytes

    @rule(topic=TOPICS, payload=st.binary(max_size=3), expires_at=st.none() | st.floats(1, 9))
    def put(self, topic, payload, expires_at):
        self.retain(topic, payload, expires_at)

    @rule(topic=TOPICS)
    def remove(self, topic):
        assert self.index.remove(topic) == (topic in self.held)
        if topic in self.held:
            self.forget(topic)

    @rule(data=st.data(), same=st.booleans())
    def remove_expired(self, data, same):
        if self.held:
            topic = data.draw(st.sampled_from(sorted(self.held)))
            message = self.held[topic] if same else node_message(topic, b"", True, 0.0)
            assert self.index.remove_if(topic, message) == same
            if same:
                self.forget(topic)

    @rule(first=st.integers(0, 20), count=st.integers(0, 20))
    def put_several_beside_each_other(self, first, count):
        for number in range(first, first + count):
            self.retain(f"w/{number}")

    @rule(first=st.integers(0, 20), count=st.integers(0, 20))
    def remove_several_beside_each_other(self, first, count):
        for number in range(first, first + count):
            if f"w/{number}" in self.held:
                assert self.index.remove(f"w/{number}")
                self.forget(f"w/{number}")

    @rule(target=walks, topic_filter=FILTERS)
    def begin(self, topic_filter):
        walk = Walk(self.index, topic_filter, set(self.held))
        self.running.append(walk)
        return walk

    @rule(walk=walks, count=st.integers(1, 5), now=st.floats(0, 10))
    def take(self, walk, count, now):
        messages = walk.cursor.take(count, now)
        assert len(messages) <= count
        for message in messages:
            topic = message.topic
            assert self.held[topic] is message
            assert matches(walk.topic_filter, topic)
            assert topic not in walk.given
            assert message.expires_at is None or message.expires_at > now
            walk.given.add(topic)
        # What had expired by now was passed over for good.
        walk.stayed = {
            topic
            for topic in walk.stayed
            if topic in walk.given or self.held[topic].expires_at is None
        }

    @rule(walk=consumes(walks))
    def finish(self, walk):
        while not walk.cursor.done:
            self.take(walk, 5, 0.0)
        assert walk.cursor.take(5, 0.0) == []
        assert walk.stayed <= walk.given
        self.running.remove(walk)

    @invariant()
    def the_index_is_the_dict(self):
        assert self.index.count == len(self.held)
        assert self.index.bytes == self.held_bytes
        for topic in ("a", "a/b", "w/3", "w/x7", *islice(self.held, 5)):
            assert self.index.get(topic) is self.held.get(topic)


class WideRetainedMachine(RetainedMachine):
    """The same with a level that is spread over parts, or about to be."""

    def __init__(self) -> None:
        super().__init__()
        for number in range(CROWD):
            self.retain(f"w/x{number}")

    @rule(count=st.sampled_from([20, CROWD]))
    def the_crowd_leaves(self, count):
        for number in range(count):
            if f"w/x{number}" in self.held:
                assert self.index.remove(f"w/x{number}")
                self.forget(f"w/x{number}")

    @rule(count=st.sampled_from([20, CROWD]))
    def the_crowd_comes(self, count):
        for number in range(count):
            self.retain(f"w/x{number}")

    @rule(walk=RetainedMachine.walks)
    def take_many(self, walk):
        self.take(walk, 3000, 0.0)


TestRetained = RetainedMachine.TestCase
TestRetained.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)

TestWideRetained = pytest.mark.timeout(120)(WideRetainedMachine.TestCase)
TestWideRetained.settings = settings(max_examples=6, stateful_step_count=12, deadline=None)
