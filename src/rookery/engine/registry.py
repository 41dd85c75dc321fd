"""Client id -> session: who owns an id, and what happens when links come and go.

On one node a claim is a look-up in a dict. A new link for a client id takes the session over from the
old one. [MQTT-3.1.4-3]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rookery.actors.clock import chance
from rookery.engine.client_link import ClientLink
from rookery.engine.review import NOT_REVIEWED, same_client
from rookery.engine.session_actor import SessionActor
from rookery.engine.stats import DROP_SESSION_ENDED, END_TAKEOVER
from rookery.message import message_from_will
from rookery.mqtt.packets import Will
from rookery.mqtt.topics import split_share
from rookery.mqtt.types import ReasonCode
from rookery.ports import Principal
from rookery.session.inbound import Inbound
from rookery.session.outbound import Outbound
from rookery.session.session import PendingWill, Session

if TYPE_CHECKING:
    from rookery.engine.broker import Broker

"""What a session that ends leaves in one turn: thousands at once would keep all others waiting."""
REMOVED_MIN: Final = 1_000
"""How many removed sessions are remembered at least before those that are durably gone are forgotten."""


class Registry:
    """The sessions of this node."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._limits = broker.settings.limits
        self.actors: dict[str, SessionActor] = {}
        self.attached: int = 0
        self._removed: dict[str, int] = {}
        """By client id: the commit group with the removal of its session, while that may be under way."""
        self._removed_max: int = REMOVED_MIN

    def is_full(self, client_id: str) -> bool:
        """Whether there are as many sessions as may be, and none of this client id among them."""
        actors = self.actors
        return len(actors) >= self._limits.sessions_max and client_id not in actors

    def claim(
        self, client_id: str, principal: Principal, clean_start: bool
    ) -> tuple[SessionActor, bool]:
        """The session for a client id, and whether it existed before. [MQTT-3.1.2-4]

        A link it still has is taken over first. [MQTT-3.1.4-3]
        """
        stats = self._broker.stats
        actor = self.actors.get(client_id)
        if actor is not None and actor.client is not None:
            stats.sessions_taken_over += 1
            actor.client.disconnect(ReasonCode.SESSION_TAKEN_OVER, END_TAKEOVER, "")
            actor = self.actors.get(client_id)
        if actor is not None and actor.is_over(self._broker.now):
            self.expire(actor)  # Its timer comes a little later.
            actor = None
        if actor is not None and clean_start:
            stats.sessions_discarded += 1
            self.end_session(actor)
            actor = None
        if actor is not None:
            stats.sessions_resumed += 1
            if not actor.principal_known or not same_client(actor.principal, principal):
                actor.reviewed_at = NOT_REVIEWED
            actor.principal = principal
            actor.principal_known = True
            return actor, True
        stats.sessions_created += 1
        return self.restore(client_id, principal), False

    def restore(self, client_id: str, principal: Principal) -> SessionActor:
        """An empty session for a client id that has none."""
        actor = self.unreachable(client_id, principal)
        self.actors[client_id] = actor
        return actor

    def unreachable(self, client_id: str, principal: Principal) -> SessionActor:
        """An empty session that no client can claim, until it is put among the others."""
        outbound = Outbound(
            self._limits.queue_messages_max,
            self._limits.queue_bytes_max,
            self._limits.output_bytes_max,
        )
        return SessionActor(self._broker, Session(client_id, Inbound(), outbound), principal)

    def put(self, actor: SessionActor) -> None:
        """Let clients claim a session that was unreachable."""
        self.actors[actor.client_id] = actor

    def attach(
        self,
        actor: SessionActor,
        client: ClientLink,
        will: PendingWill | None,
        expiry_seconds: int,
        window_max: int,
    ) -> None:
        """Join a link to its session, with the will that came with it. [MQTT-3.1.2-7]"""
        actor.client = client
        actor.attached = True
        if actor.will_at is not None and actor.will_at <= self._broker.now:
            self.publish_will(actor)  # The client is back, but not in time.
        # [MQTT-3.1.3-9] A will that waits is not published when its client is back in time.
        self._give_up_deadlines(actor)
        actor.session.will = will
        actor.will_allowed_at = self._broker.review.generation
        actor.session.outbound.window_max = window_max
        actor.set_expiry(expiry_seconds)
        client.actor = actor
        self.attached += 1
        self._note_shares(actor)
        self._broker.stats.observe_counts(self.attached, len(self.actors))

    def detach(self, actor: SessionActor, client: ClientLink) -> None:
        """Part a link from its session: the will, then the expiry."""
        actor.client = None
        actor.attached = False
        actor.resent = False
        actor.streams = None
        actor.forget_answers()
        self.attached -= 1
        self._note_shares(actor)
        now = self._broker.now
        actor.detached_at = now
        session = actor.session
        will = session.will
        if will is not None:
            delay = session.will_delay_seconds(will)
            if delay == 0:
                self.publish_will(actor)
            else:
                actor.will_at = now + delay
                self._broker.timers.at(actor.will_at, actor)
        if not session.durable:
            self.end_session(actor)
            return
        actor.expires_at = session.expires_at(now)
        if actor.expires_at is not None:
            self._broker.timers.at(actor.expires_at, actor)
        self._hand_over(actor)
        actor.keep()
        if session.outbound.owed is not None:
            self._broker.committer.touch(actor)  # What was sent is resent with DUP.

    def _note_shares(self, actor: SessionActor) -> None:
        """Other nodes choose among members that have a link first."""
        if self._broker.peers is not None:
            for granted in actor.session.subscriptions.values():
                if granted.share is not None:
                    self._broker.router.note_change(granted.topic_filter, granted.share)

    def publish_will(self, actor: SessionActor) -> None:
        """Publish the will of a link that ended, once. [MQTT-3.1.2-8] [MQTT-3.1.2-10]"""
        pending = actor.session.will
        if pending is None:
            return
        self._broker.stats.wills_published += 1
        message = message_from_will(pending.will, actor.client_id, self._broker.now)
        actor.session.will = None
        self._broker.review.publish_will(actor, message)
        actor.keep()
        self._broker.request_turn()

    def expire(self, actor: SessionActor) -> None:
        """The session's expiry interval has passed. [MQTT-4.1.0-2]"""
        self._broker.stats.sessions_expired += 1
        self.end_session(actor)

    def end_session(self, actor: SessionActor) -> None:
        """Forget a session: its will, its subscriptions, what it was owed. [MQTT-3.1.2-8]"""
        if actor.ended:
            return
        actor.ended = True
        self._give_up_deadlines(actor)
        self.publish_will(actor)
        session = actor.session
        self._broker.leaving.leave(actor)
        self._hand_over(actor)
        actor.durable = False
        waiting = session.outbound.queue_length() + session.outbound.backlog_count()
        if waiting:
            self._broker.stats.drop(DROP_SESSION_ENDED, waiting)
        self._forget(actor)
        actor.durable = False  # From now on it is owed nothing, whatever its filters still match.
        if self.actors.get(actor.client_id) is actor:
            del self.actors[actor.client_id]

    def _give_up_deadlines(self, actor: SessionActor) -> None:
        """Those of a session without a link: its end and its will."""
        timers = self._broker.timers
        if actor.expires_at is not None:
            timers.give_up(actor.expires_at, actor)
            actor.expires_at = None
        if actor.will_at is not None:
            timers.give_up(actor.will_at, actor)
            actor.will_at = None

    def _forget(self, actor: SessionActor) -> None:
        """Let go of the log, and of the rows of a session that has ended."""
        committer = self._broker.committer
        owed = actor.session.outbound.owed
        if owed is not None:
            for position in (*owed.outstanding(), *actor.session.outbound.apart()):
                committer.release(position)
        if actor.number:
            if actor.session.durable:
                committer.group.sessions[actor.number] = None
            else:
                committer.keep_session(actor.number, None)  # It may have been there for its will.
            self._note_removed(actor.client_id, committer.number)

    def removed_in(self, client_id: str) -> int:
        """The commit group that removes what was kept of a former session; 0 for none."""
        return self._removed.get(client_id, 0)

    def _note_removed(self, client_id: str, group: int) -> None:
        removed = self._removed
        removed[client_id] = group
        if len(removed) > self._removed_max:
            durable = self._broker.committer.durable
            self._removed = {each: number for each, number in removed.items() if number > durable}
            self._removed_max = max(REMOVED_MIN, 2 * len(self._removed))

    def _hand_over(self, actor: SessionActor) -> None:
        """Give what came by a shared subscription to another member. (MQTT 5.0, 4.8.2)

        While the session lasts and no other member has a link, it waits for its client; so it does while
        nothing can be kept for another.
        """
        failing = self._broker.committer.failing
        actor.settle(self._broker.now)  # What this turn told it is owed no less.
        outbound = actor.session.outbound
        for share in outbound.shares():
            shared = split_share(share)
            assert shared is not None
            group = self._broker.router.share(shared[0], shared[1])
            recipient = None if group is None else group.pick(chance(), actor)
            if not actor.ended and (
                recipient is None
                or not recipient.subscriber.attached
                or (failing and recipient.subscriber.durable)
            ):
                continue
            for delivery in outbound.take_shared(share):
                if group is None or recipient is None:
                    self._broker.stats.drop(DROP_SESSION_ENDED)
                    continue
                self._broker.own_messages.hand_over(delivery, recipient, actor.number, actor)
                recipient = group.pick(chance(), actor)


def will_delay_seconds(will: Will) -> int:
    """The will delay interval; 0 when there is none."""
    properties = will.properties
    if properties is None or properties.will_delay_interval is None:
        return 0
    return properties.will_delay_interval
