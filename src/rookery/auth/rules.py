"""Rules of who may publish and subscribe where: the first that applies decides.

Publishing names one topic, so a rule applies when its filter matches that topic. Subscribing asks
for a set of topics, and a wildcard must not open what a rule closes; so on the safe side

- a rule that allows applies when its filter *covers* the requested one: all of it is allowed;
- a rule that denies applies when its filter *overlaps* the requested one: some of it is denied.

With ``deny secret/#`` a subscription to ``#`` is refused as a whole, because it would bring
messages of ``secret/...``. Put a rule that allows ``#`` before it for those who may have all. A
``literal`` rule closes one filter and nothing else, messages of its topics by other filters included.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from rookery.auth.filters import covers, overlaps, split_filter
from rookery.ports import Decision, Principal

Action = Literal["publish", "subscribe", "all"]

DEFAULT: Final = "the default"
"""What decides where no rule applies."""


@dataclass(frozen=True)
class Rule:
    """One rule. ``None`` for user name or client id stands for everybody.

    Raises ``ValueError`` where the topic filter is not valid.
    """

    allow: bool
    action: Action
    topic_filter: str
    username: str | None = None
    """The authenticated name; an anonymous client has none and matches only ``None``."""
    client_id: str | None = None
    literal: bool = False
    """Whether the rule is about subscriptions with this very filter, and no other that overlaps."""

    def __post_init__(self) -> None:
        split_filter(self.topic_filter)

    def __str__(self) -> str:
        permission = "allow" if self.allow else "deny"
        return f"{permission} {self.action} {self.topic_filter}"

    def is_about(self, principal: Principal) -> bool:
        """Whether the rule speaks of this principal at all."""
        return self.username in (None, principal.name) and self.client_id in (
            None,
            principal.client_id,
        )


def applies(rule: Rule, filter_levels: list[str], requested: list[str]) -> bool:
    """Whether a rule speaks of a subscription to the requested filter."""
    if rule.literal:
        return filter_levels == requested
    return covers(filter_levels, requested) if rule.allow else overlaps(filter_levels, requested)


class RulesAuthorizer:
    """Decides by an ordered list of rules, and by ``default_allow`` where none applies."""

    def __init__(self, rules: Iterable[Rule], default_allow: bool) -> None:
        self._generation = 0
        self._set(rules, default_allow)

    @property
    def generation(self) -> int:
        """How often the rules were replaced."""
        return self._generation

    def replace(self, rules: Iterable[Rule], default_allow: bool) -> None:
        """Decide by other rules from now on."""
        self._set(rules, default_allow)
        self._generation += 1

    def may_publish(
        self,
        principal: Principal,
        topic: str,
        qos: int,
        retain: bool,
    ) -> Decision:
        """Whether the first rule that matches the topic name allows it, at any QoS."""
        levels = topic.split("/")
        for rule, filter_levels in self._publish_rules:
            if covers(filter_levels, levels) and rule.is_about(principal):
                return Decision(rule.allow, str(rule))
        return Decision(self._default_allow, DEFAULT)

    def may_subscribe(
        self,
        principal: Principal,
        topic_filter: str,
        qos: int,
    ) -> Decision:
        """Whether the first rule that applies to the filter allows it, at any QoS."""
        levels = split_filter(topic_filter)
        for rule, filter_levels in self._subscribe_rules:
            if applies(rule, filter_levels, levels) and rule.is_about(principal):
                return Decision(rule.allow, str(rule))
        return Decision(self._default_allow, DEFAULT)

    def _set(self, rules: Iterable[Rule], default_allow: bool) -> None:
        split = [(rule, split_filter(rule.topic_filter)) for rule in rules]
        self._publish_rules = [pair for pair in split if pair[0].action != "subscribe"]
        self._subscribe_rules = [pair for pair in split if pair[0].action != "publish"]
        self._default_allow = default_allow
