import pytest

from rookery.message import Delivery, message_from_publish
from rookery.mqtt.link import CLIENT, SERVER, Link
from rookery.mqtt.packets import PubRel
from rookery.mqtt.types import PACKET_BYTES_LIMIT, V5
from rookery.session.outbound import (
    DROPPED_EXPIRED,
    DROPPED_OFFLINE,
    DROPPED_OUTPUT_FULL,
    DROPPED_QUEUE_FULL,
    DROPPED_TOO_LARGE,
    PACKET_ID_MAX,
    QUEUE_IN_MEMORY_MAX,
    QUEUED,
    READ_MESSAGES_MAX,
    SENT,
    Outbound,
)
from rookery.session.owed import Owed
from tests.support.engine import publish, said

NOW = 100.0
SIZE = len(b"\0\1t") + 1
"""What the message of ``delivery`` counts for."""


def outbound(window_max: int = 10, **limits: int) -> Outbound:
    made = Outbound(
        limits.get("queue_messages_max", 100),
        limits.get("queue_bytes_max", 10_000),
        limits.get("output_bytes_max", 10_000),
    )
    made.window_max = window_max
    return made


def link_to(packet_bytes_max: int = PACKET_BYTES_LIMIT) -> Link:
    link = Link(SERVER, PACKET_BYTES_LIMIT, 0)
    link.version = V5
    link.open_output(packet_bytes_max, 0)
    return link


def delivery(payload: str = "x", qos: int = 1, share: str = "", **values) -> Delivery:
    message = message_from_publish(publish("t", payload.encode(), qos, **values), "p", NOW)
    return Delivery(message, qos, False, (), share)


def sent(link: Link) -> list[str]:
    """What the client has got since the last time."""
    client = Link(CLIENT, PACKET_BYTES_LIMIT, 0, V5)
    client.receive(b"\x20\x03\0\0\0")
    counted = link.out_bytes
    data = link.take_output()
    assert counted == len(data)
    packets = client.receive(data)
    assert client.fault is None
    return said(packets)


class TestDeliver:
    def test_qos_0_goes_straight_out(self):
        link = link_to()
        assert outbound().deliver(delivery(qos=0), link, 0, NOW) == SENT
        assert sent(link) == ["PUBLISH t=x"]

    def test_qos_0_is_dropped_without_a_link(self):
        made = outbound()
        assert made.deliver(delivery(qos=0), None, 0, NOW) == DROPPED_OFFLINE
        assert made.queue is None

    def test_qos_0_does_not_wait_behind_the_window(self):
        made, link = outbound(window_max=1), link_to()
        made.deliver(delivery("1"), link, 0, NOW)
        made.deliver(delivery("2"), link, 0, NOW)
        assert made.deliver(delivery("3", qos=0), link, 0, NOW) == SENT
        assert sent(link) == ["PUBLISH t=1 q1 #1", "PUBLISH t=3"]

    @pytest.mark.parametrize("qos", [1, 2])
    def test_a_delivery_takes_a_place_in_the_window(self, qos):
        made, link = outbound(), link_to()
        first, second = delivery("1", qos), delivery("2", qos)
        assert made.deliver(first, link, 0, NOW) == SENT
        assert made.deliver(second, link, 0, NOW) == SENT
        assert sent(link) == [f"PUBLISH t=1 q{qos} #1", f"PUBLISH t=2 q{qos} #2"]
        assert made.inflight == {1: first, 2: second}

    @pytest.mark.parametrize("qos", [1, 2])
    def test_without_a_link_it_waits(self, qos):
        made = outbound()
        assert made.deliver(delivery(qos=qos), None, 0, NOW) == QUEUED
        assert (made.queue_length(), made.queue_bytes) == (1, SIZE)

    @pytest.mark.clause("5.0:MQTT-3.3.4-9")
    def test_with_the_window_full_it_waits(self):
        made, link = outbound(window_max=2), link_to()
        outcomes = [made.deliver(delivery(str(n)), link, 0, NOW) for n in range(4)]
        assert outcomes == [SENT, SENT, QUEUED, QUEUED]
        assert len(sent(link)) == 2

    def test_a_released_identifier_holds_its_place(self):
        made, link = outbound(window_max=1), link_to()
        made.deliver(delivery(qos=2), link, 0, NOW)
        assert made.receive(1)
        assert made.deliver(delivery(), link, 0, NOW) == QUEUED

    def test_nothing_overtakes_the_queue(self):
        made, link = outbound(window_max=1), link_to()
        made.deliver(delivery("1"), link, 0, NOW)
        made.deliver(delivery("2"), link, 0, NOW)
        made.acknowledge(1)
        assert made.deliver(delivery("3"), link, 0, NOW) == QUEUED
        made.window_max = 10
        made.advance(link, 0, NOW)
        assert [line.split()[1] for line in sent(link)] == ["t=1", "t=2", "t=3"]

    @pytest.mark.clause("5.0:MQTT-3.3.2-5")
    @pytest.mark.parametrize("qos", [0, 1])
    def test_an_expired_message_is_dropped(self, qos):
        made, link = outbound(), link_to()
        late = delivery(qos=qos, message_expiry_interval=5)
        assert made.deliver(late, link, 0, NOW + 5) == DROPPED_EXPIRED
        assert made.deliver(late, link, 0, NOW + 4.9) == SENT

    @pytest.mark.clause("5.0:MQTT-3.1.2-25")
    def test_what_is_too_large_is_dropped_and_costs_no_identifier(self):
        made, link = outbound(), link_to(20)
        assert made.deliver(delivery("x" * 30), link, 0, NOW) == DROPPED_TOO_LARGE
        assert made.deliver(delivery("x" * 30, qos=0), link, 0, NOW) == DROPPED_TOO_LARGE
        assert made.deliver(delivery("y"), link, 0, NOW) == SENT
        assert sent(link) == ["PUBLISH t=y q1 #1"]


