"""Which nodes are members, and the one stream that each of them has at a time.

What the engine is told of a peer is always in turn: up, frames, down, up. So a stream that takes another's
place ends that one first.
"""

from typing import Final

import structlog

from rookery.cluster.problems import Problems
from rookery.cluster.refusals import Reason, Refusal, shown
from rookery.cluster.stream import Stream
from rookery.ports import PeerEvents

log: Final = structlog.get_logger("rookery.cluster")

ALIVE_SECONDS: Final = 1.0
"""A peer that was heard within two beats is alive."""


class Peers:
    """The members and their streams."""

    def __init__(self, node_id: str, events: PeerEvents, problems: Problems) -> None:
        self.node_id = node_id
        self.members: dict[str, str] = {}
        """The addresses of the others, by their ids."""
        self._events = events
        self._problems = problems
        self._streams: dict[str, Stream] = {}

    def set_members(self, members: dict[str, str]) -> None:
        """Take over who the others are now; links to those that are none any more end."""
        self.members = {
            node_id: address for node_id, address in members.items() if node_id != self.node_id
        }
        for stream in list(self._streams.values()):
            if stream.node_id not in self.members:
                stream.end("it is no member any more")

    def get(self, node_id: str) -> Stream | None:
        """The open link to a peer."""
        stream = self._streams.get(node_id)
        return stream if stream is not None and stream.opened else None

    def check_member(self, node_id: str) -> None:
        """See whether a node is a member.

        Raises:
            Refusal: it is not.
        """
        if node_id not in self.members:
            raise Refusal(
                Reason.NOT_EXPECTED,
                f"node {self.node_id} knows no member of the id {shown(node_id)} (yet)",
            )

    def enter(self, stream: Stream) -> None:
        """Give a new stream the place of its peer; the one that had it ends.

        Raises:
            Refusal: the peer is no member, or has a stream that counts more.
        """
        self.check_member(stream.node_id)
        before = self._streams.get(stream.node_id)
        if before is not None:
            if before.boot == stream.boot:
                if stream.number <= before.number:
                    raise Refusal(
                        Reason.OLDER_STREAM, f"node {stream.node_id} has a newer stream than this"
                    )
            elif before.silent_seconds < ALIVE_SECONDS:
                raise Refusal(
                    Reason.ID_TAKEN,
                    f"another node of the id {stream.node_id} is linked with node "
                    f"{self.node_id} and alive: each needs its own id",
                )
            before.end("a newer stream takes its place")
        self._streams[stream.node_id] = stream

    def open(self, stream: Stream) -> None:
        """Both sides have accepted: the link is the engine's."""
        assert self._streams[stream.node_id] is stream
        stream.opened = True
        self._problems.over(stream.node_id)
        log.info("cluster_link_up", peer=stream.node_id, boot=stream.boot)
        self._events.peer_up(stream.node_id, stream.boot, stream)

    def ended(self, stream: Stream, reason: str) -> None:
        """A stream is over."""
        if self._streams.get(stream.node_id) is not stream:
            return
        del self._streams[stream.node_id]
        if stream.opened:
            log.warning("cluster_link_down", peer=stream.node_id, reason=reason)
            self._events.peer_down(stream.node_id, reason)

    def end_all(self, reason: str) -> None:
        """End every stream."""
        for stream in list(self._streams.values()):
            stream.end(reason)
