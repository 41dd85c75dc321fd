"""Clients that come home, to real brokers and to ones that the test plays."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from rookery_bench import wire
from rookery_bench.cluster.loss import Homecoming
from rookery_bench.links import Address, read_packet
from rookery_bench.offline.feed import Feed
from rookery_bench.offline.plan import Plan
from rookery_bench.offline.visits import Subscribing, pay
from rookery_bench.peers import Broker, Peer

PRESENT = b"\x20\x02\x01\x00"
ABSENT = b"\x20\x02\x00\x00"
UNAVAILABLE = b"\x20\x02\x00\x03"
PINGRESP = b"\xd0\x00"


@pytest.fixture
def fresh(mosquitto_peer: Peer) -> Iterator[Broker]:
    """A broker that other tests do not find these sessions on."""
    with mosquitto_peer.running(None) as broker:
        yield broker


def test_all_come_home_and_get_what_they_are_owed(fresh: Broker) -> None:
    plan, address = Plan(30, 12), fresh.address
    assert pay((Subscribing(address, session, plan) for session in range(30)), 8) == []
    feed = Feed(plan, address)
    assert feed.run() == []
    feed.close()
    coming = Homecoming(plan, [address], time.monotonic_ns())
    coming.run(10)
    assert coming.faults == []
    assert coming.whole
    assert coming.sent_away == 0
    assert len(coming.first_ns) == 12
    again = Homecoming(plan, [address], time.monotonic_ns())
    again.run(0.5)
    # What was owed was taken, so 12 of them wait for nothing.
    assert len(again.resumed_ns) == 18
    assert again.faults == ["12 sessions were not let in"]


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)
        yield listener


def home(listener: socket.socket, answers: list[bytes]) -> Homecoming:
    """Let one client come to a broker that answers its connections so, one after the other."""

    def serve() -> None:
        for answer in answers:
            link, _ = listener.accept()
            with link:
                read_packet(link)
                link.sendall(answer)
                if answer == PRESENT:
                    assert link.recv(2) == wire.PINGREQ
                    link.sendall(PINGRESP)
                if answer:
                    link.recv(2)

    thread = threading.Thread(target=serve)
    thread.start()
    address = Address(listener.getsockname()[1], "u", "p")
    # Session 1 of 2 is owed nothing; session 0 has come home before.
    coming = Homecoming(Plan(2, 1), [address], time.monotonic_ns())
    coming._due = [(0, 1, 0)]
    coming.run(5)
    thread.join(5)
    return coming


def test_who_is_not_let_in_comes_again(listener: socket.socket) -> None:
    coming = home(listener, [UNAVAILABLE, b"", PRESENT])
    assert coming.faults == []
    assert coming.sent_away == 2
    assert len(coming.resumed_ns) == 1
    assert coming.resumed_ns[0] > 200_000_000


def test_a_session_that_is_not_known_is_lost(listener: socket.socket) -> None:
    coming = home(listener, [ABSENT])
    assert coming.faults == ["offline-000001: the broker has forgotten the session"]
    assert coming.resumed_ns == []
    assert not coming.whole
