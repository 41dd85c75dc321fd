"""From a CONNECT to an attached session: limits, identity, authentication, claim, CONNACK.

The steps read top to bottom; each returns or raises ``NotAdmitted`` with the reason code the client is
told. What takes time (hashing, a round of enhanced authentication) runs off the loop; the link holds
its packets until the answer is there.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final

from rookery.actors.clock import new_client_id
from rookery.engine.client_link import ADMITTING, ATTACHED, ENDED, WAITING, ClientLink
from rookery.engine.mountpoints import SEPARATOR, session_key
from rookery.engine.overload import REFUSING
from rookery.engine.publishing import not_for_clients
from rookery.engine.registry import will_delay_seconds
from rookery.engine.stats import END_INTERNAL, END_NOT_AUTHORIZED, END_PEER_FAULT
from rookery.message import mounted_will
from rookery.mqtt.errors import ProtocolViolation
from rookery.mqtt.packets import Auth, ConnAck, Connect
from rookery.mqtt.properties import Properties
from rookery.mqtt.reasons import FROM_SERVER
from rookery.mqtt.topics import validate_topic_name
from rookery.mqtt.types import DISCONNECT, PACKET_BYTES_LIMIT, V3_1, V5, ReasonCode
from rookery.ports import Accepted, Attempt, Ban, Challenge, Decision, Principal, Refused
from rookery.session.session import PendingWill

if TYPE_CHECKING:
    from rookery.engine.broker import Broker
    from rookery.engine.session_actor import SessionActor

RECEIVE_MAXIMUM_DEFAULT: Final = 65_535
SESSION_KEY_BYTES_MAX: Final = 65_535
"""What an entry of the message log can say of its publisher."""

PROOF_FAILED: Final = frozenset({ReasonCode.BAD_USER_NAME_OR_PASSWORD, ReasonCode.NOT_AUTHORIZED})
"""The verdicts on who the client is, as against those on the node's own state."""


class NotAdmitted(Exception):
    """The client is refused with this reason code; the text is for the operator."""

    def __init__(self, reason_code: ReasonCode, text: str) -> None:
        super().__init__(text)
        self.reason_code = reason_code
        self.text = text


class Admitted:
    """Who a client is, and what follows from it."""

    def __init__(
        self,
        principal: Principal,
        mountpoint: str,
        assigned: str,
        data: bytes | None,
        generation: int,
    ) -> None:
        self.principal = principal
        self.mountpoint = mountpoint
        self.assigned = assigned
        """The client id it was given because it had none; else empty."""
        self.data = data
        """The last data of an enhanced authentication."""
        self.generation = generation
        """That of the rules by which its will was permitted."""


def banned(ban: Ban) -> NotAdmitted:
    """What a ban makes of a CONNECT."""
    return NotAdmitted(ReasonCode.BANNED, f"ban of {ban.kind} {ban.pattern}: {ban.reason}")


