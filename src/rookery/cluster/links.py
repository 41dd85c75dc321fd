"""The links of this node to all others: one per pair, which comes up again by itself.

The node of the lower id dials, so that two never have two. ``dialler.py`` and ``acceptor.py`` are the two sides,
``handshake.py`` says when they want each other, ``door.py`` is the port, ``opening.py`` makes the connection,
``stream.py`` carries the frames, and ``peers.py`` keeps what the engine is told in order.
"""

import asyncio
import ssl
from collections.abc import Mapping

import grpc
import structlog

import rookery
from rookery.actors.clock import SystemClock
from rookery.actors.tasks import Tasks
from rookery.cluster.acceptor import Acceptor
from rookery.cluster.addresses import join_address, split_address
from rookery.cluster.channels import SERVER_OPTIONS
from rookery.cluster.dialler import Dialler
from rookery.cluster.door import LOCAL, Door
from rookery.cluster.handshake import Identity
from rookery.cluster.opening import Tickets
from rookery.cluster.peers import Peers
from rookery.cluster.problems import Problems
from rookery.cluster.proto.cluster_pb2 import Hello
from rookery.cluster.proto.cluster_pb2_grpc import add_ClusterServicer_to_server
from rookery.cluster.security import Credentials, LinkFault, LinkSecurity, read_pem
from rookery.cluster.status import Facts, StatusDesk
from rookery.cluster.stream import Stream
from rookery.cluster.wire import Wire
from rookery.ports import Clock, PeerEvents, PeerLink

log = structlog.get_logger("rookery.cluster")


class Links:
    """All links of one node. ``events`` is told of them on the loop, from ``start`` to ``stop``."""

    def __init__(
        self,
        node_id: str,
        boot: str,
        cluster: str,
        security: LinkSecurity,
        bind: str,
        events: PeerEvents,
        clock: Clock | None = None,
        facts: Facts = dict,
    ) -> None:
        """``bind`` is ``host:port``, 0 for any port; ``facts`` is what the node says of itself besides."""
        self._bind = bind
        self._security = security
        self._events = events
        self._clock = clock or SystemClock()
        self._problems = Problems(self._clock)
        self._tasks = Tasks(_failed)
        self._peers = Peers(node_id, events, self._problems)
        identity = Identity(cluster, node_id, boot, rookery.__version__)
        self._dialler = Dialler(
            identity, security, self._peers, self._problems, self._new_stream, self._tasks
        )
        desk = StatusDesk(identity, security, self._peers, self._problems, facts, self._clock)
        self._credentials: Credentials | None = None
        tickets = Tickets(security.secret)
        self._door = Door(tickets, self._accepting, self._tasks)
        self._acceptor = Acceptor(
            identity,
            security,
            self._peers,
            self._problems,
            self._new_stream,
            desk,
            tickets,
            self._door,
        )
        self._server: grpc.aio.Server | None = None
        self.address = bind
        """Where it listens; with the port it got once it was started."""

    async def start(self) -> None:
        """Listen. Nobody is linked before ``set_members``.

        Raises:
            LinkFault: the address cannot be listened at, or the certificates cannot be used.
        """
        credentials: Credentials | None = None
        if self._security.tls is not None:
            pem = await asyncio.to_thread(read_pem, self._security.tls)
            credentials = Credentials(self._security.tls, pem)
            self._tasks.start("cluster certificates", credentials.keep_fresh())
        self._credentials = credentials
        self._dialler.start(credentials)
        server = grpc.aio.server(options=SERVER_OPTIONS)
        add_ClusterServicer_to_server(self._acceptor, server)
        host, port = split_address(self._bind)
        try:
            local = f"{LOCAL}:0"
            if credentials is None:
                grpc_port = server.add_insecure_port(local)
            else:
                grpc_port = server.add_secure_port(local, credentials.server())
            port = await self._door.start(host, port, grpc_port)
        except (RuntimeError, OSError) as error:
            await self._tasks.stop()
            raise LinkFault(f"cannot listen for other nodes at {self._bind}: {error}") from None
        self.address = join_address(host, port)
        self._server = server
        await server.start()

    def set_members(self, members: Mapping[str, str]) -> None:
        """Say who the nodes of the cluster are, and their addresses; it may name this one, too."""
        self._peers.set_members(dict(members))
        self._dialler.members_changed()

    def up(self, node_id: str) -> PeerLink | None:
        """The link to a peer, while it is up."""
        return self._peers.get(node_id)

    def problems(self) -> list[str]:
        """What is wrong with the links now, in sentences for the operator."""
        return self._problems.list()

    async def stop(self) -> None:
        """End all links, and listen no more."""
        self._peers.end_all("this node stops")
        self._peers.set_members({})
        await self._door.stop()
        await self._tasks.stop()
        if self._server is not None:
            await self._server.stop(grace=None)
            self._server = None

    def _accepting(self) -> ssl.SSLContext | None:
        return None if self._credentials is None else self._credentials.accepting()

    def _new_stream(self, hello: Hello, number: int, wire: Wire) -> Stream:
        return Stream(
            hello.node_id,
            hello.boot,
            number,
            wire,
            self._events,
            self._clock,
            self._peers.ended,
        )


def _failed(task: str, error: BaseException) -> None:
    log.error("cluster_task_failed", task=task, exc_info=error)
