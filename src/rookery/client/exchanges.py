"""What a client asked and is not answered yet: packet identifiers and the node's receive maximum."""

import asyncio
from typing import Final

from rookery.client.errors import ClientError, PublishRefused, told
from rookery.mqtt.errors import ProtocolViolation
from rookery.mqtt.packets import PubAck, PubComp, PubRec, PubRel, SubAck, UnsubAck
from rookery.mqtt.types import ReasonCode

PACKET_ID_MAX: Final = 65_535
PUBLISHES_MAX: Final = 65_000
"""Leaves packet identifiers for SUBSCRIBE while every place for a PUBLISH is taken."""

Answer = PubAck | PubRec | PubComp | SubAck | UnsubAck


class Exchange:
    """One packet identifier in use, from the question to the last answer."""

    def __init__(self, packet_id: int, expected: type[Answer]) -> None:
        self.packet_id = packet_id
        self.expected = expected
        self.is_publish = expected in (PubAck, PubRec)
        self.answer: asyncio.Future[list[ReasonCode]] = asyncio.get_running_loop().create_future()

    def end(self, reason_codes: list[ReasonCode], refusal: ClientError | None = None) -> None:
        """Tell who waits. Nobody does when the waiting was cancelled."""
        if self.answer.done():
            return
        if refusal is None:
            self.answer.set_result(reason_codes)
        else:
            self.answer.set_exception(refusal)


class Exchanges:
    """All that runs on one connection."""

    def __init__(self) -> None:
        self._running: dict[int, Exchange] = {}
        self._last_packet_id = 0
        self._window = asyncio.Semaphore(PUBLISHES_MAX)
        self._failure: ClientError | None = None

    def open_window(self, receive_maximum: int) -> None:
        """Take over how many PUBLISH packets may wait for their answer. [MQTT-3.3.4-9]"""
        self._window = asyncio.Semaphore(min(receive_maximum, PUBLISHES_MAX))

    @property
    def waiting(self) -> bool:
        """Whether an answer is still to come."""
        return bool(self._running)

    def check(self) -> None:
        """Raise what ended the connection, if something did."""
        if self._failure is not None:
            raise self._failure

    async def wait_for_place(self) -> None:
        """Wait until one more PUBLISH may go out; ``begin`` must follow at once."""
        await self._window.acquire()
        if self._failure is not None:
            self._window.release()  # So that the next one who waits learns of it too.
        self.check()

    def begin(self, expected: type[Answer]) -> Exchange:
        """Take a packet identifier that is not in use. [MQTT-2.2.1-3]"""
        self.check()
        assert len(self._running) < PACKET_ID_MAX
        packet_id = self._last_packet_id
        while True:
            packet_id = packet_id + 1 if packet_id < PACKET_ID_MAX else 1
            if packet_id not in self._running:
                break
        self._last_packet_id = packet_id
        exchange = Exchange(packet_id, expected)
        self._running[packet_id] = exchange
        return exchange

    def withdraw(self, exchange: Exchange) -> None:
        """The question was not sent after all."""
        del self._running[exchange.packet_id]
        if exchange.is_publish:
            self._window.release()

    def step(self, packet: Answer) -> PubRel | None:
        """Take an answer; return what must be sent because of it.

        Raises:
            ProtocolViolation: nothing with this packet identifier waits for such a packet.
        """
        exchange = self._running.get(packet.packet_id)
        if exchange is None or not isinstance(packet, exchange.expected):
            raise ProtocolViolation("an answer to what was not asked")
        if isinstance(packet, SubAck | UnsubAck):
            self.withdraw(exchange)
            exchange.end(packet.reason_codes)
        elif packet.reason_code >= 0x80:
            # A PUBREC that refuses ends the exchange, the packet identifier is free. [MQTT-4.3.3-4]
            self.withdraw(exchange)
            text = f"the message was refused: {told(packet.reason_code, packet.properties)}"
            exchange.end([], PublishRefused(text, packet.reason_code))
        elif isinstance(packet, PubRec):
            exchange.expected = PubComp
            return PubRel(packet.packet_id)
        else:
            self.withdraw(exchange)
            exchange.end([packet.reason_code])
        return None

    def fail(self, failure: ClientError) -> None:
        """There will be no more answers."""
        self._failure = failure
        for exchange in self._running.values():
            exchange.end([], failure)
        self._running.clear()
        self._window.release()
