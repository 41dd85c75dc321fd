"""What the two ends of a relayed client tell each other, as bytes.

The body of a RELAY item is what it is (one byte), the number of the relay (eight bytes, given by the client's own node)
and the rest. The node that the client is connected to is the entry, the one with its session the owner.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from rookery.engine.peers.items import RELAY, item
from rookery.mqtt.encode import encode_packet
from rookery.mqtt.errors import MalformedPacket
from rookery.mqtt.link import SERVER, Link
from rookery.mqtt.packets import Connect
from rookery.mqtt.types import PACKET_BYTES_LIMIT
from rookery.ports import Grant, PeerCertificate, Principal

# From the entry to the owner.
OPEN: Final = 0
"""Who the client is (length in four bytes, JSON), its CONNECT."""
FROM_CLIENT: Final = 1
"""Bytes as the client sent them."""
WRITTEN: Final = 2
"""u64: how many bytes its connection has taken in all."""
CLIENT_GONE: Final = 3
"""Why the link ended, as the counters name it."""
# From the owner to the entry.
OPENED: Final = 16
"""u32: after how many bytes written the owner wants to be told."""
MOVED: Final = 17
"""The session is not here any more."""
TO_CLIENT: Final = 18
"""Bytes for the client: whole packets."""
TAKEN: Final = 19
"""u64: how many bytes of the client's the owner has taken in all."""
CLOSE: Final = 20
"""Close the connection once it has all that came before."""

HEAD_BYTES: Final = 9


def relay_item(what: int, number: int, rest: bytes = b"") -> bytes:
    """One item about a relayed client."""
    return item(RELAY, bytes((what,)) + number.to_bytes(8, "big") + rest)


class Arrival:
    """A client as its entry makes it known to the owner of its session."""

    def __init__(
        self,
        connect: Connect,
        principal: Principal,
        mountpoint: str,
        assigned: str,
        data: bytes | None,
        address: str,
        listener: str,
        certificate: PeerCertificate | None,
    ) -> None:
        self.connect = connect
        self.principal = principal
        self.mountpoint = mountpoint
        self.assigned = assigned
        self.data = data
        self.address = address
        self.listener = listener
        self.certificate = certificate

    def encode(self) -> bytes:
        """What stands in an OPEN. The password does not leave the node that checked it."""
        principal = self.principal
        told = {
            "name": principal.name,
            "client_id": principal.client_id,
            "address": principal.address,
            "listener": principal.listener,
            "source": principal.source,
            "superuser": principal.superuser,
            "groups": sorted(principal.groups),
            "attributes": dict(principal.attributes),
            "grants": [asdict(grant) for grant in principal.grants],
            "expires_at_wall": principal.expires_at_wall,
            "mountpoint": self.mountpoint,
            "assigned": self.assigned,
            "data": None if self.data is None else self.data.hex(),
            "link_address": self.address,
            "link_listener": self.listener,
            "certificate": None if self.certificate is None else asdict(self.certificate),
        }
        text = json.dumps(told).encode()
        connect = self.connect
        packet = Connect(
            principal.client_id,
            connect.version,
            connect.clean_start,
            connect.keep_alive_seconds,
            connect.username,
            None,
            connect.will,
            connect.properties,
        )
        return len(text).to_bytes(4, "big") + text + encode_packet(packet, connect.version)


def arrival_of(body: bytes) -> Arrival:
    """Who comes with an OPEN. Raises ``MalformedPacket`` where it makes no sense."""
    size = int.from_bytes(body[:4], "big")
    try:
        told = json.loads(body[4 : 4 + size])
        connect = _connect_of(body[4 + size :])
        return _arrival(connect, told)
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedPacket(f"who comes with a relay cannot be read: {error}") from None


def _connect_of(wire: bytes) -> Connect:
    codec = Link(SERVER, PACKET_BYTES_LIMIT, 0)
    packets = codec.receive(wire)
    if len(packets) != 1 or not isinstance(packets[0], Connect):
        raise ValueError("no CONNECT")
    return packets[0]


def _arrival(connect: Connect, told: Mapping[str, Any]) -> Arrival:
    expires_at_wall = told["expires_at_wall"]
    principal = Principal(
        name=told["name"],
        client_id=told["client_id"],
        address=told["address"],
        listener=told["listener"],
        source=told["source"],
        superuser=told["superuser"],
        groups=frozenset(told["groups"]),
        attributes=dict(told["attributes"]),
        grants=tuple(Grant(**each) for each in told["grants"]),
        expires_at_wall=None if expires_at_wall is None else float(expires_at_wall),
    )
    certificate: PeerCertificate | None = None
    if told["certificate"] is not None:
        facts: dict[str, Any] = {
            name: tuple(fact) if isinstance(fact, list) else fact
            for name, fact in told["certificate"].items()
        }
        certificate = PeerCertificate(**facts)
    return Arrival(
        connect,
        principal,
        told["mountpoint"],
        told["assigned"],
        None if told["data"] is None else bytes.fromhex(told["data"]),
        told["link_address"],
        told["link_listener"],
        certificate,
    )