class TestTheClientThatDoesNotRead:
    def test_qos_0_is_dropped_and_qos_1_waits(self):
        made, link = outbound(output_bytes_max=100), link_to()
        assert made.deliver(delivery(qos=0), link, 101, NOW) == DROPPED_OUTPUT_FULL
        assert made.deliver(delivery(qos=1), link, 101, NOW) == QUEUED

    def test_up_to_its_limit_it_is_sent_to(self):
        made, link = outbound(output_bytes_max=100), link_to()
        assert made.deliver(delivery(qos=0), link, 100, NOW) == SENT

    def test_what_this_turn_has_put_out_counts_as_well(self):
        made, link = outbound(output_bytes_max=100), link_to()
        made.deliver(delivery("x" * 60, qos=0), link, 0, NOW)
        assert made.deliver(delivery(qos=0), link, 50, NOW) == DROPPED_OUTPUT_FULL
        assert made.deliver(delivery(qos=0), link, 10, NOW) == SENT


class TestQueueLimits:
    def test_by_messages(self):
        made = outbound(queue_messages_max=2)
        outcomes = [made.deliver(delivery(), None, 0, NOW) for _ in range(3)]
        assert outcomes == [QUEUED, QUEUED, DROPPED_QUEUE_FULL]
        assert made.queue_length() == 2

    def test_by_bytes(self):
        made = outbound(queue_bytes_max=2 * SIZE)
        outcomes = [made.deliver(delivery(), None, 0, NOW) for _ in range(3)]
        assert outcomes == [QUEUED, QUEUED, DROPPED_QUEUE_FULL]
        assert made.queue_bytes == 2 * SIZE

    def test_a_message_too_large_for_the_empty_queue_blocks_nobody(self):
        made, link = outbound(queue_bytes_max=SIZE), link_to()
        assert made.deliver(delivery("xx"), None, 0, NOW) == DROPPED_QUEUE_FULL
        assert made.queue is None
        assert made.deliver(delivery(), link, 0, NOW) == SENT

    def test_what_leaves_makes_room(self):
        made = outbound(queue_bytes_max=SIZE)
        made.deliver(delivery(), None, 0, NOW)
        made.advance(link_to(), 0, NOW)
        assert made.queue_bytes == 0
        assert made.deliver(delivery(), None, 0, NOW) == QUEUED


