import pytest
from hypothesis import given
from hypothesis import strategies as st

from rookery.message import Message, node_message
from rookery.mqtt.encode import topic_to_wire
from rookery.mqtt.errors import PeerFault
from rookery.mqtt.properties import Properties
from rookery.records import (
    ENTRIES_PER_BLOCK_MAX,
    Group,
    Loaded,
    OutboundRow,
    ProgressRow,
    SessionRow,
    SubscriptionRow,
    block_of,
    decode_message,
    encode_message,
    index_of,
    pack_numbers,
    position_of,
    unpack_numbers,
)
from tests.support.engine import props

WALL_MINUS_MONOTONIC = 1_700_000_000.25

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@st.composite
def all_properties(draw: st.DrawFn) -> Properties | None:
    """What a PUBLISH may carry to others."""
    values = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "payload_format_indicator": st.integers(0, 1),
                "content_type": texts,
                "response_topic": st.text("abc/", min_size=1, max_size=9),
                "correlation_data": st.binary(max_size=20),
                "user_properties": st.lists(st.tuples(texts, texts), min_size=1, max_size=3),
            },
        )
    )
    return props(**values) if values else None


@given(
    st.text("abcä/", min_size=1, max_size=20),
    st.binary(max_size=50),
    st.integers(0, 2),
    st.booleans(),
    all_properties(),
    texts,
    st.none() | st.integers(1, 1_000_000),
    st.lists(st.integers(1, 1 << 50), max_size=3).map(tuple),
    st.sampled_from(["", "$share/g/ä/#"]),
)
def test_an_entry_comes_back_as_it_was(
    topic, payload, qos, retain, properties, publisher, expiry_seconds, targets, share
):
    if expiry_seconds is not None:
        properties = properties or Properties()
        properties.message_expiry_interval = expiry_seconds
    wire = topic_to_wire(topic)
    message = Message(topic, wire, payload, qos, retain, properties, publisher, 1_000.5)
    entry = decode_message(
        encode_message(message, WALL_MINUS_MONOTONIC, targets, share), WALL_MINUS_MONOTONIC
    )
    again = entry.message
    assert (entry.targets, entry.share) == (targets, share)
    assert (again.topic, again.topic_wire, again.payload) == (topic, wire, payload)
    assert (again.qos, again.retain, again.publisher) == (qos, retain, publisher)
    assert (again.properties is None) == (properties is None)
    if properties is not None and again.properties is not None:
        assert vars_of(again.properties) == vars_of(properties)
    if expiry_seconds is None:
        assert again.expires_at is None
    else:
        assert again.expires_at == pytest.approx(1_000.5 + expiry_seconds, abs=0.002)


def vars_of(properties: Properties) -> dict[str, object]:
    names = [name for name in dir(properties) if not name.startswith("_")]
    return {
        name: getattr(properties, name) for name in names if not callable(getattr(properties, name))
    }


def test_an_expiry_is_the_same_moment_for_a_process_that_began_later():
    message = Message(
        "t", topic_to_wire("t"), b"", 1, False, props(message_expiry_interval=60), "", 5.0
    )
    data = encode_message(message, 1_000.0, ())
    assert decode_message(data, 1_040.0).message.expires_at == 25.0


@given(st.data())
def test_damage_is_refused_or_gives_another_message(data):
    message = Message("a/b", topic_to_wire("a/b"), b"payload", 1, False, None, "client", 0.0)
    whole = encode_message(message, 0.0, (7,))
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = data.draw(
        st.sampled_from([whole[:at], whole[:at] + b"\xff" + whole[at + 1 :], whole[at:]])
    )
    try:
        decode_message(damaged, 0.0)
    except (PeerFault, IndexError):
        pass


@pytest.mark.parametrize("length", range(16))
def test_an_entry_cut_short_in_its_head_is_refused(length):
    message = Message("a/b", topic_to_wire("a/b"), b"", 1, False, None, "client", 0.0)
    whole = encode_message(message, 0.0, ())
    assert len(whole) >= 15
    if length < 14:
        with pytest.raises((PeerFault, IndexError)):
            decode_message(whole[:length], 0.0)


@given(st.integers(1, 1 << 40), st.integers(0, ENTRIES_PER_BLOCK_MAX - 1))
def test_a_position_is_a_block_and_a_place_in_it(block, index):
    position = position_of(block, index)
    assert (block_of(position), index_of(position)) == (block, index)
    assert position > position_of(block - 1, ENTRIES_PER_BLOCK_MAX - 1)


