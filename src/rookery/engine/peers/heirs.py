"""Messages that were kept for a dead node, for the sessions that were adopted from its cell.

This node's other sessions had their copy when it was published, so the log names who inherited it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rookery.engine.recovery import recipient_for
from rookery.engine.session_actor import SessionActor
from rookery.message import Delivery, Message
from rookery.records import encode_message, pack_numbers
from rookery.routing.subscriber import Recipient

if TYPE_CHECKING:
    from rookery.engine.broker import Broker


def deliver_hint(broker: Broker, cell: str, message: Message) -> int:
    """Tell the sessions of that cell whose subscriptions match; return the commit group to wait for.

    That is 0 where none of them has to keep it. Share groups have theirs from where it was published.
    """
    matches = broker.router.match_whole(message.topic)
    committer = broker.committer
    told: list[tuple[Recipient, int]] = []
    numbers: list[int] = []
    for matched in matches.recipients:
        if not is_of(matched, cell):
            continue
        recipient = recipient_for(matched, message)
        if recipient is not None:
            qos = min(message.qos, recipient.qos_max)
            told.append((recipient, qos))
            if qos and recipient.subscriber.durable:
                numbers.append(recipient.subscriber.number)
    group = 0
    position = 0
    if numbers:
        numbers.sort()
        kept_at = committer.now if committer.dates else None
        heirs = pack_numbers(numbers)
        data = encode_message(message, committer.wall_minus_monotonic, (), "", kept_at, heirs)
        position = committer.append_entry(data)
        committer.refer(position, len(numbers))
        message.position = position
        group = committer.must_keep()
    for recipient, qos in told:
        retain = message.retain and recipient.retain_as_published
        recipient.subscriber.tell(
            Delivery(message, qos, retain, recipient.identifiers, "", position)
        )
    broker.request_turn()
    return group


def is_of(recipient: Recipient, cell: str) -> bool:
    """Whether a session was adopted from a cell."""
    actor = recipient.subscriber
    return isinstance(actor, SessionActor) and actor.adopted_from == cell
