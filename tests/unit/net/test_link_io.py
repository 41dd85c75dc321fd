import socket
import ssl
import struct

import pytest
from structlog.testing import capture_logs

from rookery.engine.link_handle import CLOSED
from rookery.engine.stats import END_CONNECTION_LOST, END_PEER_FAULT
from rookery.mqtt.packets import Disconnect, PingReq, Subscribe, SubscriptionRequest
from rookery.net.layers import stacked
from rookery.net.link_io import LINGER_SECONDS, READ_BYTES_MAX, READ_BYTES_MIN
from rookery.net.proxy_protocol import ProxyLayer
from rookery.net.tls import TlsLayer
from rookery.net.websocket import WebSocketLayer
from tests.support.certificates import Certificates, make_certificates
from tests.support.engine import FakeAuthorizer, connect, publish
from tests.support.garbage import left_in_circles
from tests.support.network import Far, Network, network
from tests.support.tls import tls_context

PROXY = b"PROXY TCP4 198.51.100.7 203.0.113.1 4711 1883\r\n"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


UPGRADE = (
    b"GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: mqtt\r\n\r\n"
)


def subscribe(topic: str, qos: int = 0) -> Subscribe:
    return Subscribe(1, [SubscriptionRequest(topic, qos)])


def stuck_reader(net: Network) -> tuple[Far, object]:
    """A subscribed client that reads nothing from now on, behind small buffers."""
    far, io = net.link(buffer_bytes=4_096)
    far.connect("reader")
    far.put(subscribe("t", 1))
    far.receive(1)
    return far, io


class TestReading:
    def test_packets_go_in_and_answers_come_out(self):
        with network() as net:
            far, io = net.link()
            far.put(connect("a"), subscribe("t"), publish("t"), PingReq())
            assert far.receive(4) == ["CONNACK", "SUBACK 0x00", "PINGRESP", "PUBLISH t=x"]
            assert net.broker.stats.bytes_sent > 0
            assert io.unsent_bytes == 0

    def test_over_tcp_as_well(self):
        with network() as net:
            far, _ = net.link(tcp=True)
            far.put(connect("a"), PingReq())
            assert far.receive(2) == ["CONNACK", "PINGRESP"]

    def test_everything_of_a_turn_is_one_piece(self):
        with network() as net:
            far, _ = net.link()
            far.put(connect("a"), PingReq(), PingReq())
            net.turn()
            data = far.sock.recv(65_536)
            assert data[0] == 0x20
            assert data.endswith(b"\xd0\0\xd0\0")

    def test_the_buffer_grows_with_bursts_and_shrinks_again(self):
        with network() as net:
            far, io = net.link()
            far.connect("a")
            assert io._read_bytes == READ_BYTES_MIN
            for _ in range(4):
                far.put(publish("t", b"x" * 60_000))
                net.turn(40)
            assert READ_BYTES_MIN < io._read_bytes <= READ_BYTES_MAX
            for _ in range(10):
                far.put(PingReq())
                net.turn()
            assert io._read_bytes == READ_BYTES_MIN

    def test_a_fault_is_told_and_the_connection_ended(self):
        with network() as net:
            far, io = net.link()
            far.connect("a")
            far.sock.send(b"\xc1\0")
            assert far.receive(1) == ["DISCONNECT 0x81"]
            far.expect_end()
            far.sock.close()
            net.turn(2)
            assert net.links == set()
            assert net.broker.stats.disconnects[END_PEER_FAULT] == 1
            assert io.client.io is CLOSED

    def test_our_own_fault_costs_this_client_alone(self):
        class Broken(FakeAuthorizer):
            def may_publish(self, *asked: object) -> bool:
                raise ZeroDivisionError("ours")

        with network(authorizer=Broken()) as net:
            bad, _ = net.link()
            good, _ = net.link()
            bad.connect("bad")
            good.connect("good")
            bad.put(publish("t"))
            good.put(PingReq())
            with capture_logs() as logs:
                assert good.receive(1) == ["PINGRESP"]
            assert "link_crashed" in [line["event"] for line in logs]
            assert bad.receive(1) == ["DISCONNECT 0x83"]
            assert net.broker.stats.supervisor_restarts == 1


