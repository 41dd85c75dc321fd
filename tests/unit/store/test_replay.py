"""Which groups of a log hold: the next record tells, and what is missing is noticed."""

import pytest

from rookery.ports import LogFenced
from rookery.records_wire import BEGIN, GROUP, SEAL, Record, encode_group, encode_record, split_body
from rookery.store.faults import StoreFault
from rookery.store.replay import Gap, Replay
from tests.support.stores import group


def of_group(follows: int, name: str, epoch: int = 1) -> bytes:
    body = encode_group(group(1, facts={name: b""}))
    return encode_record(Record(GROUP, epoch, 1, 1, follows, 5_000, 0, True, body))


def of_kind(kind: int, follows: int, text: bytes = b"n1") -> bytes:
    return encode_record(Record(kind, 1, 1, 1, follows, 7_000, 0, True, text))


def told(replay: Replay, *data: bytes, first: int = 0) -> list[str]:
    """The names of the groups that are given out, and that of what is held at the end."""
    found = [replay.take(each, one) for each, one in enumerate(data, first or replay.end + 1)]
    found.append(replay.confirm())
    return [name for each in found if each is not None for name in each.facts]


def test_groups_come_in_order():
    replay = Replay(1, 0)
    assert told(replay, of_group(0, "a"), of_group(1, "b"), of_group(2, "c")) == ["a", "b", "c"]
    assert (replay.applied, replay.end, replay.wall) == (3, 3, 5.0)


def test_one_is_given_out_when_it_is_confirmed():
    replay = Replay(1, 4)
    assert replay.take(5, of_group(4, "a")) is None
    assert (replay.applied, replay.confirmable()) == (4, 5)
    assert list(replay.take(6, of_group(5, "b")).facts) == ["a"]
    assert replay.applied == 5


def test_what_was_given_up_is_left_out():
    replay = Replay(1, 0)
    records = [of_group(0, "a"), of_group(1, "void"), of_group(1, "b"), of_group(3, "c")]
    assert told(replay, *records) == ["a", "b", "c"]


def test_several_in_a_row_are_left_out():
    records = [of_group(0, "a"), of_group(1, "void"), of_group(1, "too"), of_kind(BEGIN, 1)]
    assert told(Replay(1, 0), *records, of_group(4, "b")) == ["a", "b"]


def parts_of(name: str, follows: int, first: int, count: int) -> list[bytes]:
    bodies = split_body(encode_group(group(1, facts={name: b""})), 20)
    assert len(bodies) > 2
    return [
        encode_record(
            Record(
                GROUP,
                1,
                1,
                9,
                follows if part == 0 else first + part - 1,
                5_000,
                part,
                part + 1 == len(bodies),
                body,
            )
        )
        for part, body in enumerate(bodies[:count])
    ]


def test_a_group_in_parts_is_complete_with_the_last():
    replay = Replay(1, 0)
    parts = parts_of("a", 0, 1, 99)
    assert [replay.take(each, part) for each, part in enumerate(parts, 1)] == [None] * len(parts)
    assert replay.confirmable() == len(parts)
    assert list(replay.confirm().facts) == ["a"]


def test_a_group_without_its_last_part_is_left_out():
    records = [of_group(0, "a"), *parts_of("half", 1, 2, 2), of_group(1, "b")]
    assert told(Replay(1, 0), *records) == ["a", "b"]


def test_what_was_given_up_before_a_group_without_its_last_part():
    records = [of_group(0, "a"), of_group(1, "void"), *parts_of("half", 1, 3, 2)]
    assert told(Replay(1, 0), *records) == ["a"]


def test_a_part_that_is_missing_is_noticed():
    first, _, third = parts_of("a", 0, 1, 3)
    replay = Replay(1, 0)
    replay.take(1, first)
    with pytest.raises(Gap):
        replay.take(3, third)


def test_a_record_that_is_missing_is_noticed():
    replay = Replay(1, 0)
    replay.take(1, of_group(0, "a"))
    with pytest.raises(Gap, match="record 3 of the log follows 2, and the last known is 0"):
        replay.take(3, of_group(2, "c"))


def test_what_is_known_to_hold_cannot_become_void():
    replay = Replay(1, 5)
    with pytest.raises(Gap):
        replay.take(6, of_group(4, "a"))


def test_the_last_one_may_have_been_given_up_after_all():
    """Who reads another's log takes it at first, since it may have been acknowledged."""
    replay = Replay(1, 0)
    assert told(replay, of_group(0, "a"), of_group(1, "void")) == ["a", "void"]
    assert told(replay, of_group(1, "b"), of_group(3, "c")) == ["b", "c"]


def test_earlier_epochs_do_not_count_and_a_later_one_fences():
    replay = Replay(2, 0)
    mine = [of_group(0, "a", 2), of_group(3, "b", 2)]
    assert told(replay, of_group(0, "x", 1), of_group(1, "y", 1), *mine) == ["a", "b"]
    with pytest.raises(LogFenced, match="record 5 is of epoch 3, and ours is 2"):
        replay.take(5, of_group(4, "c", 3))


def test_a_seal_tells_who_has_taken_over():
    replay = Replay(1, 0)
    assert told(replay, of_group(0, "a"), of_kind(SEAL, 1, b"n2")) == ["a"]
    assert replay.sealed == "n2"


def test_a_damaged_record_is_told():
    with pytest.raises(StoreFault, match="record 8 of the log is damaged: 3 bytes that begin"):
        Replay(1, 0).take(8, b"abc")
