"""Who a node is and whom it sees: the question and the answer, each with a proof of the secret where there is one."""

import asyncio
import hmac
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import grpc

from rookery.actors.clock import new_challenge
from rookery.cluster.channels import open_channel
from rookery.cluster.handshake import (
    CHALLENGE_BYTES_MIN,
    PROTOCOL_MAJOR,
    PROTOCOL_MINOR,
    Identity,
    mac_of,
)
from rookery.cluster.peers import Peers
from rookery.cluster.problems import Problems
from rookery.cluster.proto.cluster_pb2 import PeerStatus, StatusReply, StatusRequest
from rookery.cluster.proto.cluster_pb2_grpc import ClusterStub
from rookery.cluster.refusals import Reason, Refusal, refusal_in, shown
from rookery.cluster.security import Credentials, LinkFault, LinkSecurity, read_pem
from rookery.ports import Clock

CHALLENGE_KEY: Final = "rookery-challenge-bin"
PROOF_KEY: Final = "rookery-proof-bin"
CHALLENGE_SECONDS: Final = 10.0
CHALLENGES_MAX: Final = 100

Facts = Callable[[], Mapping[str, str]]


class StatusDesk:
    """Answers. Each challenge it gave out is good for one question."""

    def __init__(
        self,
        identity: Identity,
        security: LinkSecurity,
        peers: Peers,
        problems: Problems,
        facts: Facts,
        clock: Clock,
    ) -> None:
        self._identity = identity
        self._security = security
        self._peers = peers
        self._problems = problems
        self._facts = facts
        self._clock = clock
        self._challenges: OrderedDict[bytes, float] = OrderedDict()
        """Those nobody has used, with the time each is good until."""

    async def answer(
        self, request: StatusRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> StatusReply:
        """Answer who proves the secret; give others a challenge."""
        challenge = b""
        try:
            self._check(request)
            if self._security.secret is not None:
                given = context.invocation_metadata()
                challenge = _bytes_in(given, CHALLENGE_KEY)
                self._check_proof(request, challenge, _bytes_in(given, PROOF_KEY))
        except Refusal as refusal:
            trailing = ((CHALLENGE_KEY, self._new_challenge()),)
            await context.abort(refusal.code, str(refusal), trailing)
        return self._reply(request, challenge)

    def _check(self, request: StatusRequest) -> None:
        own = self._identity
        if request.cluster != own.cluster:
            raise Refusal(
                Reason.OTHER_CLUSTER,
                f"node {own.node_id} belongs to cluster {own.cluster}, not to "
                f"{shown(request.cluster)}",
            )
        if len(request.challenge) < CHALLENGE_BYTES_MIN:
            raise Refusal(
                Reason.MALFORMED, f"the question needs a challenge of {CHALLENGE_BYTES_MIN} bytes"
            )

    def _check_proof(self, request: StatusRequest, challenge: bytes, given: bytes) -> None:
        until = self._challenges.pop(challenge, None)
        if until is not None and self._clock.monotonic() <= until:
            assert self._security.secret is not None
            wanted = request_mac(self._security.secret, request, challenge)
            if hmac.compare_digest(wanted, given):
                return
        raise Refusal(
            Reason.UNPROVEN, f"node {self._identity.node_id} asks for the cluster's secret"
        )

    def _new_challenge(self) -> bytes:
        challenge = new_challenge()
        self._challenges[challenge] = self._clock.monotonic() + CHALLENGE_SECONDS
        if len(self._challenges) > CHALLENGES_MAX:
            self._challenges.popitem(last=False)
        return challenge

    def _reply(self, request: StatusRequest, challenge: bytes) -> StatusReply:
        own, now = self._identity, self._clock.monotonic()
        peers = []
        for node_id, address in sorted(self._peers.members.items()):
            peer = PeerStatus(node_id=node_id, address=address)
            stream = self._peers.get(node_id)
            if stream is not None:
                peer.up, peer.boot, peer.up_seconds = True, stream.boot, now - stream.since
                peer.unsent_bytes = stream.unsent_bytes
            peers.append(peer)
        reply = StatusReply(
            cluster=own.cluster,
            node_id=own.node_id,
            boot=own.boot,
            protocol_major=PROTOCOL_MAJOR,
            protocol_minor=PROTOCOL_MINOR,
            software=own.software,
            peers=peers,
            problems=self._problems.list(),
            facts=self._facts(),
        )
        if self._security.secret is not None:
            reply.mac = reply_mac(self._security.secret, request, challenge)
        return reply


def _bytes_in(metadata: Iterable[tuple[str, str | bytes]] | None, key: str) -> bytes:
    for name, value in metadata or ():
        if name == key and isinstance(value, bytes):
            return value
    return b""


def request_mac(secret: bytes, request: StatusRequest, challenge: bytes) -> bytes:
    """That who asks knows the secret."""
    return mac_of(secret, b"status", request.cluster.encode(), request.challenge, challenge)


def reply_mac(secret: bytes, request: StatusRequest, challenge: bytes) -> bytes:
    """That who answers knows it."""
    return mac_of(secret, b"status reply", request.cluster.encode(), request.challenge, challenge)


@dataclass(frozen=True, slots=True)
class PeerSeen:
    """A member, as the node that was asked sees it."""

    node_id: str
    address: str
    up: bool
    boot: str
    up_seconds: float
    unsent_bytes: int


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """What a node says of itself."""

    cluster: str
    node_id: str
    boot: str
    protocol: str
    software: str
    peers: tuple[PeerSeen, ...]
    problems: tuple[str, ...]
    facts: Mapping[str, str]


async def ask_status(
    address: str, cluster: str, security: LinkSecurity, timeout_seconds: float = 3.0
) -> NodeStatus:
    """Ask the node at an address who it is.

    Raises:
        LinkFault: the files of TLS cannot be used, or nobody answers there.
        Refusal: it does not want to answer us, or has not proved the secret.
    """
    credentials = None
    if security.tls is not None:
        credentials = Credentials(security.tls, await asyncio.to_thread(read_pem, security.tls))
    request = StatusRequest(cluster=cluster, challenge=new_challenge())
    channel = open_channel(address, credentials)
    try:
        async with asyncio.timeout(timeout_seconds):
            reply = await _ask(ClusterStub(channel), request, security.secret)
    except TimeoutError:
        raise LinkFault(f"{address} did not answer within {timeout_seconds} seconds") from None
    except grpc.aio.AioRpcError as error:
        text = error.details() or error.code().name
        refusal = refusal_in(text)
        if refusal is not None:
            raise refusal from None
        raise LinkFault(f"no answer from {address}: {shown(text)}") from None
    finally:
        await channel.close()
    return _seen(reply)


async def _ask(stub: Any, request: StatusRequest, secret: bytes | None) -> StatusReply:
    try:
        reply: StatusReply = await stub.Status(request)
        challenge = b""
    except grpc.aio.AioRpcError as error:
        challenge = _bytes_in(error.trailing_metadata(), CHALLENGE_KEY)
        if error.code() != grpc.StatusCode.UNAUTHENTICATED or secret is None or not challenge:
            raise
        mac = request_mac(secret, request, challenge)
        reply = await stub.Status(request, metadata=((CHALLENGE_KEY, challenge), (PROOF_KEY, mac)))
    if secret is not None and not hmac.compare_digest(
        reply_mac(secret, request, challenge), reply.mac
    ):
        raise Refusal(Reason.UNPROVEN, "who answers there does not know the cluster's secret")
    return reply


def _seen(reply: StatusReply) -> NodeStatus:
    return NodeStatus(
        cluster=reply.cluster,
        node_id=reply.node_id,
        boot=reply.boot,
        protocol=f"{reply.protocol_major}.{reply.protocol_minor}",
        software=reply.software,
        peers=tuple(
            PeerSeen(
                peer.node_id, peer.address, peer.up, peer.boot, peer.up_seconds, peer.unsent_bytes
            )
            for peer in reply.peers
        ),
        problems=tuple(reply.problems),
        facts=dict(reply.facts),
    )
