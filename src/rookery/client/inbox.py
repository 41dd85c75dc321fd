"""The messages that came and were not taken yet, and what the node is told about them.

A message is acknowledged when it is taken, not when it comes: what a client leaves untaken the node
still owes it. The client's receive maximum so bounds QoS 1 and 2; for QoS 0 the owner stops reading.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Self

from rookery.client.errors import ClientError
from rookery.mqtt.packets import Packet, PubAck, PubComp, Publish, PubRec, PubRel


class Inbox(AsyncIterator[Publish]):
    """An iterator over the messages. It ends with the connection, in an error if that was lost.

    ``taken`` is called with the acknowledgement, if one is due, of each message taken.
    """

    def __init__(self, taken: Callable[[Packet | None], None]) -> None:
        self._taken = taken
        self._messages: deque[Publish] = deque()
        self._unreleased: set[int] = set()
        self._arrived = asyncio.Event()
        self._closed = False
        self._failure: ClientError | None = None

    def __len__(self) -> int:
        return len(self._messages)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Publish:
        while not self._messages:
            if self._failure is not None:
                raise self._failure
            if self._closed:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        message = self._messages.popleft()
        if message.qos == 0:
            self._taken(None)
        elif message.qos == 1:
            self._taken(PubAck(message.packet_id))
        else:
            self._taken(PubRec(message.packet_id))
        return message

    def put(self, message: Publish) -> None:
        """A message came. The same QoS 2 packet identifier before its PUBREL is the same message."""
        if message.qos == 2:
            if message.packet_id in self._unreleased:  # [MQTT-4.3.3-10]
                return
            self._unreleased.add(message.packet_id)
        self._messages.append(message)
        self._arrived.set()

    def release(self, packet: PubRel) -> PubComp:
        """The node lets go of a QoS 2 message; one of an earlier connection may be unknown here."""
        self._unreleased.discard(packet.packet_id)
        return PubComp(packet.packet_id)  # [MQTT-4.3.3-11]

    def close(self, failure: ClientError | None) -> None:
        """No more will come; what came can still be taken, once more after a resume for QoS 1.

        QoS 2 may not come twice, so what was not taken of it is left to the node, which owes it.
        """
        self._closed = True
        self._messages = deque(each for each in self._messages if each.qos < 2)
        self._failure = failure
        self._arrived.set()
