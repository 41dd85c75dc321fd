"""An asyncio MQTT client: connect, publish, subscribe, iterate over the messages."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from rookery.client.errors import (
    ClientError,
    ConnectionLost,
    ConnectionRefused,
    PublishRefused,
    told,
)
from rookery.client.exchanges import Answer, Exchange, Exchanges
from rookery.client.inbox import Inbox
from rookery.client.wire import Wire
from rookery.mqtt.encode import topic_to_wire
from rookery.mqtt.errors import PeerFault, ProtocolViolation
from rookery.mqtt.packets import (
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingResp,
    PubAck,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    SubscriptionRequest,
    UnsubAck,
    Unsubscribe,
    Will,
)
from rookery.mqtt.properties import Properties
from rookery.mqtt.types import PACKET_BYTES_LIMIT, V5, ReasonCode

INBOX_MESSAGES_MAX: Final = 1_000
"""Messages that may wait to be taken before nothing more is read."""
CLOSE_SECONDS_MAX: Final = 5.0
"""How long a goodbye may take to be written."""


class Client:
    """One connection, open inside ``async with``; entering it again is not possible.

    Entering raises ``ConnectionRefused`` when the node says no, ``ConnectionLost`` when it says nothing
    and closes, and ``OSError`` (``TimeoutError`` and ``ssl.SSLError`` among them) when it is not reached.
    With ``unix_path`` host and port mean nothing. ``tls`` verifies against ``host``.
    """

    def __init__(
        self,
        host: str = "localhost",
        port: int = 1883,
        *,
        client_id: str = "",
        version: int = V5,
        username: str | None = None,
        password: bytes | None = None,
        clean_start: bool = True,
        keep_alive_seconds: int = 60,
        will: Will | None = None,
        properties: Properties | None = None,
        tls: ssl.SSLContext | None = None,
        unix_path: Path | None = None,
        connect_seconds_max: float = 10.0,
    ) -> None:
        self._address = (host, port)
        self._tls = tls
        self._unix_path = unix_path
        self._connect_seconds_max = connect_seconds_max
        self._connect = Connect(
            client_id,
            version,
            clean_start,
            keep_alive_seconds,
            username,
            password,
            will,
            properties,
        )
        self._wire = Wire(self, self._connect)
        self._inbox = Inbox(self._taken)
        self._exchanges = Exchanges()
        self._publishing = asyncio.Lock()
        self._greeted: asyncio.Future[ConnAck] = asyncio.get_running_loop().create_future()
        self._ended = False

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.timeout(self._connect_seconds_max):
                await self._open()
                self._wire.send(self._connect)
                connack = await self._greeted
        except TimeoutError as error:
            self.abort()
            raise TimeoutError(f"no answer within {self._connect_seconds_max:g} s") from error
        except BaseException:
            self.abort()
            raise
        if connack.reason_code != ReasonCode.SUCCESS:
            self.abort()
            text = (
                f"the node refused the connection: {told(connack.reason_code, connack.properties)}"
            )
            raise ConnectionRefused(text, connack.reason_code)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.disconnect()

    @property
    def connack(self) -> ConnAck:
        """The node's answer to the CONNECT: session present, the limits of the node."""
        return self._greeted.result()

    @property
    def client_id(self) -> str:
        """The client id: one's own, or the one the node assigned."""
        properties = self.connack.properties
        assigned = None if properties is None else properties.assigned_client_identifier
        return self._connect.client_id if assigned is None else assigned

    async def publish(
        self,
        topic: str,
        payload: bytes,
        qos: int = 0,
        retain: bool = False,
        properties: Properties | None = None,
    ) -> ReasonCode:
        """Publish; done when acknowledged, with QoS 0 when on its way.

        Concurrent calls are sent in the order in which they were made. The answer is ``SUCCESS`` or, of
        some 5.0 nodes, ``NO_MATCHING_SUBSCRIBERS``.

        Raises:
            PublishRefused: the node did not take the message.
            ConnectionLost: the connection ended first; the node may have the message.
        """
        message = Publish(topic, topic_to_wire(topic), payload, qos, retain, properties=properties)
        async with self._publishing:
            await self._wire.writable()
            if qos == 0:
                self._exchanges.check()
                self._send(message)
                return ReasonCode.SUCCESS
            await self._exchanges.wait_for_place()
            exchange = self._exchanges.begin(PubAck if qos == 1 else PubRec)
            message.packet_id = exchange.packet_id
            self._ask(exchange, message)
        return (await exchange.answer)[0]

    async def subscribe(
        self,
        requests: Sequence[SubscriptionRequest],
        properties: Properties | None = None,
    ) -> list[ReasonCode]:
        """Subscribe; the answer has one reason code for each topic filter, failures among them."""
        exchange = self._exchanges.begin(SubAck)
        self._ask(exchange, Subscribe(exchange.packet_id, list(requests), properties))
        return await exchange.answer

    async def unsubscribe(self, topic_filters: Sequence[str]) -> list[ReasonCode]:
        """Unsubscribe; before 5.0 the answer is empty."""
        exchange = self._exchanges.begin(UnsubAck)
        self._ask(exchange, Unsubscribe(exchange.packet_id, list(topic_filters)))
        return await exchange.answer

    def messages(self) -> AsyncIterator[Publish]:
        """The messages of all subscriptions in the order in which they come; each is taken once.

        A message is acknowledged when it is taken. The iteration ends with ``disconnect`` and raises
        ``ConnectionLost`` when the connection was lost.
        """
        return self._inbox

    async def disconnect(self, reason_code: ReasonCode = ReasonCode.SUCCESS) -> None:
        """Say goodbye and close; nothing when the connection is gone already."""
        if not self._ended:
            self._wire.send(Disconnect(reason_code))
            self._end(None)
            self._wire.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await self._wire.closed.wait()
        self._wire.abort()

    def abort(self) -> None:
        """Close at once without a goodbye, as a crash would: the node publishes the will."""
        self._end(None)
        self._wire.abort()

    def received(self, packet: Packet) -> None:
        """A packet came. (The wire calls this.)"""
        if self._ended:
            return
        if isinstance(packet, Publish):
            self._inbox.put(packet)
        elif isinstance(packet, PubRel):
            self._wire.send(self._inbox.release(packet))
        elif isinstance(packet, Answer):
            reply = self._exchanges.step(packet)
            if reply is not None:
                self._wire.send(reply)
        elif isinstance(packet, ConnAck):
            self._welcomed(packet)
        elif isinstance(packet, Disconnect):
            text = f"the node ended the connection: {told(packet.reason_code, packet.properties)}"
            self._end(ConnectionLost(text, packet.reason_code))
            self._wire.close()
        elif not isinstance(packet, PingResp):
            raise ProtocolViolation("a packet without a place here")
        self._watch()

    def broken(self, text: str, fault: PeerFault | None) -> None:
        """The connection is of no use any more. (The wire calls this.)"""
        if fault is not None and not self._ended:
            if self._connect.version == V5 and self._greeted.done():  # [MQTT-4.13.1-1]
                self._wire.send(Disconnect(fault.reason_code))
            self._wire.close()
        self._end(ConnectionLost(text))

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        if self._unix_path is not None:
            await loop.create_unix_connection(lambda: self._wire, str(self._unix_path))
        else:
            await loop.create_connection(lambda: self._wire, *self._address, ssl=self._tls)

    def _welcomed(self, connack: ConnAck) -> None:
        told_by_node = connack.properties or Properties()
        self._wire.link.open_output(
            told_by_node.maximum_packet_size or PACKET_BYTES_LIMIT,
            told_by_node.topic_alias_maximum or 0,
        )
        self._exchanges.open_window(told_by_node.receive_maximum or 65_535)
        keep_alive_seconds = told_by_node.server_keep_alive
        if keep_alive_seconds is None:
            keep_alive_seconds = self._connect.keep_alive_seconds
        self._wire.keep_alive(keep_alive_seconds)  # [MQTT-3.1.2-21]
        if not self._greeted.done():
            self._greeted.set_result(connack)

    def _ask(self, exchange: Exchange, packet: Packet) -> None:
        try:
            self._send(packet)
        except BaseException:
            self._exchanges.withdraw(exchange)
            raise
        self._watch()

    def _send(self, packet: Packet) -> None:
        if not self._wire.send(packet):  # [MQTT-3.2.2-15]
            raise PublishRefused("too large for the node", ReasonCode.PACKET_TOO_LARGE)

    def _taken(self, acknowledgement: Packet | None) -> None:
        if acknowledgement is not None and not self._ended:
            self._wire.send(acknowledgement)
        self._watch()

    def _watch(self) -> None:
        """Read on while there is room for messages, or while the answer to a question is ahead."""
        self._wire.read_on(len(self._inbox) < INBOX_MESSAGES_MAX or self._exchanges.waiting)

    def _end(self, failure: ClientError | None) -> None:
        if self._ended:
            return
        self._ended = True
        if not self._greeted.done():
            if failure is None:
                self._greeted.cancel()
            else:
                self._greeted.set_exception(failure)
        self._exchanges.fail(failure or ConnectionLost("the client closed the connection"))
        self._inbox.close(failure)