class TestTheEnd:
    def test_eof(self):
        with network() as net:
            far, io = net.link()
            far.connect("a")
            far.sock.close()
            net.turn()
            assert net.broker.stats.disconnects[END_CONNECTION_LOST] == 1
            assert net.links == set()
            assert io._sock.fileno() == -1

    def test_reset(self):
        with network() as net:
            far, _ = net.link(tcp=True)
            far.connect("a")
            far.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            far.sock.close()
            net.until(lambda: net.links == set())
            assert net.broker.stats.disconnects[END_CONNECTION_LOST] == 1

    def test_a_client_that_only_ends_its_own_direction_gets_its_answers(self):
        with network() as net:
            far, _ = net.link()
            far.put(connect("a"), publish("t", qos=1, packet_id=1))
            far.sock.shutdown(socket.SHUT_WR)
            assert far.receive(2) == ["CONNACK", "PUBACK #1 0x10"]
            far.expect_end()

    def test_a_good_end_waits_for_the_client_s_own(self):
        with network() as net:
            far, io = net.link()
            far.connect("a")
            far.put(Disconnect())
            far.expect_end()
            assert net.links == {io}, "our direction is ended, theirs is not"
            far.sock.send(b"late")
            net.turn()
            assert net.links == {io}, "what is still said is not heard"
            far.sock.close()
            net.turn()
            assert net.links == set()

    def test_a_client_that_never_ends_is_not_waited_for(self):
        with network() as net:
            far, io = net.link()
            far.connect("a")
            far.put(Disconnect())
            net.turn(2)
            net.wait(LINGER_SECONDS - 0.5)
            assert net.links == {io}
            net.wait(1)
            assert net.links == set()

    def test_a_client_that_never_reads_its_last_packets(self):
        with network(output_bytes_max=1_000_000) as net:
            _, io = stuck_reader(net)
            net.broker.publish("t", b"x" * 200_000, False)
            net.turn(2)
            assert io.unsent_bytes > 0
            net.broker.drain()
            net.turn(2)
            assert net.links == {io}
            net.wait(LINGER_SECONDS + 1)
            assert net.links == set()

    def test_what_is_unsent_still_goes_before_the_end(self):
        with network() as net:
            far, io = stuck_reader(net)
            net.broker.publish("t", b"x" * 200_000, False)
            net.turn(2)
            assert io.unsent_bytes > 0
            net.broker.drain()
            assert far.receive(2)[1] == "DISCONNECT 0x8B"
            far.expect_end()

    def test_closed_twice_aborted_twice(self):
        with network() as net:
            _, io = net.link()
            for _ in range(2):
                io.close()
            net.turn()
            for _ in range(2):
                io.abort()
            io.due(net.broker.now)
            net.turn()
            assert net.links == set()

    def test_a_client_lost_between_packets_and_their_answer(self):
        with network() as net:
            far, io = net.link(tcp=True)
            far.connect("a")
            io.request_flush()
            io.abort()
            net.turn()
            assert net.links == set()

    def test_a_connection_that_says_nothing(self):
        with network(connect_deadline_seconds=10) as net:
            far, _ = net.link()
            net.wait(11)
            far.expect_end()


class TestBackpressure:
    def test_what_is_unsent_is_bounded_and_arrives_when_it_is_read(self):
        with network(output_bytes_max=50_000, queue_messages_max=500) as net:
            far, io = stuck_reader(net)
            writer, _ = net.link()
            writer.connect("writer")
            for n in range(1, 201):
                writer.put(publish("t", b"x" * 1_000, 1, packet_id=n))
                net.turn()
            assert 0 < io.unsent_bytes <= 50_000 + 2_000
            assert len(writer.receive(200)) == 200, "the writer is not held up"
            found = 0
            while found < 200:
                found += len(far.receive(1))
            assert io.unsent_bytes == 0

    def test_qos_0_is_dropped_and_counted(self):
        with network(output_bytes_max=50_000) as net:
            _, io = stuck_reader(net)
            for _ in range(200):
                net.broker.publish("t", b"x" * 1_000, False)
                net.turn()
            assert io.unsent_bytes <= 52_000
            assert net.broker.stats.dropped["output_full"] > 50

    def test_who_does_not_read_its_answers_is_not_read_from(self):
        with network(output_bytes_max=5_000) as net:
            far, io = net.link(buffer_bytes=4_096)
            far.connect("a")
            pings = b"\xc0\0" * 1_000
            sent = 0
            for _ in range(200):
                try:
                    sent += far.sock.send(pings)
                except BlockingIOError:
                    break
                net.turn()
            assert not io._reading
            assert io.unsent_bytes < 5_000 + 2 * READ_BYTES_MAX
            net.turn(5)
            whole = sent // 2
            assert set(far.receive(whole)) == {"PINGRESP"}
            assert io._reading

    def test_held_packets_are_worked_on_though_nothing_more_comes(self):
        with network() as net:
            reader, _ = net.link()
            reader.connect("r")
            reader.put(subscribe("t"))
            reader.receive(1)
            writer, _ = net.link()
            writer.connect("w")
            count = 40_000  # Enough for reads that fill a turn.
            data = b"\x30\x04\0\1t\0" * count
            while data:
                try:
                    data = data[writer.sock.send(data) :]
                except BlockingIOError:
                    net.turn()
            assert len(reader.receive(count)) == count

    def test_a_reader_that_goes_away_while_something_is_unsent(self):
        with network() as net:
            far, io = stuck_reader(net)
            net.broker.publish("t", b"x" * 200_000, False)
            net.turn(2)
            assert io.unsent_bytes > 0
            far.sock.close()
            net.turn(2)
            assert net.links == set()


