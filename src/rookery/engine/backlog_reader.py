"""Reads back what a durable session is owed and memory does not hold: from the log into its queue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rookery.engine.stats import DROP_TOO_OLD
from rookery.message import Delivery, Message
from rookery.records import decode_message
from rookery.session.backlog import QOS_MASK, RETAIN, SHARED
from rookery.session.owed import Owed

if TYPE_CHECKING:
    from rookery.engine.session_actor import SessionActor


def read_backlog(actor: SessionActor) -> None:
    """Have the next messages of the backlog read from the log; the session then goes on with them."""
    committer = actor.broker.committer
    taken = actor.session.outbound.take_backlog(committer.readable_end())
    if not taken:
        # What comes next is not written yet.
        if not actor.waits_for_commit:
            actor.waits_for_commit = True
            committer.wait_for_room(actor)
        return
    actor.broker.store.read(
        [position for position, _ in taken], lambda entries: _queue(actor, taken, entries)
    )


def _queue(
    actor: SessionActor, taken: list[tuple[int, int]], entries: Sequence[bytes | None]
) -> None:
    if actor.ended:
        return
    owed = actor.session.outbound.owed
    assert owed is not None
    broker = actor.broker
    seconds_max = broker.settings.limits.queue_seconds_max
    deliveries: list[Delivery] = []
    done_with: list[int] = []
    for (position, flags), data in zip(taken, entries, strict=True):
        if data is None:
            done_with.append(position)  # Its commit failed: it was never acknowledged.
            continue
        entry = decode_message(data, broker.committer.wall_minus_monotonic)
        if entry.older_than(seconds_max, broker.now):
            broker.stats.drop(DROP_TOO_OLD)
            actor.tell_drop(entry.message.topic, DROP_TOO_OLD)
            done_with.append(position)
            continue
        deliveries.append(_delivery_of(actor, position, flags, entry.message, owed))
    actor.session.outbound.queue_read(deliveries)
    if actor.revoked:
        broker.review.forget_unwanted(actor)
    for position in done_with:
        actor.finish(position)
    actor.advance(broker.now)
    broker.request_turn()


def _delivery_of(
    actor: SessionActor, position: int, flags: int, message: Message, owed: Owed
) -> Delivery:
    message.position = position
    share = ""
    if flags & SHARED:
        share = owed.share_of.pop(position, "")
    identifiers = actor.session.identifiers_for(message.topic, share)
    return Delivery(message, flags & QOS_MASK, flags & RETAIN != 0, identifiers, share, position)