class TestAcknowledge:
    def test_a_puback_frees_the_identifier(self):
        made, link = outbound(), link_to()
        made.deliver(delivery(), link, 0, NOW)
        assert made.acknowledge(1)
        assert made.inflight == {}
        assert not made.acknowledge(1)

    @pytest.mark.clause("5.0:MQTT-4.3.3-4", "5.0:MQTT-4.3.3-5", "5.0:MQTT-4.3.3-6")
    def test_qos_2_in_two_steps(self):
        made, link = outbound(), link_to()
        made.deliver(delivery(qos=2), link, 0, NOW)
        assert made.receive(1)
        assert (made.inflight, list(made.released)) == ({}, [1])
        assert made.receive(1), "a PUBREC again is answered again"
        assert made.complete(1)
        assert not made.complete(1)
        assert not made.released

    def test_a_pubrec_for_nothing(self):
        assert not outbound().receive(1)

    def test_a_pubcomp_before_the_pubrec(self):
        made, link = outbound(), link_to()
        made.deliver(delivery(qos=2), link, 0, NOW)
        assert not made.complete(1)
        assert list(made.inflight) == [1]


class TestPacketIdentifiers:
    def test_they_rise_and_begin_again_with_1(self):
        made, link = outbound(window_max=1), link_to()
        for expected in [1, 2, 3, PACKET_ID_MAX - 1, PACKET_ID_MAX, 1, 2]:
            if expected == PACKET_ID_MAX - 1:
                made._last_packet_id = PACKET_ID_MAX - 2
            assert made.deliver(delivery(), link, 0, NOW) == SENT
            assert list(made.inflight) == [expected]
            made.acknowledge(expected)
            link.take_output()

    @pytest.mark.clause("5.0:MQTT-2.2.1-4")
    def test_one_in_use_is_passed_over(self):
        made, link = outbound(), link_to()
        for _ in range(3):
            made.deliver(delivery(qos=2), link, 0, NOW)
        made.receive(2)
        made.acknowledge(3)
        made._last_packet_id = PACKET_ID_MAX
        made.deliver(delivery(), link, 0, NOW)
        assert sorted(made.inflight) == [1, 3]


class TestResend:
    @pytest.mark.clause("5.0:MQTT-4.4.0-1", "5.0:MQTT-4.6.0-1")
    def test_in_the_old_order_with_dup_then_the_pubrels(self):
        made, link = outbound(), link_to()
        for payload, qos in (("1", 1), ("2", 2), ("3", 2), ("4", 1)):
            made.deliver(delivery(payload, qos), link, 0, NOW)
        made.receive(2)
        new_link = link_to()
        made.resend(new_link, NOW)
        assert sent(new_link) == [
            "PUBLISH t=1 q1 #1 dup",
            "PUBLISH t=3 q2 #3 dup",
            "PUBLISH t=4 q1 #4 dup",
            "PUBREL #2",
        ]
        assert list(made.inflight) == [1, 3, 4]

    @pytest.mark.clause("5.0:MQTT-4.3.3-7")
    def test_what_was_sent_before_it_expired_is_sent_again(self):
        made = outbound()
        made.deliver(delivery(qos=2, message_expiry_interval=5), link_to(), 0, NOW)
        link = link_to()
        made.resend(link, NOW + 60)
        assert sent(link) == ["PUBLISH t=x q2 #1 dup"]

    def test_what_the_client_takes_no_more_is_as_if_delivered(self):
        made = outbound()
        made.deliver(delivery("x" * 30), link_to(), 0, NOW)
        made.deliver(delivery("y"), link_to(), 0, NOW)
        link = link_to(20)
        made.resend(link, NOW)
        assert sent(link) == ["PUBLISH t=y q1 #2 dup"]
        assert list(made.inflight) == [2]

    def test_the_identifier_of_a_pubrel_is_that_of_its_message(self):
        made, link = outbound(), link_to()
        for _ in range(300):
            made.window_max += 1
            made.deliver(delivery(qos=2), link, 0, NOW)
        made.receive(300)
        new_link = link_to()
        made.inflight.clear()
        made.resend(new_link, NOW)
        client = Link(CLIENT, PACKET_BYTES_LIMIT, 0, V5)
        client.receive(b"\x20\x03\0\0\0")
        (found,) = client.receive(new_link.take_output())
        assert isinstance(found, PubRel)
        assert found.packet_id == 300


