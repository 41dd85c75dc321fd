"""Who decides what a client may do: its own grants, then rules source by source, then the default.

The order is fixed: what the proof of its identity grants; the rules of the access database, which an
operator adds to a running node; those of the configuration; those of the file in mosquitto's format; an HTTP
service. The first that has something to say decides. A superuser is asked about nowhere.
"""

from collections.abc import Awaitable, Generator, Iterable
from typing import Final, Protocol

from rookery.auth.filters import covers, overlaps, split_filter
from rookery.auth.questions import Question
from rookery.auth.rules import RuleSet
from rookery.ports import Decision, Grant, Principal

DEFAULT: Final = "authorization.default"
"""What decides where nothing else does."""
NO_RULES: Final = "authorization.default: allow while there are no rules"
NO_GRANT: Final = Decision(False, "none of the client's grants, and there are no rules")
SUPERUSER: Final = Decision(True, "a superuser, to whom no rule applies")


class Remote(Protocol):
    """A source that is asked over the network."""

    def ask(self, question: Question) -> Decision | Awaitable[Decision | None] | None:
        """The answer, at once where it is remembered; ``None`` says that it has none."""


class Later:
    """An answer that is awaited, and what holds where it is none. Nobody has to await it."""

    def __init__(self, answer: Awaitable[Decision | None], otherwise: Decision) -> None:
        self._answer = answer
        self._otherwise = otherwise

    def __await__(self) -> Generator[object, None, Decision]:
        decision = yield from self._answer.__await__()
        return decision or self._otherwise


class ChainAuthorizer:
    """All sources of decisions. It allows everything while it has none and ``default`` is not given."""

    def __init__(self) -> None:
        self._generation = 0
        self._rules: tuple[RuleSet, ...] = ()
        self._remote: Remote | None = None
        self._default = Decision(True, NO_RULES)
        self._default_given = False

    @property
    def generation(self) -> int:
        """How often the sources were replaced."""
        return self._generation

    def replace(
        self, sources: Iterable[RuleSet | None], remote: Remote | None, default: str | None
    ) -> None:
        """Decide by these sources from now on; ``None`` in place of one says that it is not in use.

        ``default`` is ``allow`` or ``deny``; ``None`` denies as soon as any source is in use.
        """
        used = [source for source in sources if source is not None]
        self._rules = tuple(source for source in used if source.count)
        self._remote = remote
        if default is not None:
            self._default = Decision(default == "allow", f"{DEFAULT}: {default}")
        elif used or remote is not None:
            self._default = Decision(False, f"{DEFAULT}: deny, for no rule fits")
        else:
            self._default = Decision(True, NO_RULES)
        self._default_given = default is not None
        self._generation += 1

    def may_publish(
        self, principal: Principal, topic: str, qos: int, retain: bool
    ) -> Decision | Awaitable[Decision]:
        """Whether the principal may publish to this topic name."""
        if principal.superuser:
            return SUPERUSER
        levels = topic.split("/")
        for grant in principal.grants:
            if (
                grant.action != "subscribe"
                and grant.qos_min <= qos <= grant.qos_max
                and grant.retain in (None, retain)
                and covers(grant.topic_filter.split("/"), levels)
            ):
                return granted(grant, principal)
        for source in self._rules:
            rule = source.publish(principal, topic, qos, retain)
            if rule is not None:
                return rule.decision()
        if self._remote is None:
            return self._otherwise(principal)
        return self._ask(self._remote, Question(principal, "publish", topic, qos, retain))

    def may_subscribe(
        self, principal: Principal, topic_filter: str, qos: int
    ) -> Decision | Awaitable[Decision]:
        """Whether the principal may subscribe to this topic filter."""
        if principal.superuser:
            return SUPERUSER
        levels = split_filter(topic_filter)
        for grant in principal.grants:
            if (
                grant.action != "publish"
                and grant.qos_min <= qos <= grant.qos_max
                and _speaks_of(grant, levels)
            ):
                return granted(grant, principal)
        for source in self._rules:
            rule = source.subscribe(principal, topic_filter, qos)
            if rule is not None:
                return rule.decision()
        if self._remote is None:
            return self._otherwise(principal)
        return self._ask(self._remote, Question(principal, "subscribe", topic_filter, qos, False))

    def _ask(self, remote: Remote, question: Question) -> Decision | Awaitable[Decision]:
        answer = remote.ask(question)
        if answer is None:
            return self._otherwise(question.principal)
        return (
            answer
            if isinstance(answer, Decision)
            else Later(answer, self._otherwise(question.principal))
        )

    def _otherwise(self, principal: Principal) -> Decision:
        """What holds where nothing decides: whoever brings grants is held to them."""
        default = self._default
        if default.allowed and principal.grants and not self._default_given:
            return NO_GRANT
        return default


def granted(grant: Grant, principal: Principal) -> Decision:
    """What a grant decides."""
    permission = "allow" if grant.allow else "deny"
    source = principal.source or "authentication"
    return Decision(
        grant.allow, f"granted by {source}: {permission} {grant.action} {grant.topic_filter}"
    )


def _speaks_of(grant: Grant, requested: list[str]) -> bool:
    levels = grant.topic_filter.split("/")
    return covers(levels, requested) if grant.allow else overlaps(levels, requested)
