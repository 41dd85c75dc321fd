"""Who is owed what: thousands of sessions, and messages that go to them in turn.

Neighbouring messages belong to different sessions, so what one session is owed lies scattered over
all that the broker keeps: the hardest order to read it back in, and to know what can be dropped.
"""

from dataclasses import dataclass
from typing import Final

OWED_MAX: Final = 10_000
"""Messages for one session: as many as a queue of Rookery holds by default."""
_GROUPS_MAX: Final = 1_000_000
"""Six digits, so all topics have the same length."""


@dataclass(frozen=True)
class Plan:
    """How many sessions and messages there are, and how many sessions each message is owed to.

    With one owner each session has a topic of its own (profile ``own``). With more, so many
    neighbours share a topic and subscribe to it with a wildcard (profile ``groups``).

    Raises:
        ValueError: numbers that make no sense together.
    """

    sessions: int
    messages: int
    owners: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.owners <= self.sessions <= _GROUPS_MAX or self.messages < 1:
            raise ValueError(f"{self} needs at least one message, one owner and a session for each")
        if self.owed(0) > OWED_MAX:
            raise ValueError(f"each session would be owed {self.owed(0)}; at most {OWED_MAX}")

    @property
    def profile(self) -> str:
        """``own`` or ``groups``."""
        return "own" if self.owners == 1 else "groups"

    @property
    def groups(self) -> int:
        """How many topics there are."""
        return -(-self.sessions // self.owners)

    @property
    def topics(self) -> list[str]:
        """The topics, in the order in which they take turns."""
        return [self._topic(group) for group in range(self.groups)]

    def _topic(self, group: int) -> str:
        return f"offline/{self.profile}/{group:06d}/news"

    def group_of(self, session: int) -> int:
        """Return the number of a session's topic."""
        return session // self.owners

    def topic_of(self, session: int) -> str:
        """Return the topic of which a session gets every message."""
        return self._topic(self.group_of(session))

    def filter_of(self, session: int) -> str:
        """Return what a session subscribes to."""
        topic = self.topic_of(session)
        return topic if self.owners == 1 else topic.removesuffix("news") + "#"

    def owed(self, session: int) -> int:
        """Return how many messages a session is owed."""
        each, more = divmod(self.messages, self.groups)
        return each + (self.group_of(session) < more)

    @property
    def owed_total(self) -> int:
        """Messages and sessions owed: each message once for each of its owners."""
        return sum(self.owed(session) for session in range(self.sessions))
