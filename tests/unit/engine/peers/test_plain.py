import pytest
from hypothesis import given
from hypothesis import strategies as st

from rookery.engine.peers.items import HEADER_BYTES, LIGHT, PUBLISH, item_end
from rookery.engine.peers.plain import LastHead, LastItem, is_plain, plain_head, plain_message
from rookery.message import Message
from rookery.mqtt.encode import topic_to_wire
from rookery.mqtt.errors import PeerFault
from rookery.records import decode_message, encode_message
from tests.support.engine import props

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0+#"), max_size=20)


def message(topic: str, payload: bytes, qos: int, publisher: str, retain: bool = False) -> Message:
    return Message(topic, topic_to_wire(topic), payload, qos, retain, None, publisher, 0.0)


def plain_item(kind: int, of: Message, publisher_wire: bytes) -> bytes:
    return plain_head(kind, of, publisher_wire) + of.payload


def fields(of: Message) -> tuple[object, ...]:
    return of.topic, of.topic_wire, of.payload, of.qos, of.retain, of.publisher, of.properties


@given(TEXT.filter(bool), st.binary(max_size=50), st.integers(0, 2), TEXT, st.booleans())
def test_it_says_what_a_log_entry_says(topic, payload, qos, publisher, retain):
    made = message(topic, payload, qos, publisher, retain)
    data = plain_item(PUBLISH, made, topic_to_wire(publisher))
    assert item_end(data, 0) == len(data)
    assert data[HEADER_BYTES:] == encode_message(made, 0.0, ())
    read = plain_message(b"before" + data, 6 + HEADER_BYTES, 6 + len(data))
    assert read is not None
    entry = decode_message(data[HEADER_BYTES:], 0.0)
    assert fields(read) == fields(entry.message) == fields(made)


def test_what_has_more_to_say_is_left_to_others():
    plain = message("t", b"x", 1, "p")
    assert is_plain(plain, "")
    assert not is_plain(plain, "$share/g/t")
    plain.stamp = 5
    assert not is_plain(plain, "")
    rich = Message("t", b"\0\1t", b"x", 1, False, props(content_type="c"), "p", 0.0)
    data = plain_item(PUBLISH, rich, b"\0\1p")
    assert plain_message(data, HEADER_BYTES, len(data)) is None
    assert decode_message(data[HEADER_BYTES:], 0.0).message.properties.content_type == "c"
    late = Message("t", b"\0\1t", b"x", 1, False, props(message_expiry_interval=5), "p", 0.0)
    assert not is_plain(late, "")


@given(st.data())
def test_bytes_that_make_no_sense_are_a_fault_or_no_plain_message(data):
    made = plain_item(PUBLISH, message("a/b", b"payload", 1, "client"), b"\0\6client")
    frame = bytearray(made)
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(HEADER_BYTES, len(frame) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(HEADER_BYTES + 1, len(frame)))
    try:
        plain_message(bytes(frame), HEADER_BYTES, end)
    except (PeerFault, IndexError):
        pass


@pytest.mark.parametrize("publisher", ["one", ""])
def test_a_message_for_several_nodes_is_written_once(publisher):
    last = LastItem()
    first = message("t", b"x", 0, publisher)
    data = last.of(PUBLISH, first)
    assert last.of(PUBLISH, first) is data
    assert last.of(PUBLISH, message("t", b"y", 0, "two")) != data
    assert last.of(PUBLISH, first) == data
    last.forget()
    assert last.of(PUBLISH, first) == data


RUN = st.tuples(
    st.sampled_from(["t", "t/u", "t"]),
    st.sampled_from([b"", b"x", b"y", b"long"]),
    st.integers(0, 2),
    st.sampled_from(["one", "two"]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([LIGHT, PUBLISH]),
)


@given(st.lists(RUN, max_size=30))
def test_runs_are_written_and_read_as_each_message_by_itself(told):
    last, head = LastItem(), LastHead()
    wires = {topic: topic_to_wire(topic) for topic in ("t", "t/u")}
    for topic, payload, qos, publisher, retain, rich, kind in told:
        properties = props(content_type="c") if rich else None
        made = Message(topic, wires[topic], payload, qos, retain, properties, publisher, 0.0)
        data = last.of(kind, made)
        assert data == plain_item(kind, made, topic_to_wire(publisher))
        frame, at = b"before" + data + b"behind", 6
        end = at + len(data)
        known = head.message(frame, at)
        read = plain_message(frame, at + HEADER_BYTES, end)
        if known is not None:
            assert read is not None
            assert (head.kind, head.end) == (kind, end)
            assert fields(known) == fields(read) == fields(made)
            assert head.message(frame[: end - 1], at) is None
        elif read is not None:
            head.learn(kind, frame, at, read)
            again = head.message(frame, at)
            assert again is not None
            assert fields(again) == fields(made)


def test_the_first_message_has_no_head_before_it():
    assert LastHead().message(b"\0\0\0\1\x0e", 0) is None
