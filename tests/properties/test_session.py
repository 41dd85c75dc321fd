"""A session's window and queue against a naive model, as seen by a client that comes and goes.

The model is a list of what is owed, in order, each with how far it got. After each event the very packets
the client has got must be those the model expects: so nothing is lost, sent twice but as a resend after the
client came back, or out of order, and the window is never exceeded.
"""

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rookery.message import Delivery, message_from_publish
from rookery.mqtt.link import CLIENT, SERVER, Link
from rookery.mqtt.packets import Publish, PubRel
from rookery.mqtt.types import PACKET_BYTES_LIMIT, V3_1_1, V5
from rookery.session.inbound import Inbound
from rookery.session.outbound import (
    DROPPED_EXPIRED,
    DROPPED_OFFLINE,
    DROPPED_QUEUE_FULL,
    QUEUED,
    SENT,
    Outbound,
)
from rookery.session.session import Session
from tests.support.engine import publish

QUEUE_MESSAGES_MAX = 6
QUEUE_BYTES_MAX = 60
LAST_IDENTIFIER = 65_535
SHARES = ("", "$share/g/t", "$share/h/t")


@dataclass(eq=False)
class Owed:
    """One QoS 1 or 2 message and how far it got."""

    delivery: Delivery
    packet_id: int = 0
    """0 until it is sent."""
    on_this_link: bool = False
    received: bool = False
    """Whether its PUBREC came."""

    @property
    def payload(self) -> bytes:
        return self.delivery.message.payload


