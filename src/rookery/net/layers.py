"""Byte-stream layers between a socket and a link: PROXY header, TLS, WebSocket.

A layer does no I/O. Whoever owns the socket gives it what was read (``receive``), writes what it wants to
say by itself (``take_output``), and passes through it what the link wants to send (``send``). So a layer
costs nothing where it is absent, and the same tests drive it with and without a socket.

The end of a link has one form however it comes about (a ``LayerFault``, ``received_eof``, or a wish of our own):
write ``close()`` as far as the socket takes it, then close the socket.
"""

from collections.abc import Sequence


class LayerFault(Exception):
    """The peer broke this layer's protocol; nothing more can be received.

    ``received`` holds what had come for above before the fault, so that it is not lost with it.
    """

    def __init__(self, text: str, received: bytes = b"") -> None:
        super().__init__(text)
        self.text = text
        self.received = received


class Layer:
    """One byte-stream protocol; this one passes everything through unchanged."""

    def __init__(self) -> None:
        self.opened = False
        """Whether the layer's handshake is finished; before that nothing may be sent from above."""
        self.received_eof = False
        """Whether the peer ended this layer in good order; the link should end."""

    def receive(self, data: bytes) -> bytes:
        """Take bytes from below and return what they hold for above, perhaps nothing yet.

        After a fault or an end, whatever comes is dropped.

        Raises:
            LayerFault: the peer broke the protocol.
        """
        return data

    def send(self, data: bytes) -> bytes:
        """Return the bytes for below that carry ``data``, behind any output not taken yet.

        Once this layer was closed there is no way out any more and the answer is empty.
        """
        return data

    def take_output(self) -> bytes:
        """Return, once, what the layer itself wants to send below. To be asked after each ``receive``."""
        return b""

    def close(self) -> bytes:
        """Return the last bytes for below: output not taken yet, then a goodbye where there is one.

        May be called in any state and again; a second call returns nothing.
        """
        return b""

    def release(self) -> None:
        """Let go of what only the cycle collector would find: the connection is gone, nothing else is called."""


class LayerStack(Layer):
    """Layers one upon the other, the lowest first, seen as a single one."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        super().__init__()
        self._layers = list(layers)
        self._output: list[bytes] = []

    def receive(self, data: bytes) -> bytes:
        """Pass bytes up through all layers. (See the base class.)"""
        try:
            return self._receive_from(0, data)
        finally:
            if not self.opened:
                self.opened = all(layer.opened for layer in self._layers)

    def _receive_from(self, start: int, data: bytes) -> bytes:
        """Pass bytes up from one layer on, gathering what the layers say by themselves on the way."""
        for index in range(start, len(self._layers)):
            layer = self._layers[index]
            try:
                data = layer.receive(data)
            except LayerFault as fault:
                self._gather_output(index)
                # What came before the fault is good; a fault that the layers above find in it came first.
                received = self._receive_from(index + 1, fault.received) if fault.received else b""
                raise LayerFault(fault.text, received) from fault
            self._gather_output(index)
            if layer.received_eof:
                self.received_eof = True
            if not data:
                return b""
        return data

    def _gather_output(self, index: int) -> None:
        output = self._layers[index].take_output()
        if output:
            self._output.append(self._send_below(index, output))

    def _send_below(self, index: int, data: bytes) -> bytes:
        for layer in reversed(self._layers[:index]):
            data = layer.send(data)
        return data

    def send(self, data: bytes) -> bytes:
        """Pass bytes down through all layers. (See the base class.)"""
        data = self._send_below(len(self._layers), data)
        # TLS records must leave in the order in which they were made.
        return self.take_output() + data if self._output else data

    def take_output(self) -> bytes:
        """Return, once, what the layers themselves want to send, in the form of the lowest."""
        if not self._output:
            return b""
        output = b"".join(self._output)
        self._output.clear()
        return output

    def close(self) -> bytes:
        """Close all layers from the top, each one's last bytes carried by those below it."""
        closing = [self.take_output()]
        for index in reversed(range(len(self._layers))):
            last = self._layers[index].close()
            if last:
                closing.append(self._send_below(index, last))
        return b"".join(closing)

    def release(self) -> None:
        """Have every layer let go. (See the base class.)"""
        for layer in self._layers:
            layer.release()


def stacked(layers: Sequence[Layer]) -> Layer | None:
    """Return the layers as one, the lowest first; ``None`` when there are none and bytes pass as they are."""
    if not layers:
        return None
    return layers[0] if len(layers) == 1 else LayerStack(layers)
