"""What the fuzzer throws at the link, and what must hold of it.

An input's first byte chooses version, sender and the place where the stream is cut; the rest is the
stream. No stream may raise; the pieces must not matter; and each decoded packet must encode to what
decodes to the same. The seeds are the packet vectors.
"""

from collections.abc import Iterator

from rookery.mqtt.encode import encode_packet
from rookery.mqtt.link import CLIENT, SERVER, Link
from tests.support import vectors
from tests.support.packets import describe

VERSIONS = (3, 4, 5)
SENDERS = ("client", "server")


def link_for(choice: int) -> Link:
    """A link of the chosen version that receives from the chosen sender, opened or not yet."""
    version = VERSIONS[choice % 3]
    sender = SENDERS[choice // 3 % 2]
    if choice // 6 % 2:
        return vectors.established(sender, version)
    if sender == "client":
        return Link(SERVER, 1 << 20, 10)
    return Link(CLIENT, 1 << 20, 10, version)


def choice_for(vector: vectors.Vector) -> int:
    """The choice by which ``link_for`` makes the link of a vector."""
    opened = 0 if vector.fresh else 1
    return VERSIONS.index(vector.version) + 3 * SENDERS.index(vector.sender) + 6 * opened


def seeds() -> Iterator[bytes]:
    """Inputs to begin with."""
    for vector in vectors.load():
        yield bytes((choice_for(vector),)) + vector.data


def one_input(data: bytes) -> None:
    """Try one input; an exception is a find."""
    if not data:
        return
    choice, stream = data[0], data[1:]
    whole = link_for(choice)
    packets = whole.receive(stream)
    said = [describe(packet) for packet in packets]
    pieces = link_for(choice)
    cut = min(choice // 12, len(stream))
    again = [describe(each) for each in pieces.receive(stream[:cut]) + pieces.receive(stream[cut:])]
    assert (again, str(pieces.fault)) == (said, str(whole.fault))
    if packets:
        echo = link_for(choice)
        encoded = b"".join(encode_packet(packet, whole.version) for packet in packets)
        assert [describe(packet) for packet in echo.receive(encoded)] == said
        assert echo.fault is None
