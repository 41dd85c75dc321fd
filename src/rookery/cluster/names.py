"""What streams, subjects and servers are called, whatever a node is called.

A name must be one token of a subject and one folder on any file system, and two nodes must never share one.
So letters, digits, ``-`` and ``_`` stay, everything else becomes ``=`` and two hexadecimal digits per byte, and
a node id that would grow too long that way is represented by its hash, behind ``==``, which no other begins with.
"""

import hashlib
import string
from typing import Final

REGISTERS: Final = 3
"""How many registers there are; two of them decide."""
TOKEN_BYTES_MAX: Final = 128
"""A stream is a folder whose name may have 255 bytes, and some is added to it."""

_PLAIN: Final = frozenset((string.ascii_letters + string.digits + "-_").encode())


def token(node_id: str) -> str:
    """The node's name within names of streams, subjects and servers."""
    made = "".join(chr(byte) if byte in _PLAIN else f"={byte:02x}" for byte in node_id.encode())
    if not made:
        raise ValueError("a node id has at least one character")
    if len(made) > TOKEN_BYTES_MAX:
        return "==" + hashlib.blake2b(node_id.encode(), digest_size=32).hexdigest()
    return made


def server_name(node_id: str) -> str:
    """What the NATS server of a node calls itself."""
    return token(node_id)


def server_tag(server: str) -> str:
    """The tag of one server, by which a stream is placed on it; ``server`` is what it calls itself.

    NATS makes no difference between capital and small letters in tags, so capital ones are written as others are.
    """
    return "node:" + "".join(f"={ord(each):02x}" if each.isupper() else each for each in server)


def log_stream(node_id: str) -> str:
    """The stream with a cell's group commits."""
    return f"LOG_{token(node_id)}"


def log_subject(node_id: str) -> str:
    """Its only subject: what is expected of the last sequence then concerns this log alone."""
    return f"log.{token(node_id)}"


def snapshot_stream(node_id: str) -> str:
    """The stream with a cell's snapshots."""
    return f"SNAP_{token(node_id)}"


def snapshot_subject(node_id: str, *parts: str) -> str:
    """A subject in it; ``current`` is that of the manifest."""
    return ".".join(("snap", token(node_id), *parts))


def register_stream(index: int) -> str:
    """One of the registers, which hold who has which cell."""
    return f"REG_{index}"


def register_subject(index: int, cell: str) -> str:
    """A cell's record in a register; ``*`` stands for all of them."""
    return f"reg.{index}.{cell if cell == '*' else token(cell)}"
