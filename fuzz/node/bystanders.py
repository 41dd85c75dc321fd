"""Clients that behave, in the middle of it: everything they publish must arrive, once and in order."""

import asyncio
import contextlib
import os
from typing import Final

from rookery.client import Client
from rookery.mqtt.packets import SubscriptionRequest
from rookery.mqtt.properties import Properties

BEAT_SECONDS: Final = 0.01
PATIENCE_SECONDS: Final = 20.0
LAST: Final = b"last"
"""What a publisher says behind its messages, so that the subscriber need not wait for more."""


class Pair:
    """A publisher and a subscriber with a topic of their own that nobody guesses."""

    def __init__(self, address: tuple[str, int], number: int) -> None:
        self.sent = 0
        self.got = 0
        self.faults: list[str] = []
        self._address = address
        self._qos = number % 3
        # QoS 0 must arrive as well: these clients read, and are never near a limit.
        self._name = f"bystander-{number}-{os.urandom(8).hex()}"
        self._ending = asyncio.Event()

    async def run(self) -> None:
        """Exchange messages until ``end``, then wait for the last one."""
        topic = f"{self._name}/t"
        async with (
            self._client("in") as subscriber,
            self._client("out") as publisher,
        ):
            await subscriber.subscribe([SubscriptionRequest(topic, self._qos)])
            taking = asyncio.get_running_loop().create_task(self._take(subscriber))
            while not self._ending.is_set():
                await publisher.publish(topic, b"%d" % self.sent, self._qos)
                self.sent += 1
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._ending.wait(), BEAT_SECONDS)
            await publisher.publish(topic, LAST, self._qos)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(taking, PATIENCE_SECONDS)
        if self.got < self.sent:
            self.faults.append(f"QoS {self._qos}: {self.sent} sent, {self.got} arrived")

    def end(self) -> None:
        """Send no more."""
        self._ending.set()

    def _client(self, role: str) -> Client:
        properties = Properties()
        properties.session_expiry_interval = 60
        host, port = self._address
        name = f"{self._name}-{role}"
        return Client(host, port, client_id=name, properties=properties, keep_alive_seconds=10)

    async def _take(self, subscriber: Client) -> None:
        async for message in subscriber.messages():
            if message.payload == LAST:
                return
            if int(message.payload) != self.got:
                self.faults.append(
                    f"QoS {self._qos}: message {int(message.payload)} where {self.got} was due"
                )
            self.got = int(message.payload) + 1
