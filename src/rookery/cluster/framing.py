"""The engine's frames within the bytes of a connection: each has its length before it.

The top bit of a length says that it is no frame: a sign of life where nothing follows, else the text why the link
ends, after which nothing comes.
"""

from typing import Final

LENGTH_BYTES: Final = 4
NO_FRAME: Final = 1 << 31
BEAT: Final = NO_FRAME.to_bytes(LENGTH_BYTES, "big")
FRAME_BYTES_MAX: Final = 257 * 1024 * 1024
"""The largest control packet (256 MB) and what belongs to it."""
REASON_BYTES_MAX: Final = 1024


class BadFraming(Exception):
    """The other side does not keep to the form of frames."""


def head_of(frame: bytes) -> bytes:
    """What goes before a frame."""
    assert len(frame) <= FRAME_BYTES_MAX
    return len(frame).to_bytes(LENGTH_BYTES, "big")


def farewell(reason: str) -> bytes:
    """The last words of a side that ends the link."""
    text = reason.encode()[:REASON_BYTES_MAX]
    return (NO_FRAME | len(text)).to_bytes(LENGTH_BYTES, "big") + text


class Incoming:
    """Makes frames of the bytes that arrive."""

    def __init__(self) -> None:
        self.farewell: str | None = None
        """Why the other side ends the link, once it has said so."""
        self._parts: list[bytes] = []
        """The beginning of what is not complete."""
        self._missing_bytes = 0
        """What must come at least before more can be said of it."""

    def add(self, data: bytes) -> list[bytes]:
        """The frames that these bytes make whole, in order.

        Raises:
            BadFraming: they are none that the other side may send.
        """
        if self._parts:
            self._parts.append(data)
            self._missing_bytes -= len(data)
            if self._missing_bytes > 0:
                return []
            data = b"".join(self._parts)
            self._parts.clear()
        frames: list[bytes] = []
        size = len(data)
        place = 0
        while place < size and self.farewell is None:
            begin = place + LENGTH_BYTES
            end = begin + _length(data, place) if begin <= size else begin
            if end > size:
                self._parts.append(data[place:])
                self._missing_bytes = end - size
                break
            if data[place] < 0x80:
                frames.append(data[begin:end])
            elif end > begin:
                self.farewell = data[begin:end].decode(errors="replace")
            place = end
        return frames


def _length(data: bytes, place: int) -> int:
    head = int.from_bytes(data[place : place + LENGTH_BYTES], "big")
    length = head & ~NO_FRAME
    if length > (REASON_BYTES_MAX if head & NO_FRAME else FRAME_BYTES_MAX):
        raise BadFraming(f"a length of {length} bytes")
    return length
