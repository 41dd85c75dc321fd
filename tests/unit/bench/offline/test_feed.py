import socket
import threading

import pytest

from rookery_bench import wire
from rookery_bench.links import Address, open_link, read_packet, subscribe
from rookery_bench.offline.feed import WINDOW, Feed
from rookery_bench.offline.plan import Plan
from rookery_bench.peers import Broker


def test_each_message_is_sent_once_and_acknowledged(mosquitto: Broker) -> None:
    plan = Plan(500, WINDOW * 2 + 7)
    with open_link(mosquitto.address, "feed-test", wire.V3_1_1) as link:
        subscribe(link, plan.topics[3], 1, wire.V3_1_1)
        feed = Feed(plan, mosquitto.address)
        assert feed.run() == []
        feed.close()
        received = [read_packet(link) for _ in range(plan.owed(3))]
        link.sendall(wire.PINGREQ)
        assert read_packet(link)[0] == wire.PINGRESP
    stamp = -wire.PAYLOAD_BYTES
    numbers = [int.from_bytes(body[stamp : stamp + 8], "little") for _, body in received]
    assert numbers == list(range(plan.owed(3)))
    assert feed.publisher.sent == feed.publisher.acked == plan.messages


def test_a_broker_that_stops_to_acknowledge_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rookery_bench.offline.feed._ANSWER_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            link, _ = listener.accept()
            with link:
                read_packet(link)
                link.sendall(b"\x20\x02\x00\x00")
                while link.recv(65_536):
                    continue

        thread = threading.Thread(target=accept)
        thread.start()
        feed = Feed(Plan(10, 100), Address(listener.getsockname()[1], "u", "p"))
        with pytest.raises(wire.WireError, match="no ack after 0 of 100 messages"):
            feed.run()
        feed.close()
        thread.join()
