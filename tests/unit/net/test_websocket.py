"""WebSocket against the client of the websockets package, and against requests and frames made by hand."""

import logging
import ssl
import struct
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from rookery.net.layers import LayerFault, LayerStack
from rookery.net.tls import TlsLayer
from rookery.net.websocket import REQUEST_BYTES_MAX, WebSocketLayer
from tests.support.certificates import Authority
from tests.support.garbage import left_in_circles
from tests.support.layer_server import PATIENCE_SECONDS, LayerServer, serving
from tests.support.tls import tls_context

MQTT = Subprotocol("mqtt")
FRAME_BYTES_MAX = 1000


def make_layer() -> WebSocketLayer:
    return WebSocketLayer("/mqtt", FRAME_BYTES_MAX)


def request(
    target: str = "/mqtt",
    *,
    protocols: str | None = "mqtt",
    upgrade: bool = True,
    key: str = "dGhlIHNhbXBsZSBub25jZQ==",
    more: str = "",
) -> bytes:
    lines = [f"GET {target} HTTP/1.1", "Host: localhost"]
    if upgrade:
        lines += ["Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13"]
    if protocols is not None:
        lines.append(f"Sec-WebSocket-Protocol: {protocols}")
    return ("\r\n".join(lines) + "\r\n" + more + "\r\n").encode("latin-1")


def frame(opcode: Opcode, data: bytes, *, fin: bool = True, mask: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=mask)


def opened() -> WebSocketLayer:
    layer = make_layer()
    assert layer.receive(request()) == b""
    assert layer.opened
    assert layer.take_output().startswith(b"HTTP/1.1 101 ")
    return layer


# --- Against a client ------------------------------------------------------------------------------


@pytest.mark.clause("MQTT-6.0.0-1", "MQTT-6.0.0-4")
@pytest.mark.parametrize("read_bytes", [1, 7, 65536])
@pytest.mark.parametrize("data", [b"", b"x", b"x" * 125, b"x" * 126, b"x" * FRAME_BYTES_MAX])
def test_a_client_sends_and_receives_binary_data(read_bytes: int, data: bytes) -> None:
    with serving(make_layer, read_bytes) as (sock, server):
        with connect("ws://localhost/mqtt", sock=sock, subprotocols=[MQTT]) as client:
            assert client.subprotocol == "mqtt"
            assert client.protocol.extensions == []
            client.send(data)
            client.send(b"end")
            received = b""
            while not received.endswith(b"end"):
                message = client.recv(PATIENCE_SECONDS)
                assert isinstance(message, bytes)
                received += message
        assert client.close_code == 1000
    assert received == server.received == data + b"end"
    assert server.layer.received_eof
    assert server.fault is None


@pytest.mark.parametrize(
    ("offered", "selected"),
    [(["mqttv3.1"], "mqttv3.1"), (["mqttv3.1", "mqtt"], "mqtt"), (["chat", "mqtt"], "mqtt")],
)
def test_the_standards_name_is_preferred(offered: list[str], selected: str) -> None:
    protocols = [Subprotocol(name) for name in offered]
    with (
        serving(make_layer) as (sock, _),
        connect("ws://localhost/mqtt", sock=sock, subprotocols=protocols) as client,
    ):
        assert client.subprotocol == selected


def refused(server: LayerServer) -> str:
    server.join()
    assert not server.layer.opened
    assert server.fault is not None
    return server.fault


@pytest.mark.clause("MQTT-6.0.0-3")
@pytest.mark.parametrize("protocols", [None, [Subprotocol("chat")]])
def test_a_client_that_does_not_offer_the_subprotocol_is_refused(
    protocols: list[Subprotocol] | None,
) -> None:
    with serving(make_layer) as (sock, server):
        with pytest.raises(InvalidStatus) as caught:
            connect("ws://localhost/mqtt", sock=sock, subprotocols=protocols)
        assert caught.value.response.status_code == 400
        assert "subprotocol" in refused(server)


@pytest.mark.parametrize("path", ["/", "/mqtt/", "/MQTT", "/other?/mqtt"])
def test_another_path_is_not_found(path: str) -> None:
    with serving(make_layer) as (sock, server):
        with pytest.raises(InvalidStatus) as caught:
            connect(f"ws://localhost{path}", sock=sock, subprotocols=[MQTT])
        assert caught.value.response.status_code == 404
        assert caught.value.response.body == f"there is nothing at {path!r}\n".encode()
        assert (
            refused(server) == f"WebSocket request refused with 404: there is nothing at {path!r}"
        )


