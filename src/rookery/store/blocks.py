"""A block: neighbouring entries of one group commit as one value of the database.

::

    count | offset of entry 0 | ... | offset behind the last | CRC-32 entry 0 | CRC-32 entry 1 | ...

Counts and offsets (from the begin of the block) are nine decimal digits, because SQL can read those: one
statement cuts many entries out of many blocks, where one call for each would wait for the interpreter
lock every time. A check sum stands before each entry, so that one can be trusted without the others.
"""

from collections.abc import Sequence
from typing import Final
from zlib import crc32

DIGITS: Final = 9
"""Of each number: SQLite's values end at a thousand million bytes."""
CRC_BYTES: Final = 4

PIECE_SQL: Final = (
    "substr(l.data,"
    " 1 + CAST(substr(l.data, 10 + 9 * {index}, 9) AS INTEGER),"
    " CAST(substr(l.data, 19 + 9 * {index}, 9) AS INTEGER)"
    " - CAST(substr(l.data, 10 + 9 * {index}, 9) AS INTEGER))"
)
"""The piece of entry ``{index}`` in ``l.data``, for ``decode_piece``."""
COUNT_SQL: Final = "CAST(substr(l.data, 1, 9) AS INTEGER)"
"""How many entries ``l.data`` has."""


def encode_block(entries: Sequence[bytes]) -> bytes:
    """The block of some entries."""
    offset = DIGITS * (len(entries) + 2)
    numbers = [len(entries), offset]
    pieces = [b""]
    for entry in entries:
        offset += CRC_BYTES + len(entry)
        numbers.append(offset)
        pieces.append(crc32(entry).to_bytes(CRC_BYTES, "big"))
        pieces.append(entry)
    pieces[0] = (b"%09d" * len(numbers)) % tuple(numbers)
    return b"".join(pieces)


def split_block(data: bytes, entries_max: int) -> list[bytes]:
    """The same entries as blocks of no more than so many, damaged ones as damaged ones.

    Empty when the directory is damaged, for then nobody can tell one entry from the other.
    """
    places = _places(data)
    pieces = [data[begin : begin + length] for begin, length in places]
    return [_joined(pieces[at : at + entries_max]) for at in range(0, len(pieces), entries_max)]


def _joined(pieces: Sequence[bytes]) -> bytes:
    offset = DIGITS * (len(pieces) + 2)
    numbers = [len(pieces), offset]
    for piece in pieces:
        offset += len(piece)
        numbers.append(offset)
    return b"".join([(b"%09d" * len(numbers)) % tuple(numbers), *pieces])


def decode_piece(piece: bytes) -> bytes | None:
    """The entry in what ``PIECE_SQL`` or ``piece_range`` cut out; ``None`` where it is damaged."""
    entry = piece[CRC_BYTES:]
    if len(piece) < CRC_BYTES or crc32(entry) != int.from_bytes(piece[:CRC_BYTES], "big"):
        return None
    return entry


def count_of(data: bytes) -> int:
    """How many entries a block has, from its begin; -1 where that is damaged."""
    return _number(data[:DIGITS])


def directory_range(index: int) -> tuple[int, int]:
    """Begin and length of the part of a block that says where one entry lies."""
    return DIGITS * (index + 1), 2 * DIGITS


def piece_range(directory: bytes) -> tuple[int, int]:
    """Begin and length of a piece, from what lies in ``directory_range``; 0, 0 where that is damaged."""
    begin, end = _number(directory[:DIGITS]), _number(directory[DIGITS:])
    return (begin, end - begin) if 0 <= begin <= end else (0, 0)


def decode_block(data: bytes) -> list[bytes | None]:
    """All entries of a block; ``None`` stands for a damaged one. Empty when not even their count is left."""
    return [decode_piece(data[begin : begin + length]) for begin, length in _places(data)]


def _places(data: bytes) -> list[tuple[int, int]]:
    count = count_of(data)
    begin = DIGITS * (count + 2)  # Said twice: by the count, and as where the first entry begins.
    if count < 0 or begin > len(data) or _number(data[DIGITS : 2 * DIGITS]) != begin:
        return []
    return [
        piece_range(data[at : at + 2 * DIGITS])
        for at in range(DIGITS, DIGITS * (count + 1), DIGITS)
    ]


def _number(digits: bytes) -> int:
    return int(digits) if len(digits) == DIGITS and digits.isdigit() else -1
