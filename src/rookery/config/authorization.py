"""The settings of who may publish and subscribe to what."""

from collections.abc import Iterable
from ipaddress import ip_network
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, Strict

from rookery.auth import rules
from rookery.config.authorization_http import HttpAuthorizer
from rookery.config.sections import (
    Expected,
    FilePath,
    MqttText,
    Problem,
    Section,
    topic_filter_text,
)


def _network(value: str) -> str:
    ip_network(value)  # Raises ValueError, also where bits beyond the prefix are set.
    return value


def _attribute(value: str) -> str:
    name, equals, _ = value.partition("=")
    if not (name and equals):
        raise ValueError("no name and value")
    return value


class Rule(Section):
    """What is allowed or denied to whom: to those of whom all holds that the rule says of a client."""

    permission: Literal["allow", "deny"]
    """What the rule says of the requests that it matches."""
    action: Literal["publish", "subscribe", "all"]
    """The requests the rule is about."""
    topic_filter: Annotated[
        MqttText,
        AfterValidator(topic_filter_text),
        Expected("a topic filter: + and # fill a whole level, # only the last one"),
    ]
    """The topics the rule is about. `${username}` (`%u`), `${clientid}` (`%c`), `${cert_common_name}` and
    `${jwt.claim}` stand for what is known of the client."""
    username: MqttText | None = None
    """The user the rule is about; null is every user and anonymous clients."""
    client_id: MqttText | None = None
    """The client id the rule is about; null is every one."""
    address: (
        Annotated[
            str,
            AfterValidator(_network),
            Field(max_length=64),
            Expected("an IP address, or a network as 10.0.0.0/8"),
        ]
        | None
    ) = None
    """The address or network of the clients the rule is about; null is every one."""
    group: MqttText | None = None
    """The group of users the rule is about; null is every one."""
    listener: MqttText | None = None
    """The name of the listener of the clients the rule is about; null is every one."""
    attributes: Annotated[
        tuple[
            Annotated[
                MqttText,
                AfterValidator(_attribute),
                Expected("name=value, as cert_common_name=pump-7 or jwt.role=reader"),
            ],
            ...,
        ],
        Strict(False),
    ] = ()
    """What the certificate or the token of the client must say, each as `name=value`."""
    anonymous: bool = False
    """Whether the rule is about anonymous clients only."""
    qos: Annotated[tuple[Annotated[int, Field(ge=0, le=2)], ...], Strict(False)] = ()
    """The QoS of the messages, or of the subscriptions, that the rule is about; an empty list is every one."""
    retain: bool | None = None
    """Whether a rule about publishing is about retained messages only, or about others only; null is both."""
    literal: bool = False
    """Whether the rule is about subscriptions with this very topic filter. Otherwise a rule that denies
    also refuses wider filters, because they would bring what it denies."""

    def made(self, origin: str) -> rules.Rule:
        """The rule that this is. Raises ``ValueError`` where its settings do not go together."""
        pairs = [attribute.partition("=") for attribute in self.attributes]
        return rules.Rule(
            allow=self.permission == "allow",
            action=self.action,
            topic_filter=self.topic_filter,
            subject=rules.Subject(
                username=self.username,
                client_id=self.client_id,
                address=None if self.address is None else ip_network(self.address),
                group=self.group,
                listener=self.listener,
                attributes=tuple(sorted((name, value) for name, _, value in pairs)),
                anonymous=self.anonymous,
            ),
            qos=frozenset(self.qos) or rules.EVERY_QOS,
            retain=self.retain,
            literal=self.literal,
            origin=origin,
        )

    def _problems(self) -> Iterable[Problem]:
        if self.anonymous and self.username is not None:
            yield ("username",), "is never that of an anonymous client; leave one of the two out"
        if self.retain is not None and self.action != "publish":
            yield ("retain",), "is only for rules whose action is publish"
            return
        try:
            self.made("")
        except ValueError as error:
            yield ("topic_filter",), str(error)


class Denied(Section):
    """What a client notices that does what it may not do."""

    v5: Literal["reason_code", "disconnect"] = "reason_code"
    """A 5.0 client: `reason_code` answers 0x87 (a PUBLISH with QoS 0 has no answer), `disconnect` ends its
    connection with 0x87, also when a subscription is revoked."""
    v3: Literal["ignore", "disconnect"] = "ignore"
    """A 3.1 or 3.1.1 client: `ignore` acknowledges its message, which goes nowhere, and answers a
    subscription with 0x80; `disconnect` ends its connection."""


class Authorization(Section):
    """What clients may publish and subscribe to."""

    default: Literal["allow", "deny"] | None = None
    """What holds for a request that nothing else decides. Left at null, everything is allowed as long as there
    are no rules, and denied as soon as there are any, here, in a file, in the access database or at a
    service."""
    rules: Annotated[tuple[Rule, ...], Strict(False)] = ()
    """The rules in order: the first that matches decides."""
    acl_file: FilePath | None = None
    """A file with rules in the format of mosquitto's `acl_file`, read again when it changes."""
    http: HttpAuthorizer | None = None
    """A web service that is asked where no rule decides."""
    denied: Denied = Denied()
    """What a client notices that does what it may not do."""
