import pytest
from hypothesis import given
from hypothesis import strategies as st

from rookery.engine.peers.items import (
    ACK,
    ADOPTED,
    DURABLE,
    HANDED,
    HEADER_BYTES,
    HOLDING,
    KEPT,
    MEMBERS_MAX,
    ROUTE,
    ack_item,
    adopted_item,
    attached_of,
    handed_item,
    holding_item,
    item,
    item_end,
    kept_item,
    members_of,
    qos_of,
    route_item,
    route_value,
    share_qos_of,
    share_value,
    text_of,
    u64_at,
)
from rookery.mqtt.errors import PeerFault

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
U64 = st.integers(0, 2**64 - 1)


def parts_of(data: bytes) -> tuple[int, bytes]:
    """The kind and the body of the one item that these bytes are."""
    assert item_end(data, 0) == len(data)
    return data[4], data[HEADER_BYTES:]


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=20)), max_size=10))
def test_a_frame_is_one_item_after_the_other(items):
    frame = b"".join(item(kind, body) for kind, body in items)
    at = 0
    found = []
    while at < len(frame):
        end = item_end(frame, at)
        found.append((frame[at + 4], frame[at + HEADER_BYTES : end]))
        at = end
    assert found == items


@given(st.binary(max_size=40), st.data())
def test_a_frame_that_was_cut_is_refused(body, data):
    frame = item(KEPT, body)
    cut = frame[: data.draw(st.integers(0, len(frame) - 1))]
    with pytest.raises(PeerFault):
        item_end(cut, 0)


def test_an_item_has_a_kind_at_least():
    with pytest.raises(PeerFault, match="longer"):
        item_end(bytes(HEADER_BYTES), 0)


@given(TEXT, TEXT, U64, st.binary(max_size=20))
def test_what_is_kept_or_handed_comes_back_as_it_was_told(origin, cell, number, entry):
    kind, body = parts_of(kept_item(origin, number, entry))
    read, rest = text_of(body)
    assert (kind, read, u64_at(rest, 0), rest[8:]) == (KEPT, origin, number, entry)
    kind, body = parts_of(handed_item(cell, origin, number, entry))
    of, rest = text_of(body)
    read, rest = text_of(rest)
    assert (kind, of, read, u64_at(rest, 0), rest[8:]) == (HANDED, cell, origin, number, entry)


@given(st.lists(st.tuples(TEXT, U64), max_size=5))
def test_cells_and_their_epochs_come_back_as_they_were_told(cells):
    kind, body = parts_of(holding_item(cells))
    assert kind == HOLDING
    found = []
    while body:
        cell, body = text_of(body)
        found.append((cell, u64_at(body, 0)))
        body = body[8:]
    assert found == cells
    for cell, epoch in cells:
        kind, body = parts_of(adopted_item(cell, epoch))
        read, rest = text_of(body)
        assert (kind, read, u64_at(rest, 0)) == (ADOPTED, cell, epoch)


@given(TEXT, st.integers(0, 2**32 - 1), U64)
def test_routes_and_acknowledgements_as_well(key, value, number):
    kind, body = parts_of(route_item(key, value))
    assert (kind, int.from_bytes(body[:4], "big"), text_of(body[4:])) == (ROUTE, value, (key, b""))
    kind, body = parts_of(ack_item(number))
    assert (kind, u64_at(body, 0)) == (ACK, number)


@pytest.mark.parametrize("body", [b"", b"\0", b"\0\5abc", b"\0\2\xff\xfe"])
def test_a_text_that_is_none_is_refused(body):
    with pytest.raises((PeerFault, IndexError)):
        text_of(body)


def test_a_number_that_is_cut_is_refused():
    with pytest.raises(PeerFault):
        u64_at(bytes(9), 2)


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_the_value_of_a_filter_says_the_qos_and_whether_somebody_lasts(qos, durable):
    value = route_value(qos + 1, durable)
    assert (qos_of(value), bool(value & DURABLE)) == (qos, durable)
    assert value < 1 << 32
    assert route_value(0, durable) == 0


@given(st.integers(1, 10_000), st.integers(0, 10_000), st.integers(0, 2), st.booleans())
def test_the_value_of_a_share_group_says_its_members(members, attached, qos, durable):
    value = share_value(members, attached, qos, durable)
    assert members_of(value) == min(members, MEMBERS_MAX)
    assert attached_of(value) == min(attached, MEMBERS_MAX)
    assert (share_qos_of(value), bool(value & DURABLE)) == (qos, durable)
    assert value < 1 << 32
