import pytest

from rookery.cluster import framing
from rookery.cluster.framing import BadFraming, Incoming, Outgoing


def messages(outgoing: Outgoing) -> list[bytes]:
    taken = []
    while outgoing:
        message, size = outgoing.take()
        assert size <= len(message) <= framing.MESSAGE_BYTES_MAX
        taken.append(message)
    return taken


def test_small_frames_share_a_message_and_stay_apart():
    outgoing = Outgoing()
    frames = [b"", b"a", b"bc" * 100]
    for frame in frames:
        outgoing.put(frame)
    [message] = messages(outgoing)
    assert Incoming().add(message) == frames


def test_a_message_is_filled_up_to_its_limit():
    outgoing = Outgoing()
    half = bytes(framing.JOINED_BYTES_MAX // 2)
    for _ in range(3):
        outgoing.put(half)
    sizes = [outgoing.take()[1], outgoing.take()[1]]
    assert sizes == [2 * len(half), len(half)]


def test_a_large_frame_goes_in_pieces_and_arrives_whole():
    outgoing, incoming = Outgoing(), Incoming()
    large = bytes(range(256)) * 10_000
    for frame in (b"before", large, b"after"):
        outgoing.put(frame)
    sent = messages(outgoing)
    assert len(sent) == 5
    assert [frame for message in sent for frame in incoming.add(message)] == [
        b"before",
        large,
        b"after",
    ]


@pytest.mark.parametrize("size", [-1, 0, 1])
def test_a_piece_more_is_none_that_is_empty(size: int):
    outgoing, incoming = Outgoing(), Incoming()
    frame = bytes(framing.PIECE_BYTES_MAX + size)
    outgoing.put(frame)
    sent = messages(outgoing)
    assert len(sent) == (2 if size > 0 else 1)
    assert [each for message in sent for each in incoming.add(message)] == [frame]


@pytest.mark.parametrize("message", [b"\0", b"\0\0\0\5abc", b"\xff\xff\xff\xffx"])
def test_what_is_cut_short_is_a_fault(message: bytes):
    with pytest.raises(BadFraming, match="cut short"):
        Incoming().add(message)


def test_a_frame_that_never_ends_is_a_fault(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(framing, "FRAME_BYTES_MAX", 10)
    incoming = Incoming()
    piece = (framing.MORE | 6).to_bytes(4, "big") + b"123456"
    incoming.add(piece)
    with pytest.raises(BadFraming, match="more than 10 bytes"):
        incoming.add(piece)