@pytest.mark.clause("5.0:MQTT-3.3.4-9")
class TestResendIntoASmallerWindow:
    def resumed(self, count: int, window_max: int) -> tuple[Outbound, Link]:
        made = outbound(window_max=100)
        for n in range(1, count + 1):
            made.deliver(delivery(str(n)), link_to(), 0, NOW)
        made.window_max = window_max
        link = link_to()
        made.resend(link, NOW)
        return made, link

    def test_each_acknowledgement_brings_the_next(self):
        made, link = self.resumed(4, window_max=2)
        assert sent(link) == ["PUBLISH t=1 q1 #1 dup", "PUBLISH t=2 q1 #2 dup"]
        made.acknowledge(1)
        made.advance(link, 0, NOW)
        assert sent(link) == ["PUBLISH t=3 q1 #3 dup"]
        assert made.queue is not None, "or nobody would ask for the rest"
        made.acknowledge(2)
        made.acknowledge(3)
        made.advance(link, 0, NOW)
        assert sent(link) == ["PUBLISH t=4 q1 #4 dup"]
        assert made.queue is None
        assert made.deliver(delivery("5"), link, 0, NOW) == SENT

    def test_nothing_overtakes_what_is_to_be_resent(self):
        made, link = self.resumed(2, window_max=1)
        assert not made.has_room(link, 0)
        assert made.deliver(delivery("3"), link, 0, NOW) == QUEUED
        sent(link)
        for packet_id, expected in ((1, "PUBLISH t=2 q1 #2 dup"), (2, "PUBLISH t=3 q1 #3")):
            made.acknowledge(packet_id)
            made.advance(link, 0, NOW)
            assert sent(link) == [expected]

    def test_a_full_queue_does_not_let_others_overtake(self):
        made, link = self.resumed(2, window_max=1)
        made.queue_messages_max = 0
        assert made.deliver(delivery("3"), link, 0, NOW) == DROPPED_QUEUE_FULL
        assert made.queue is not None, "or nobody would ask for the rest"
        made.acknowledge(1)
        assert made.deliver(delivery("4"), link, 0, NOW) == DROPPED_QUEUE_FULL

    def test_pubrels_fill_the_window_too(self):
        made = outbound(window_max=3)
        for n, qos in ((1, 2), (2, 2), (3, 1)):
            made.deliver(delivery(str(n), qos), link_to(), 0, NOW)
        made.receive(1)
        made.receive(2)
        made.window_max = 2
        link = link_to()
        made.resend(link, NOW)
        assert sent(link) == ["PUBREL #1", "PUBREL #2"]
        made.complete(1)
        made.advance(link, 0, NOW)
        assert sent(link) == ["PUBLISH t=3 q1 #3 dup"]

    def test_what_was_acknowledged_unsent_is_not_resent(self):
        made, link = self.resumed(3, window_max=1)
        sent(link)
        made.acknowledge(1)
        made.acknowledge(2)
        made.advance(link, 0, NOW)
        assert sent(link) == ["PUBLISH t=3 q1 #3 dup"]

    def test_a_link_lost_on_the_way_begins_anew(self):
        made, _ = self.resumed(3, window_max=1)
        made.acknowledge(1)
        link = link_to()
        made.window_max = 5
        made.resend(link, NOW)
        assert sent(link) == ["PUBLISH t=2 q1 #2 dup", "PUBLISH t=3 q1 #3 dup"]
        assert made.queue is None


