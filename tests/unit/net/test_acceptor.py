import errno
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from rookery.engine.gate import Quota
from rookery.engine.settings import Rates
from rookery.mqtt.types import V5
from rookery.net.acceptor import ACCEPTS_PER_TURN_MAX, Acceptor, Links, Transport
from rookery.net.certificates.listener import ListenerTls
from rookery.net.certificates.options import KeyPair, TlsOptions
from rookery.net.layers import LayerStack
from rookery.net.proxy_protocol import ProxyLayer
from rookery.net.tls import TlsLayer
from rookery.net.websocket import WebSocketLayer
from tests.support.certificates import make_certificates
from tests.support.engine import FakeClock, connect
from tests.support.network import Far, Network

PLAIN = Transport()


class Listening:
    """A listener on loopback, turned by the test."""

    def __init__(
        self, transport: Transport = PLAIN, path: Path | None = None, quota=None, **changed
    ):
        self.net = Network(**changed)
        self.links = Links(self.net.broker)
        self.net.links = self.links.open
        self.sock = socket.socket(socket.AF_INET if path is None else socket.AF_UNIX)
        self.sock.bind(("127.0.0.1", 0) if path is None else str(path))
        self.sock.listen(128)
        self.sock.setblocking(False)
        self.address = self.sock.getsockname()
        self.acceptor = Acceptor(
            self.sock,
            "main",
            transport,
            self.net.poller,
            self.net.broker,
            self.links,
            quota or Quota(None, None, self.net.broker.now),
        )

    def dial(self) -> Far:
        sock = self.net.keep(socket.socket(self.sock.family))
        sock.connect(self.address)
        return Far(self.net, sock, V5)

    @property
    def stats(self):
        return self.net.broker.stats

    def close(self) -> None:
        self.acceptor.close()
        self.net.close()


@pytest.fixture
def listening() -> Iterator:
    made: list[Listening] = []

    def listen(*given, **changed) -> Listening:
        made.append(Listening(*given, **changed))
        return made[-1]

    yield listen
    for each in made:
        each.close()


class TestAccept:
    def test_a_client_is_served(self, listening):
        server = listening()
        far = server.dial()
        far.connect("a")
        (io,) = server.links.open
        assert (io.client.address, io.client.listener) == ("127.0.0.1", "main")
        assert io._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert server.stats.connections_total == 1

    def test_over_a_unix_socket(self, listening, tmp_path):
        server = listening(path=tmp_path / "s")
        far = server.dial()
        far.connect("a")
        (io,) = server.links.open
        assert io.client.address == ""

    def test_all_that_wait_in_one_turn_but_no_more_than_so_many(self, listening):
        server = listening(connections_max=1_000)
        fars = [server.dial() for _ in range(ACCEPTS_PER_TURN_MAX + 5)]
        server.net.turn()
        assert len(server.links.open) == ACCEPTS_PER_TURN_MAX
        server.net.turn()
        assert len(server.links.open) == len(fars)


class TestLimits:
    def test_connections_far_over_the_limit_are_closed_at_once(self, listening):
        server = listening(connections_max=1)
        fars = [server.dial() for _ in range(ACCEPTS_PER_TURN_MAX + 3)]
        server.net.turn(4)
        assert server.stats.refused["connections_max"] == 2
        for far in fars[-2:]:
            far.expect_end()

    def test_those_just_over_it_are_told(self, listening):
        server = listening(connections_max=1)
        server.dial().connect("a")
        far = server.dial()
        far.put(connect("b"))
        assert far.receive(1) == ["CONNACK 0x97"]
        far.expect_end()

    def test_the_rate_is_paced(self, listening):
        server = listening(connects_per_second_max=2)
        for _ in range(5):
            server.dial()
        server.net.turn(5)
        assert len(server.links.open) == 2
        for expected in (4, 5):
            server.net.wait(1.2)
            server.net.turn(3)
            assert len(server.links.open) == expected
        assert server.stats.connections_refused_total() == 0

    def test_no_descriptors_left(self, listening):
        server = listening()
        accept = server.acceptor._accept

        def fail() -> None:
            raise OSError(errno.EMFILE, "too many open files")

        server.acceptor._accept = fail
        far = server.dial()
        with capture_logs() as logs:
            server.net.turn(3)
        assert [line["event"] for line in logs] == ["accept_failed"], "once, then it waits"
        server.acceptor._accept = accept
        server.net.wait(1.2)
        far.connect("a")


