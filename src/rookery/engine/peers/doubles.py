"""A session that came from a dead node, though its client has one here: that should not be.

The one that is here stays. If its client is away it gets the messages that the other one is owed; if its client is
connected it has begun anew, and what came is let go of. A node that crashes meanwhile keeps the one that was here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rookery.engine.peers.heirs import lowered_to
from rookery.engine.recovery import decoded
from rookery.message import Delivery, Message
from rookery.records import encode_message, pack_numbers
from rookery.session.backlog import QOS_MASK, RETAIN

if TYPE_CHECKING:
    from rookery.engine.peers.slices import Slices
    from rookery.engine.session_actor import SessionActor


async def merge(double: SessionActor, ours: SessionActor, slices: Slices) -> int:
    """Move what ``double`` is owed to ``ours`` where that is of use, and end it; return how much was moved."""
    moved = 0
    if ours.client is None and ours.durable:
        for delivery in list(double.session.outbound.inflight.values()):
            _move(ours, delivery.message, delivery.qos, delivery.retain)
            moved += 1
        moved += await _move_backlog(double, ours, slices)
    double.broker.registry.end_session(double)
    return moved


async def _move_backlog(double: SessionActor, ours: SessionActor, slices: Slices) -> int:
    committer = double.broker.committer
    outbound = double.session.outbound
    moved = 0
    while not ours.ended:
        taken = outbound.take_backlog(committer.readable_end())
        if not taken:
            break
        entries = await _read(double, [position for position, _ in taken])
        for (_, flags), data in zip(taken, entries, strict=True):
            entry = None if data is None else decoded(data, committer.wall_minus_monotonic)
            if entry is not None and not ours.ended:
                _move(ours, entry.message, flags & QOS_MASK, flags & RETAIN != 0)
                moved += 1
        await slices.rest()
    return moved


async def _read(actor: SessionActor, positions: list[int]) -> Sequence[bytes | None]:
    future: asyncio.Future[Sequence[bytes | None]] = asyncio.get_running_loop().create_future()
    actor.broker.store.read(positions, future.set_result)
    return await future


def _move(ours: SessionActor, message: Message, qos: int, retain: bool) -> None:
    committer = ours.broker.committer
    data = encode_message(
        lowered_to(qos, message),
        committer.wall_minus_monotonic,
        (),
        kept_at=committer.now if committer.dates else None,
        heirs=pack_numbers((ours.number,)),
    )
    new = committer.append_entry(data)
    committer.refer(new, 1)
    committer.must_keep()
    identifiers = ours.session.identifiers_for(message.topic, "")
    ours.tell(Delivery(message, qos, retain, identifiers, "", new))