def put_entry(group: Group) -> None:
    group.entries.append(b"entry")


def put_session(group: Group) -> None:
    group.sessions[1] = SessionRow(1, "c", 60, None, None, 0)


def put_subscription(group: Group) -> None:
    group.subscriptions[1, "t"] = SubscriptionRow(1, "t", 1, False, False, 0, 5)


def put_progress(group: Group) -> None:
    group.progress[1] = ProgressRow(1, 5, 5, [])


def put_inbound(group: Group) -> None:
    group.inbound[1, 7] = False


def put_outbound(group: Group) -> None:
    group.outbound[1, 7] = OutboundRow(1, 7, 5, False)


def put_retained(group: Group) -> None:
    group.retained["t"] = None


def put_finished(group: Group) -> None:
    group.finished_blocks.append(3)


@pytest.mark.parametrize(
    "put",
    [
        put_entry,
        put_session,
        put_subscription,
        put_progress,
        put_inbound,
        put_outbound,
        put_retained,
        put_finished,
    ],
)
def test_a_group_with_anything_in_it_is_not_empty(put):
    group = Group(1)
    assert group.empty()
    put(group)
    assert not group.empty()


def test_a_store_that_was_never_used_begins_with_1():
    loaded = Loaded()
    assert (loaded.next_block, loaded.next_number, loaded.blocks) == (1, 1, [])


def test_a_session_row_promises_a_longer_life_and_a_will():
    kept = SessionRow(1, "c", 60, 5.0, b"will", 3)
    less = [(60, b"will", 3), (59, b"will", 3), (60, None, 0)]
    more = [(61, b"will", 3), (60, b"other", 3), (60, b"will", 4), (59, b"other", 3)]
    for expiry_seconds, will, delay_seconds in less:
        row = SessionRow(1, "c", expiry_seconds, None, will, delay_seconds)
        assert not row.promises_more_than(kept)
    for expiry_seconds, will, delay_seconds in more:
        row = SessionRow(1, "c", expiry_seconds, None, will, delay_seconds)
        assert row.promises_more_than(kept)


@pytest.mark.parametrize(
    ("seconds", "now", "older"), [(None, 1e9, False), (5, 14.9, False), (5, 15.0, True)]
)
def test_an_entry_may_say_when_it_was_made(seconds, now, older):
    message = node_message("t", b"x", False, 0.0)
    entry = decode_message(encode_message(message, 100.0, (3,), "", 10.0), 100.0)
    assert (entry.kept_at, entry.targets, entry.message.payload) == (10.0, (3,), b"x")
    assert entry.older_than(seconds, now) is older
    undated = decode_message(encode_message(message, 100.0, ()), 100.0)
    assert not undated.older_than(1, 1e9)


@given(st.sets(st.integers(1, 1 << 40) | st.integers(1, 300)))
def test_numbers_are_packed_and_come_back(numbers):
    ordered = sorted(numbers)
    assert unpack_numbers(pack_numbers(ordered)) == ordered


def test_neighbours_take_no_room():
    assert len(pack_numbers(range(10, 10_000))) == 3


def test_an_entry_names_who_inherited_it():
    message = Message("t", topic_to_wire("t"), b"x", 2, True, None, "p", 0.0)
    heirs = pack_numbers([3, 70_000])
    entry = decode_message(encode_message(message, 100.0, (), "", 10.0, heirs), 100.0)
    assert (entry.heirs, entry.targets, entry.share, entry.kept_at) == (heirs, (), "", 10.0)
    assert (entry.message.topic, entry.message.payload, entry.message.qos) == ("t", b"x", 2)


def test_an_entry_says_by_what_it_is_known_to_whom_it_is_kept_for():
    message = Message("t", topic_to_wire("t"), b"x", 2, True, None, "p", 0.0)
    message.stamp = 5
    for share in ("", "$share/g/t"):
        data = encode_message(message, 0.0, (9,), share, None, b"", "ä/1", 1 << 40)
        entry = decode_message(data, 0.0)
        assert (entry.origin, entry.number) == ("ä/1", 1 << 40)
        assert (entry.targets, entry.share, entry.message.stamp) == ((9,), share, 5)
        assert (entry.message.topic, entry.message.payload) == ("t", b"x")
