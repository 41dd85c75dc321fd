"""Groups as bytes: they come back as they were, and damage is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rookery.records import Group, OutboundRow, ProgressRow, SessionRow, SubscriptionRow
from rookery.records_wire import (
    BEGIN,
    GROUP,
    HEAD_BYTES,
    DamagedRecord,
    Record,
    decode_group,
    decode_record,
    encode_group,
    encode_record,
    split_body,
)
from tests.support.stores import cells, group, session

POSITIONS = st.integers(0, (1 << 63) - 1)
NUMBERS = st.integers(1, (1 << 63) - 1)
IDS = st.integers(1, 65535)
SECONDS = st.integers(0, 0xFFFFFFFF)
WALLS = st.floats(0, 1e12)
DATA = st.binary(max_size=30)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
KEYS = st.tuples(NUMBERS, IDS)


@st.composite
def groups(draw: st.DrawFn) -> Group:
    made = group(draw(POSITIONS), *draw(st.lists(DATA, max_size=5)))
    will = st.none() | DATA
    row = st.none() | st.tuples(TEXTS, SECONDS, st.none() | WALLS, will, SECONDS)
    for number, values in draw(st.dictionaries(NUMBERS, row, max_size=3)).items():
        made.sessions[number] = None if values is None else SessionRow(number, *values)
    options = (st.integers(0, 2), st.booleans(), st.booleans(), st.integers(0, 268_435_455))
    row = st.none() | st.tuples(*options, POSITIONS)
    for key, values in draw(st.dictionaries(st.tuples(NUMBERS, TEXTS), row, max_size=3)).items():
        made.subscriptions[key] = None if values is None else SubscriptionRow(*key, *values)
    row = st.tuples(POSITIONS, POSITIONS, st.lists(POSITIONS, max_size=4))
    for number, values in draw(st.dictionaries(NUMBERS, row, max_size=3)).items():
        made.progress[number] = ProgressRow(number, *values)
    made.inbound = draw(st.dictionaries(KEYS, st.booleans(), max_size=3))
    row = st.none() | st.tuples(POSITIONS, st.booleans(), st.booleans())
    for key, values in draw(st.dictionaries(KEYS, row, max_size=3)).items():
        made.outbound[key] = None if values is None else OutboundRow(*key, *values)
    made.retained = draw(st.dictionaries(TEXTS, st.none() | POSITIONS, max_size=3))
    made.finished_blocks = draw(st.lists(POSITIONS, max_size=4))
    made.trimmed = draw(st.dictionaries(POSITIONS, st.lists(POSITIONS, max_size=4), max_size=3))
    made.facts = draw(st.dictionaries(TEXTS, st.none() | DATA, max_size=3))
    return made


def values_of(made: Group) -> dict:
    found = dict(vars(made)) if hasattr(made, "__dict__") else {}
    for kind in ("block", "entries", "entry_bytes", "inbound", "retained", "facts"):
        found[kind] = getattr(made, kind)
    found["finished_blocks"], found["trimmed"] = made.finished_blocks, made.trimmed
    for kind in ("sessions", "subscriptions", "progress", "outbound"):
        rows = getattr(made, kind)
        found[kind] = {key: None if row is None else told(row) for key, row in rows.items()}
    return found


def told(row) -> tuple:
    if isinstance(row, SessionRow):
        return (*cells(row), row.detached_at_wall, row.will)
    if isinstance(row, OutboundRow):
        return (*cells(row), row.apart)
    return cells(row)


def record(kind: int = GROUP, payload: bytes = b"abc") -> Record:
    return Record(kind, 7, 1 << 60, 12, 41, 1_800_000_000_123, 3, True, payload)


@given(groups())
def test_a_group_comes_back_as_it_was(made: Group):
    assert values_of(decode_group(encode_group(made))) == values_of(made)


@given(st.sampled_from([GROUP, BEGIN]), st.binary(max_size=40), st.booleans(), POSITIONS)
def test_a_record_comes_back_as_it_was(kind: int, payload: bytes, last: bool, follows: int):
    made = Record(kind, 3, 1 << 63, 9, follows, 5, 2, last, payload)
    found = decode_record(encode_record(made))
    names = ("kind", "epoch", "boot", "number", "follows", "wall_ms", "part", "last", "payload")
    assert [getattr(found, name) for name in names] == [getattr(made, name) for name in names]


def test_a_record_is_as_long_as_its_head_and_what_it_carries():
    assert len(encode_record(record())) == HEAD_BYTES + 3


@given(groups(), st.integers(1, 40))
def test_parts_are_together_what_was_split(made: Group, bytes_max: int):
    body = encode_group(made)
    parts = split_body(body, bytes_max)
    assert b"".join(parts) == body
    assert max(map(len, parts)) <= bytes_max
    assert min(map(len, parts)) > 0


@given(groups(), st.data())
def test_a_group_that_is_cut_or_longer_is_refused(made: Group, data: st.DataObject):
    body = encode_group(made)
    cut = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(DamagedRecord, match="damaged near byte"):
        decode_group(body[:cut])
    with pytest.raises(DamagedRecord, match="has 1 bytes behind its end"):
        decode_group(body + b"\x00")


@given(groups(), st.data())
def test_a_damaged_group_is_refused_or_another_one(made: Group, data: st.DataObject):
    """Its check sum stands in the record; without it nothing worse happens."""
    body = bytearray(encode_group(made))
    at = data.draw(st.integers(0, len(body) - 1))
    body[at] ^= data.draw(st.integers(1, 255))
    try:
        decode_group(bytes(body))
    except DamagedRecord:
        pass


@given(st.data())
def test_any_bit_that_changed_is_noticed(data: st.DataObject):
    whole = bytearray(encode_record(record()))
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(DamagedRecord):
        decode_record(bytes(whole))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "0 bytes that begin with b'' are no record"),
        (b"Rk" + bytes(20), "22 bytes that begin with"),
        (b"xx" + encode_record(record())[2:], "are no record"),
        (b"Rk\x02" + encode_record(record())[3:], "of version 2, and this program knows 1"),
        (encode_record(record())[:-1], "the 2 bytes of the record are damaged"),
        (encode_record(record(kind=9)), "a record of kind 9 is not known"),
        (b"Rk\x01\x03" + encode_record(record())[4:], "the head of the record is damaged"),
    ],
)
def test_what_is_wrong_is_told(data: bytes, text: str):
    with pytest.raises(DamagedRecord, match=text):
        decode_record(data)


def test_a_count_that_is_damaged_makes_nothing_large():
    body = bytearray(encode_group(group(1)))
    body[8:12] = b"\xff\xff\xff\xff"
    with pytest.raises(DamagedRecord, match="4294967295 numbers are said to follow"):
        decode_group(bytes(body))


@pytest.mark.parametrize(
    "made",
    [group(-1), group(1, retained={"t": 1 << 64}), group(1, inbound={(1, 65536): True})],
)
def test_a_value_without_room_is_told(made: Group):
    with pytest.raises(ValueError, match="the group cannot be written as bytes"):
        encode_group(made)


def test_a_will_and_the_end_of_a_link_are_told_from_none():
    made = group(1, sessions={1: session(1, will=b""), 2: SessionRow(2, "c", 1, 0.0, None, 0)})
    found = decode_group(encode_group(made)).sessions
    assert (found[1].will, found[1].detached_at_wall) == (b"", 12.5)
    assert (found[2].will, found[2].detached_at_wall) == (None, 0.0)
