"""SUBSCRIBE and UNSUBSCRIBE: check each topic filter, grant it, and owe its retained messages.

One packet may hold thousands of filters. They are worked off a few each turn; meanwhile the client's further
packets wait in order, and it is answered when the last filter is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rookery.engine.client_link import ClientLink
from rookery.engine.mountpoints import inner_filter, mounted_filter
from rookery.engine.publishing import ENDS_LINK
from rookery.engine.retained_stream import RetainedStream
from rookery.engine.session_actor import SessionActor, weight_of
from rookery.engine.stats import END_NOT_AUTHORIZED
from rookery.message import NO_IDENTIFIERS
from rookery.mqtt.errors import ProtocolViolation
from rookery.mqtt.packets import SubAck, Subscribe, SubscriptionRequest, UnsubAck, Unsubscribe
from rookery.mqtt.topics import SHARE_PREFIX, split_share, validate_topic_filter
from rookery.mqtt.types import ReasonCode
from rookery.ports import Decision
from rookery.records import SubscriptionRow
from rookery.routing.subscriber import Subscription
from rookery.session.session import GrantedSubscription

if TYPE_CHECKING:
    from rookery.engine.broker import Broker

RETAIN_ALWAYS: Final = 0
RETAIN_IF_NEW: Final = 1

FILTERS_PER_TURN_MAX: Final = 100
"""Filters of one packet that are worked off in one turn: some ms at most, however long they are."""
FILTER_DELIVERIES: Final = 20
"""What a filter costs of the turn, in deliveries."""


class Filters:
    """A SUBSCRIBE or an UNSUBSCRIBE, and how far it is worked off."""

    def __init__(
        self, subscribe: Subscribe | None, unsubscribe: Unsubscribe | None, identifier: int
    ) -> None:
        self.subscribe = subscribe
        self.unsubscribe = unsubscribe
        self.identifier = identifier
        self.codes: list[ReasonCode] = []
        """The answers so far."""
        self.group: int = 0
        """The commit group that the answer waits for."""
        self.stalled: bool = False
        """Whether all is granted, and its answer waits for nodes that cannot be told."""
        self.streams: list[RetainedStream] = []
        """What is retained for the filters granted so far."""


class Subscribing:
    """Changes what sessions are subscribed to."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._limits = broker.settings.limits

    def subscribe(self, client: ClientLink, actor: SessionActor, packet: Subscribe) -> None:
        """Grant or refuse each topic filter, answer, then send what is retained."""
        identifier = 0
        if packet.properties is not None and packet.properties.subscription_identifiers:
            identifier = packet.properties.subscription_identifiers[0]
        self._go_on_subscribing(client, actor, Filters(packet, None, identifier))

    def unsubscribe(self, client: ClientLink, actor: SessionActor, packet: Unsubscribe) -> None:
        """End each subscription and answer. [MQTT-3.10.4-4] [MQTT-3.10.4-5]"""
        self._go_on_unsubscribing(client, actor, Filters(None, packet, 0))

    def go_on(self, client: ClientLink) -> None:
        """Work off some more of the filters that the last turn had no room, or no answer, for."""
        filters = client.filters
        actor = client.actor
        assert filters is not None and actor is not None
        if filters.subscribe is not None:
            self._go_on_subscribing(client, actor, filters)
        else:
            self._go_on_unsubscribing(client, actor, filters)

    def _go_on_subscribing(self, client: ClientLink, actor: SessionActor, filters: Filters) -> None:
        packet = filters.subscribe
        assert packet is not None
        codes, streams = filters.codes, filters.streams
        requests = packet.requests[len(codes) : len(codes) + FILTERS_PER_TURN_MAX]
        client.filters = filters
        refusals = self._refusals(client, actor, requests)
        if refusals is None:
            return
        for request, refusal in zip(requests, refusals, strict=True):
            codes.append(self._grant(actor, request, refusal, filters.identifier, streams))
        self._broker.publishing.deliveries += FILTER_DELIVERIES * len(requests)
        filters.group = max(filters.group, client.waits_for)
        if len(codes) < len(packet.requests):
            return
        peers = self._broker.peers
        if peers is not None and not peers.routes.can_be_known(client):
            filters.stalled = True
            return
        client.filters = None
        client.keep(filters.group)
        if peers is not None:
            client.keep_forward(peers.routes.ticket())
        explanation = client.explanation(max(codes))
        client.link.send(
            SubAck(packet.packet_id, codes, explanation)
        )  # [MQTT-3.8.4-1] [MQTT-3.8.4-6]
        self._broker.stats.packets_sent += 1
        for stream in streams:
            if stream.written in actor.session.subscriptions:  # It may be revoked since.
                actor.send_retained(stream)

    def _grant(
        self,
        actor: SessionActor,
        request: SubscriptionRequest,
        refusal: ReasonCode,
        identifier: int,
        streams: list[RetainedStream],
    ) -> ReasonCode:
        written = mounted_filter(request.topic_filter, actor.mountpoint)
        session = actor.session
        known = session.subscriptions.get(written)
        if (
            refusal == ReasonCode.SUCCESS
            and known is None
            and actor.filter_weight + weight_of(written)
            > self._limits.subscriptions_per_session_max
        ):
            refusal = ReasonCode.QUOTA_EXCEEDED
        if refusal != ReasonCode.SUCCESS:
            self._broker.stats.subscriptions_refused += 1
            return refusal
        shared = split_share(written)
        share, topic_filter = (None, written) if shared is None else shared
        qos_max = request.qos_max
        is_new = known is None
        if is_new:
            actor.filter_weight += weight_of(written)
        granted = GrantedSubscription(
            topic_filter,
            share,
            qos_max,
            request.no_local,
            request.retain_as_published,
            identifier,
            # What came while it was granted QoS 0 was never owed.
            self._broker.committer.end() if known is None or not known.qos_max else known.began,
        )
        # [MQTT-3.8.4-3] The same topic filter again replaces the subscription.
        session.subscriptions[written] = granted
        self._broker.router.subscribe(
            actor,
            Subscription(
                topic_filter,
                qos_max,
                request.no_local,
                request.retain_as_published,
                request.retain_handling,
                identifier,
            ),
            share,
        )
        self._broker.stats.subscriptions_made += 1
        if actor.durable:
            if (
                known is not None
                and known.kept_in <= self._broker.committer.durable
                and granted.same_as(known)
            ):
                granted.kept_in = known.kept_in  # As most clients ask whenever they come back.
            else:
                self.keep(actor, written, granted)
        handling = request.retain_handling
        if share is None and (
            handling == RETAIN_ALWAYS or (handling == RETAIN_IF_NEW and is_new)
        ):  # [MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11]
            identifiers = (identifier,) if identifier else NO_IDENTIFIERS
            cursor = self._broker.retained.cursor(topic_filter)
            streams.append(RetainedStream(cursor, written, qos_max, identifiers))
        return ReasonCode(qos_max)

    def _refusals(
        self, client: ClientLink, actor: SessionActor, requests: list[SubscriptionRequest]
    ) -> list[ReasonCode] | None:
        """Why each topic filter is refused, or that it is not; ``None`` for no answer yet, or none at all."""
        refusals = [self._form(actor, request.topic_filter) for request in requests]
        permitted: list[Decision] | None = client.take_answers()
        if permitted is None:
            authorizer = self._broker.authorizer
            permitted = client.ask(
                [
                    authorizer.may_subscribe(
                        actor.principal, inner_filter(request.topic_filter), request.qos_max
                    )
                    for request, refusal in zip(requests, refusals, strict=True)
                    if refusal == ReasonCode.SUCCESS
                ]
            )
            if permitted is None:
                return None
        denied = False
        at = 0
        for index, request in enumerate(requests):
            if refusals[index] == ReasonCode.SUCCESS:
                decision = permitted[at]
                at += 1
                if not decision.allowed:
                    denied = True
                    refusals[index] = ReasonCode.NOT_AUTHORIZED
                    self._broker.log_denied(actor, "subscribe", request.topic_filter, decision)
                    if decision.ends_link:
                        raise ProtocolViolation(ENDS_LINK, ReasonCode.ADMINISTRATIVE_ACTION)
        if denied and self._broker.review.denial_disconnects(client):
            client.disconnect(ReasonCode.NOT_AUTHORIZED, END_NOT_AUTHORIZED, "")
            return None
        return refusals

    def _form(self, actor: SessionActor, asked: str) -> ReasonCode:
        """Whether this is a topic filter within the limits, the mountpoint counted in."""
        written = mounted_filter(asked, actor.mountpoint)
        inner = inner_filter(written)
        limits = self._limits
        if (
            len(written.encode()) > limits.topic_bytes_max
            or inner.startswith(SHARE_PREFIX)
            or not validate_topic_filter(inner_filter(asked), limits.topic_levels_max)
            or not validate_topic_filter(inner, limits.topic_levels_max)
        ):
            return ReasonCode.TOPIC_FILTER_INVALID
        if actor.mountpoint and inner_filter(asked).startswith("$"):
            return ReasonCode.NOT_AUTHORIZED
        return ReasonCode.SUCCESS

    def keep(self, actor: SessionActor, written: str, granted: GrantedSubscription | None) -> None:
        """Keep a durable session's subscription as it is now; its answer leaves after that."""
        committer = self._broker.committer
        row: SubscriptionRow | None = None
        if granted is not None:
            granted.kept_in = committer.number
            row = SubscriptionRow(
                actor.number,
                written,
                granted.qos_max,
                granted.no_local,
                granted.retain_as_published,
                granted.identifier,
                granted.began,
            )
        committer.group.subscriptions[actor.number, written] = row
        if actor.client is not None:
            actor.client.keep(committer.must_keep())

    def _go_on_unsubscribing(
        self, client: ClientLink, actor: SessionActor, filters: Filters
    ) -> None:
        packet = filters.unsubscribe
        assert packet is not None
        codes = filters.codes
        session = actor.session
        asked = packet.topic_filters[len(codes) : len(codes) + FILTERS_PER_TURN_MAX]
        for topic_filter in asked:
            written = mounted_filter(topic_filter, actor.mountpoint)
            granted = session.subscriptions.pop(written, None)
            if granted is None:
                codes.append(ReasonCode.NO_SUBSCRIPTION_EXISTED)
                continue
            actor.filter_weight -= weight_of(written)
            self._broker.router.unsubscribe(actor, granted.topic_filter, granted.share)
            self._broker.stats.subscriptions_ended += 1
            if actor.durable:
                self.keep(actor, written, None)
            codes.append(ReasonCode.SUCCESS)
        self._broker.publishing.deliveries += FILTER_DELIVERIES * len(asked)
        filters.group = max(filters.group, client.waits_for)
        client.filters = filters if len(codes) < len(packet.topic_filters) else None
        if client.filters is not None:
            return
        client.keep(filters.group)
        client.link.send(UnsubAck(packet.packet_id, codes))
        self._broker.stats.packets_sent += 1
