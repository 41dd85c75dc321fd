"""A real HTTP server in a thread that does what a test tells it, also what no server should."""

import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.certificates import Pair


@dataclass
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    client_certificate: bool = False
    connection: int = 0


@dataclass
class Reply:
    """What the server answers."""

    status: int = 200
    body: bytes = b""
    media_type: str = "application/json"


def as_json(value: Any, status: int = 200) -> Reply:
    return Reply(status, json.dumps(value).encode())


@dataclass
class WebServer:
    """``answer`` may be changed at any time; ``HANG``, ``RESET`` and ``GARBAGE`` are answers too."""

    port: int = 0
    scheme: str = "http"
    answer: Callable[[Asked], Any] = lambda asked: Reply(204)
    asked: list[Asked] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def url(self, path: str = "/") -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}{path}"


HANG, RESET, GARBAGE, CUT = "hang", "reset", "garbage", "cut"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    subject: WebServer

    def _serve(self) -> None:
        subject = self.subject
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        shown = isinstance(self.connection, ssl.SSLSocket) and bool(self.connection.getpeercert())
        asked = Asked(self.command, self.path, dict(self.headers), body, shown, id(self.connection))
        subject.asked.append(asked)
        subject.arrived.release()
        reply = subject.answer(asked)
        if reply == HANG:
            subject.released.wait(20)
            self.close_connection = True
        elif reply == RESET:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
        elif reply == GARBAGE:
            self.wfile.write(b"\x00\x01 this is not HTTP \xff\r\n\r\n")
            self.close_connection = True
        elif reply == CUT:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
            self.close_connection = True
        else:
            self.send_response(reply.status)
            if reply.body:
                self.send_header("Content-Type", reply.media_type)
            if reply.status != 204:
                self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

    do_GET = do_POST = _serve  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: Any) -> None:
        """A client that went away, or whose TLS failed, is what tests are about."""


@contextmanager
def web_server(
    answer: Callable[[Asked], Any] | None = None,
    tls: Pair | None = None,
    client_ca: Any = None,
) -> Iterator[WebServer]:
    subject = WebServer()
    if answer is not None:
        subject.answer = answer
    handler = type("Handler", (_Handler,), {"subject": subject})
    server = _Server(("127.0.0.1", 0), handler)
    if tls is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(tls.certificate, tls.private_key)
        if client_ca is not None:
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        subject.scheme = "https"
    subject.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield subject
    finally:
        subject.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