def test_a_query_behind_the_path_is_ignored() -> None:
    with (
        serving(make_layer) as (sock, _),
        connect("ws://localhost/mqtt?x=/y", sock=sock, subprotocols=[MQTT]) as client,
    ):
        assert client.subprotocol == "mqtt"


@pytest.mark.clause("MQTT-6.0.0-1")
def test_a_text_frame_closes_the_connection() -> None:
    with serving(make_layer) as (sock, server):
        with connect("ws://localhost/mqtt", sock=sock, subprotocols=[MQTT]) as client:
            client.send(b"before")
            assert client.recv(PATIENCE_SECONDS) == b"before"
            client.send("text")
            server.join()
        assert client.close_code == 1003
    assert server.fault == "WebSocket text frame"
    assert server.received == b"before"


def test_a_frame_above_the_limit_closes_the_connection() -> None:
    with serving(make_layer) as (sock, server):
        with connect("ws://localhost/mqtt", sock=sock, subprotocols=[MQTT]) as client:
            client.send(b"x" * (FRAME_BYTES_MAX + 1))
            server.join()
        assert client.close_code == 1009
    assert server.fault is not None
    assert "exceeds limit of 1000 bytes" in server.fault


def test_a_client_learns_that_the_server_closes() -> None:
    layer = opened()
    last = layer.send(b"last") + layer.close()
    assert last == frame(Opcode.BINARY, b"last", mask=False) + frame(
        Opcode.CLOSE, struct.pack("!H", 1000), mask=False
    )
    assert layer.close() == b""
    assert layer.send(b"late") == b""
    assert layer.receive(frame(Opcode.BINARY, b"late")) == b""


def test_a_ping_is_answered_with_its_data() -> None:
    with (
        serving(make_layer) as (sock, _),
        connect("ws://localhost/mqtt", sock=sock, subprotocols=[MQTT]) as client,
    ):
        assert client.ping(b"data").wait(PATIENCE_SECONDS)


def test_secure_websocket_is_websocket_on_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.server()
    context = tls_context(pair.certificate, pair.private_key)
    trusting = ssl.create_default_context(cafile=authority.certificate)
    with serving(lambda: LayerStack([TlsLayer(context), make_layer()]), 100) as (sock, server):
        with connect(
            "wss://localhost/mqtt", sock=sock, ssl=trusting, subprotocols=[MQTT]
        ) as client:
            client.send(b"data")
            assert client.recv(PATIENCE_SECONDS) == b"data"
        assert client.close_code == 1000
    assert server.layer.opened
    assert server.layer.received_eof


# --- The opening request, byte by byte --------------------------------------------------------------


def test_frames_may_follow_the_request_at_once() -> None:
    layer = make_layer()
    data = request() + frame(Opcode.BINARY, b"one") + frame(Opcode.BINARY, b"two")
    assert layer.receive(data) == b"onetwo"


def test_the_answer_is_that_of_the_standards_example() -> None:
    layer = make_layer()
    layer.receive(request())
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in layer.take_output()
    assert layer.take_output() == b""


BAD_REQUESTS = {
    request(upgrade=False): (426, "a plain HTTP request"),
    request("/"): (404, "there is nothing at '/'"),
    request(protocols=None): (400, "missing subprotocol"),
    request(key="short"): (400, "invalid Sec-WebSocket-Key"),
    request(key="\xff"): (400, "invalid Sec-WebSocket-Key"),
    request().replace(b"Version: 13", b"Version: 8"): (400, "invalid Sec-WebSocket-Version"),
    request().replace(b"GET", b"POST"): (405, "POST"),
    request().replace(b"HTTP/1.1", b"HTTP/1.0"): (505, "HTTP/1.0"),
    request().replace(b"HTTP/1.1", b"HTTP/2"): (400, "not a valid HTTP request"),
    request(more="Content-Length: 5\r\n"): (400, "not a valid HTTP request"),
    request(more="no colon\r\n"): (400, "not a valid HTTP request"),
    b"GET\r\n\r\n": (400, "not a valid HTTP request"),
    b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02id": (400, "not an HTTP request"),
    b"\x16\x03\x01\x02\x00\x01": (400, "not an HTTP request"),
    b"\r\n\r\n": (400, "not an HTTP request"),
    request(more="X: " + "x" * REQUEST_BYTES_MAX + "\r\n"): (431, "longer than 8192 bytes"),
    b"G" * (REQUEST_BYTES_MAX + 1): (431, "longer than 8192 bytes"),
}