class Admission:
    """Lets clients in."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._limits = broker.settings.limits
        self._behaviour = broker.settings.behaviour

    def begin(self, client: ClientLink, connect: Connect, now: float) -> None:
        """A CONNECT came."""
        if client.stage != WAITING:
            raise ProtocolViolation("a second CONNECT")  # [MQTT-3.1.0-2]
        client.connect = connect
        self._broker.stats.connects_received += 1
        self._broker.gate.greeted(client)
        client.stage = ADMITTING
        try:
            self._check(client, connect)
            verdict = self._authenticate(client, connect)
        except NotAdmitted as refusal:
            self._refuse(client, refusal.reason_code, refusal.text)
            return
        self._decide_or_wait(client, verdict)

    def proceed(self, client: ClientLink, auth: Auth) -> None:
        """An AUTH came: the next step of an authentication, or the start of another one."""
        properties = auth.properties
        method = None if properties is None else properties.authentication_method
        connect = client.connect
        if connect is None or connect.properties is None:
            raise ProtocolViolation("AUTH without an authentication method in CONNECT")
        if connect.properties.authentication_method is None:
            # [MQTT-4.12.0-7] No AUTH without a method in the CONNECT.
            raise ProtocolViolation("AUTH without an authentication method in CONNECT")
        if method != connect.properties.authentication_method:
            # [MQTT-4.12.0-5] The method stays the same for the whole link.
            raise ProtocolViolation("the authentication method changed")
        attached = client.actor is not None
        if auth.reason_code == ReasonCode.RE_AUTHENTICATE:
            if not attached or client.exchange_running:
                raise ProtocolViolation("re-authentication is not possible now")
            client.exchange = self._broker.authenticator.begin(method, attempt_of(client, connect))
            client.exchange_running = True
        elif not client.exchange_running:
            raise ProtocolViolation("AUTH without an authentication under way")
        assert client.exchange is not None
        data = None if properties is None else properties.authentication_data
        client.stage = ADMITTING
        self._broker.gate.greeted(client)
        self._decide_or_wait(client, client.exchange.step(data))

    def closed_for(self, client: ClientLink) -> str:
        """Why this node lets a client in no more, however far it has come; empty when it does."""
        broker = self._broker
        if broker.draining:
            return "the node is shutting down"
        if broker.closed_for:
            return broker.closed_for
        if broker.emptied_for and (broker.peers is None or not broker.peers.relays.brought(client)):
            return broker.emptied_for
        return ""

    def _check_open(self, client: ClientLink) -> None:
        reason = self.closed_for(client)
        if reason:
            raise NotAdmitted(ReasonCode.SERVER_UNAVAILABLE, reason)

    def _check(self, client: ClientLink, connect: Connect) -> None:
        limits = self._limits
        self._check_open(client)
        if self._broker.overload.level == REFUSING:
            raise NotAdmitted(ReasonCode.SERVER_BUSY, self._broker.overload.reason)
        connected = self._broker.registry.attached
        if self._broker.peers is not None:
            connected += self._broker.peers.relays.more_connected()
        if connected >= limits.connections_max:
            raise NotAdmitted(
                ReasonCode.QUOTA_EXCEEDED, f"there are {limits.connections_max} connections already"
            )
        client_id = connect.client_id
        ban = self._broker.bans.of_client(client_id, connect.username)
        if ban is None and client.address:
            ban = self._broker.bans.of_address(client.address)
        if ban is not None:
            raise banned(ban)
        self._check_length(client_id)
        if not client_id and (
            connect.version == V3_1 or (connect.version != V5 and not connect.clean_start)
        ):
            # [MQTT-3.1.3-8] In 3.1.1 the node chooses the id only for a clean session.
            raise NotAdmitted(ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, "the client id is empty")

    def _check_length(self, client_id: str) -> None:
        bytes_max = self._limits.client_id_bytes_max
        if len(client_id.encode()) > bytes_max:
            raise NotAdmitted(
                ReasonCode.CLIENT_IDENTIFIER_NOT_VALID,
                f"the client id is longer than {bytes_max} bytes",
            )

    def _authenticate(
        self, client: ClientLink, connect: Connect
    ) -> Accepted | Refused | Awaitable[Accepted | Refused | Challenge]:
        authenticator = self._broker.authenticator
        attempt = attempt_of(client, connect)
        properties = connect.properties
        if properties is None or properties.authentication_method is None:
            return authenticator.authenticate(attempt)
        method = properties.authentication_method
        if method not in authenticator.methods:
            # [MQTT-4.12.0-1]
            raise NotAdmitted(
                ReasonCode.BAD_AUTHENTICATION_METHOD, f"no authentication method {method!r}"
            )
        client.exchange = authenticator.begin(method, attempt)
        client.exchange_running = True
        return client.exchange.step(properties.authentication_data)

    def _decide_or_wait(
        self,
        client: ClientLink,
        verdict: Accepted | Refused | Challenge | Awaitable[Accepted | Refused | Challenge],
    ) -> None:
        if isinstance(verdict, (Accepted, Refused, Challenge)):
            self._decide(client, verdict)
        else:
            self._broker.tasks.start("authenticate", self._wait(client, verdict))

    async def _wait(
        self, client: ClientLink, verdict: Awaitable[Accepted | Refused | Challenge]
    ) -> None:
        broker = self._broker
        try:
            decision = await verdict
            broker.read_clock()
            if client.stage != ENDED:
                self._decide(client, decision)
                client.io.resume()
                client.work(broker.now)
        except Exception as error:  # noqa: BLE001 - the supervisor's boundary
            broker.link_crashed(client, error)
        broker.request_turn()

    def _decide(self, client: ClientLink, verdict: Accepted | Refused | Challenge) -> None:
        connect = client.connect
        assert connect is not None
        if isinstance(verdict, Refused):
            if verdict.reason_code in PROOF_FAILED:
                self._broker.bans.failed(client.address)
            self._refuse(client, verdict.reason_code, verdict.reason)
            return
        data = verdict.data
        if isinstance(verdict, Challenge):
            # [MQTT-4.12.0-2] The client is to answer with an AUTH of its own.
            client.stage = WAITING if client.actor is None else ATTACHED
            if client.actor is None:
                self._broker.gate.wait_for(client)
            client.link.send(auth_packet(connect, ReasonCode.CONTINUE_AUTHENTICATION, data))
            client.io.request_flush()
            return
        client.exchange_running = False
        if client.actor is not None:
            client.stage = ATTACHED
            if not self._take_principal(client, client.actor, verdict.principal):
                return
            client.link.send(auth_packet(connect, ReasonCode.SUCCESS, data))
            client.io.request_flush()
            client.expire_at(verdict.principal.expires_at_wall)
            return
        try:
            self._authorize(client, connect, verdict)
        except NotAdmitted as refusal:
            self._refuse(client, refusal.reason_code, refusal.text)

    def _take_principal(
        self, client: ClientLink, actor: SessionActor, principal: Principal
    ) -> bool:
        """A client has proved again who it is, or that it is another one; False when it must go."""
        principal.client_id = actor.principal.client_id
        if self._broker.mountpoint_of(client.listener, principal) != actor.mountpoint:
            self._refuse(client, ReasonCode.NOT_AUTHORIZED, "its session has another mountpoint")
            return False
        actor.principal = principal
        self._broker.review.review(actor)
        return client.actor is not None

    def _authorize(self, client: ClientLink, connect: Connect, verdict: Accepted) -> None:
        """Find out where the client's topics are, and whether it may leave its will."""
        principal = verdict.principal
        client_id = verdict.client_id or connect.client_id or new_client_id()  # [MQTT-3.1.3-6]
        self._check_length(client_id)
        # [MQTT-3.2.2-16] Only who brought none is told: for others the property is not meant.
        assigned = "" if connect.client_id else client_id
        principal.client_id = client_id
        mountpoint = self._broker.mountpoint_of(client.listener, principal)
        if mountpoint is None or SEPARATOR in mountpoint:
            raise NotAdmitted(
                ReasonCode.NOT_AUTHORIZED,
                "the mountpoint of the listener is made of what the client has no fit value for",
            )
        if len(session_key(mountpoint, client_id).encode()) > SESSION_KEY_BYTES_MAX:
            raise NotAdmitted(
                ReasonCode.CLIENT_IDENTIFIER_NOT_VALID,
                "the client id is too long together with the mountpoint",
            )
        admitted = Admitted(
            principal, mountpoint, assigned, verdict.data, self._broker.review.generation
        )
        will = connect.will
        if will is None:
            self._attach(client, connect, admitted)
            return
        if not self._will_fits(will.topic, mountpoint):
            raise NotAdmitted(ReasonCode.TOPIC_NAME_INVALID, "the will topic is not valid")
        reserved = not_for_clients(will.topic, mountpoint)
        if reserved is not None:
            self._attach_if(client, connect, admitted, reserved)
            return
        decision = self._broker.authorizer.may_publish(principal, will.topic, will.qos, will.retain)
        if isinstance(decision, Decision):
            self._attach_if(client, connect, admitted, decision)
        else:
            client.stage = ADMITTING
            self._broker.tasks.start(
                "authorize_will", self._wait_for_will(client, connect, admitted, decision)
            )

    async def _wait_for_will(
        self,
        client: ClientLink,
        connect: Connect,
        admitted: Admitted,
        answer: Awaitable[Decision],
    ) -> None:
        broker = self._broker
        try:
            decision = await answer
            broker.read_clock()
            if client.stage != ENDED:
                try:
                    self._attach_if(client, connect, admitted, decision)
                except NotAdmitted as refusal:
                    self._refuse(client, refusal.reason_code, refusal.text)
                client.io.resume()
                client.work(broker.now)
        except Exception as error:  # noqa: BLE001 - the supervisor's boundary
            broker.link_crashed(client, error)
        broker.request_turn()

    def _will_fits(self, topic: str, mountpoint: str) -> bool:
        """Whether the will topic is valid, and within the limits with what stands before it."""
        limits = self._limits
        mounted = mountpoint + topic
        return (
            validate_topic_name(topic)
            and mounted.count("/") < limits.topic_levels_max
            and len(mounted.encode()) <= limits.topic_bytes_max
        )

    def _attach_if(
        self, client: ClientLink, connect: Connect, admitted: Admitted, decision: Decision
    ) -> None:
        assert connect.will is not None
        if not decision.allowed:
            raise NotAdmitted(
                ReasonCode.NOT_AUTHORIZED,
                f"may not publish its will to {connect.will.topic}: {decision.rule}",
            )
        self._attach(client, connect, admitted)

    def _attach(self, client: ClientLink, connect: Connect, admitted: Admitted) -> None:
        """Let a client in, once it is sure that no other node has its session."""
        principal = admitted.principal
        key = session_key(admitted.mountpoint, principal.client_id)
        self._check_principal(key, connect, principal)
        peers = self._broker.peers
        if peers is None or not peers.claims.begin(client, connect, admitted, key):
            self._let_in(client, connect, admitted, key)

    def claimed(self, client: ClientLink, connect: Connect, admitted: Admitted) -> None:
        """No other node has the session of a client that waited for them to say so."""
        broker = self._broker
        key = session_key(admitted.mountpoint, admitted.principal.client_id)
        client.last_received = broker.now  # It was not listened to meanwhile.
        try:
            try:
                self._let_in(client, connect, admitted, key)
            except NotAdmitted as refusal:
                self._refuse(client, refusal.reason_code, refusal.text)
            client.io.request_work()
        except Exception as error:  # noqa: BLE001 - the supervisor's boundary
            broker.link_crashed(client, error)

    def refuse_claim(self, client: ClientLink, reason_code: ReasonCode, text: str) -> None:
        """A client waited for other nodes, in vain."""
        self._refuse(client, reason_code, text)

    def _let_in(
        self, client: ClientLink, connect: Connect, admitted: Admitted, client_id: str
    ) -> None:
        broker = self._broker
        self._check_open(client)
        principal = admitted.principal
        client.link.mountpoint = admitted.mountpoint
        will = connect.will
        if will is not None and admitted.mountpoint:
            will = mounted_will(will, admitted.mountpoint)
        if broker.registry.is_full(client_id):
            raise NotAdmitted(
                ReasonCode.QUOTA_EXCEEDED, f"there are {self._limits.sessions_max} sessions already"
            )
        actor, present = broker.registry.claim(client_id, principal, connect.clean_start)
        client.stage = ATTACHED
        client.link.stepwise = False
        client.session_is_new = not present
        self._open(client, connect)
        pending = None if will is None else PendingWill(will, will_delay_seconds(will))
        broker.registry.attach(
            actor, client, pending, self._expiry_seconds(connect), self._window_max(connect)
        )
        if not client.io.relayed:
            broker.gate.join(client, principal.name)
        actor.will_allowed_at = admitted.generation
        if not present and broker.registry.removed_in(client_id) > broker.committer.durable:
            # [MQTT-3.1.2-4] Once it is told so, a session it had before must not come back.
            client.keep(broker.committer.must_keep())
        told = self._connack_properties(client, connect, admitted.assigned, admitted.data)
        if not client.link.send(ConnAck(ReasonCode.SUCCESS, present, told)):
            # [MQTT-3.1.2-24] A client that cannot be told the limits cannot be served.
            client.disconnect(ReasonCode.PACKET_TOO_LARGE, END_PEER_FAULT, "")
            return
        broker.stats.connects_accepted += 1
        broker.stats.packets_sent += 1
        broker.log_connect(client, actor.label, present)
        actor.resent = not present
        if present:
            broker.review.ensure(actor)  # Rules may have changed while it was away.
            actor.resume(broker.now)
        client.io.request_flush()
        client.expire_at(principal.expires_at_wall)

    def _check_principal(self, key: str, connect: Connect, principal: Principal) -> None:
        """What holds of a client that has proved who it is. ``key`` is that of its session."""
        broker = self._broker
        client_id = principal.client_id
        if principal.name != connect.username or client_id != connect.client_id:
            ban = broker.bans.of_client(client_id, principal.name)
            if ban is not None:
                raise banned(ban)
        ban = broker.bans.connected(client_id)
        if ban is not None:
            raise banned(ban)
        if broker.gate.user_is_full(principal.name):
            known = broker.registry.actors.get(key)
            link = None if known is None else known.client
            if (
                link is None or link.counted_user != principal.name
            ):  # It displaces no link of its own.
                raise NotAdmitted(
                    ReasonCode.QUOTA_EXCEEDED,
                    f"user {principal.name!r} has all the connections it may have",
                )

    def _open(self, client: ClientLink, connect: Connect) -> None:
        properties = connect.properties
        packet_bytes_max = PACKET_BYTES_LIMIT
        aliases_max = 0
        if properties is not None:
            if properties.maximum_packet_size is not None:
                packet_bytes_max = min(properties.maximum_packet_size, PACKET_BYTES_LIMIT)
            if properties.topic_alias_maximum is not None:
                aliases_max = min(
                    properties.topic_alias_maximum, self._limits.topic_aliases_out_max
                )
        client.link.open_output(packet_bytes_max, aliases_max)
        client.keep_alive_seconds = self._keep_alive_seconds(connect)
        if connect.version == V5:
            client.receive_maximum = self._limits.receive_maximum
        if client.keep_alive_seconds:
            client.check_keep_alive_at(self._broker.now + 1.5 * client.keep_alive_seconds)

    def _keep_alive_seconds(self, connect: Connect) -> int:
        if connect.version != V5:
            return connect.keep_alive_seconds
        if self._behaviour.server_keep_alive_seconds is not None:
            return self._behaviour.server_keep_alive_seconds
        longest = self._limits.keep_alive_seconds_max
        asked = connect.keep_alive_seconds
        if asked > longest or (asked == 0 and longest < 65_535):
            return longest
        return asked

    def _expiry_seconds(self, connect: Connect) -> int:
        if connect.version != V5:
            if connect.clean_start:
                return 0
            return self._behaviour.persistent_session_expiry_seconds
        properties = connect.properties
        if properties is None or properties.session_expiry_interval is None:
            return 0
        return min(properties.session_expiry_interval, self._limits.session_expiry_seconds_max)

    def _window_max(self, connect: Connect) -> int:
        properties = connect.properties
        receive_maximum = RECEIVE_MAXIMUM_DEFAULT
        if properties is not None and properties.receive_maximum is not None:
            receive_maximum = properties.receive_maximum  # [MQTT-3.3.4-9]
        return min(receive_maximum, self._limits.inflight_max)

    def _connack_properties(
        self, client: ClientLink, connect: Connect, assigned: str, data: bytes | None
    ) -> Properties | None:
        if connect.version != V5:
            return None
        limits = self._limits
        asked = connect.properties
        told = Properties()
        if assigned:
            told.assigned_client_identifier = assigned
        if limits.receive_maximum < RECEIVE_MAXIMUM_DEFAULT:
            told.receive_maximum = limits.receive_maximum
        if limits.packet_bytes_max < PACKET_BYTES_LIMIT:
            told.maximum_packet_size = limits.packet_bytes_max
        if limits.topic_aliases_in_max:
            told.topic_alias_maximum = limits.topic_aliases_in_max
        if client.keep_alive_seconds != connect.keep_alive_seconds:
            told.server_keep_alive = client.keep_alive_seconds  # [MQTT-3.1.2-21]
        if asked is None:
            return told
        granted = self._expiry_seconds(connect)
        if asked.session_expiry_interval is not None and granted != asked.session_expiry_interval:
            told.session_expiry_interval = granted
        if asked.request_response_information == 1:
            told.response_information = self._behaviour.response_information
        if asked.authentication_method is not None:
            told.authentication_method = asked.authentication_method  # [MQTT-4.12.0-5]
            told.authentication_data = data
        return told

    def _refuse(self, client: ClientLink, reason_code: ReasonCode, text: str) -> None:
        """Tell the client no more than the reason code, and the operator all of it."""
        broker = self._broker
        broker.stats.refuse_connect(reason_code)
        broker.log_refusal(client, reason_code.name.lower(), text)
        if client.actor is not None:
            client.stage = ATTACHED
            if reason_code not in FROM_SERVER[DISCONNECT]:  # [MQTT-3.14.2-1]
                reason_code = ReasonCode.NOT_AUTHORIZED
            client.disconnect(reason_code, END_NOT_AUTHORIZED, "")
            return
        self._answer(client, reason_code)
        client.end(END_NOT_AUTHORIZED)

    def not_kept(self, client: ClientLink) -> None:
        """Refuse a client: what its CONNACK would have promised cannot be kept, or not in time.

        So its will is not to be published, and a session that it did not have before is none.
        """
        broker = self._broker
        actor = client.actor
        if actor is None:  # Another node has its session, and let it in.
            client.end(END_INTERNAL)
            return
        reason_code = ReasonCode.QUOTA_EXCEEDED
        broker.stats.refuse_connect(reason_code)
        broker.log_refusal(client, "not_kept", "its session or will could not be made durable")
        actor.session.will = None
        client.forget_output()
        self._answer(client, reason_code)
        client.end(END_INTERNAL)
        if client.session_is_new:
            broker.registry.end_session(actor)

    def _answer(self, client: ClientLink, reason_code: ReasonCode) -> None:
        broker = self._broker
        properties: Properties | None = None
        closed = broker.draining or broker.closed_for or broker.emptied_for
        if client.link.version == V5 and (closed or reason_code == ReasonCode.QUOTA_EXCEEDED):
            reference = broker.next_server()
            if reference is not None:
                reason_code = ReasonCode.USE_ANOTHER_SERVER
                properties = Properties()
                properties.server_reference = reference
        client.link.send(ConnAck(reason_code, False, properties))


def attempt_of(client: ClientLink, connect: Connect) -> Attempt:
    """What the authenticator is told."""
    return Attempt(
        client_id=client.client_id,  # In a re-authentication the assigned one, where it had none.
        username=connect.username,
        password=connect.password,
        address=client.address,
        listener=client.listener,
        certificate=client.io.certificate(),
    )


def auth_packet(connect: Connect, reason_code: ReasonCode, data: bytes | None) -> Auth:
    """An AUTH to the client, by the method of its CONNECT. [MQTT-4.12.0-5]"""
    properties = Properties()
    if connect.properties is not None:
        properties.authentication_method = connect.properties.authentication_method
    properties.authentication_data = data
    return Auth(reason_code, properties)
