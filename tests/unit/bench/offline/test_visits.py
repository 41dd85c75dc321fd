"""Visits to a real broker, and to one that the test plays."""

import socket
from collections.abc import Iterator

import pytest

from rookery_bench import wire
from rookery_bench.blocks import AckSeries, TopicsBlock
from rookery_bench.links import Address, open_link, read_packet
from rookery_bench.offline.plan import Plan
from rookery_bench.offline.visits import Return, Subscribing, pay
from rookery_bench.peers import Broker

PLAN = Plan(sessions=3, messages=6)
CONNACK_PRESENT = b"\x20\x02\x01\x00"
PINGRESP = b"\xd0\x00"


def test_sessions_come_leave_and_get_what_came_meanwhile(mosquitto: Broker) -> None:
    plan, address = Plan(30, 60, 3), mosquitto.address
    visits = (Subscribing(address, session, plan) for session in range(30))
    assert pay(visits, 8) == []
    link = open_link(address, "offline-test", wire.V3_1_1)
    link.sendall(TopicsBlock(plan.topics, 1, wire.V3_1_1).fill(0, 60, 0))
    for _ in range(60):
        assert read_packet(link)[0] == wire.PUBACK
    link.close()
    for owed in (6, 0):
        returns = [Return(address, session, plan, owed) for session in range(30)]
        assert pay(returns, 8) == []
        assert [visit.received for visit in returns] == [owed] * 30
        assert all(visit.sequence.faults(owed) == "" for visit in returns)
        assert all(visit.foreign == 0 for visit in returns)
        times = [(visit.connack_ns, visit.first_ns) for visit in returns]
        assert all(connack is not None for connack, _ in times)
        assert all((first is None) == (owed == 0) for _, first in times)
    again = pay([Subscribing(address, 0, plan)], 1)
    assert again == ["offline-000000: the broker knows a session that is new"]


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)
        yield listener


def returned(listener: socket.socket, said: bytes) -> tuple[Return, list[str], bytes]:
    """Let session 1 return to a broker that says this, whatever it hears; and what it hears."""
    visit = Return(Address(listener.getsockname()[1], "u", "p"), 1, PLAN, PLAN.owed(1))
    link, _ = listener.accept()
    with link:
        read_packet(link)
        link.sendall(said)
        link.shutdown(socket.SHUT_WR)
        faults = pay([visit], 1)
        heard = b""
        while data := link.recv(4_096):
            heard += data
    return visit, faults, heard


def news(numbers: range, group: int = 1, *, dup: bool = False) -> bytes:
    block, found = TopicsBlock(PLAN.topics, 1, wire.V3_1_1), b""
    for number in numbers:
        packet = bytes(block.fill(number * PLAN.groups + group, 1, 0))
        found += bytes((packet[0] | (wire.DUP if dup else 0),)) + packet[1:]
    return found


def test_what_is_taken_is_acknowledged_then_asked_whether_there_is_more(
    listener: socket.socket,
) -> None:
    visit, faults, heard = returned(listener, CONNACK_PRESENT + news(range(2)) + PINGRESP)
    assert faults == []
    acks = AckSeries(wire.PUBACK)
    assert heard == acks.take(1, 1) + acks.take(4, 1) + wire.PINGREQ + wire.DISCONNECT
    assert (visit.received, visit.sequence.faults(2)) == (2, "")


def test_messages_of_others_and_doubles_are_told_apart(listener: socket.socket) -> None:
    said = news(range(1)) + news(range(2), group=2) + news(range(1), dup=True) + news(range(1, 2))
    visit, faults, _ = returned(listener, CONNACK_PRESENT + said + PINGRESP)
    assert faults == []
    assert (visit.received, visit.foreign) == (5, 2)
    assert visit.sequence.faults(2) == "1 duplicated"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"\x20\x02\x00\x00", "the broker has forgotten the session"),
        (b"\x20\x02\x00\x03", "the broker refused CONNECT"),
        (CONNACK_PRESENT + b"\x30\x00", "unexpected packet 30 00"),
        (CONNACK_PRESENT, "the broker closed the connection"),
    ],
)
def test_what_goes_wrong_is_told_with_the_session(
    listener: socket.socket, said: bytes, words: str
) -> None:
    _, (fault,), _ = returned(listener, said)
    assert fault.startswith(f"offline-000001: {words}")


def test_silence_gives_up_those_under_way_and_goes_on(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rookery_bench.offline.visits._ANSWER_SECONDS", 0.1)
    address = Address(listener.getsockname()[1], "u", "p")
    assert pay((Return(address, session, PLAN, 2) for session in range(3)), 2) == [
        f"offline-00000{session}: no answer" for session in range(3)
    ]


def test_no_more_are_under_way_than_asked(mosquitto: Broker) -> None:
    plan, counts = Plan(20, 1), []

    class Counted(Subscribing):
        under_way = 0

        def __init__(self, session: int) -> None:
            super().__init__(mosquitto.address, 5_000 + session, Plan(10_000, 1))
            Counted.under_way += 1
            counts.append(Counted.under_way)

        def close(self) -> None:
            Counted.under_way -= 1
            super().close()

    assert pay((Counted(session) for session in range(plan.sessions)), 4) == []
    assert max(counts) == 4
    assert len(counts) == 20