class TestAdvance:
    def test_nothing_waits(self):
        link = link_to()
        assert outbound().advance(link, 0, NOW) == []
        assert link.out == []

    def test_as_far_as_the_window_allows(self):
        made, link = outbound(window_max=2), link_to()
        for n in range(4):
            made.deliver(delivery(str(n)), None, 0, NOW)
        assert made.advance(link, 0, NOW) == []
        assert sent(link) == ["PUBLISH t=0 q1 #1", "PUBLISH t=1 q1 #2"]
        assert made.queue_length() == 2
        made.acknowledge(1)
        made.advance(link, 0, NOW)
        assert sent(link) == ["PUBLISH t=2 q1 #3"]

    def test_as_far_as_the_client_reads(self):
        made, link = outbound(output_bytes_max=100), link_to()
        for n in range(2):
            made.deliver(delivery(str(n) * 60), None, 0, NOW)
        made.advance(link, 101, NOW)
        assert link.out == []
        made.advance(link, 50, NOW)
        assert len(sent(link)) == 1
        assert made.queue_length() == 1

    def test_an_emptied_queue_is_none(self):
        made, link = outbound(), link_to()
        made.deliver(delivery(), None, 0, NOW)
        made.advance(link, 0, NOW)
        assert made.queue is None

    def test_what_expired_or_is_too_large_is_told_and_costs_nothing(self):
        made, link = outbound(window_max=1), link_to(20)
        late, large = delivery("l", message_expiry_interval=5), delivery("x" * 30)
        for each in (late, large, delivery("y")):
            made.deliver(each, None, 0, NOW)
        assert made.advance(link, 0, NOW + 5) == [late, large]
        assert sent(link) == ["PUBLISH t=y q1 #1"]
        assert (made.queue_length(), made.queue_bytes) == (0, 0)


class TestHasRoom:
    def test_in_window_output_and_queue(self):
        made, link = outbound(window_max=1, output_bytes_max=10), link_to()
        assert made.has_room(link, 10)
        assert not made.has_room(link, 11)
        made.deliver(delivery(), link, 0, NOW)
        link.take_output()
        assert not made.has_room(link, 0), "the window is full"
        made.deliver(delivery(), link, 0, NOW)
        made.acknowledge(1)
        assert not made.has_room(link, 0), "something waits already"


class TestTakeShared:
    SHARE = "$share/g/t"

    def test_nothing_came_by_a_share(self):
        made = outbound()
        made.deliver(delivery(), link_to(), 0, NOW)
        assert made.shares() == []
        assert made.take_shared(self.SHARE) == []
        assert list(made.inflight) == [1]

    @pytest.mark.clause("5.0:MQTT-4.8.2-4", "5.0:MQTT-4.8.2-5")
    def test_qos_1_that_is_unacknowledged_but_never_qos_2_that_was_sent(self):
        made, link = outbound(window_max=3), link_to()
        own = delivery("own")
        shared = delivery("1", 1, self.SHARE)
        begun = delivery("2", 2, self.SHARE)
        for each in (own, shared, begun):
            made.deliver(each, link, 0, NOW)
        assert made.shares() == [self.SHARE]
        assert made.take_shared(self.SHARE) == [shared]
        assert made.shares() == []
        assert made.inflight == {1: own, 3: begun}

    def test_all_that_was_never_sent(self):
        made = outbound()
        own = delivery("own")
        first, second = delivery("1", 1, self.SHARE), delivery("2", 2, self.SHARE)
        for each in (first, own, second):
            made.deliver(each, None, 0, NOW)
        assert made.shares() == [self.SHARE]
        assert made.take_shared(self.SHARE) == [first, second]
        assert list(made.queue) == [own]
        assert made.queue_bytes == own.message.size_bytes

    def test_each_share_by_itself(self):
        made, link = outbound(window_max=2), link_to()
        here = [delivery("1", 1, self.SHARE), delivery("2", 1, self.SHARE)]
        there = [delivery("3", 1, "$share/h/t"), delivery("4", 1, "$share/h/t")]
        for each in (here[0], there[0], here[1], there[1]):
            made.deliver(each, link, 0, NOW)
        assert made.shares() == [self.SHARE, "$share/h/t"]
        assert made.take_shared("$share/h/t") == there
        assert made.inflight == {1: here[0]}
        assert list(made.queue) == [here[1]]

    def test_a_queue_of_nothing_else_is_none_afterwards(self):
        made = outbound()
        made.deliver(delivery("1", 1, self.SHARE), None, 0, NOW)
        made.take_shared(self.SHARE)
        assert made.queue is None
        assert made.queue_bytes == 0


