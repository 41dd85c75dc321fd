"""Rules of who may publish and subscribe where: the first that applies decides.

Publishing names one topic, so a rule applies when its filter matches that topic. Subscribing asks
for a set of topics, and a wildcard must not open what a rule closes; so on the safe side

- a rule that allows applies when its filter *covers* the requested one: all of it is allowed;
- a rule that denies applies when its filter *overlaps* the requested one: some of it is denied.

With ``deny secret/#`` a subscription to ``#`` is refused as a whole, because it would bring
messages of ``secret/...``. Put a rule that allows ``#`` before it for those who may have all. A
``literal`` rule closes one filter and nothing else, messages of its topics by other filters included.

So what a granted filter brings needs no rule of its own: all of it is allowed while the rules stand, and
when they change the engine asks for the filter again.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address
from operator import itemgetter
from typing import Final, Literal

from rookery.auth.filters import covers, overlaps, split_filter
from rookery.auth.templates import Template
from rookery.ports import Decision, Principal

Action = Literal["publish", "subscribe", "all"]

EVERY_QOS: Final = frozenset({0, 1, 2})


@dataclass(frozen=True)
class Subject:
    """Whom a rule is about: all that is given must hold, and what is not given holds for everybody."""

    username: str | None = None
    """The authenticated name; an anonymous client has none."""
    client_id: str | None = None
    address: IPv4Network | IPv6Network | None = None
    group: str | None = None
    listener: str | None = None
    attributes: tuple[tuple[str, str], ...] = ()
    """Names and values, as ``("cert_common_name", "pump-7")``."""
    anonymous: bool = False
    """Whether only clients without an authenticated name are meant."""

    def is_about(self, principal: Principal) -> bool:
        """Whether all of it holds."""
        return (
            self.username in (None, principal.name)
            and self.client_id in (None, principal.client_id)
            and self.listener in (None, principal.listener)
            and (self.group is None or self.group in principal.groups)
            and not (self.anonymous and principal.name is not None)
            and all(principal.attributes.get(name) == value for name, value in self.attributes)
            and (self.address is None or lies_in(principal.address, self.address))
        )

    def told(self) -> str:
        """All that must hold, in words; empty where that is nothing."""
        words = [
            f"{name} {value}"
            for name, value in (
                ("user", self.username),
                ("client", self.client_id),
                ("address", self.address),
                ("group", self.group),
                ("listener", self.listener),
            )
            if value is not None
        ]
        words += [f"{name}={value}" for name, value in self.attributes]
        if self.anonymous:
            words.append("anonymous clients")
        return ", ".join(words)

    def __str__(self) -> str:
        return self.told() or "all"


@dataclass(frozen=True)
class Rule:
    """One rule. Raises ``ValueError`` where the topic filter is not valid."""

    allow: bool
    action: Action
    topic_filter: str
    subject: Subject = Subject()
    qos: frozenset[int] = EVERY_QOS
    """The QoS a request must have."""
    retain: bool | None = None
    """Whether only retained messages are meant, or only others; ``None`` means both. Not for subscribing."""
    literal: bool = False
    """Whether the rule is about subscriptions with this very filter, and no other that overlaps."""
    plain: bool = False
    """Whether the filter has no placeholders, whatever it looks like."""
    origin: str = ""
    """Where it stands: ``rookery.yaml:12``."""
    template: Template = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.retain is not None and self.action != "publish":
            raise ValueError("retain says something of publishing only: the action must be publish")
        object.__setattr__(self, "template", Template(self.topic_filter, plain=self.plain))
        if self.literal and self.template.names:
            raise ValueError("a literal rule is about one filter: it has no placeholders")

    def __str__(self) -> str:
        words = ["allow" if self.allow else "deny", self.action, self.topic_filter]
        if self.qos != EVERY_QOS:
            words.append("qos " + ",".join(map(str, sorted(self.qos))))
        if self.retain is not None:
            words.append("retained" if self.retain else "not retained")
        if self.literal:
            words.append("literal")
        return f"{' '.join(words)} ({self.subject})"

    def decision(self) -> Decision:
        """What it decides, by its place and its text."""
        return Decision(self.allow, f"{self.origin}: {self}" if self.origin else str(self))


def lies_in(address: str, network: IPv4Network | IPv6Network) -> bool:
    """Whether a peer's address is one of the network's; an IPv4 address in IPv6 clothing counts as IPv4."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = found.ipv4_mapped if found.version == 6 else None
    return (found if mapped is None else mapped) in network


def applies(rule: Rule, levels: list[str], requested: list[str]) -> bool:
    """Whether a rule with these topic levels speaks of a subscription to the requested filter."""
    if rule.literal:
        return levels == requested
    return covers(levels, requested) if rule.allow else overlaps(levels, requested)


class RuleSet:
    """An ordered list of rules, found by user name and client id without going through all of them."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self._general: list[tuple[int, Rule]] = []
        self._of_user: dict[str, list[tuple[int, Rule]]] = {}
        self._of_client: dict[str, list[tuple[int, Rule]]] = {}
        self.count = 0
        for number, rule in enumerate(rules):
            self.count += 1
            subject = rule.subject
            if subject.username is not None:
                found = self._of_user.setdefault(subject.username, [])
            elif subject.client_id is not None:
                found = self._of_client.setdefault(subject.client_id, [])
            else:
                found = self._general
            found.append((number, rule))

    def publish(self, principal: Principal, topic: str, qos: int, retain: bool) -> Rule | None:
        """The first rule that matches the topic name."""
        requested = topic.split("/")
        for _, rule in self._candidates(principal):
            if rule.action == "subscribe" or qos not in rule.qos:
                continue
            if rule.retain not in (None, retain) or not rule.subject.is_about(principal):
                continue
            levels = rule.template.levels(principal, allow=rule.allow)
            if levels is not None and covers(levels, requested):
                return rule
        return None

    def subscribe(self, principal: Principal, topic_filter: str, qos: int) -> Rule | None:
        """The first rule that applies to the filter."""
        requested = split_filter(topic_filter)
        for _, rule in self._candidates(principal):
            if rule.action == "publish" or qos not in rule.qos:
                continue
            if not rule.subject.is_about(principal):
                continue
            levels = rule.template.levels(principal, allow=rule.allow)
            if levels is not None and applies(rule, levels, requested):
                return rule
        return None

    def _candidates(self, principal: Principal) -> list[tuple[int, Rule]]:
        own = [] if principal.name is None else self._of_user.get(principal.name, [])
        of_client = self._of_client.get(principal.client_id, [])
        if not own and not of_client:
            return self._general
        return sorted([*self._general, *own, *of_client], key=itemgetter(0))