@pytest.mark.parametrize(
    ("data", "status", "text"), [(d, *answer) for d, answer in BAD_REQUESTS.items()]
)
def test_a_bad_request_is_answered_and_is_a_fault(data: bytes, status: int, text: str) -> None:
    layer = make_layer()
    with pytest.raises(LayerFault) as caught:
        layer.receive(data)
    assert f"refused with {status}: " in caught.value.text
    assert text in caught.value.text
    answer = layer.take_output()
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"\r\nConnection: close\r\n" in answer
    assert layer.send(b"late") == layer.close() == b""
    assert layer.receive(request()) == b""


def test_what_a_refusal_quotes_is_bounded_and_printable() -> None:
    with pytest.raises(LayerFault) as caught:
        make_layer().receive(request("/\x1b[2J" + "x" * 1000))
    assert caught.value.text.isprintable()
    assert len(caught.value.text) < 300


def test_opening_and_closing_write_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    layer = opened()
    layer.receive(frame(Opcode.CLOSE, b""))
    with pytest.raises(LayerFault):
        make_layer().receive(request(upgrade=False))
    assert caplog.records == []


def test_the_longest_request_is_taken() -> None:
    room = REQUEST_BYTES_MAX - len(request(more="X: \r\n"))
    layer = make_layer()
    layer.receive(request(more="X: " + "x" * room + "\r\n"))
    assert layer.opened


def test_sending_before_the_opening_is_our_own_fault() -> None:
    with pytest.raises(AssertionError):
        make_layer().send(b"x")


def test_closing_before_the_opening_says_nothing() -> None:
    layer = make_layer()
    layer.receive(b"GET /mqtt")
    assert layer.close() == b""
    assert layer.receive(b" HTTP/1.1\r\n\r\n") == b""


# --- Frames, byte by byte ---------------------------------------------------------------------------


@pytest.mark.clause("MQTT-6.0.0-2")
def test_packets_need_not_end_where_frames_end() -> None:
    layer = opened()
    packets = b"\xc0\x00" * 5
    frames = frame(Opcode.BINARY, packets[:3]) + frame(Opcode.BINARY, packets[3:])
    assert layer.receive(frames) == packets


def test_a_fragmented_message_is_a_stream_with_pings_in_between() -> None:
    layer = opened()
    assert layer.receive(frame(Opcode.BINARY, b"a", fin=False)) == b"a"
    assert layer.receive(frame(Opcode.PING, b"p") + frame(Opcode.PONG, b"")) == b""
    assert layer.receive(frame(Opcode.CONT, b"b" * 900, fin=False)) == b"b" * 900
    assert layer.receive(frame(Opcode.CONT, b"c" * 900)) == b"c" * 900
    assert layer.send(b"x") == frame(Opcode.PONG, b"p", mask=False) + frame(
        Opcode.BINARY, b"x", mask=False
    )
    assert layer.send(b"") == b""


@pytest.mark.parametrize("code", [struct.pack("!H", 1000), struct.pack("!H", 1001) + b"bye", b""])
def test_a_close_is_echoed_and_ends_the_layer(code: bytes) -> None:
    layer = opened()
    data = frame(Opcode.BINARY, b"last") + frame(Opcode.CLOSE, code) + b"junk"
    assert layer.receive(data) == b"last"
    assert layer.received_eof
    assert layer.receive(frame(Opcode.BINARY, b"late")) == b""
    assert layer.send(b"late") == frame(Opcode.CLOSE, code, mask=False)
    assert layer.close() == b""


