"""How two nodes find out that they belong together, as values; what is sent when stands in ``cluster.proto``.

Each proves that it knows the secret by a MAC over all that both said, in which the other's challenge is. The secret
never travels, what was recorded is worth nothing for the next stream, and the role in the MAC keeps a node from being sent
its own proof. The dialler proves first, so that who merely connects gets nothing to try secrets against.
"""

import hmac
from dataclasses import dataclass
from typing import Final, Literal

from rookery.actors.clock import new_challenge
from rookery.cluster.proto.cluster_pb2 import Hello
from rookery.cluster.refusals import Reason, Refusal, shown

PROTOCOL_MAJOR: Final = 2
PROTOCOL_MINOR: Final = 0
CHALLENGE_BYTES_MIN: Final = 32
NAME_BYTES_MAX: Final = 255

Role = Literal["dialler", "acceptor"]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this node is to others."""

    cluster: str
    node_id: str
    boot: str
    software: str

    def hello(self, stream: int = 0) -> Hello:
        """What it says first, with a new challenge."""
        return Hello(
            cluster=self.cluster,
            node_id=self.node_id,
            boot=self.boot,
            protocol_major=PROTOCOL_MAJOR,
            protocol_minor=PROTOCOL_MINOR,
            software=self.software,
            challenge=new_challenge(),
            stream=stream,
        )


def check_hello(own: Identity, hello: Hello) -> None:
    """See whether the two can be of one cluster at all, before any proof.

    Raises:
        Refusal: they cannot.
    """
    names = (hello.cluster, hello.node_id, hello.boot, hello.software)
    if not all(0 < len(name.encode()) <= NAME_BYTES_MAX for name in names):
        raise Refusal(
            Reason.MALFORMED, f"a Hello needs names of 1 to {NAME_BYTES_MAX} bytes in every field"
        )
    if len(hello.challenge) < CHALLENGE_BYTES_MIN:
        raise Refusal(Reason.MALFORMED, f"a Hello needs a challenge of {CHALLENGE_BYTES_MIN} bytes")
    us, them = f"node {own.node_id}", f"node {shown(hello.node_id)}"
    if hello.cluster != own.cluster:
        raise Refusal(
            Reason.OTHER_CLUSTER,
            f"{us} belongs to cluster {own.cluster}, {them} to cluster {shown(hello.cluster)}",
        )
    if hello.protocol_major != PROTOCOL_MAJOR:
        raise Refusal(
            Reason.OTHER_PROTOCOL,
            f"{us} (version {own.software}) speaks protocol {PROTOCOL_MAJOR}, "
            f"{them} (version {shown(hello.software)}) speaks {hello.protocol_major}",
        )
    if hello.node_id == own.node_id:
        if hello.boot == own.boot:
            raise Refusal(Reason.SAME_ID, f"the address leads {us} to itself")
        raise Refusal(Reason.SAME_ID, f"two nodes have the id {own.node_id}: each needs its own")


def proof(secret: bytes | None, role: Role, dialler: Hello, acceptor: Hello) -> bytes:
    """That the side of this role knows the secret; empty where there is none."""
    if secret is None:
        return b""
    return mac_of(secret, role.encode(), *_fields(dialler), *_fields(acceptor))


def check_proof(
    secret: bytes | None, role: Role, dialler: Hello, acceptor: Hello, given: bytes
) -> None:
    """See whether the side of this role knows the secret.

    Raises:
        Refusal: it does not, or only one of them has one.
    """
    wanted = proof(secret, role, dialler, acceptor)
    if hmac.compare_digest(wanted, given):
        return
    ours, theirs = acceptor, dialler
    if role == "acceptor":
        ours, theirs = dialler, acceptor
    us, them = f"node {ours.node_id}", f"node {shown(theirs.node_id)}"
    if not given:
        text = f"{us} asks for the secret of the cluster, and {them} has none"
    elif not wanted:
        text = f"{them} has a secret, and {us} has none"
    else:
        text = f"{us} and {them} do not have the same secret"
    raise Refusal(Reason.UNPROVEN, text)


def mac_of(secret: bytes, *fields: bytes) -> bytes:
    """HMAC-SHA256 over fields, each with its length, so that no two lists of them are the same bytes."""
    mac = hmac.new(secret, b"rookery.cluster.v1", "sha256")
    for each in fields:
        mac.update(len(each).to_bytes(4, "big"))
        mac.update(each)
    return mac.digest()


def _fields(hello: Hello) -> tuple[bytes, ...]:
    return (
        hello.cluster.encode(),
        hello.node_id.encode(),
        hello.boot.encode(),
        hello.protocol_major.to_bytes(4, "big"),
        hello.protocol_minor.to_bytes(4, "big"),
        hello.software.encode(),
        hello.challenge,
        hello.stream.to_bytes(8, "big"),
    )
