"""A layer on one end of a real socket pair: it echoes what comes up until either side ends."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rookery.net.layers import Layer, LayerFault

PATIENCE_SECONDS = 10


class LayerServer:
    """What the server's side saw; complete once ``join`` has returned."""

    def __init__(self, sock: socket.socket, layer: Layer, read_bytes: int) -> None:
        self.layer = layer
        self.received = b""
        self.fault: str | None = None
        self._sock = sock
        self._read_bytes = read_bytes
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def join(self) -> None:
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        with self._sock as sock:
            try:
                while not self.layer.received_eof and (data := sock.recv(self._read_bytes)):
                    received = self.layer.receive(data)
                    self.received += received
                    sock.sendall(self.layer.take_output())
                    if received:
                        sock.sendall(self.layer.send(received))
            except LayerFault as fault:
                self.fault = fault.text
                self.received += fault.received
            except ConnectionError:
                return
            try:
                sock.sendall(self.layer.close())
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(65536):  # Closing with unread data would reset what was just sent.
                    pass
            except OSError:
                pass


@contextmanager
def serving(
    make_layer: Callable[[], Layer], read_bytes: int = 65536
) -> Iterator[tuple[socket.socket, LayerServer]]:
    """Yield the client's socket and the server, which has ended when the block is left."""
    client, server_socket = socket.socketpair()
    client.settimeout(PATIENCE_SECONDS)
    server_socket.settimeout(PATIENCE_SECONDS)
    server = LayerServer(server_socket, make_layer(), read_bytes)
    try:
        with client:
            yield client, server
    finally:
        server.join()
