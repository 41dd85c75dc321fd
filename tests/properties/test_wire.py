"""What holds for every packet and for every string of bytes."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rookery.mqtt.encode import encode_packet
from rookery.mqtt.link import CLIENT, SERVER, Link
from tests.support import strategies, vectors
from tests.support.packets import describe

EVERY_SENDER = [
    (version, sender) for version in strategies.VERSIONS for sender in strategies.SENDERS
]
every_sender = pytest.mark.parametrize(("version", "sender"), EVERY_SENDER)
STREAMS = [each.data for each in vectors.load() if not each.fresh]


def beginner(version: int, sender: str) -> Link:
    """A link that waits for the sender's first packet."""
    if sender == "client":
        return Link(SERVER, 1 << 20, 10)
    return Link(CLIENT, 1 << 20, 10, version)


def outcome(link: Link, chunks: list[bytes]) -> tuple[list[object], str | None]:
    """What a link makes of a stream."""
    packets = [describe(packet) for chunk in chunks for packet in link.receive(chunk)]
    return packets, None if link.fault is None else str(link.fault)


@every_sender
@given(data=st.data())
def test_what_is_encoded_is_what_is_decoded(version, sender, data):
    packet = data.draw(strategies.packets(version, sender))
    link = vectors.established(sender, version)
    decoded = link.receive(encode_packet(packet, version))
    assert link.fault is None
    assert [describe(each) for each in decoded] == [describe(packet)]


@every_sender
@given(data=st.data())
def test_the_first_packet_too(version, sender, data):
    packet = data.draw(strategies.openings(version, sender))
    link = beginner(version, sender)
    decoded = link.receive(encode_packet(packet, version))
    assert link.fault is None
    assert link.version == version
    assert [describe(each) for each in decoded] == [describe(packet)]


@every_sender
@given(data=st.data())
def test_a_link_sends_what_its_peer_receives(version, sender, data):
    """Through ``send``, with topic aliases, in one batch."""
    packets = data.draw(st.lists(strategies.packets(version, sender), max_size=8))
    receiver = vectors.established(sender, version)
    link = vectors.established("server" if sender == "client" else "client", version)
    link.open_output(1 << 20, data.draw(st.integers(0, 10)))
    assert all(link.send(packet) for packet in packets)
    decoded = receiver.receive(link.take_output())
    assert receiver.fault is None
    assert [describe(each) for each in decoded] == [describe(each) for each in packets]


@every_sender
@given(data=st.data())
def test_any_chunking_of_good_packets_gives_the_same(version, sender, data):
    packets = data.draw(st.lists(strategies.packets(version, sender), max_size=5))
    stream = b"".join(encode_packet(packet, version) for packet in packets)
    chunks = data.draw(strategies.chunked(stream))
    assert outcome(vectors.established(sender, version), chunks) == (
        [describe(each) for each in packets],
        None,
    )


@every_sender
@given(data=st.data())
def test_any_chunking_of_damaged_packets_gives_the_same(version, sender, data):
    """One byte of a good stream is changed: the fault must not depend on the pieces."""
    packets = data.draw(st.lists(strategies.packets(version, sender), min_size=1, max_size=3))
    stream = bytearray(b"".join(encode_packet(packet, version) for packet in packets))
    stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    whole = outcome(vectors.established(sender, version), [bytes(stream)])
    chunks = data.draw(strategies.chunked(bytes(stream)))
    assert outcome(vectors.established(sender, version), chunks) == whole
    singles = [bytes((byte,)) for byte in stream]
    assert outcome(vectors.established(sender, version), singles) == whole


@every_sender
@given(stream=st.binary(max_size=200) | st.sampled_from(STREAMS))
@example(stream=b"")
def test_no_bytes_make_a_link_raise(version, sender, stream):
    """``receive`` would let anything but a peer's fault through."""
    outcome(vectors.established(sender, version), [stream])
    outcome(beginner(version, sender), [stream])


@every_sender
@given(data=st.data())
def test_no_body_makes_a_packet_raise(version, sender, data):
    """Right headers and lengths, so that the bodies are read."""
    first = data.draw(st.integers(0, 255))
    body = data.draw(st.binary(max_size=60))
    link = vectors.established(sender, version)
    link.receive(bytes((first, len(body))) + body)


@pytest.mark.parametrize("version", strategies.VERSIONS)
@given(data=st.data())
@settings(max_examples=50)
def test_a_connect_cut_short_is_a_fault(version, data):
    """The remaining length is put right, so that it is the fields that miss something.

    In 3.1 a user name or password may be missing, and nothing else.
    """
    packet = data.draw(strategies.connects(version))
    if version == 3:
        packet.username = packet.password = None
    wire = encode_packet(packet, version)
    body = wire[2:] if wire[1] < 0x80 else wire[3:]
    cut = body[: data.draw(st.integers(0, min(len(body) - 1, 127)))]
    link = Link(SERVER, 1 << 20, 0)
    assert link.receive(bytes((0x10, len(cut))) + cut) == []
    assert link.fault is not None


@every_sender
@given(data=st.data())
def test_nothing_larger_than_the_peer_allows_is_sent(version, sender, data):
    packet = data.draw(strategies.packets(version, sender))
    link = vectors.established("server" if sender == "client" else "client", version)
    link.open_output(data.draw(st.integers(1, 60)), data.draw(st.integers(0, 2)))
    sent = link.send(packet)
    output = link.take_output()
    assert len(output) <= link.packet_bytes_out_max
    assert sent == (output != b"")
