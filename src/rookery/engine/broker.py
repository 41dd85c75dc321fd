"""The broker of one node: its parts, its turn, and what they tell the operator.

A turn is what one wake-up of the loop does: packets are stepped through, ready sessions drained, the
turn's records committed. Whoever brings work from elsewhere (a timer, a finished authentication) calls
``request_turn``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import structlog

from rookery.actors.scheduler import Actor, Scheduler
from rookery.actors.tasks import Tasks
from rookery.actors.timers import Timed, Timers
from rookery.engine.admission import Admission
from rookery.engine.ban_review import BanReview
from rookery.engine.committer import Committer
from rookery.engine.gate import Gate
from rookery.engine.leaving import Leaving
from rookery.engine.overload import Overload
from rookery.engine.own_messages import OwnMessages
from rookery.engine.publishing import Publishing
from rookery.engine.registry import Registry
from rookery.engine.review import Review
from rookery.engine.session_actor import SessionActor
from rookery.engine.settings import Settings
from rookery.engine.stats import END_INTERNAL, END_MOVED, END_SHUTDOWN, Stats
from rookery.engine.subscribing import Subscribing
from rookery.engine.trimming import Trimmer
from rookery.message import Message, node_message
from rookery.mqtt.types import ReasonCode
from rookery.ports import (
    Authenticator,
    Authorizer,
    Ban,
    Bans,
    Clock,
    Decision,
    Principal,
    Store,
)
from rookery.routing.retained import RetainedIndex
from rookery.routing.router import Router

if TYPE_CHECKING:
    from rookery.engine.client_link import ClientLink
    from rookery.engine.peers.hub import Hub

TURN_DELIVERIES_MAX: Final = 8_000
"""Deliveries after which a turn takes no more packets, so that no turn lasts more than some ms."""

SEARCHED_PER_DELIVERY: Final = 4
"""How many nodes of the filter tree cost what a delivery does."""

TIMERS_PER_TURN_MAX: Final = 2_000

CRASHES_MAX: Final = 3
"""Crashes after which a session is given up rather than begun again."""


class RetainedExpiry(Timed):
    """Clears the retained message of a topic when it expires.

    There is one for a topic, however often its message is replaced: what it held until the expiry of each
    would be as much as anybody likes to publish.
    """

    def __init__(self, broker: Broker, topic: str, when: float) -> None:
        self.when = when
        self._broker = broker
        self._topic = topic

    def due(self, now: float) -> None:
        """The message has expired, or the one that was there before. [MQTT-3.3.2-5]"""
        broker = self._broker
        broker.retained_expiries.pop(self._topic, None)
        message = broker.retained.get(self._topic)
        if message is None:
            return
        if message.expired(now):
            broker.publishing.expire_retained(message)
        else:
            broker.expire_retained_later(message)


class NoBans(Bans):
    """Nobody is kept out."""

    def count(self) -> int:
        """None."""
        return 0

    @property
    def disconnecting(self) -> int:
        """Never rises."""
        return 0

    def of_address(self, address: str) -> Ban | None:
        """No ban."""
        return None

    def of_client(self, client_id: str, username: str | None) -> Ban | None:
        """No ban."""
        return None

    def ending(self, client_id: str, username: str | None, address: str) -> Ban | None:
        """No ban."""
        return None

    def failed(self, address: str) -> None:
        """It may try again."""

    def connected(self, client_id: str) -> Ban | None:
        """It may come as often as it likes."""
        return None


class Broker:
    """One node's broker. The network feeds it; it knows no socket and no file."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        authenticator: Authenticator,
        authorizer: Authorizer,
        clock: Clock,
        bans: Bans | None = None,
    ) -> None:
        self.settings = settings
        self.bind_log()
        self.authenticator = authenticator
        self.authorizer = authorizer
        self.bans: Bans = NoBans() if bans is None else bans
        self.clock = clock
        self.now: float = clock.monotonic()
        """The monotonic clock as of this turn."""
        self.draining: bool = False
        self.closed_for: str = ""
        """Why no client is let in now, for the operator; empty while they are."""
        self.emptied_for: str = ""
        """Why clients are to connect to other nodes, which bring them to their sessions here; empty while they need not."""
        reference = settings.behaviour.server_reference
        self.other_servers: list[str] = [] if reference is None else [reference]
        """Where clients that this node cannot serve are sent, in turn; with none they are sent nowhere."""
        self._server_turn: int = 0
        self.request_turn: Callable[[], None] = _no_turn
        """Set by whoever drives the turns: asks for one soon."""
        self.mountpoint_of: Callable[[str, Principal], str | None] = _no_mountpoint
        """What stands before the topics of a client of a listener; ``None`` where its name is not fit for it."""
        self.stats = Stats(self.now)
        self.timers = Timers(self.now, self._timer_failed)
        self.scheduler = Scheduler(self._crashed)
        self.tasks = Tasks(self._task_failed)
        self.router = Router(settings.behaviour.share_strategy)
        self.retained = RetainedIndex()
        self.retained_expiries: dict[str, RetainedExpiry] = {}
        """By topic name: what looks whether its message has expired."""
        self.store = store
        self.committer = Committer(
            store, self.stats, clock.wall() - self.now, self._commit_done, self._commit_failed
        )
        self.committer.now = self.now
        self.committer.dates = settings.limits.queue_seconds_max is not None
        self.review = Review(self)
        self.overload = Overload(self.stats)
        """Replaced by whoever measures."""
        self.gate = Gate(self)
        self._ban_review = BanReview(self)
        self.leaving = Leaving(self)
        self.registry = Registry(self)
        self.publishing = Publishing(self)
        self.own_messages = OwnMessages(self)
        self.subscribing = Subscribing(self)
        self.admission = Admission(self)
        self.trimmer = Trimmer(self)
        self.peers: Hub | None = None
        """The other nodes; ``None`` for a node on its own."""
        self.forwarded: int = 0
        """The last turn of which the other nodes have acknowledged all that it told them."""
        self._failed: bool = False
        """Whether a commit failed and messages are not taken again yet."""
        self._stuck: bool = False
        """Whether sessions were told that not even state can be kept."""

    def bind_log(self) -> None:
        """Follow the log level as it is now.

        A logger is bound once and not for every line: that costs more than a line below the level.
        """
        self._log = structlog.get_logger("rookery.engine").bind()

    def read_clock(self) -> float:
        """Bring ``now`` up to date; once per turn and after anything that waited."""
        self.now = self.clock.monotonic()
        return self.now

    def begin_turn(self) -> None:
        """Start a turn: time, timers, what was put off."""
        now = self.read_clock()
        self.publishing.deliveries = 0
        self.router.searched = 0
        self.committer.now = now
        self.review.begin_turn()
        self._ban_review.look()
        self.leaving.go_on()
        if self.timers.advance(now, TIMERS_PER_TURN_MAX):
            self.request_turn()
        self.scheduler.begin_turn()
        if self.peers is not None:
            self.peers.begin_turn()

    def end_turn(self) -> None:
        """Drain every ready session, then commit what the turn recorded."""
        self.scheduler.run(self.now)
        self.trimmer.step()
        if self.peers is not None:
            self.peers.end_turn()
        self.committer.flush(self.now)
        if self.scheduler.later:
            self.request_turn()

    def turn_is_full(self) -> bool:
        """Whether this turn has delivered enough for the others to have theirs."""
        searched = self.router.searched // SEARCHED_PER_DELIVERY
        return self.publishing.deliveries + searched >= TURN_DELIVERIES_MAX

    def publish(self, topic: str, payload: bytes, retain: bool) -> None:
        """Publish a message of the node's own."""
        self.publishing.publish(node_message(topic, payload, retain, self.now))
        self.request_turn()

    def has_room_to_retain(self, message: Message) -> bool:
        """Whether the retained messages stay within their limits with this one."""
        limits = self.settings.limits
        retained = self.retained
        known = retained.get(message.topic)
        count = retained.count + (0 if known is not None else 1)
        size = retained.bytes + message.size_bytes - (0 if known is None else known.size_bytes)
        return count <= limits.retained_messages_max and size <= limits.retained_bytes_max

    def expire_retained_later(self, message: Message) -> None:
        """Have a retained message with an expiry cleared in time."""
        when = message.expires_at
        if when is None:
            return
        topic = message.topic
        waiting = self.retained_expiries.get(topic)
        if waiting is not None:
            if waiting.when <= when:
                return  # It looks again then.
            self.timers.give_up(waiting.when, waiting)
        expiry = RetainedExpiry(self, topic, when)
        self.retained_expiries[topic] = expiry
        self.timers.at(when, expiry)

    def retained_expiry_over(self, topic: str) -> None:
        """The topic has no retained message any more."""
        waiting = self.retained_expiries.pop(topic, None)
        if waiting is not None:
            self.timers.give_up(waiting.when, waiting)

    def drain(self) -> None:
        """Send every client away: the node is shutting down."""
        self.draining = True
        reason_code = ReasonCode.SERVER_SHUTTING_DOWN
        if self.other_servers:
            reason_code = ReasonCode.USE_ANOTHER_SERVER
        for actor in list(self.registry.actors.values()):
            if actor.client is not None:
                actor.set_will(None)  # The client did nothing wrong and may be back at once.
                actor.client.disconnect(reason_code, END_SHUTDOWN, "")
        if self.peers is not None:
            self.peers.drain(reason_code)

    def next_server(self) -> str | None:
        """Where the next client is sent that this node cannot serve; ``None`` sends it nowhere."""
        servers = self.other_servers
        if not servers:
            return None
        self._server_turn += 1
        return servers[self._server_turn % len(servers)]

    def send_away(self, count: int, brought_as_well: bool = False) -> int:
        """Send up to so many clients to another node, and tell how many that were.

        Their sessions and wills stay as they are, as if they had lost their connection. Those that another node
        brought to their sessions here are elsewhere already, and go only where that is asked for.
        """
        relays = None if self.peers is None else self.peers.relays
        reason_code = ReasonCode.SERVER_BUSY
        if self.other_servers:
            reason_code = ReasonCode.USE_ANOTHER_SERVER
        sent = 0
        for actor in list(self.registry.actors.values()):
            if sent == count:
                break
            client = actor.client
            if client is None or (
                not brought_as_well and relays is not None and relays.brought(client)
            ):
                continue
            client.disconnect(reason_code, END_MOVED, self.closed_for or self.emptied_for)
            sent += 1
        if relays is not None:
            sent += relays.send_away(count - sent, reason_code, END_MOVED)
        self.request_turn()
        return sent

    def link_crashed(self, client: ClientLink, error: Exception) -> None:
        """A fault of ours in a client's step: it costs that client its link, nobody else anything."""
        self._log.error(
            "link_crashed", client_id=client.client_id, address=client.address, exc_info=error
        )
        self.stats.supervisor_restarts += 1
        client.disconnect(ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR, END_INTERNAL, "")

    def _crashed(self, actor: Actor, error: Exception) -> None:
        assert isinstance(actor, SessionActor)
        self.stats.supervisor_restarts += 1
        actor.crashes += 1
        self._log.error(
            "session_crashed", client_id=actor.label, crashes=actor.crashes, exc_info=error
        )
        if actor.client is not None:
            actor.client.disconnect(ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR, END_INTERNAL, "")
        if actor.crashes >= CRASHES_MAX:
            self._log.error("session_given_up", client_id=actor.label, crashes=actor.crashes)
            self.registry.end_session(actor)

    def _timer_failed(self, timed: Timed, error: Exception) -> None:
        self._log.error("timer_failed", timer=type(timed).__name__, exc_info=error)

    def _commit_done(self) -> None:
        """What waited for the commit is written, and the next group committed, in a turn of its own."""
        if self._stuck and not self.committer.stuck:
            self._stuck = False
            for actor in list(self.registry.actors.values()):
                actor.go_on()
        if self._failed and not self.committer.failing:
            self._failed = False
            self.committer.take_again()
            self.publishing.retain_again()
            self.own_messages.publish_again()
        self.request_turn()

    def _commit_failed(self, first: int) -> None:
        """Messages from this position on were never taken: their publishers send them again."""
        if not self._stuck:
            for actor in self.registry.actors.values():
                actor.session.outbound.withholds = actor.durable
        self._failed = self._stuck = True
        if first:
            for actor in list(self.registry.actors.values()):
                actor.take_back(first)
        self.own_messages.not_taken(first)

    def _task_failed(self, name: str, error: BaseException) -> None:
        self._log.error("task_failed", task=name, exc_info=error)

    def log_connect(self, client: ClientLink, client_id: str, present: bool) -> None:
        """A client was let in."""
        self._log.info(
            "client_connected",
            client_id=client_id,
            address=client.address,
            listener=client.listener,
            version=client.link.version,
            session_present=present,
        )

    def log_taken_over(self, client: ClientLink, client_id: str, node_id: str) -> None:
        """A client has come to another node."""
        self._log.info(
            "client_taken_over", client_id=client_id, address=client.address, node=node_id
        )

    def log_relayed(self, client: ClientLink, node_id: str) -> None:
        """A client is let in, and its session is on another node."""
        self._log.info(
            "client_relayed",
            client_id=client.client_id,
            address=client.address,
            listener=client.listener,
            node=node_id,
        )

    def log_disconnect(self, client: ClientLink, client_id: str, reason: str) -> None:
        """A client's link ended."""
        self._log.info(
            "client_disconnected", client_id=client_id, address=client.address, reason=reason
        )

    def log_refusal(self, client: ClientLink, reason: str, text: str) -> None:
        """A client was refused or put out for what it sent."""
        connect = client.connect
        self._log.warning(
            "client_refused",
            client_id=client.client_id,
            username=None if connect is None else shown(connect.username),
            address=client.address,
            listener=client.listener,
            reason=reason,
            detail=text,
        )

    def log_connection_refused(self, address: str, listener: str, reason: str) -> None:
        """A network connection was closed before its client was answered."""
        self._log.warning("connection_refused", address=address, listener=listener, reason=reason)

    def log_paced(self, client: ClientLink, bound: str, seconds: float) -> None:
        """A client sends faster than it may and is not read from for a while."""
        principal = client.principal if client.actor is None else client.actor.principal
        self._log.warning(
            "client_paced",
            client_id=client.client_id,
            username=None if principal is None else principal.name,
            address=client.address,
            listener=client.listener,
            limit=bound,
            seconds=round(seconds, 3),
        )

    def log_accept_failed(self, listener: str, detail: str) -> None:
        """The operating system gave no connection (out of descriptors, say); tried again soon."""
        self._log.error("accept_failed", listener=listener, detail=detail)

    def log_denied(self, actor: SessionActor, action: str, topic: str, decision: Decision) -> None:
        """A client may not do what it asked for."""
        self._log.warning(
            "permission_denied",
            client_id=actor.label,
            username=actor.principal.name,
            address=actor.principal.address,
            listener=actor.principal.listener,
            action=action,
            topic=topic,
            rule=decision.rule,
        )

    def log_revoked(self, actor: SessionActor, written: str, decision: Decision) -> None:
        """A client may not be subscribed to something any more."""
        self._log.warning(
            "subscription_revoked",
            client_id=actor.label,
            username=actor.principal.name,
            topic=written,
            rule=decision.rule,
        )

    def log_dropped(self, client_id: str, topic: str, reason: str) -> None:
        """A message was dropped for one recipient."""
        self._log.warning("message_dropped", client_id=client_id, topic=topic, reason=reason)


def _no_mountpoint(_listener: str, _principal: Principal) -> str | None:
    """Without mountpoints topics are what clients write."""
    return ""


def _no_turn() -> None:
    """Before the network drives the broker nobody needs a turn."""


def shown(username: str | None) -> str | None:
    """A user name for the log. One that is a signed token loses the signature, which makes it one."""
    if username is not None and username.startswith("eyJ") and username.count(".") == 2:
        return username[: username.rindex(".") + 1]
    return username
