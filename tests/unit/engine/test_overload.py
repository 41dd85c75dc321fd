import pytest

from rookery.engine.overload import NORMAL, REFUSING, SHEDDING, Overload
from rookery.engine.session_actor import RETAINED_PER_TURN_SHED, SHED_OUTPUT
from rookery.engine.stats import Stats
from rookery.mqtt.packets import Subscribe, SubscriptionRequest
from rookery.mqtt.types import V3_1_1, V5
from tests.support.engine import Engine, connect, said

MARK = 1_000 * 2**20


def judge() -> Overload:
    return Overload(Stats(0.0), MARK, 0.5, 5.0)


def levels(overload: Overload, *measured: tuple[float, float, float]) -> list[int]:
    """The level after each share of the memory mark, lag, and time."""
    found = []
    for share, lag_seconds, now in measured:
        overload.observe(share * MARK, lag_seconds, now)
        found.append(overload.level)
    return found


class TestMemory:
    def test_sheds_first_and_refuses_then(self):
        overload = judge()
        found = levels(overload, (0.5, 0, 0), (0.89, 0, 1), (0.9, 0, 2), (0.99, 0, 3), (1.0, 0, 4))
        assert found == [NORMAL, NORMAL, SHEDDING, SHEDDING, REFUSING]
        assert overload.reason == "1000 MiB of memory, mark 1000"

    def test_it_must_be_well_for_a_while(self):
        overload = judge()
        found = levels(
            overload,
            (1.1, 0, 0),
            (0.5, 0, 1),
            (0.5, 0, 5.9),
            (1.1, 0, 5.95),
            (0.5, 0, 6),
            (0.5, 0, 11),
        )
        assert found == [REFUSING] * 5 + [NORMAL]
        assert overload.reason == ""

    def test_a_mark_is_left_further_down_than_it_is_passed(self):
        overload = judge()
        assert levels(overload, (1.0, 0, 0), (0.96, 0, 1), (0.96, 0, 50)) == [REFUSING] * 3
        assert levels(overload, (0.94, 0, 60), (0.94, 0, 66)) == [REFUSING, SHEDDING]
        assert levels(overload, (0.86, 0, 70), (0.86, 0, 80)) == [SHEDDING] * 2
        assert levels(overload, (0.85, 0, 90), (0.85, 0, 96)) == [SHEDDING, NORMAL]

    def test_each_rise_is_counted(self):
        stats = Stats(0.0)
        overload = Overload(stats, MARK, 0.5, 0.0)
        changes = [overload.observe(share * MARK, 0, 0) for share in (0.5, 0.95, 0.95, 1.1, 0.1)]
        assert changes == [False, True, False, True, True]
        assert stats.overloads == 2


class TestLag:
    def test_one_that_lasts_refuses_and_a_moment_only_sheds(self):
        overload = judge()
        assert levels(overload, (0, 0.6, 0), (0, 0.6, 4.9), (0, 0.6, 5.0)) == [1, 1, 2]
        assert overload.reason == "the loop is 0.600 s late, mark 0.5"

    def test_it_must_last_without_a_pause(self):
        overload = judge()
        assert levels(overload, (0, 0.6, 0), (0, 0.5, 1), (0, 0.6, 2), (0, 0.6, 6.9)) == [
            1,
            1,
            1,
            1,
        ]

    def test_the_worse_of_both_counts(self):
        overload = judge()
        assert levels(overload, (1.0, 0.6, 0)) == [REFUSING]
        assert "memory" in overload.reason


def overloaded(level: int, **changed) -> Engine:
    engine = Engine(**changed)
    engine.broker.overload.level = level
    engine.broker.overload.reason = "too much"
    return engine


class TestWhatIsDone:
    @pytest.mark.parametrize("version", [V3_1_1, V5])
    def test_connections_are_refused_before_anybody_asks_who_it_is(self, version: int):
        engine = overloaded(REFUSING)
        _, answer = engine.ask(connect("c", version))
        assert said(answer) == ["CONNACK 0x89" if version == V5 else "CONNACK 0x88"]
        assert engine.broker.authenticator.attempts == []

    def test_they_are_not_while_work_is_shed(self):
        overloaded(SHEDDING).connect("c")

    def test_who_is_there_is_served(self):
        engine = Engine()
        peer = engine.connect("c")
        peer.subscribe("t", qos=1)
        engine.broker.overload.level = REFUSING
        assert said(peer.publish("t", qos=1, packet_id=1)) == ["PUBACK #1", "PUBLISH t=x q1 #1"]

    def test_qos_0_for_a_slow_reader_goes_earlier(self):
        engine = overloaded(SHEDDING, output_bytes_max=80_000)
        slow, fast, writer = (engine.connect(name) for name in ("slow", "fast", "writer"))
        for peer in (slow, fast):
            peer.subscribe("t", qos=1)
        slow.io.unsent_bytes = 80_000 // SHED_OUTPUT + 1
        writer.publish("t")
        writer.publish("t", qos=1, packet_id=1)
        assert said(slow.take()) == ["PUBLISH t=x q1 #1"]
        assert said(fast.take()) == ["PUBLISH t=x", "PUBLISH t=x q1 #1"]
        assert engine.stats.dropped["overload"] == 1

    def test_retained_messages_come_more_slowly(self):
        engine = overloaded(SHEDDING)
        writer = engine.connect("writer")
        count = 3 * RETAINED_PER_TURN_SHED
        for number in range(count):
            writer.publish(f"r/{number}", retain=True)
        reader = engine.connect("reader")
        engine.turn((reader, reader.encode(Subscribe(1, [SubscriptionRequest("r/#", 0)]))))
        assert len(reader.take()) == 1 + RETAINED_PER_TURN_SHED
        engine.settle()
        assert len(reader.take()) == count - RETAINED_PER_TURN_SHED
        assert engine.stats.shed["retained"] >= 3
