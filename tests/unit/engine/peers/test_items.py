import pytest

from rookery.engine.peers.items import (
    ACK,
    DURABLE,
    HEADER_BYTES,
    HOLDING,
    KEPT,
    MEMBERS_MAX,
    ack_item,
    attached_of,
    holding_item,
    item,
    item_end,
    kept_item,
    members_of,
    qos_of,
    route_value,
    share_qos_of,
    share_value,
    text_of,
    u64_at,
)
from rookery.mqtt.errors import MalformedPacket


def test_a_frame_is_one_item_after_the_other():
    frame = ack_item(7) + kept_item("a/3", 9, b"entry") + item(HOLDING, b"")
    found = []
    at = 0
    while at < len(frame):
        end = item_end(frame, at)
        found.append((frame[at + 4], frame[at + HEADER_BYTES : end]))
        at = end
    assert [kind for kind, _ in found] == [ACK, KEPT, HOLDING]
    assert u64_at(found[0][1], 0) == 7
    origin, rest = text_of(found[1][1])
    assert (origin, u64_at(rest, 0), rest[8:]) == ("a/3", 9, b"entry")


@pytest.mark.parametrize(
    "frame", [b"\0\0", b"\0\0\0\0\1", b"\0\0\0\5\1ab", b"\xff\xff\xff\xff\1"], ids=repr
)
def test_what_is_no_whole_item_is_a_fault(frame):
    with pytest.raises(MalformedPacket):
        item_end(frame, 0)


def test_what_is_shorter_than_its_fields_is_a_fault():
    with pytest.raises(MalformedPacket):
        u64_at(b"1234567", 0)
    with pytest.raises(MalformedPacket):
        text_of(b"\0\5ab")


def test_the_value_of_a_filter_says_the_qos_and_whether_it_is_durable():
    for qos in range(3):
        value = route_value(qos + 1, qos == 1)
        assert qos_of(value) == qos
        assert bool(value & DURABLE) == (qos == 1)
    assert route_value(0, True) == 0


def test_the_value_of_a_share_group_says_its_members():
    value = share_value(5, 3, 2, True)
    assert (members_of(value), attached_of(value), share_qos_of(value)) == (5, 3, 2)
    assert value & DURABLE
    many = share_value(100_000, 99_999, 1, False)
    assert members_of(many) == attached_of(many) == MEMBERS_MAX
    assert not many & DURABLE
    assert share_qos_of(many) == 1


def test_cells_and_their_epochs():
    data = holding_item([("a", 1), ("b", 7)])
    body = data[HEADER_BYTES:]
    cell, rest = text_of(body)
    assert (cell, u64_at(rest, 0)) == ("a", 1)
    cell, rest = text_of(rest[8:])
    assert (cell, u64_at(rest, 0), rest[8:]) == ("b", 7, b"")
