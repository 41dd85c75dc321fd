"""Messages from each node of a cluster to each other, through clients as users have them.

Every pair has a topic of its own, made new for each run, so that neither another run nor a retained message is
taken for an answer. The time of a message is from before its PUBLISH is written until it is read, on one clock.
"""

import asyncio
import os
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

from rookery.actors.clock import SystemClock, new_client_id
from rookery.client import Client, ClientError
from rookery.mqtt.packets import SubscriptionRequest

PROBE_SECONDS: Final = 0.1
"""How often the first message is sent again until it arrives."""
QUIET_SECONDS: Final = 0.1
"""How long is waited for messages that should not come."""


@dataclass(frozen=True)
class Plan:
    """What to try."""

    addresses: Sequence[tuple[str, int]]
    qos: int
    count: int
    seconds_max: float
    topic: str
    username: str | None = None
    password: bytes | None = None


@dataclass
class Outcome:
    """What became of the messages from one node to another."""

    sender: str
    receiver: str
    sent: int = 0
    received: int = 0
    repeated: int = 0
    known_seconds: float | None = None
    """After what time the subscription was known where messages were published."""
    seconds: list[float] = field(default_factory=list)
    failure: str | None = None

    @property
    def good(self) -> bool:
        """Whether all is as it should be."""
        return self.failure is None

    def row(self) -> tuple[object, ...]:
        """The outcome for people."""
        result = self.failure or ("ok" if not self.repeated else f"ok, {self.repeated} repeated")
        times = map(_ms, (self.known_seconds, *self.times()))
        return (self.sender, self.receiver, self.sent, self.received, *times, result)

    def times(self) -> tuple[float | None, float | None, float | None]:
        """The shortest, the median and the longest time of a message."""
        if not self.seconds:
            return None, None, None
        return min(self.seconds), median(self.seconds), max(self.seconds)

    def to_json(self) -> dict[str, Any]:
        """The outcome for programs."""
        return {
            "from": self.sender,
            "to": self.receiver,
            "sent": self.sent,
            "received": self.received,
            "repeated": self.repeated,
            "known_seconds": self.known_seconds,
            "rtt_seconds": dict(zip(("min", "median", "max"), self.times(), strict=True)),
            "ok": self.good,
            "failure": self.failure,
        }


async def run(plan: Plan) -> list[Outcome]:
    """Try every ordered pair, one after the other."""
    names = [f"{host}:{port}" for host, port in plan.addresses]
    outcomes = []
    async with AsyncExitStack() as stack:
        clients = [await _connected(stack, plan, address) for address in plan.addresses]
        for source, sender in enumerate(clients):
            for target, receiver in enumerate(clients):
                if source == target:
                    continue
                outcome = Outcome(names[source], names[target])
                outcomes.append(outcome)
                if isinstance(sender, str) or isinstance(receiver, str):
                    faults = dict(
                        zip((names[source], names[target]), (sender, receiver), strict=True)
                    )
                    outcome.failure = "; ".join(
                        f"{name}: {fault}"
                        for name, fault in faults.items()
                        if isinstance(fault, str)
                    )
                else:
                    await _Pair(plan, sender, receiver, outcome).run()
    return outcomes


async def _connected(stack: AsyncExitStack, plan: Plan, address: tuple[str, int]) -> Client | str:
    """A client of the node, or why there is none."""
    client = Client(
        *address,
        client_id=new_client_id(),
        username=plan.username,
        password=plan.password,
        connect_seconds_max=plan.seconds_max,
    )
    try:
        return await stack.enter_async_context(client)
    except ClientError as error:
        return str(error)
    except OSError as error:
        # What asyncio adds is the address, which is told anyway.
        if error.errno is not None and error.errno > 0:
            return os.strerror(error.errno).lower()
        return error.strerror or str(error)


class _Pair:
    """The messages from one client to another."""

    def __init__(self, plan: Plan, sender: Client, receiver: Client, outcome: Outcome) -> None:
        self._plan = plan
        self._sender = sender
        self._receiver = receiver
        self._outcome = outcome
        self._topic = f"{plan.topic}/{new_client_id()}"
        self._now = SystemClock().monotonic
        self._arrived: set[bytes] = set()

    async def run(self) -> None:
        """Fill in the outcome."""
        outcome, plan = self._outcome, self._plan
        try:
            (code,) = await self._receiver.subscribe([SubscriptionRequest(self._topic, plan.qos)])
            if code >= 0x80:
                outcome.failure = (
                    f"the subscription was refused: {code.name.lower().replace('_', ' ')}"
                )
                return
            await self._until_known()
            if outcome.failure is None:
                await self._measure()
            await self._receiver.unsubscribe([self._topic])
        except TimeoutError:
            outcome.failure = f"no acknowledgement within {plan.seconds_max:g} s"
        except ClientError as error:
            outcome.failure = str(error)

    async def _until_known(self) -> None:
        """Send until something arrives."""
        began = self._now()
        number = 0
        while self._now() - began < self._plan.seconds_max:
            await self._publish(b"probe %d" % number)
            if await self._arrival(None, PROBE_SECONDS):
                self._outcome.known_seconds = self._now() - began
                return
            number += 1
        self._outcome.failure = f"nothing arrived within {self._plan.seconds_max:g} s"

    async def _measure(self) -> None:
        outcome = self._outcome
        for number in range(self._plan.count):
            payload = b"message %d" % number
            began = self._now()
            await self._publish(payload)
            outcome.sent += 1
            if await self._arrival(payload, self._plan.seconds_max):
                outcome.received += 1
                outcome.seconds.append(self._now() - began)
        await self._arrival(b"", QUIET_SECONDS)  # What comes now came before.
        lost = outcome.sent - outcome.received
        if lost:
            outcome.failure = f"{lost} did not arrive within {self._plan.seconds_max:g} s"
        elif outcome.repeated and self._plan.qos != 1:  # Once more is what QoS 1 allows.
            outcome.failure = f"{outcome.repeated} arrived more than once"

    async def _publish(self, payload: bytes) -> None:
        async with asyncio.timeout(self._plan.seconds_max):
            await self._sender.publish(self._topic, payload, self._plan.qos)

    async def _arrival(self, wanted: bytes | None, seconds: float) -> bool:
        """Wait for this message, or for any; others are counted where they come again."""
        try:
            async with asyncio.timeout(seconds):
                async for message in self._receiver.messages():
                    if message.topic != self._topic:
                        continue
                    if message.payload in self._arrived:
                        self._outcome.repeated += 1
                    self._arrived.add(message.payload)
                    if wanted is None or message.payload == wanted:
                        return True
        except TimeoutError:
            pass
        return False


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1_000:.2f}"
