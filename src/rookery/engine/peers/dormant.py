"""Sessions of a dead node that are in the router already and not yet this node's to serve.

A session's subscriptions enter the router a few at a time, and all sessions of a cell become reachable at one
moment. Until then what their own subscriptions match is kept for them elsewhere, so here it passes them by.
What their share groups give them is theirs at once: nobody else keeps that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rookery.message import Delivery

if TYPE_CHECKING:
    from rookery.engine.session_actor import SessionActor


def let_pass(actor: SessionActor, deliveries: list[Delivery]) -> list[Delivery]:
    """Let go of what came by the session's own subscriptions; return the rest."""
    kept: list[Delivery] = []
    for delivery in deliveries:
        if delivery.share:
            kept.append(delivery)
        elif delivery.position and delivery.qos and actor.session.outbound.owed is not None:
            actor.broker.committer.release(delivery.position)
    return kept
