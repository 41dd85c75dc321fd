"""One client's link from accept to close: which packet may come when, and who answers it.

A link waits for its CONNECT, is admitted, is attached to a session, and ends. Packets that arrive
while something must be waited for (an authentication, a full turn) are held in order. The peer's
faults are caught here and nowhere else: they become a reason code and the end of the link.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final

from rookery.actors.timers import Timed
from rookery.engine.committer import Waiter
from rookery.engine.held_output import HeldOutput
from rookery.engine.last_words import explanation, last_words, take_leave
from rookery.engine.link_handle import LinkHandle
from rookery.engine.pace import Pace
from rookery.engine.pacing import give_up_pace, go_on_at_pace, keep_pace
from rookery.engine.stats import (
    END_ADMINISTRATIVE,
    END_CLIENT,
    END_CONNECTION_LOST,
    END_INTERNAL,
    END_KEEP_ALIVE,
    END_NOT_AUTHORIZED,
    END_PEER_FAULT,
)
from rookery.mqtt.encode import puback_wire, pubcomp_wire, pubrec_wire, pubrel_wire
from rookery.mqtt.errors import PeerFault, ProtocolViolation
from rookery.mqtt.link import SERVER, Link
from rookery.mqtt.packets import (
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    Subscribe,
    Unsubscribe,
)
from rookery.mqtt.properties import Properties
from rookery.mqtt.reasons import FROM_SERVER
from rookery.mqtt.types import CONNACK, PUBACK, V5, ReasonCode
from rookery.ports import Decision

if TYPE_CHECKING:
    from rookery.engine.addresses import Address
    from rookery.engine.broker import Broker
    from rookery.engine.elsewhere import Elsewhere
    from rookery.engine.gate import Quota
    from rookery.engine.session_actor import SessionActor
    from rookery.engine.subscribing import Filters
    from rookery.ports import Exchange, Principal

# The stages of a link. In those before ``ADMITTING`` it takes packets.
WAITING: Final = 0
ATTACHED: Final = 1
ADMITTING: Final = 2
ASKING: Final = 3
"""Somebody is asked whether the client may do what its last packet says."""
RELAYED: Final = 4
"""Its session is on another node, to which its bytes are passed."""
ENDED: Final = 5

PINGRESP_WIRE: Final = b"\xd0\x00"

EXPIRY_LOOK_SECONDS: Final = 300.0
"""How far ahead the end of a proof is put on the timers, which hold a link that has ended until then."""


class ClientLink(Timed, Waiter):
    """The engine's side of one network connection."""

    def __init__(
        self, broker: Broker, io: LinkHandle, address: str, listener: str, now: float
    ) -> None:
        limits = broker.settings.limits
        self.broker = broker
        self.io = io
        self.address = address
        self.listener = listener
        self.link = Link(SERVER, limits.packet_bytes_max, limits.topic_aliases_in_max)
        self.link.stepwise = broker.peers is not None
        self.stage: int = WAITING
        self.connect: Connect | None = None
        self.actor: SessionActor | None = None
        self.principal: Principal | None = None
        self.exchange: Exchange | None = None
        """The enhanced authentication under way, or the last one, for re-authentication."""
        self.exchange_running: bool = False
        self.answers: list[Decision] | None = None
        """Whether what the packet that waited for them asks for is permitted."""
        self._answered_at: int = 0
        self.session_is_new: bool = False
        """Whether the session began with this link."""
        self.receive_maximum: int = 65_535
        self.keep_alive_seconds: int = 0
        self.connect_by: float = now + limits.connect_deadline_seconds
        """When the client must be admitted; what it sends meanwhile gives it no more time."""
        self.keep_alive_at: float = 0.0
        """When the keep alive is looked at next."""
        self.expires_at_wall: float = 0.0
        """When the proof of the client's identity ends, on the wall clock; 0 is never."""
        self.expiry_look_at: float = 0.0
        self.last_received: float = now
        self.waits_for: int = 0
        """The group that this turn's output must wait for."""
        self.waits_for_peers: int = 0
        """The turn whose telling other nodes must have acknowledged before it."""
        self.unacknowledged: int = 0
        """QoS 1 messages of this client whose PUBACK is held back."""
        self._held_acknowledgements: int = 0
        self.held_bytes: int = 0
        """Output that is held back."""
        self._held_output: deque[HeldOutput] | None = None
        self._free_output: list[bytes] = []
        self._held: list[Packet] = []
        self._held_next: int = 0
        self.pace: Pace | None = None
        """What bounds how fast it is read from; ``None`` where nothing does."""
        self.elsewhere: Elsewhere | None = None
        """What other nodes have to do with it."""
        self.quota: Quota | None = None
        """Where its listener counts it."""
        self.visitor: Address | None = None
        """Where its address counts it."""
        self.filters: Filters | None = None
        """The SUBSCRIBE or UNSUBSCRIBE that is not worked off yet."""
        self.counted_user: str | None = None
        """As whose connection it is counted."""

    @property
    def client_id(self) -> str:
        """The client id, once known; for logs."""
        if self.actor is not None:
            return self.actor.label
        return "" if self.connect is None else self.connect.client_id

    def received(self, data: bytes, now: float) -> None:
        """Bytes came from the client."""
        if self.stage == RELAYED and self.elsewhere is not None:
            self.elsewhere.received(self, data, now)
            return
        self.last_received = now
        stats = self.broker.stats
        stats.bytes_received += len(data)
        if self.pace is not None:
            self.pace.charge(len(data), now)
        packets = self.link.receive(data)
        if not packets and self.link.stopped:
            self.io.pause()
        stats.packets_received += len(packets)
        if self._held:
            self._held.extend(packets)
        else:
            self._held = packets
        self.work(now)

    def work(self, now: float) -> None:
        """Step through the packets that came, until one must be waited for or the turn is full."""
        if self.stage == ASKING:
            return  # What came stands behind the packet that is asked about.
        packets = self._held
        start = index = self._held_next
        count = len(packets)
        stop = count
        pace = self.pace
        if pace is not None:
            stop = pace.steps_to(packets, index, now)
        broker = self.broker
        actor = self.actor
        if actor is not None and actor.reviewed_at != broker.review.generation:
            broker.review.review(actor)
        try:
            if self.filters is not None and self.stage == ATTACHED and not broker.turn_is_full():
                start = -1
                broker.subscribing.go_on(self)
            while index < stop and self.filters is None and self.stage < ADMITTING:
                if broker.turn_is_full():
                    break
                if broker.committer.crowded():
                    self._hold_from(index)
                    broker.committer.wait_for_room(self)
                    return
                packet = packets[index]
                index += 1
                self._step(packet, now)
        except PeerFault as fault:
            self.refuse(fault)
        if pace is not None and index == stop and self.stage != ENDED:
            keep_pace(self, pace, now)
        if self.stage == ASKING and self.filters is None:
            index -= 1  # The packet is taken again when the answer is there.
        if self.stage != ENDED and (index < count or self.filters is not None):
            self._hold_from(index)
            stalled = self.filters is not None and self.filters.stalled
            if (
                self.stage < ADMITTING
                and not stalled
                and (index < stop or self.filters is not None)
            ):
                self.io.request_work(index == start)
            return
        if self.link.stopped and self.stage < ADMITTING:
            self._held = self.link.go_on()
            self._held_next = 0
            broker.stats.packets_received += len(self._held)
            self.work(now)
            return
        self._all_done(pace)

    def _hold_from(self, index: int) -> None:
        """Keep the packets from this one on for later, and take no more meanwhile."""
        self._held_next = index
        self.io.pause()
        self.io.request_flush()  # What waits for a commit must wait from this turn on.

    def _all_done(self, pace: Pace | None) -> None:
        """No packet is left, or the link has ended."""
        if self._held:
            self._held = []
            self._held_next = 0
            if pace is not None:
                pace.restart()
        if self.stage == ENDED:
            return
        fault_in_stream = self.link.fault
        if fault_in_stream is not None:
            self.refuse(fault_in_stream)
        if self.link.out:
            self.io.request_flush()

    def take_answers(self) -> list[Decision] | None:
        """The answers that the present packet waited for, unless it did not, or they hold no more."""
        answers = self.answers
        self.answers = None
        return answers if self._answered_at == self.broker.review.generation else None

    def ask(self, questions: list[Decision | Awaitable[Decision]]) -> list[Decision] | None:
        """The answers; where they take time ``None``, and then the packet is taken again with them."""
        answers = [each for each in questions if isinstance(each, Decision)]
        if len(answers) == len(questions):
            return answers
        self.stage = ASKING
        self._answered_at = self.broker.review.generation
        self.broker.tasks.start("authorize", self._wait_for_answers(questions))
        return None

    async def _wait_for_answers(self, questions: list[Decision | Awaitable[Decision]]) -> None:
        broker = self.broker
        try:
            answers = [each if isinstance(each, Decision) else await each for each in questions]
            if self.stage == ASKING:
                self.answers = answers
                self.stage = ATTACHED
                broker.read_clock()
                self.last_received = broker.now  # It was not listened to meanwhile.
                self.io.request_work()
        except Exception as error:  # noqa: BLE001 - the supervisor's boundary
            broker.link_crashed(self, error)

    def _step(self, packet: Packet, now: float) -> None:
        if isinstance(packet, Publish):
            self.broker.publishing.receive(self, packet, now)
            return
        actor = self.actor
        if actor is None:
            if isinstance(packet, Connect):
                self.broker.admission.begin(self, packet, now)
            elif isinstance(packet, Auth):
                self.broker.admission.proceed(self, packet)
            elif isinstance(packet, Disconnect):
                self.end(END_CLIENT)  # It gives up an authentication. (MQTT 5.0, 4.12)
            else:
                raise ProtocolViolation("the client is not admitted yet")
        elif isinstance(packet, PubAck):
            actor.acknowledged(packet.packet_id, packet.reason_code, now)
        elif isinstance(packet, PubRec):
            self._pubrec(actor, packet, now)
        elif isinstance(packet, PubRel):
            self._pubrel(actor, packet)
        elif isinstance(packet, PubComp):
            actor.completed(packet.packet_id, now)
        else:
            self._step_seldom(actor, packet)

    def _step_seldom(self, actor: SessionActor, packet: Packet) -> None:
        if isinstance(packet, PingReq):
            self._write(PINGRESP_WIRE)  # [MQTT-3.12.4-1]
        elif isinstance(packet, Subscribe):
            self.broker.subscribing.subscribe(self, actor, packet)
        elif isinstance(packet, Unsubscribe):
            self.broker.subscribing.unsubscribe(self, actor, packet)
        elif isinstance(packet, Disconnect):
            take_leave(actor, packet)
            self.end(END_CLIENT)
        elif isinstance(packet, Auth):
            self.broker.admission.proceed(self, packet)
        else:
            raise ProtocolViolation("a client may not send this packet now")

    def _pubrec(self, actor: SessionActor, packet: PubRec, now: float) -> None:
        if packet.reason_code >= 0x80:
            # The client refuses the message: its identifier is free again. (MQTT 5.0, 4.3.3)
            actor.acknowledged(packet.packet_id, packet.reason_code, now)
        elif actor.received(packet.packet_id):
            if not actor.withhold_release(packet.packet_id):
                self._write(pubrel_wire(packet.packet_id))
        else:
            self.link.send(PubRel(packet.packet_id, self._unknown_identifier()))

    def _pubrel(self, actor: SessionActor, packet: PubRel) -> None:
        if actor.session.inbound.release(packet.packet_id):
            actor.keep_inbound(packet.packet_id, False)
            if not actor.withhold_answer(pubcomp_wire(packet.packet_id)):
                self._write(pubcomp_wire(packet.packet_id))  # [MQTT-4.3.3-11]
        elif not actor.withhold_answer(pubcomp_wire(packet.packet_id)):
            self.link.send(PubComp(packet.packet_id, self._unknown_identifier()))

    def _unknown_identifier(self) -> ReasonCode:
        if self.link.version == V5:
            return ReasonCode.PACKET_IDENTIFIER_NOT_FOUND
        return ReasonCode.SUCCESS

    def keep(self, group: int) -> None:
        """Hold this turn's output, and so all that comes after it, until the group is durable.

        An acknowledgement says that its message is safe, and acknowledgements leave in the order of the
        messages. [MQTT-4.6.0-2] [MQTT-4.6.0-3]
        """
        self.waits_for = max(self.waits_for, group)

    def keep_forward(self, number: int) -> None:
        """Hold this turn's output until other nodes have what a turn told them."""
        self.waits_for_peers = max(self.waits_for_peers, number)

    def unsent_bytes(self) -> int:
        """What the client has not read yet, with what is held back from it."""
        return self.io.unsent_bytes + self.held_bytes

    def take_output(self) -> bytes:
        """What may be written now."""
        data = self.link.take_output()
        held = self._held_output
        if (
            held is None
            and self.waits_for <= self.broker.committer.durable
            and self.waits_for_peers <= self.broker.forwarded
        ):
            self.waits_for = 0
            self.waits_for_peers = 0
            self.unacknowledged = 0
            if self._free_output:
                self._free_output.append(data)
                data = b"".join(self._free_output)
                self._free_output.clear()
            return data
        if data:
            self._hold(data)
        self.waits_for = 0
        self.waits_for_peers = 0
        free = b"".join(self._free_output)
        self._free_output.clear()
        return free

    def _hold(self, data: bytes) -> None:
        held = self._held_output
        if held is None:
            held = deque()
            self._held_output = held
        group = self.waits_for
        forwarded = self.waits_for_peers
        if held:
            group = max(group, held[-1].group)
            forwarded = max(forwarded, held[-1].forwarded)
        acknowledgements = self.unacknowledged - self._held_acknowledgements
        self._held_acknowledgements += acknowledgements
        held.append(HeldOutput(group, forwarded, data, acknowledgements))
        self.held_bytes += len(data)
        broker = self.broker
        if group > broker.committer.durable:
            broker.committer.wait(group, self)
        if forwarded > broker.forwarded and broker.peers is not None:
            broker.peers.wait(forwarded, self)

    def committed(self, group: int, error: Exception | None) -> None:
        """Let go of the output that waited for this group."""
        held = self._held_output
        if held is None:
            return
        if error is not None and self._connack_held():
            self.broker.admission.not_kept(self)
            return
        if error is not None:
            # It said that something is done which is not: only a new link makes the client resend.
            self.disconnect(ReasonCode.UNSPECIFIED_ERROR, END_INTERNAL, "could not be made durable")
            return
        self.let_go()

    def let_go(self) -> None:
        """Let go of the output that waits for nothing any more."""
        held = self._held_output
        if held is None:
            return
        group = self.broker.committer.durable
        forwarded = self.broker.forwarded
        while held and held[0].group <= group and held[0].forwarded <= forwarded:
            output = held.popleft()
            self.held_bytes -= len(output.data)
            self.unacknowledged -= output.acknowledgements
            self._held_acknowledgements -= output.acknowledgements
            self._free_output.append(output.data)
        if not held:
            self._held_output = None
        self.io.request_flush()
        if self.actor is not None:
            self.actor.advance(self.broker.now)

    def room(self) -> None:
        """Go on with the packets that waited for the disk."""
        if self.stage != ENDED:
            self.io.request_work()

    def acknowledge(self, packet_type: int, packet_id: int, reason_code: int) -> None:
        """Answer a PUBLISH with PUBACK or PUBREC."""
        if reason_code == 0 or self.link.version != V5:
            if packet_type == PUBACK:
                self._write(puback_wire(packet_id))
            else:
                self._write(pubrec_wire(packet_id))
        else:
            code = ReasonCode(reason_code)
            properties = self.explanation(code)
            if packet_type == PUBACK:
                self.link.send(PubAck(packet_id, code, properties))
            else:
                self.link.send(PubRec(packet_id, code, properties))

    def explanation(self, reason_code: ReasonCode) -> Properties | None:
        """The reason string of a refusal, for a client that takes one. [MQTT-3.1.2-29]"""
        return explanation(self.connect, reason_code)

    def _write(self, wire: bytes) -> None:
        link = self.link
        link.out.append(wire)
        link.out_bytes += len(wire)
        self.broker.stats.packets_sent += 1

    def due(self, now: float) -> None:
        """A deadline: the CONNECT that did not come, the end of its proof, or the keep alive."""
        if self.stage == ENDED:
            return
        pace = self.pace
        if pace is not None:
            go_on_at_pace(self, pace, now)
        if self.actor is None:
            if self.elsewhere is not None:
                self.elsewhere.due(self, now)
            elif now >= self.connect_by:
                self.broker.log_refusal(
                    self, "connect_deadline", "no CONNECT was completed in time"
                )
                self.end(END_CONNECTION_LOST)
            return
        if now >= self.connect_by and self._connack_held():
            self.broker.admission.not_kept(self)
            return
        if self.expires_at_wall and now >= self.expiry_look_at:
            self._look_at_expiry(now)
        if self.stage != ENDED and self.keep_alive_seconds and now >= self.keep_alive_at:
            # [MQTT-3.1.2-22] One and a half times the keep alive without a packet.
            deadline = self.last_received + 1.5 * self.keep_alive_seconds
            if now < deadline:
                self.check_keep_alive_at(deadline)
            elif self._is_deaf():
                self.check_keep_alive_at(now)
            else:
                self.disconnect(ReasonCode.KEEP_ALIVE_TIMEOUT, END_KEEP_ALIVE, "")

    def _is_deaf(self) -> bool:
        """Whether nothing is read, for an answer, a rate or a long packet is waited for: the silence is ours."""
        pace = self.pace
        return (
            self.stage >= ADMITTING
            or self.filters is not None
            or (pace is not None and pace.waiting)
        )

    def expire_at(self, wall: float | None) -> None:
        """End the link when the proof of the client's identity ends; ``None`` is never."""
        self.expires_at_wall = 0.0 if wall is None else wall
        if wall is not None:
            self._look_at_expiry(self.broker.now)

    def _look_at_expiry(self, now: float) -> None:
        remaining = self.expires_at_wall - self.broker.clock.wall()
        if remaining > 0:
            self.expiry_look_at = now + min(remaining, EXPIRY_LOOK_SECONDS)
            self.broker.timers.at(self.expiry_look_at, self)
            return
        text = "the proof of the client's identity has expired"
        self.broker.log_refusal(self, "maximum_connect_time", text)
        self.disconnect(ReasonCode.MAXIMUM_CONNECT_TIME, END_NOT_AUTHORIZED, "")

    def check_keep_alive_at(self, when: float) -> None:
        """Look at the keep alive then; a timer that comes sooner is another one's."""
        self.keep_alive_at = when
        self.broker.timers.at(when, self)

    def refuse(self, fault: PeerFault) -> None:
        """Answer the peer's fault with its reason code and end the link. [MQTT-4.13.1-1]"""
        self.broker.stats.packets_invalid += 1
        self.broker.log_refusal(self, fault.reason_code.name.lower(), fault.text)
        if self.actor is not None:
            administrative = fault.reason_code == ReasonCode.ADMINISTRATIVE_ACTION
            reason = END_ADMINISTRATIVE if administrative else END_PEER_FAULT
            self.disconnect(fault.reason_code, reason, fault.text)
            return
        version = self.link.version
        unsupported = fault.reason_code == ReasonCode.UNSUPPORTED_PROTOCOL_VERSION
        if version == V5 or (version and unsupported):
            known = fault.reason_code in FROM_SERVER[CONNACK]
            self.link.send(ConnAck(fault.reason_code if known else ReasonCode.PROTOCOL_ERROR))
        self.end(END_PEER_FAULT)

    def disconnect(self, reason_code: ReasonCode, reason: str, text: str) -> None:
        """End the link from our side, telling a 5.0 client why. [MQTT-3.14.0-1] [MQTT-3.14.2-1]"""
        if self._held_output is not None:
            self.link.take_output()  # It comes after what is held back, and goes with it.
        if self.actor is not None and self.link.version == V5 and not self._connack_held():
            self.link.send(last_words(self.broker, reason_code, text))
        self.end(reason)

    def _connack_held(self) -> bool:
        """Whether the client has not been told that it is let in."""
        held = self._held_output
        return held is not None and held[0].data[0] >> 4 == CONNACK

    def forget_output(self) -> None:
        """Drop what is held back and what would follow it."""
        self._held_output = None
        self.held_bytes = 0
        self.waits_for = 0
        self.waits_for_peers = 0
        self.link.take_output()

    def end(self, reason: str) -> None:
        """End the link; its session goes on or ends as its expiry says."""
        if self.stage == ENDED:
            return
        self.stage = ENDED
        self.filters = None
        self.held_bytes = 0
        self._held_output = None  # What is not durable is not acknowledged.
        self._give_up_deadlines()
        self.io.close()
        elsewhere = self.elsewhere
        if elsewhere is not None:
            self.elsewhere = None
            elsewhere.ended(self, reason)
        actor = self.actor
        if actor is not None:
            self.actor = None
            self.broker.gate.part(self)
            self.broker.stats.disconnect(reason)
            self.broker.registry.detach(actor, self)
            self.broker.log_disconnect(self, actor.label, reason)

    def cut(self) -> None:
        """End a link that was not let in, at once and without a word."""
        assert self.actor is None
        if self.stage != ENDED:
            self.stage = ENDED
            self._give_up_deadlines()
            self.io.abort()

    def _give_up_deadlines(self) -> None:
        timers = self.broker.timers
        timers.give_up(self.connect_by, self)
        if self.keep_alive_seconds:
            timers.give_up(self.keep_alive_at, self)
        if self.expires_at_wall:
            timers.give_up(self.expiry_look_at, self)
        give_up_pace(self)

    def lost(self) -> None:
        """The network connection went away."""
        self.end(END_CONNECTION_LOST)

    def writable(self, now: float) -> None:
        """The client has read: what waited for that may go on."""
        if self.actor is not None:
            self.actor.advance(now)
