import pytest

from rookery.engine import stats as subject
from rookery.engine.stats import DROP_QUEUE_FULL, DROP_REASONS, END_REASONS, END_TAKEOVER, Stats


def test_every_plain_counter_begins_at_zero() -> None:
    fresh = Stats(12.5)
    assert fresh.started_at == 12.5
    values = {name: getattr(fresh, name) for name in dir(fresh) if not name.startswith("_")}
    plain = {name: value for name, value in values.items() if isinstance(value, int | float)}
    del plain["started_at"]
    assert len(plain) > 40
    assert not any(plain.values())


def test_every_reason_is_present_at_zero() -> None:
    fresh = Stats(0.0)
    assert fresh.dropped == dict.fromkeys(DROP_REASONS, 0)
    assert fresh.disconnects == dict.fromkeys(END_REASONS, 0)


@pytest.mark.parametrize(("prefix", "listed"), [("DROP_", DROP_REASONS), ("END_", END_REASONS)])
def test_every_reason_constant_is_listed_once(prefix: str, listed: list[str]) -> None:
    constants = [
        value
        for name, value in vars(subject).items()
        if name.startswith(prefix) and isinstance(value, str)
    ]
    assert sorted(constants) == sorted(listed)
    assert len(set(listed)) == len(listed)


def test_two_nodes_do_not_share_their_counts() -> None:
    one, other = Stats(0.0), Stats(0.0)
    one.drop(DROP_QUEUE_FULL)
    one.disconnect(END_TAKEOVER)
    one.refuse_connect(0x86)
    assert other.dropped_total() == 0
    assert other.disconnects_total() == 0
    assert other.connects_refused_total() == 0


def test_drops_are_counted_by_reason_and_together() -> None:
    stats = Stats(0.0)
    stats.drop(DROP_QUEUE_FULL)
    stats.drop(DROP_QUEUE_FULL, 4)
    stats.drop(subject.DROP_EXPIRED, 2)
    assert stats.dropped[DROP_QUEUE_FULL] == 5
    assert stats.dropped_total() == 7


def test_refused_connects_are_counted_by_reason_code() -> None:
    stats = Stats(0.0)
    for reason_code in (0x86, 0x87, 0x86):
        stats.refuse_connect(reason_code)
    assert stats.connects_refused == {0x86: 2, 0x87: 1}
    assert stats.connects_refused_total() == 3


def test_ended_links_are_counted_by_reason() -> None:
    stats = Stats(0.0)
    stats.disconnect(END_TAKEOVER)
    assert stats.disconnects[END_TAKEOVER] == 1
    assert stats.disconnects_total() == 1


def test_a_reason_nobody_listed_is_a_bug() -> None:
    stats = Stats(0.0)
    with pytest.raises(KeyError):
        stats.drop("tired")
    with pytest.raises(KeyError):
        stats.disconnect("tired")


def test_the_highest_counts_stay() -> None:
    stats = Stats(0.0)
    stats.observe_counts(connections=5, sessions=9)
    stats.observe_counts(connections=3, sessions=10)
    assert (stats.connections_max, stats.sessions_max) == (5, 10)
