"""Asks again for what was permitted before, when those who decide say that it may not hold any more.

A change of users or rules raises a generation, which every turn looks at. From then on no session sends or
takes anything before it was reviewed: whoever is not let in any more is put out, and a subscription that is
refused now is revoked, with all that waits for it. Sessions that do nothing are reviewed some at a time, so
that no turn grows long. What was sent already goes on to its acknowledgement, as after UNSUBSCRIBE.

Where an answer takes time the session is *under review*: nothing is sent to it, as if it had no link. Only some
questions are asked at a time: a service that had too many would refuse the rest, and they would be revoked.

A session found in the store has no principal until its client is back; then it is reviewed first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final

from rookery.actors.clock import chance
from rookery.engine.session_actor import weight_of
from rookery.engine.stats import DROP_NOT_AUTHORIZED, DROP_REVOKED, END_NOT_AUTHORIZED
from rookery.message import Delivery, Message
from rookery.mqtt.topics import matches, split_share
from rookery.mqtt.types import V5, ReasonCode
from rookery.ports import Decision, Principal
from rookery.session.session import GrantedSubscription, Session

if TYPE_CHECKING:
    from rookery.engine.broker import Broker
    from rookery.engine.client_link import ClientLink
    from rookery.engine.session_actor import SessionActor

NOT_REVIEWED: Final = 0
SESSIONS_PER_TURN_MAX: Final = 1_000
SECONDS_PER_TURN_MAX: Final = 0.002
"""After this long the rest is left for the next turn; one session is always reviewed as a whole."""
ASKED_AT_ONCE_MAX: Final = 100
"""Questions of reviews that wait for an answer."""


class SlowReview:
    """The subscriptions of one session, and how far they are asked about."""

    def __init__(self, actor: SessionActor) -> None:
        self.actor = actor
        self.number: int = actor.reviews
        self.written: list[str] = list(actor.session.subscriptions)
        self.at: int = 0
        """Which one is asked about next."""
        self.asked: list[tuple[str, Awaitable[Decision]]] = []
        self.refused: list[tuple[str, Decision]] = []

    def holds(self) -> bool:
        """Whether its end counts: of a session that is there, and no other review began meanwhile."""
        return not self.actor.ended and self.actor.reviews == self.number


class Review:
    """Looks at the sessions of one broker again."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.generation: int = NOT_REVIEWED + 1
        """Of all that decides. A session that was reviewed at another one must be reviewed first."""
        self._authorizer_at: int = broker.authorizer.generation
        self._authenticator_at: int = broker.authenticator.generation
        self._waiting: list[SessionActor] = []
        self._slow: deque[SlowReview] = deque()
        """Those that wait until there is room for more questions."""
        self._asked: int = 0
        """Questions that wait for an answer."""
        self.sessions_per_turn_max: int = SESSIONS_PER_TURN_MAX

    def begin_turn(self) -> None:
        """See whether something has changed, and review some of those who wait for it."""
        broker = self._broker
        authorizer_at = broker.authorizer.generation
        authenticator_at = broker.authenticator.generation
        if authorizer_at != self._authorizer_at or authenticator_at != self._authenticator_at:
            self._authorizer_at = authorizer_at
            self._authenticator_at = authenticator_at
            self.generation += 1
            self._waiting = list(broker.registry.actors.values())
        if self._waiting:
            self._review_some()
        if self._slow and self._asked < ASKED_AT_ONCE_MAX:
            self._ask_more()

    def _review_some(self) -> None:
        broker = self._broker
        waiting = self._waiting
        until = broker.clock.monotonic() + SECONDS_PER_TURN_MAX
        for _ in range(min(len(waiting), self.sessions_per_turn_max)):
            actor = waiting.pop()
            if not actor.ended:
                self.ensure(actor)
                if broker.clock.monotonic() > until:
                    break
        if waiting:
            broker.request_turn()

    def ensure(self, actor: SessionActor) -> None:
        """Review a session unless that was done."""
        if actor.reviewed_at != self.generation:
            self.review(actor)

    def review(self, actor: SessionActor) -> None:
        """Ask again for all that a session has."""
        actor.reviewed_at = self.generation
        actor.publish_permissions.clear()
        if not actor.principal_known:
            return
        client = actor.client
        if client is not None and not client.io.relayed:
            reason = self._broker.authenticator.still_admits(actor.principal)
            if reason is not None:
                self._broker.log_refusal(client, "not_admitted_any_more", reason)
                client.disconnect(ReasonCode.NOT_AUTHORIZED, END_NOT_AUTHORIZED, "")
                return
        self._review_subscriptions(actor)

    def _review_subscriptions(self, actor: SessionActor) -> None:
        actor.reviews += 1
        slow = SlowReview(actor)
        if actor.under_review:
            self._slow.appendleft(
                slow
            )  # As the review before, it ends by itself and not within a step.
            self._broker.request_turn()
        else:
            self._go_on(slow)

    def _ask_more(self) -> None:
        """Go on with the reviews that waited until others had their answers."""
        broker = self._broker
        until = broker.clock.monotonic() + SECONDS_PER_TURN_MAX
        while self._slow and self._asked < ASKED_AT_ONCE_MAX:
            slow = self._slow.popleft()
            if not slow.holds():
                continue
            self._go_on(slow)
            if broker.clock.monotonic() > until:
                broker.request_turn()
                return

    def _go_on(self, slow: SlowReview) -> None:
        """Ask about as many subscriptions as there is room for; end the review after the last."""
        actor = slow.actor
        self._ask(slow)
        refused, slow.refused = slow.refused, []
        ended = not slow.asked and slow.at == len(slow.written)
        was_slow = actor.under_review
        actor.under_review = not ended
        if slow.asked:
            self._broker.tasks.start("review", self._wait(slow))
        elif not ended:
            self._slow.append(slow)
        self._revoke(actor, refused)
        if ended and was_slow and slow.holds():
            actor.go_on_after_review(self._broker.now)

    def _ask(self, slow: SlowReview) -> None:
        authorizer = self._broker.authorizer
        actor = slow.actor
        while slow.at < len(slow.written) and self._asked < ASKED_AT_ONCE_MAX:
            written = slow.written[slow.at]
            slow.at += 1
            granted = actor.session.subscriptions.get(written)
            if granted is None:
                continue
            decision = authorizer.may_subscribe(
                actor.principal, actor.unmounted(granted.topic_filter), granted.qos_max
            )
            if not isinstance(decision, Decision):
                slow.asked.append((written, decision))
                self._asked += 1
            elif not decision.allowed:
                slow.refused.append((written, decision))

    async def _wait(self, slow: SlowReview) -> None:
        broker = self._broker
        asked, slow.asked = slow.asked, []
        unanswered = len(asked)
        try:
            for written, answer in asked:
                decision = await answer
                unanswered -= 1
                self._asked -= 1
                if not decision.allowed:
                    slow.refused.append((written, decision))
            broker.read_clock()
            if slow.holds():
                self._slow.appendleft(slow)  # The next turn asks on, or ends it.
        except Exception as error:  # noqa: BLE001 - the supervisor's boundary
            if slow.actor.client is not None:
                broker.link_crashed(slow.actor.client, error)
        finally:
            self._asked -= unanswered
        broker.request_turn()

    def _revoke(self, actor: SessionActor, refused: list[tuple[str, Decision]]) -> None:
        """End subscriptions, and let go of what waits for them."""
        broker = self._broker
        subscriptions = actor.session.subscriptions
        revoked: dict[str, GrantedSubscription] = {}
        for written, decision in refused:
            granted = subscriptions.pop(written, None)
            if granted is None:
                continue
            revoked[written] = granted
            actor.filter_weight -= weight_of(written)
            broker.router.unsubscribe(actor, granted.topic_filter, granted.share)
            broker.stats.subscriptions_revoked += 1
            if actor.durable:
                broker.subscribing.keep(actor, written, None)
            broker.log_revoked(actor, written, decision)
        if not revoked:
            return
        self.forget_unwanted(actor)
        if not actor.resent:
            self._forget_in_flight(actor, revoked)
        if actor.client is not None and self.denial_disconnects(actor.client):
            actor.client.disconnect(ReasonCode.NOT_AUTHORIZED, END_NOT_AUTHORIZED, "")

    def forget_unwanted(self, actor: SessionActor) -> None:
        """Let go of what waits in a session and none of its subscriptions asks for any more."""
        session = actor.session
        outbound = session.outbound
        mailbox: list[Delivery] = []
        known: dict[tuple[str, str], bool] = {}
        for delivery in actor.mailbox:
            if wants(session, delivery, known):
                mailbox.append(delivery)
                continue
            self._let_go(actor, delivery)
            if delivery.position < 0:
                actor.finish(delivery.position)
            elif delivery.position and delivery.qos and outbound.owed is not None:
                # It was never taken out of the log for this session.
                self._broker.committer.release(delivery.position)
        actor.mailbox = mailbox
        if outbound.queue is not None:
            wanted = [wants(session, each, known) for each in outbound.queue]
            for delivery in outbound.take_unwanted(wanted):
                self._let_go(actor, delivery)
                actor.finish(delivery.position)
        if actor.streams is not None:
            streams = [each for each in actor.streams if each.written in session.subscriptions]
            actor.streams = deque(streams) if streams else None
        # What lies in the log is looked at when it is read.
        actor.revoked = outbound.backlog_count() > 0

    def _forget_in_flight(
        self, actor: SessionActor, revoked: dict[str, GrantedSubscription]
    ) -> None:
        """Do not send again what was in flight by these subscriptions: perhaps to another user.

        What the present link was sent goes on to its end. So does the exchange of a QoS 2 message, without the
        message: a client that has it waits for the PUBREL.
        """
        session = actor.session
        known: dict[tuple[str, str], bool] = {}
        for packet_id, delivery in list(session.outbound.inflight.items()):
            if not came_by(delivery, revoked) or wants(session, delivery, known):
                continue
            self._broker.stats.drop(DROP_REVOKED)
            if delivery.qos == 2:
                actor.received(packet_id)
            elif session.outbound.acknowledge(packet_id) is not None:
                actor.finish(delivery.position)

    def _let_go(self, actor: SessionActor, delivery: Delivery) -> None:
        """Give a delivery to another member of its share group, or drop it."""
        shared = split_share(delivery.share)
        if shared is not None:
            group = self._broker.router.share(shared[0], shared[1])
            recipient = None if group is None else group.pick(chance(), actor)
            if recipient is not None:
                self._broker.own_messages.hand_over(delivery, recipient, actor.number, None)
                return
        self._broker.stats.drop(DROP_REVOKED)

    def publish_will(self, actor: SessionActor, message: Message) -> None:
        """Publish a will, which its client was allowed to leave, if it still may be published."""
        broker = self._broker
        if actor.will_allowed_at == self.generation or not actor.principal_known:
            broker.own_messages.publish_will(message, actor.number)
            return
        topic = actor.unmounted(message.topic)
        decision = broker.authorizer.may_publish(
            actor.principal, topic, message.qos, message.retain
        )
        if isinstance(decision, Decision):
            self._publish_will_if(decision, actor, message)
        else:
            broker.tasks.start("authorize_will", self._wait_for_will(decision, actor, message))

    async def _wait_for_will(
        self, answer: Awaitable[Decision], actor: SessionActor, message: Message
    ) -> None:
        decision = await answer
        self._broker.read_clock()
        self._publish_will_if(decision, actor, message)
        self._broker.request_turn()

    def _publish_will_if(self, decision: Decision, actor: SessionActor, message: Message) -> None:
        broker = self._broker
        if decision.allowed:
            broker.own_messages.publish_will(message, actor.number)
        else:
            broker.stats.drop(DROP_NOT_AUTHORIZED)
            broker.log_denied(actor, "publish", message.topic, decision)

    def denial_disconnects(self, client: ClientLink) -> bool:
        """Whether a client that does what it may not do is put out."""
        denial = self._broker.settings.denial
        if client.link.version == V5:
            return denial.denied_v5_disconnects
        return denial.denied_v3_disconnects


def wants(session: Session, delivery: Delivery, known: dict[tuple[str, str], bool]) -> bool:
    """Whether a session asks for a delivery; ``known`` has what was found before."""
    key = (delivery.message.topic, delivery.share)
    wanted = known.get(key)
    if wanted is None:
        wanted = session.wants(delivery.message.topic, delivery.share)
        known[key] = wanted
    return wanted


def came_by(delivery: Delivery, subscriptions: dict[str, GrantedSubscription]) -> bool:
    """Whether a delivery may have come by one of these subscriptions."""
    if delivery.share:
        return delivery.share in subscriptions
    return any(
        granted.share is None and matches(granted.topic_filter, delivery.message.topic)
        for granted in subscriptions.values()
    )


def same_client(one: Principal, other: Principal) -> bool:
    """Whether what was permitted to the one is permitted to the other as long as no rule changes."""
    return (
        one.name == other.name
        and one.client_id == other.client_id
        and one.address == other.address
        and one.listener == other.listener
        and one.superuser == other.superuser
        and one.groups == other.groups
        and one.attributes == other.attributes
        and one.grants == other.grants
    )
