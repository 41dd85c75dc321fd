import random

import pytest

from rookery.cluster import framing
from rookery.cluster.framing import BEAT, BadFraming, Incoming, farewell, head_of


def written(*frames: bytes) -> bytes:
    return b"".join(head_of(frame) + frame for frame in frames)


def test_frames_come_out_as_they_went_in():
    frames = [b"", b"a", b"bc" * 100]
    assert Incoming().add(written(*frames)) == frames


def test_they_do_wherever_the_bytes_are_cut():
    chance = random.Random(7)
    frames = [chance.randbytes(chance.choice((0, 1, 3, 4, 5, 300))) for _ in range(200)]
    data = BEAT + written(*frames[:100]) + BEAT + written(*frames[100:]) + BEAT
    for longest in (1, 2, 3, 7, 400, len(data)):
        incoming = Incoming()
        found: list[bytes] = []
        place = 0
        while place < len(data):
            size = chance.randint(1, longest)
            found += incoming.add(data[place : place + size])
            place += size
        assert found == frames


def test_a_beat_is_no_frame_and_a_farewell_is_the_last_word():
    incoming = Incoming()
    assert incoming.add(BEAT + written(b"a")) == [b"a"]
    assert incoming.farewell is None
    last = farewell("it stops: ärgerlich")
    assert incoming.add(written(b"b") + last[:9]) == [b"b"]
    assert incoming.farewell is None
    assert incoming.add(last[9:] + written(b"late")) == []
    assert incoming.farewell == "it stops: ärgerlich"


def test_a_long_farewell_is_cut():
    incoming = Incoming()
    incoming.add(farewell("x" * 5_000))
    assert incoming.farewell == "x" * framing.REASON_BYTES_MAX


@pytest.mark.parametrize(
    "length", [framing.FRAME_BYTES_MAX + 1, framing.NO_FRAME | framing.REASON_BYTES_MAX + 1]
)
def test_lengths_have_limits(length: int):
    with pytest.raises(BadFraming, match="bytes"):
        Incoming().add(length.to_bytes(4, "big"))
    with pytest.raises(BadFraming):
        Incoming().add(written(b"a") + length.to_bytes(4, "big") + b"more")
