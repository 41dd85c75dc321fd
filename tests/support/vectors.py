"""The packet vectors of ``tests/vectors``: bytes with what they mean, written from the standard.

Each case has a ``name``, the protocol ``version`` (3, 4 or 5), who it is ``from`` (``client`` or
``server``), ``hex`` (spaces part the fields), and then ``packets`` as ``describe`` says them, or
the ``fault`` that the bytes are, or both. Optional: ``fresh`` (the first bytes of a connection),
``packet_bytes_max``, ``topic_aliases_in_max``, ``link_version`` (the version to refuse in) and
``canonical`` (false where the same packet is encoded in other bytes).
"""

import json
from dataclasses import dataclass
from pathlib import Path

from rookery.mqtt.link import CLIENT, SERVER, Link

FOLDER = Path(__file__).parents[1] / "vectors"

GREETING = {
    3: bytes.fromhex("1010 0006 4d5149736470 03 02 003c 0002 6964"),
    4: bytes.fromhex("100e 0004 4d515454 04 02 003c 0002 6964"),
    5: bytes.fromhex("100f 0004 4d515454 05 02 003c 00 0002 6964"),
}
"""A CONNECT in each version."""

WELCOME = {3: b"\x20\x02\0\0", 4: b"\x20\x02\0\0", 5: b"\x20\x03\0\0\0"}
"""A CONNACK in each version."""


@dataclass(frozen=True)
class Vector:
    """One case."""

    name: str
    version: int
    sender: str
    data: bytes
    packets: list[dict[str, object]]
    fault: str | None
    fresh: bool
    canonical: bool
    packet_bytes_max: int
    topic_aliases_in_max: int
    link_version: int | None

    def link(self) -> Link:
        """A link that is where the bytes arrive."""
        limits = (self.packet_bytes_max, self.topic_aliases_in_max)
        if self.fresh:
            if self.sender == "client":
                return Link(SERVER, *limits)
            return Link(CLIENT, *limits, self.version)
        return established(self.sender, self.version, *limits)


def established(
    sender: str,
    version: int,
    packet_bytes_max: int = 1 << 20,
    topic_aliases_in_max: int = 10,
) -> Link:
    """A link that receives from ``sender`` and has got its CONNECT or CONNACK."""
    role = SERVER if sender == "client" else CLIENT
    link = Link(role, packet_bytes_max, topic_aliases_in_max, 0 if role == SERVER else version)
    greeting = GREETING if sender == "client" else WELCOME
    assert len(link.receive(greeting[version])) == 1
    return link


def load() -> list[Vector]:
    """Every case of every file."""
    return [
        Vector(
            name=case["name"],
            version=case["version"],
            sender=case["from"],
            data=bytes.fromhex(case["hex"]),
            packets=case.get("packets", []),
            fault=case.get("fault"),
            fresh=case.get("fresh", False),
            canonical=case.get("canonical", True),
            packet_bytes_max=case.get("packet_bytes_max", 1 << 20),
            topic_aliases_in_max=case.get("topic_aliases_in_max", 10),
            link_version=case.get("link_version"),
        )
        for path in sorted(FOLDER.glob("*.json"))
        for case in json.loads(path.read_text())
    ]
