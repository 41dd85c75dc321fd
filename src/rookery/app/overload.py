"""Looks at the node's memory and lag a few times a second, and tells what comes of it."""

import asyncio
from typing import Final

import structlog

from rookery.config.models import Config
from rookery.engine.broker import Broker
from rookery.engine.overload import NAMES, NORMAL, REFUSING, Overload
from rookery.observe.lag import LagProbe
from rookery.observe.memory import MARK_SHARE, give_back, memory_bytes, resident_bytes

log: Final = structlog.get_logger("rookery.app")

LOOK_SECONDS: Final = 0.5
GIVE_BACK_SECONDS: Final = 10.0
"""How often memory is given back while there is too little."""


def make_overload(config: Config, broker: Broker) -> Overload:
    """The marks as the configuration has them."""
    settings = config.overload
    memory_bytes_max: float
    if settings.memory_bytes_max is None:
        memory_bytes_max = memory_bytes() * MARK_SHARE
    else:
        memory_bytes_max = settings.memory_bytes_max
    return Overload(
        broker.stats, memory_bytes_max, settings.loop_lag_seconds_max, settings.sustained_seconds
    )


class OverloadWatch:
    """Feeds the node's ``Overload``."""

    def __init__(self, broker: Broker, lag: LagProbe) -> None:
        self._broker = broker
        self._lag = lag
        self._give_back_at = 0.0

    async def run(self) -> None:
        """Look again and again; a background task of the node."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look(
                resident_bytes(), self._lag.take_recent(), self._broker.clock.monotonic()
            )

    async def look(self, memory: float, lag_seconds: float, now: float) -> None:
        """Judge one measurement, tell of a change, and get rid of memory that nobody uses."""
        overload = self._broker.overload
        if overload.observe(memory, lag_seconds, now):
            name = NAMES[overload.level]
            if overload.level == NORMAL:
                log.warning("overload_over", level=name)
            else:
                log.warning("overload", level=name, reason=overload.reason)
        if overload.level != NORMAL and now >= self._give_back_at:
            self._give_back_at = now + GIVE_BACK_SECONDS
            await asyncio.to_thread(give_back)

    def check(self) -> tuple[bool, str]:
        """The health check: a node that refuses connections is not ready for clients."""
        overload = self._broker.overload
        name = NAMES[overload.level]
        detail = f"{name}: {overload.reason}" if overload.reason else name
        return overload.level != REFUSING, detail
