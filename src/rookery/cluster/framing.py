"""The engine's frames within the messages of a stream.

A gRPC message costs a tenth of a millisecond whatever is in it, so small frames that wait share one. They stay
frames: each has its length before it. A frame larger than a message goes out in pieces, so that however large it is
the other side hears of us meanwhile.
"""

from collections import deque
from typing import Final

LENGTH_BYTES: Final = 4
MORE: Final = 1 << 31
"""In a length: the frame goes on in the next one."""
JOINED_BYTES_MAX: Final = 256 * 1024
"""What waiting frames fill a message up to; beyond it a message costs by its bytes alone."""
PIECE_BYTES_MAX: Final = 1024 * 1024
FRAME_BYTES_MAX: Final = 257 * 1024 * 1024
"""The largest control packet (256 MB) and what belongs to it."""
MESSAGE_BYTES_MAX: Final = PIECE_BYTES_MAX + 64 * 1024
"""What gRPC is told to take: a piece, its length and the message around it."""


class BadFraming(Exception):
    """The other side does not keep to the form of frames."""


class Outgoing:
    """Frames that wait to be sent."""

    def __init__(self) -> None:
        self._frames: deque[bytes] = deque()
        self._begun_bytes = 0
        """What has left already of the first frame."""

    def __bool__(self) -> bool:
        return bool(self._frames)

    def put(self, frame: bytes) -> None:
        """Add a frame."""
        assert len(frame) <= FRAME_BYTES_MAX
        self._frames.append(frame)

    def take(self) -> tuple[bytes, int]:
        """The next message, and how many bytes of frames are in it."""
        frames = self._frames
        if len(frames[0]) > PIECE_BYTES_MAX:
            return self._take_piece()
        parts: list[bytes] = []
        taken = 0
        while frames and (not parts or taken + len(frames[0]) <= JOINED_BYTES_MAX):
            frame = frames.popleft()
            parts += (len(frame).to_bytes(LENGTH_BYTES, "big"), frame)
            taken += len(frame)
        return b"".join(parts), taken

    def _take_piece(self) -> tuple[bytes, int]:
        frame = self._frames[0]
        piece = frame[self._begun_bytes : self._begun_bytes + PIECE_BYTES_MAX]
        self._begun_bytes += len(piece)
        head = len(piece)
        if self._begun_bytes < len(frame):
            head |= MORE
        else:
            self._frames.popleft()
            self._begun_bytes = 0
        return head.to_bytes(LENGTH_BYTES, "big") + piece, len(piece)


class Incoming:
    """Makes frames of the messages that arrive."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._pieces_bytes = 0

    def add(self, message: bytes) -> list[bytes]:
        """The frames that a message makes whole, in order.

        Raises:
            BadFraming: it is none that ``Outgoing`` makes.
        """
        frames: list[bytes] = []
        place = 0
        while place < len(message):
            begin = place + LENGTH_BYTES
            head = int.from_bytes(message[place:begin], "big")
            place = begin + (head & ~MORE)
            if place > len(message):
                raise BadFraming("a frame is cut short")
            piece = message[begin:place]
            if head & MORE or self._pieces:
                self._add_piece(piece)
                if head & MORE:
                    continue
                piece = b"".join(self._pieces)
                self._pieces.clear()
                self._pieces_bytes = 0
            frames.append(piece)
        return frames

    def _add_piece(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._pieces_bytes += len(piece)
        if self._pieces_bytes > FRAME_BYTES_MAX:
            raise BadFraming(f"a frame has more than {FRAME_BYTES_MAX} bytes")