BAD_FRAMES = {
    "unmasked": (frame(Opcode.BINARY, b"x", mask=False), 1002),
    "reserved bit": (b"\xc2\x80\0\0\0\0", 1002),
    "unknown opcode": (b"\x83\x80\0\0\0\0", 1002),
    "fragmented ping": (b"\x09\x80\0\0\0\0", 1002),
    "long ping": (b"\x89\xfe\x00\x7e" + bytes(4 + 126), 1002),
    "continuation of nothing": (frame(Opcode.CONT, b"x"), 1002),
    "message within a message": (
        frame(Opcode.BINARY, b"", fin=False) + frame(Opcode.BINARY, b""),
        1002,
    ),
    "short close": (frame(Opcode.CLOSE, b"x"), 1002),
    "invalid close code": (frame(Opcode.CLOSE, struct.pack("!H", 1005)), 1002),
    "invalid close reason": (frame(Opcode.CLOSE, struct.pack("!H", 1000) + b"\xff"), 1007),
    "too long": (b"\x82\xfe" + struct.pack("!H", FRAME_BYTES_MAX + 1), 1009),
    "much too long": (b"\x82\xff" + b"\xff" * 8, 1009),
    "text": (frame(Opcode.TEXT, b"x"), 1003),
}


@pytest.mark.parametrize("name", BAD_FRAMES)
def test_a_bad_frame_is_a_fault_that_loses_nothing_before_it(name: str) -> None:
    bad, code = BAD_FRAMES[name]
    layer = opened()
    with pytest.raises(LayerFault) as caught:
        layer.receive(frame(Opcode.BINARY, b"good") + bad + frame(Opcode.BINARY, b"lost"))
    assert caught.value.received == b"good"
    answer = layer.take_output()
    assert (answer[0], answer[2:4]) == (0x88, struct.pack("!H", code))
    assert not layer.received_eof
    assert layer.receive(frame(Opcode.BINARY, b"late")) == b""
    assert layer.send(b"late") == layer.close() == b""


# --- Whatever the bytes -----------------------------------------------------------------------------


def outcome(chunks: list[bytes]) -> tuple[bytes, bool, bool, str | None]:
    layer = make_layer()
    received, text = b"", None
    for chunk in chunks:
        try:
            received += layer.receive(chunk)
        except LayerFault as fault:
            assert text is None
            received += fault.received
            text = fault.text
    return received, layer.opened, layer.received_eof, text


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    opcode = draw(st.sampled_from([Opcode.BINARY] * 6 + [Opcode.PING, Opcode.PONG, *Opcode]))
    control = opcode in {Opcode.PING, Opcode.PONG, Opcode.CLOSE}
    fin = control or draw(st.sampled_from([True, True, False]))
    return frame(opcode, draw(st.binary(max_size=125)), fin=fin)


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    opening = draw(st.sampled_from([request()] * 20 + list(BAD_REQUESTS)))
    bad = [bad for bad, _ in BAD_FRAMES.values()]
    return opening + b"".join(
        draw(st.lists(frames() | frames() | st.sampled_from(bad), max_size=8))
    )


@given(streams(), st.lists(st.integers(0, 20000), max_size=12))
def test_any_chunking_gives_the_same(data: bytes, cuts: list[int]) -> None:
    assert outcome(split(data, cuts)) == outcome([data])


@given(streams().filter(lambda data: len(data) < 3000))
def test_byte_by_byte_gives_the_same(data: bytes) -> None:
    assert outcome([bytes([byte]) for byte in data]) == outcome([data])


@given(st.sampled_from([b"", b"GET /mqtt HTTP/1.1\r\n", request()]), st.binary(max_size=200))
def test_any_bytes_are_a_stream_or_a_layer_fault(start: bytes, data: bytes) -> None:
    outcome([start + data, b"\r\n\r\n"])


@given(streams(), st.integers(0, 20000), st.integers(0, 255))
def test_any_damage_is_a_stream_or_a_layer_fault(data: bytes, where: int, value: int) -> None:
    damaged = bytearray(data)
    damaged[where % len(data)] = value
    outcome([bytes(damaged)])


@pytest.mark.parametrize("rest", [b"", b"\x82\x85abc", b"\xff\xff\xff", b"\x81\x81abcdx"])
def test_what_is_released_leaves_no_circle(rest: bytes) -> None:
    def work() -> None:
        layer = make_layer()
        layer.receive(request())
        with suppress(LayerFault):
            layer.receive(rest)
        layer.close()
        layer.release()

    work()
    assert left_in_circles(work) == []


def test_what_is_released_has_no_parser_that_waits() -> None:
    """A generator that waits holds the protocol it belongs to; the collector frees both without a trace."""
    layer = make_layer()
    layer.receive(request())
    layer.release()
    assert layer._protocol.parser.gi_frame is None
