"""A cell whose node is dead becomes part of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rookery.message import Message

if TYPE_CHECKING:
    from rookery.engine.broker import Broker

ADOPTED_FACT: Final = "adopted/"


def deliver_hint(broker: Broker, _cell: str, message: Message, share: str) -> None:
    """Give a message to the sessions that came from a cell, as if it were published now."""
    broker.publishing.receive_from_peer(message, share)