class SessionMachine(RuleBasedStateMachine):
    """``owed`` is in order: what was sent, in the order it was sent, then the queue."""

    @initialize(version=st.sampled_from([V3_1_1, V5]))
    def begin(self, version: int) -> None:
        self.version = version
        self.now = 0.0
        self.number = 0
        self.link: Link | None = None
        self.far: Link
        self.begin_session()

    def begin_session(self) -> None:
        outbound = Outbound(QUEUE_MESSAGES_MAX, QUEUE_BYTES_MAX, 1 << 30)
        self.session = Session("client", Inbound(), outbound)
        self.outbound = outbound
        self.owed: list[Owed] = []
        self.window = 1
        self.expected: list[tuple[object, ...]] = []

    # --- The model --------------------------------------------------------------------------

    def sent(self) -> list[Owed]:
        return [each for each in self.owed if each.packet_id]

    def queue(self) -> list[Owed]:
        return [each for each in self.owed if not each.packet_id]

    def has_place(self) -> bool:
        taken = [each for each in self.sent() if each.on_this_link or each.received]
        return len(taken) < self.window

    def expect(self, each: Owed, dup: bool) -> None:
        each.on_this_link = True
        self.expected.append((each.payload, each.delivery.qos, dup))

    def expect_progress(self) -> None:
        """What the node must send now: resends first, then the queue."""
        for each in self.sent():
            if each.on_this_link or each.received:
                continue
            if not self.has_place():
                return
            self.expect(each, dup=True)
        for each in self.queue():
            if not self.has_place():
                return
            if each.delivery.message.expired(self.now):
                self.owed.remove(each)
                continue
            each.packet_id = -1  # Sent; the identifier is the node's choice.
            self.expect(each, dup=False)

    # --- Events -----------------------------------------------------------------------------

    @rule(
        qos=st.integers(0, 2),
        size=st.sampled_from([1, 1, 1, 20]),
        lives_seconds=st.sampled_from([None, None, 1, 10]),
        share=st.sampled_from(SHARES),
    )
    def deliver(self, qos: int, size: int, lives_seconds: int | None, share: str) -> None:
        self.number += 1
        payload = b"%d" % self.number + b"x" * size
        packet = publish("t", payload, qos)
        if lives_seconds is not None:
            packet = publish("t", payload, qos, message_expiry_interval=lives_seconds)
        delivery = Delivery(message_from_publish(packet, "p", self.now), qos, False, (), share)
        outcome = self.outbound.deliver(delivery, self.link, 0, self.now)
        queue = self.queue()
        if qos == 0:
            assert outcome == (DROPPED_OFFLINE if self.link is None else SENT)
            if self.link is not None:
                self.expected.append((payload, 0, False))
            return
        unsent = [each for each in self.sent() if not each.on_this_link and not each.received]
        if self.link is not None and not queue and not unsent and self.has_place():
            assert outcome == SENT
            self.owed.append(Owed(delivery, -1))
            self.expect(self.owed[-1], dup=False)
            return
        queued_bytes = sum(each.delivery.message.size_bytes for each in queue)
        fits = (
            len(queue) < QUEUE_MESSAGES_MAX
            and queued_bytes + delivery.message.size_bytes <= QUEUE_BYTES_MAX
        )
        assert outcome == (QUEUED if fits else DROPPED_QUEUE_FULL)
        if fits:
            self.owed.append(Owed(delivery))

    @rule()
    def deliver_something_expired(self) -> None:
        packet = publish("t", b"late", 1, message_expiry_interval=1)
        delivery = Delivery(message_from_publish(packet, "p", self.now - 1), 1, False, (), "")
        assert self.outbound.deliver(delivery, self.link, 0, self.now) == DROPPED_EXPIRED

    def candidates(self, qos: int, received: bool) -> list[Owed]:
        return [
            each
            for each in self.sent()
            if each.delivery.qos == qos
            and each.received == received
            and (each.on_this_link or received)
        ]

    @precondition(lambda self: self.link is not None and self.candidates(1, received=False))
    @rule(data=st.data())
    def puback(self, data: st.DataObject) -> None:
        each = data.draw(st.sampled_from(self.candidates(1, received=False)))
        assert self.outbound.acknowledge(each.packet_id)
        self.owed.remove(each)
        self.advance()

    @precondition(lambda self: self.link is not None and self.candidates(2, received=False))
    @rule(data=st.data())
    def pubrec(self, data: st.DataObject) -> None:
        each = data.draw(st.sampled_from(self.candidates(2, received=False)))
        assert self.outbound.receive(each.packet_id)
        each.received = True
        self.owed.remove(each)
        released = [other for other in self.owed if other.received]
        self.owed.insert(len(released), each)  # PUBRELs are resent in their own order.

    @precondition(lambda self: self.link is not None and self.candidates(2, received=True))
    @rule(data=st.data())
    def pubcomp(self, data: st.DataObject) -> None:
        each = data.draw(st.sampled_from(self.candidates(2, received=True)))
        assert self.outbound.complete(each.packet_id)
        self.owed.remove(each)
        self.advance()

    @precondition(lambda self: self.candidates(2, received=True))
    @rule(data=st.data())
    def pubrec_again(self, data: st.DataObject) -> None:
        each = data.draw(st.sampled_from(self.candidates(2, received=True)))
        assert self.outbound.receive(each.packet_id)

    @rule(last=st.sampled_from([0, 1, LAST_IDENTIFIER - 1, LAST_IDENTIFIER]))
    def identifiers_come_round(self, last: int) -> None:
        """As they do after 65,535 messages."""
        self.outbound._last_packet_id = last

    @rule(packet_id=st.integers(1, 65_535))
    def an_answer_to_nothing(self, packet_id: int) -> None:
        if packet_id not in {each.packet_id for each in self.sent()}:
            assert not self.outbound.acknowledge(packet_id)
            assert not self.outbound.receive(packet_id)
            assert not self.outbound.complete(packet_id)

    def advance(self) -> None:
        """What the engine does after an answer, where ``queue`` says that something waits."""
        assert self.link is not None
        if self.outbound.queue is not None:
            self.outbound.advance(self.link, 0, self.now)
        self.expect_progress()

    @precondition(lambda self: self.link is None)
    @rule(window=st.integers(1, 5))
    def attach(self, window: int) -> None:
        self.link = Link(SERVER, PACKET_BYTES_LIMIT, 0)
        self.link.version = self.version
        self.far = Link(CLIENT, PACKET_BYTES_LIMIT, 0, self.version)
        self.far.receive(b"\x20\x03\0\0\0" if self.version == V5 else b"\x20\x02\0\0")
        self.window = window
        self.outbound.window_max = window
        self.outbound.resend(self.link, self.now)
        self.outbound.advance(self.link, 0, self.now)
        released = [each.packet_id for each in self.sent() if each.received]
        self.expect_progress()
        resent = [each for each in self.expected if each[2]]
        fresh = self.expected[len(resent) :]
        self.expected = [*resent, *(("PUBREL", packet_id) for packet_id in released), *fresh]

    @precondition(lambda self: self.link is not None)
    @rule()
    def detach(self) -> None:
        self.link = None
        for each in self.owed:
            each.on_this_link = False

    @precondition(lambda self: self.link is None)
    @rule(share=st.sampled_from(SHARES[1:]))
    def hand_over(self, share: str) -> None:
        """Another member of the share takes what the client is owed by it."""
        taken = [
            each
            for each in self.owed
            if each.delivery.share == share
            and not each.received
            and (each.delivery.qos == 1 or not each.packet_id)
        ]
        assert (share in self.outbound.shares()) == bool(taken)
        found = self.outbound.take_shared(share)
        assert [delivery.message.payload for delivery in found] == [each.payload for each in taken]
        self.owed = [each for each in self.owed if each not in taken]

    @rule(seconds=st.sampled_from([0.5, 2.0, 20.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.link is None)
    @rule()
    def expire(self) -> None:
        """The session expires; the client's next one knows nothing of it."""
        self.session.expiry_seconds = 5
        assert self.session.expires_at(self.now) == self.now + 5
        self.begin_session()

    # --- What must hold ---------------------------------------------------------------------

    @invariant()
    def the_client_got_what_the_model_expects(self) -> None:
        found = [] if self.link is None else self.far.receive(self.link.take_output())
        seen: list[tuple[object, ...]] = []
        for packet in found:
            if isinstance(packet, PubRel):
                seen.append(("PUBREL", packet.packet_id))
            else:
                assert isinstance(packet, Publish)
                seen.append((packet.payload, packet.qos, packet.dup))
                if packet.qos:
                    self.check_identifier(packet)
        assert seen == self.expected
        self.expected = []

    def check_identifier(self, packet: Publish) -> None:
        """A new one is nobody's; a resend has its own. [MQTT-2.2.1-4] [MQTT-4.4.0-1]"""
        (each,) = [each for each in self.sent() if each.payload == packet.payload]
        if packet.dup:
            assert packet.packet_id == each.packet_id
        else:
            assert packet.packet_id not in {other.packet_id for other in self.sent()}
            each.packet_id = packet.packet_id

    @invariant()
    def the_node_remembers_what_is_owed_and_no_more(self) -> None:
        outbound = self.outbound
        inflight = [each for each in self.sent() if not each.received]
        assert list(outbound.inflight) == [each.packet_id for each in inflight]
        assert list(outbound.released) == [e.packet_id for e in self.sent() if e.received]
        queue = [delivery.message.payload for delivery in outbound.queue or ()]
        assert queue == [each.payload for each in self.queue()]
        assert outbound.queue_length() == len(queue)
        assert outbound.queue_bytes == sum(
            each.delivery.message.size_bytes for each in self.queue()
        )

    @invariant()
    def the_window_holds(self) -> None:
        if self.link is not None:
            out = [each for each in self.sent() if each.on_this_link and not each.received]
            assert len(out) <= self.window
            waits = self.queue() or any(
                not each.on_this_link and not each.received for each in self.sent()
            )
            assert (self.outbound.queue is not None) == bool(waits)
            assert self.outbound.has_room(self.link, 0) == (not waits and self.has_place())

    def teardown(self) -> None:
        """A client that stays and answers gets the rest, each once."""
        if not hasattr(self, "link"):
            return
        if self.link is None:
            self.attach(3)
            self.the_client_got_what_the_model_expects()
        while self.owed:
            for each in self.candidates(2, received=False):
                assert self.outbound.receive(each.packet_id)
                each.received = True
            done = self.candidates(1, received=False) + self.candidates(2, received=True)
            assert done, "something is owed and nothing is on its way"
            for each in done:
                answer = self.outbound.complete if each.received else self.outbound.acknowledge
                assert answer(each.packet_id)
                self.owed.remove(each)
            self.advance()
            self.the_client_got_what_the_model_expects()
        assert self.outbound.queue is None


TestSession = SessionMachine.TestCase
TestSession.settings = settings(max_examples=300, stateful_step_count=50, deadline=None)