class TestQuotas:
    """What a listener and an address may take. (The rules themselves are in ``engine/test_gate.py``.)"""

    def test_a_full_listener_closes_at_once(self, listening):
        server = listening(quota=Quota(None, 1, 0.0))
        first, second = server.dial(), server.dial()
        server.net.turn(2)
        second.expect_end()
        first.connect("a")
        assert server.stats.refused["listener_full"] == 1
        (io,) = server.links.open
        io.abort()
        server.dial().connect("b")

    def test_a_listener_s_rate_is_paced(self, listening):
        rates = Rates(connects_per_second_max=2.0)
        server = listening(quota=Quota(rates, None, FakeClock().now))
        for _ in range(5):
            server.dial()
        server.net.turn(5)
        assert len(server.links.open) == 2
        server.net.wait(1.2)
        server.net.turn(3)
        assert len(server.links.open) == 4
        assert server.stats.connections_refused_total() == 0

    def test_an_address_over_its_rate_is_closed_at_once(self, listening):
        server = listening(address=Rates(connects_per_second_max=1.0))
        first, second = server.dial(), server.dial()
        server.net.turn(2)
        second.expect_end()
        first.connect("a")
        assert server.stats.refused["address_rate"] == 1

    def test_a_connection_is_counted_until_it_is_closed(self, listening):
        server = listening(connections_per_address_max=1)
        far = server.dial()
        far.connect("a")
        server.dial().expect_end()
        far.sock.close()
        server.net.turn(3)
        server.dial().connect("b")

    def test_the_oldest_that_says_nothing_makes_room(self, listening):
        server = listening(half_open_max=2)
        fars = [server.dial() for _ in range(3)]
        server.net.turn(2)
        fars[0].expect_end()
        fars[1].connect("a")
        assert server.stats.refused["half_open"] == 1

    def test_a_proxy_s_client_is_counted_where_it_is(self, listening):
        server = listening(Transport(proxy_protocol=True), connections_per_address_max=1)
        fars = [server.dial() for _ in range(3)]
        for far, last in zip(fars, (1, 1, 2), strict=True):
            far.sock.send(b"PROXY TCP4 198.51.100.%d 192.0.2.1 5 6\r\n" % last)
            server.net.turn(2)
        fars[1].expect_end()
        fars[0].connect("a")
        fars[2].connect("b")
        assert server.stats.refused["address_full"] == 1


class TestClose:
    def test_no_more_is_accepted_and_links_stay(self, listening):
        server = listening()
        far = server.dial()
        far.connect("a")
        for _ in range(2):
            server.acceptor.close()
        with pytest.raises(ConnectionRefusedError):
            server.dial()
        assert len(server.links.open) == 1

    def test_a_pause_that_ends_after_it(self, listening):
        server = listening(connects_per_second_max=1)
        for _ in range(2):
            server.dial()
        server.net.turn(2)
        server.acceptor.close()
        server.net.wait(2)
        assert len(server.links.open) == 1

    def test_it_has_neither_packets_nor_output(self, listening):
        acceptor = listening().acceptor
        assert acceptor.work(0.0) is None
        assert acceptor.flush(0.0) is None


class TestTransport:
    def layers(self, server: Listening) -> list[type]:
        server.dial()
        server.net.turn()
        (io,) = server.links.open
        stack = io._stack
        if stack is None:
            return []
        return [
            type(each) for each in (stack._layers if isinstance(stack, LayerStack) else [stack])
        ]

    def test_each_alone_and_all_together(self, listening, tmp_path):
        pair = make_certificates(tmp_path).server
        options = TlsOptions(KeyPair(pair.certificate, pair.private_key))
        tls = ListenerTls("tls", options, 0.0)
        assert self.layers(listening()) == []
        assert self.layers(listening(Transport(proxy_protocol=True))) == [ProxyLayer]
        assert self.layers(listening(Transport(websocket_path="/mqtt"))) == [WebSocketLayer]
        assert self.layers(listening(Transport(tls=tls))) == [TlsLayer]
        assert self.layers(listening(Transport(True, tls, "/mqtt"))) == [
            ProxyLayer,
            TlsLayer,
            WebSocketLayer,
        ]
