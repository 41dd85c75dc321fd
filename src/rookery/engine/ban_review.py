"""Sends away who is connected already when a ban says so: a few sessions each turn, so that no turn lasts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rookery.engine.stats import END_ADMINISTRATIVE
from rookery.mqtt.types import ReasonCode

if TYPE_CHECKING:
    from rookery.engine.broker import Broker
    from rookery.engine.session_actor import SessionActor

REVIEWED_PER_TURN_MAX: Final = 500


class BanReview:
    """Looks at every session once whenever a new ban also ends links."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._seen: int = 0
        self._waiting: list[SessionActor] = []

    def look(self) -> None:
        """Go on for this turn, beginning anew where there is a new ban; cheap where there is none."""
        disconnecting = self._broker.bans.disconnecting
        if disconnecting != self._seen:
            self._seen = disconnecting
            self._waiting = list(self._broker.registry.actors.values())
        if self._waiting:
            for actor in self._waiting[-REVIEWED_PER_TURN_MAX:]:
                self._review(actor)
            del self._waiting[-REVIEWED_PER_TURN_MAX:]
            if self._waiting:
                self._broker.request_turn()

    def _review(self, actor: SessionActor) -> None:
        client = actor.client
        if client is None:
            return
        principal = actor.principal  # It has the id that the client gave, without a mountpoint.
        ban = self._broker.bans.ending(principal.client_id, principal.name, client.address)
        if ban is not None:
            text = f"ban of {ban.kind} {ban.pattern}"
            if ban.reason:
                text = f"{text}: {ban.reason}"
            self._broker.log_refusal(client, "administrative_action", text)
            client.disconnect(ReasonCode.ADMINISTRATIVE_ACTION, END_ADMINISTRATIVE, "")
