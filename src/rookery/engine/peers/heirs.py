"""Messages that were kept for a dead node, for the sessions that were adopted from its cell.

This node's other sessions had their copy when it was published, so the log names who inherited it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rookery.engine.own_messages import copy_of
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
    numbers: dict[int, list[int]] = {}
    for matched in matches.recipients:
        if not is_of(matched, cell):
            continue
        recipient = recipient_for(matched, message)
        if recipient is not None:
            qos = min(message.qos, recipient.qos_max)
            told.append((recipient, qos))
            if qos and recipient.subscriber.durable:
                numbers.setdefault(qos, []).append(recipient.subscriber.number)
    positions = {qos: _keep(broker, message, qos, heirs) for qos, heirs in numbers.items()}
    for recipient, qos in told:
        retain = message.retain and recipient.retain_as_published
        recipient.subscriber.tell(
            Delivery(message, qos, retain, recipient.identifiers, "", positions.get(qos, 0))
        )
    broker.request_turn()
    return committer.must_keep() if numbers else 0


def _keep(broker: Broker, message: Message, qos: int, numbers: list[int]) -> int:
    """Put a message into the log for those who are owed it with one QoS; its position."""
    committer = broker.committer
    numbers.sort()
    kept_at = committer.now if committer.dates else None
    data = encode_message(
        lowered_to(qos, message),
        committer.wall_minus_monotonic,
        (),
        "",
        kept_at,
        pack_numbers(numbers),
    )
    position = committer.append_entry(data)
    committer.refer(position, len(numbers))
    return position


def lowered_to(qos: int, message: Message) -> Message:
    """A message as those inherit it who are owed it with this QoS.

    The log does not say when they subscribed: a subscription that they make later must not raise it.
    """
    if qos == message.qos:
        return message
    lowered = copy_of(message)
    lowered.qos = qos
    return lowered


def is_of(recipient: Recipient, cell: str) -> bool:
    """Whether a session was adopted from a cell."""
    actor = recipient.subscriber
    return isinstance(actor, SessionActor) and actor.adopted_from == cell
