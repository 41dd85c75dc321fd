"""Has a link wait for its pace: read no more from it, tell it in counters and log, and go on in time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rookery.engine.pace import LOG_SECONDS, Pace
from rookery.engine.stats import END_RATE_EXCEEDED
from rookery.mqtt.types import ReasonCode

if TYPE_CHECKING:
    from rookery.engine.client_link import ClientLink


def keep_pace(client: ClientLink, pace: Pace, now: float) -> None:
    """Read no more before it is this link's turn again, if it has taken all that it may."""
    until = pace.waits_until(now)
    if until == 0.0:
        return
    broker = client.broker
    if broker.now - pace.logged_at >= LOG_SECONDS:
        pace.logged_at = broker.now
        broker.log_paced(client, pace.bound, until - now)
    if pace.exceeded:
        text = f"more than the {pace.bound} may send"
        client.disconnect(ReasonCode.MESSAGE_RATE_TOO_HIGH, END_RATE_EXCEEDED, text)
        return
    client.io.pause()
    if not pace.waiting or pace.wakes_at < until:
        if not pace.waiting:
            pace.waiting = True
            broker.gate.paced += 1
            broker.stats.paused[pace.bound] += 1
        pace.wakes_at = until
        broker.timers.at(until, client)


def go_on_at_pace(client: ClientLink, pace: Pace, now: float) -> None:
    """Go on with the packets that waited, once it is time."""
    if pace.waiting and now >= pace.wakes_at:
        pace.waiting = False
        client.broker.gate.paced -= 1
        client.last_received = now  # It was not listened to meanwhile.
        client.io.request_work()


def give_up_pace(client: ClientLink) -> None:
    """The link has ended: it waits for nothing any more."""
    pace = client.pace
    if pace is not None and pace.waiting:
        client.broker.timers.give_up(pace.wakes_at, client)
        pace.waiting = False
        client.broker.gate.paced -= 1
