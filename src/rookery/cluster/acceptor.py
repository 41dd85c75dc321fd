"""The side of a link that is dialled: the service that every node offers to the others."""

import asyncio
from typing import Any, Final

import grpc

from rookery.actors.clock import new_challenge
from rookery.cluster.addresses import BadAddress, split_address
from rookery.cluster.dialler import HANDSHAKE_SECONDS, NewStream
from rookery.cluster.door import Door
from rookery.cluster.handshake import Identity, check_hello, check_proof, proof
from rookery.cluster.opening import TICKET_BYTES, Opening, Tickets
from rookery.cluster.peers import Peers
from rookery.cluster.problems import Problems
from rookery.cluster.proto.cluster_pb2 import Accepted, Frame, Hello, StatusReply, StatusRequest
from rookery.cluster.proto.cluster_pb2_grpc import ClusterServicer
from rookery.cluster.refusals import Reason, Refusal, refusal_in, shown
from rookery.cluster.security import LinkSecurity, check_certificate
from rookery.cluster.status import StatusDesk
from rookery.cluster.stream import Stream
from rookery.cluster.wire import AcceptedCall, AcceptedWire, Wire, WireBroken

HANDSHAKES_MAX: Final = 64
"""So many at a time may try who have not proved anything yet."""


class Acceptor(ClusterServicer):
    """Takes the streams of members whose id is below that of this node."""

    def __init__(
        self,
        identity: Identity,
        security: LinkSecurity,
        peers: Peers,
        problems: Problems,
        new_stream: NewStream,
        status: StatusDesk,
        tickets: Tickets,
        door: Door,
    ) -> None:
        self._identity = identity
        self._security = security
        self._peers = peers
        self._problems = problems
        self._new_stream = new_stream
        self._status = status
        self._tickets = tickets
        self._door = door
        self._handshakes = 0

    async def Frames(self, request_iterator: object, context: AcceptedCall) -> None:  # noqa: N802
        """One stream, from its Hello to its end."""
        text, code = "the stream ended", grpc.StatusCode.UNAVAILABLE
        stream: Stream | None = None
        try:
            stream = await self._shake_hands(AcceptedWire(context), context)
            self._peers.open(stream)
            await stream.run()
            text = stream.end_reason or text
        except Refusal as refusal:
            text, code = str(refusal), refusal.code
        except TimeoutError:
            text = f"no handshake within {HANDSHAKE_SECONDS} seconds"
        except WireBroken:
            return
        finally:
            if stream is not None:
                stream.end("the connection was lost")
        await context.abort(code, text)

    async def Status(  # noqa: N802
        self, request: StatusRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> StatusReply:
        """Who this node is and whom it sees."""
        return await self._status.answer(request, context)

    async def _shake_hands(self, wire: Wire, context: AcceptedCall) -> Stream:
        """Find out whether both want the link, which then has its place among the peers."""
        if self._handshakes >= HANDSHAKES_MAX:
            raise Refusal(Reason.BUSY, f"{HANDSHAKES_MAX} handshakes are under way")
        self._handshakes += 1
        hello, accepted = Hello(), False
        stream: Stream | None = None
        try:
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                hello = (await wire.read()).hello
                check_hello(self._identity, hello)
                self._check_order(hello.node_id)
                own = self._identity.hello()
                await wire.write(Frame(hello=own))
                answer = await wire.read()
                if answer.HasField("refused"):
                    raise WireBroken(f"{answer.refused.reason}: {answer.refused.detail}")
                secret = self._security.secret
                check_proof(secret, "dialler", hello, own, answer.proof.mac)
                self._check_names(hello.node_id, context)
                stream = self._new_stream(hello, hello.stream, wire)
                self._peers.enter(stream)
                mac = proof(secret, "acceptor", hello, own)
                stream.attach(await self._connection(wire, mac))
                accepted = True
        except Refusal as refusal:
            self._met(hello, context, refusal, "cluster_peer_refused")
            raise
        except WireBroken as broken:
            said = refusal_in(broken.text)
            if said is not None:
                self._met(hello, context, said, "cluster_link_refused")
            raise
        finally:
            self._handshakes -= 1
            if stream is not None and not accepted:
                stream.end("the handshake was not completed")
        self._problems.over(f"from {hello.node_id}")
        return stream

    async def _connection(self, wire: Wire, mac: bytes) -> Opening:
        """Accept, and wait for the connection that is for the frames."""
        ticket = new_challenge()[:TICKET_BYTES]
        waiting = self._tickets.expect(ticket)
        try:
            await wire.write(Frame(accepted=Accepted(mac=mac, ticket=ticket)))
            return await waiting
        finally:
            waiting.cancel()

    def _check_order(self, node_id: str) -> None:
        if node_id > self._identity.node_id:
            raise Refusal(
                Reason.NOT_EXPECTED,
                f"node {self._identity.node_id} dials node {shown(node_id)}, not the reverse",
            )

    def _check_names(self, node_id: str, context: AcceptedCall) -> None:
        tls = self._security.tls
        if tls is None:
            return
        wanted = node_id
        if tls.names == "address":
            self._peers.check_member(node_id)
            try:
                wanted, _ = split_address(self._peers.members[node_id])
            except BadAddress as fault:
                raise Refusal(Reason.NOT_EXPECTED, str(fault)) from None
        check_certificate(context.auth_context(), wanted, node_id)

    def _met(self, hello: Hello, context: AcceptedCall, refusal: Refusal, event: str) -> None:
        peer = shown(hello.node_id)
        address = self._door.address_of(context.peer())
        text = f"no link with node {peer} from {address.rpartition(':')[0]}: {refusal.detail}"
        self._problems.met(
            f"from {peer}", text, refusal.reason, peer=peer, address=address, event=event
        )