class TestTheLog:
    """A durable session: what waits beyond some is a position in its backlog."""

    def durable(self, window_max: int = 10) -> Outbound:
        made = outbound(window_max, queue_messages_max=1_000)
        made.owed = Owed(1)
        return made

    def kept(self, position: int, qos: int = 1) -> Delivery:
        made = delivery(str(position), qos)
        made.position = position
        return made

    def test_without_a_link_nothing_is_held_in_memory(self):
        made = self.durable()
        for position in (1, 2, 3):
            assert made.deliver(self.kept(position), None, 0, NOW) == QUEUED
        assert (made.queue_length(), made.backlog_count()) == (0, 3)
        assert made.wants_backlog()

    def test_with_one_only_so_much(self):
        made, link = self.durable(window_max=1), link_to()
        for position in range(1, QUEUE_IN_MEMORY_MAX + 11):
            made.deliver(self.kept(position), link, 0, NOW)
        assert made.queue_length() == QUEUE_IN_MEMORY_MAX
        assert made.backlog_count() == 9
        assert not made.wants_backlog()

    def test_it_is_read_back_in_pieces_and_nothing_overtakes(self):
        made, link = self.durable(), link_to()
        for position in range(1, READ_MESSAGES_MAX + 3):
            made.deliver(self.kept(position), None, 0, NOW)
        taken = made.take_backlog(1_000)
        assert 2 <= len(taken) <= READ_MESSAGES_MAX
        assert [position for position, _ in taken] == list(range(1, len(taken) + 1))
        assert made.deliver(self.kept(500), link, 0, NOW) == QUEUED
        assert not made.wants_backlog(), "it is being read"
        made.queue_read([self.kept(position) for position, _ in taken[:2]])
        made.advance(link, 0, NOW)
        assert sent(link) == ["PUBLISH t=1 q1 #1", "PUBLISH t=2 q1 #2"]
        assert [position for position, _ in made.take_backlog(1_000)][-1] == 500

    def test_what_is_not_written_yet_is_left(self):
        made = self.durable()
        made.deliver(self.kept(5), None, 0, NOW)
        assert made.take_backlog(5) == []
        assert made.wants_backlog()

    def test_the_limits_count_it(self):
        made = outbound(queue_messages_max=2)
        made.owed = Owed(1)
        outcomes = [made.deliver(self.kept(position), None, 0, NOW) for position in (1, 2, 3)]
        assert outcomes == [QUEUED, QUEUED, DROPPED_QUEUE_FULL]

    def test_what_the_last_process_may_have_sent_is_a_duplicate(self):
        made, link = self.durable(), link_to()
        made.owed.resend_until = 1
        for position in (1, 2):
            made.deliver(self.kept(position), link, 0, NOW)
        assert sent(link) == ["PUBLISH t=1 q1 #1 dup", "PUBLISH t=2 q1 #2"]
        assert made.owed.sent == 2

    def test_taken_back_is_what_waits_and_qos_2_from_there_on(self):
        made, link = self.durable(window_max=4), link_to()
        for position, qos in enumerate((2, 1, 2, 1, 1, 2), start=1):
            made.deliver(self.kept(position, qos), link, 0, NOW)
        taken, packet_ids = made.take_back(3)
        assert [each.position for each in taken] == [3, 5, 6]
        assert packet_ids == [3]
        assert list(made.inflight) == [1, 2, 4]
        assert (made.queue, made.queue_bytes) == (None, 0)
        assert self.durable().take_back(1) == ([], [])


def test_says_whether_one_more_may_wait():
    side = outbound(queue_messages_max=2, queue_bytes_max=3 * SIZE)
    assert side.can_owe(3 * SIZE)
    assert not side.can_owe(3 * SIZE + 1)
    for _ in range(2):
        assert side.can_owe(SIZE)
        assert side.deliver(delivery(), None, 0, NOW) == QUEUED
    assert not side.can_owe(SIZE)
