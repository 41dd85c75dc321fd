"""WebSocket on a byte stream: the server's side, which carries control packets in binary frames.

The ``websockets`` package knows the protocol (RFC 6455); here is what MQTT asks of it, what a stranger is
answered, and the limits. The stream above is independent of frames: a frame may hold several control
packets, and a control packet may span frames [MQTT-6.0.0-2].
"""

import http
import logging
from typing import Final

from websockets.exceptions import InvalidUpgrade
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import Event, State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from rookery.net.layers import Layer, LayerFault

REQUEST_BYTES_MAX: Final = 8192
"""The longest opening request taken, headers included: what browsers send with cookies has room in it."""

SUBPROTOCOLS: Final = (Subprotocol("mqtt"), Subprotocol("mqttv3.1"))
"""In order of preference. The second is from before the standard, and old clients offer nothing else."""

REASON_CHARACTERS_MAX: Final = 200
"""How much of a refusal's reason is told to the operator: it quotes the request."""

_LOGGER: Final = logging.getLogger(__name__)
# The package tells the opening and the end of every connection at INFO, which is the listener's to tell.
_LOGGER.setLevel(logging.WARNING)


class WebSocketLayer(Layer):
    """Answers the opening request, then unwraps frames from below and wraps what goes there.

    ``path`` is what the request must name (a query after it is ignored); ``frame_bytes_max`` bounds a
    frame's payload, since a frame is kept until it is complete.
    """

    def __init__(self, path: str, frame_bytes_max: int) -> None:
        super().__init__()
        self._path = path
        # A message of many frames is a stream to us: only single frames are limited.
        self._protocol = ServerProtocol(
            subprotocols=SUBPROTOCOLS, max_size=(None, frame_bytes_max), logger=_LOGGER
        )
        self._request = b""
        self._answer = b""
        self._receiving = True

    def receive(self, data: bytes) -> bytes:
        """Return the payloads of the frames completed by ``data``. (See the base class.)"""
        if not self._receiving:
            return b""
        if not self.opened:
            data = self._open(data)
            if not data:
                return b""
        protocol = self._protocol
        protocol.receive_data(data)
        events = protocol.events_received()
        fault = protocol.parser_exc
        if len(events) == 1 and fault is None:
            event = events[0]
            if isinstance(event, Frame) and event.opcode is Opcode.BINARY:
                return bytes(event.data)
        return self._take_frames(events, fault)

    def _take_frames(self, events: list[Event], fault: Exception | None) -> bytes:
        payloads: list[bytes] = []
        for event in events:
            assert isinstance(event, Frame)
            if event.opcode is Opcode.BINARY or event.opcode is Opcode.CONT:
                payloads.append(bytes(event.data))
            elif event.opcode is Opcode.TEXT:
                # [MQTT-6.0.0-1] Anything but binary data closes the connection.
                self._receiving = False
                self._protocol.fail(CloseCode.UNSUPPORTED_DATA, "MQTT takes binary frames only")
                raise LayerFault("WebSocket text frame", b"".join(payloads))
            elif event.opcode is Opcode.CLOSE:
                self._receiving = False
                self.received_eof = True
        if fault is not None:
            self._receiving = False
            raise LayerFault(f"WebSocket: {fault}", b"".join(payloads)) from fault
        return b"".join(payloads)

    def _open(self, data: bytes) -> bytes:
        """Gather the opening request, answer it when it is complete, and return what came behind it."""
        searched = max(len(self._request) - 3, 0)
        self._request += data
        # A client without WebSocket (an MQTT CONNECT, a TLS hello) never ends a line: it is told at once.
        if self._request and not 0x41 <= self._request[0] <= 0x5A:
            raise self._refuse(http.HTTPStatus.BAD_REQUEST, "not an HTTP request")
        end = self._request.find(b"\r\n\r\n", searched) + 4
        if max(end, len(self._request) if end == 3 else 0) > REQUEST_BYTES_MAX:
            text = f"the request is longer than {REQUEST_BYTES_MAX} bytes"
            raise self._refuse(http.HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, text)
        if end == 3:
            return b""
        head, rest = self._request[:end], self._request[end:]
        self._request = b""
        self._answer_request(head)
        self.opened = True
        return rest

    def _answer_request(self, head: bytes) -> None:
        protocol = self._protocol
        protocol.receive_data(head)
        events = protocol.events_received()
        if not events:
            raise self._refuse(http.HTTPStatus.BAD_REQUEST, "not a valid HTTP request")
        request = events[0]
        assert isinstance(request, Request)
        if request.path.partition("?")[0] != self._path:
            raise self._refuse(http.HTTPStatus.NOT_FOUND, f"there is nothing at {request.path!r}")
        # [MQTT-6.0.0-3] A client that does not offer the subprotocol is refused.
        # [MQTT-6.0.0-4] What is selected is "mqtt", or the older name where only that is offered.
        response = protocol.accept(request)
        if response.status_code == http.HTTPStatus.SWITCHING_PROTOCOLS:
            protocol.send_response(response)
            return
        reason = str(protocol.handshake_exc)
        if isinstance(protocol.handshake_exc, InvalidUpgrade):
            reason = "a plain HTTP request"
        raise self._refused(response, reason)

    def _refuse(self, status: http.HTTPStatus, text: str) -> LayerFault:
        return self._refused(self._protocol.reject(status, text + "\n"), text)

    def _refused(self, response: Response, text: str) -> LayerFault:
        self._receiving = False
        self._request = b""
        self._answer = response.serialize()
        shown = text[:REASON_CHARACTERS_MAX]
        return LayerFault(f"WebSocket request refused with {response.status_code}: {shown}")

    def send(self, data: bytes) -> bytes:
        """Wrap ``data`` into one binary frame; not before the opening. (See the base class.)"""
        if self._protocol.state is State.OPEN and data:
            # [MQTT-6.0.0-1] What we send are binary frames.
            self._protocol.send_binary(data)
        else:
            assert self._protocol.state is not State.CONNECTING or not self._receiving, (
                "nothing can be sent before the WebSocket is open"
            )
        return self.take_output()

    def take_output(self) -> bytes:
        """Return the answer to the request, to pings and to a close. (See the base class.)"""
        if self._answer:
            answer, self._answer = self._answer, b""
            return answer
        return b"".join(self._protocol.data_to_send())

    def close(self) -> bytes:
        """Return a close frame behind what was not taken yet. (See the base class.)"""
        self._receiving = False
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(CloseCode.NORMAL_CLOSURE)
        return self.take_output()

    def release(self) -> None:
        """End the parser, a generator that holds the protocol it belongs to, as its errors do."""
        protocol = self._protocol
        protocol.parser.close()
        protocol.parser_exc = None
        protocol.handshake_exc = None
