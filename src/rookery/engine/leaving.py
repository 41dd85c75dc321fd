"""Takes the subscriptions of sessions that have ended out of the router, a few each turn.

A session may have thousands, and many may end at once. Until theirs are gone nothing is told to them, and they
are owed nothing. Shared subscriptions go at once: what a group gave to a member that is no more would be lost.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from rookery.session.session import GrantedSubscription

if TYPE_CHECKING:
    from rookery.engine.broker import Broker
    from rookery.engine.session_actor import SessionActor

AT_ONCE_MAX: Final = 100
"""As many as most sessions ever have are not worth putting off."""
LEFT_PER_TURN_MAX: Final = 500


class Leaving:
    """The subscriptions that wait to be taken out."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._waiting: deque[tuple[SessionActor, list[GrantedSubscription]]] = deque()

    def leave(self, actor: SessionActor) -> None:
        """Take out the subscriptions of a session that has ended, or begin to."""
        session = actor.session
        later: list[GrantedSubscription] = []
        router = self._broker.router
        put_off = len(session.subscriptions) > AT_ONCE_MAX
        for granted in session.subscriptions.values():
            if put_off and granted.share is None:
                later.append(granted)
            else:
                router.unsubscribe(actor, granted.topic_filter, granted.share)
        session.subscriptions.clear()
        if later:
            self._waiting.append((actor, later))
            self._broker.request_turn()

    def go_on(self) -> None:
        """Take out what this turn has room for."""
        if not self._waiting:
            return
        router = self._broker.router
        left = LEFT_PER_TURN_MAX
        while self._waiting and left > 0:
            actor, later = self._waiting[0]
            for granted in later[-left:]:
                router.unsubscribe(actor, granted.topic_filter, None)
            count = min(left, len(later))
            del later[-left:]
            left -= count
            if not later:
                self._waiting.popleft()
        if self._waiting:
            self._broker.request_turn()
