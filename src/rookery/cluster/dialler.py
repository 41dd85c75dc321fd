"""The side of a link that dials: it tries, again and again, until there is a stream to each member of a higher id."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from rookery.actors.clock import chance
from rookery.actors.tasks import Tasks
from rookery.cluster.channels import open_channel
from rookery.cluster.handshake import Identity, check_hello, check_proof, proof
from rookery.cluster.opening import dial_frames
from rookery.cluster.peers import Peers
from rookery.cluster.problems import Problems
from rookery.cluster.proto.cluster_pb2 import Frame, Hello, Proof, Refused
from rookery.cluster.proto.cluster_pb2_grpc import ClusterStub
from rookery.cluster.refusals import Reason, Refusal, refusal_in, shown
from rookery.cluster.security import Credentials, LinkSecurity
from rookery.cluster.stream import Stream
from rookery.cluster.wire import DialledWire, Wire, WireBroken, is_cancelled

HANDSHAKE_SECONDS: Final = 3.0
PAUSE_SECONDS_MIN: Final = 0.1
PAUSE_SECONDS_MAX: Final = 1.0
CHANCES: Final = 1 << 30

NewStream = Callable[[Hello, int, Wire], Stream]


class Dialler:
    """Dials the members whose id is above that of this node."""

    def __init__(
        self,
        identity: Identity,
        security: LinkSecurity,
        peers: Peers,
        problems: Problems,
        new_stream: NewStream,
        tasks: Tasks,
    ) -> None:
        self._identity = identity
        self._security = security
        self._peers = peers
        self._problems = problems
        self._new_stream = new_stream
        self._tasks = tasks
        self._credentials: Credentials | None = None
        self._streams = 0
        """How many were dialled; the number of the last one."""
        self._dialling: dict[str, asyncio.Event] = {}
        """Whom it dials, and what ends the pause before the next attempt."""

    def start(self, credentials: Credentials | None) -> None:
        """Take the credentials, before the first member."""
        self._credentials = credentials

    def members_changed(self) -> None:
        """Dial who is new, and at once who may have another address."""
        for node_id in self._peers.members:
            if node_id > self._identity.node_id and node_id not in self._dialling:
                self._dialling[node_id] = asyncio.Event()
                self._tasks.start(f"cluster dialler of {node_id}", self._keep_dialling(node_id))
        for changed in self._dialling.values():
            changed.set()

    async def _keep_dialling(self, node_id: str) -> None:
        changed = self._dialling[node_id]
        pause_seconds = PAUSE_SECONDS_MIN
        while (address := self._peers.members.get(node_id)) is not None:
            changed.clear()
            opened = await self._dial(node_id, address)
            pause_seconds = PAUSE_SECONDS_MIN if opened else pause_seconds
            try:
                async with asyncio.timeout(pause_seconds * (0.5 + chance() / CHANCES / 2)):
                    await changed.wait()
            except TimeoutError:
                pass
            pause_seconds = min(2 * pause_seconds, PAUSE_SECONDS_MAX)
        del self._dialling[node_id]
        self._problems.over(node_id)

    async def _dial(self, node_id: str, address: str) -> bool:
        """One stream, from the connection to the end; whether it was open meanwhile."""
        tls = self._security.tls
        name = node_id if tls is not None and tls.names == "node" else None
        channel = open_channel(address, self._credentials, name)
        stream: Stream | None = None
        try:
            call = ClusterStub(channel).Frames()
            try:
                async with asyncio.timeout(HANDSHAKE_SECONDS):
                    stream, ticket = await self._shake_hands(DialledWire(call), node_id)
                    context = None if self._credentials is None else self._credentials.dialling()
                    stream.attach(
                        await dial_frames(address, ticket, self._security.secret, context, name)
                    )
                self._peers.open(stream)
                await stream.run()
            finally:
                call.cancel()
        except Refusal as refusal:
            self._met(node_id, address, refusal.detail, refusal.reason, "cluster_peer_refused")
        except TimeoutError:
            text = f"there was no answer within {HANDSHAKE_SECONDS} seconds"
            self._met(node_id, address, text, "silent", "cluster_peer_unreachable")
        except WireBroken as broken:
            said = refusal_in(broken.text)
            if said is not None:
                self._met(node_id, address, said.detail, said.reason, "cluster_link_refused")
            else:
                text = shown(broken.text)
                self._met(node_id, address, text, "unreachable", "cluster_peer_unreachable")
        except asyncio.CancelledError:
            # A timeout that ends while its work does leaves one behind, which must not be the end of dialling.
            if is_cancelled():
                raise
        finally:
            if stream is not None:
                stream.end("the connection was lost")
            await channel.close()
        return stream is not None and stream.opened

    def _met(self, node_id: str, address: str, text: str, reason: str, event: str) -> None:
        full = f"no link to node {node_id} at {address}: {text}"
        self._problems.met(node_id, full, reason, peer=node_id, address=address, event=event)

    async def _shake_hands(self, wire: Wire, node_id: str) -> tuple[Stream, bytes]:
        """Find out whether both want the link, which then has its place among the peers; and the ticket."""
        self._streams += 1
        own = self._identity.hello(self._streams)
        await wire.write(Frame(hello=own))
        hello = (await wire.read()).hello
        secret = self._security.secret
        try:
            check_hello(self._identity, hello)
            if hello.node_id != node_id:
                raise Refusal(
                    Reason.NOT_EXPECTED,
                    f"node {node_id} is expected there, and node {shown(hello.node_id)} answers",
                )
            await wire.write(Frame(proof=Proof(mac=proof(secret, "dialler", own, hello))))
            answer = await wire.read()
            if not answer.HasField("accepted"):
                raise Refusal(Reason.MALFORMED, f"node {node_id} did not accept and did not refuse")
            check_proof(secret, "acceptor", own, hello, answer.accepted.mac)
            stream = self._new_stream(hello, self._streams, wire)
            self._peers.enter(stream)
        except Refusal as refusal:
            said = Refused(reason=refusal.reason, detail=refusal.detail)
            with suppress(WireBroken):  # Who has gone already need not be told.
                await wire.write(Frame(refused=said))
            raise
        return stream, answer.accepted.ticket