class TestLayers:
    def test_tls_and_websocket_one_upon_the_other(self, certificates: Certificates):
        with network() as net:
            pair = certificates.server
            context = tls_context(pair.certificate, pair.private_key)
            proxy, tls = ProxyLayer(), TlsLayer(context)
            stack = stacked([proxy, tls, WebSocketLayer("/mqtt", 100_000)])
            far, io = net.link(stack, tls, proxy)
            client = TlsClient(net, far.sock)
            client.handshake(PROXY)
            client.write(UPGRADE)
            assert b" 101 " in client.read()
            far.link.send(connect("a"))
            packet = far.link.take_output()
            client.write(b"\x82" + bytes((0x80 | len(packet),)) + b"\0\0\0\0" + packet)
            assert client.read()[2:3] == b"\x20"
            assert io.client.address == "198.51.100.7"
            assert io.certificate() is None
            net.broker.drain()
            assert b"\x8b" in client.read()

    def test_a_fault_below_ends_the_link(self):
        with network() as net:
            far, io = net.link(WebSocketLayer("/mqtt", 100_000))
            far.sock.send(b"GET /wrong HTTP/1.1\r\nHost: x\r\n\r\n")
            with capture_logs() as logs:
                net.turn(3)
            assert far.sock.recv(4_096).startswith(b"HTTP/1.1 4")
            assert logs[0]["reason"] == "layer_fault"
            assert net.links == {io} or net.links == set()

    @pytest.mark.parametrize(
        "sent",
        [
            b"GET /wrong HTTP/1.1\r\nHost: x\r\n\r\n",
            b"\x10\x00",
            UPGRADE,
            UPGRADE + b"\xff\xff\xff",
        ],
    )
    def test_a_link_that_ended_leaves_no_circle(self, sent: bytes):
        with network() as net:

            def work() -> None:
                far, _ = net.link(WebSocketLayer("/mqtt", 100_000))
                far.sock.send(sent)
                net.turn(3)
                far.sock.close()
                net.turn(3)

            work()
            assert left_in_circles(work) == []

    def test_a_proxy_s_word_on_where_the_client_is(self):
        with network() as net:
            proxy = ProxyLayer()
            far, io = net.link(proxy, None, proxy)
            far.sock.send(PROXY)
            far.connect("a")
            assert io.client.address == "198.51.100.7"


class TlsClient:
    """A TLS client that lets turns pass while it waits."""

    def __init__(self, net: Network, sock: socket.socket) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out)
        self._net = net
        self._sock = sock

    def _pump(self) -> None:
        data = self._out.read()
        if data:
            self._sock.send(data)
        self._net.turn()
        try:
            self._in.write(self._sock.recv(65_536))
        except BlockingIOError:
            pass

    def handshake(self, before: bytes) -> None:
        self._sock.send(before)
        for _ in range(20):
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._pump()
            else:
                self._pump()
                return
        raise AssertionError("no handshake")

    def write(self, data: bytes) -> None:
        self._tls.write(data)
        self._pump()

    def read(self) -> bytes:
        for _ in range(20):
            try:
                return self._tls.read(65_536)
            except ssl.SSLWantReadError:
                self._pump()
        raise AssertionError("nothing came")
