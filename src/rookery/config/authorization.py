"""The settings of who may publish and subscribe to what."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Strict

from rookery.config.sections import Expected, MqttText, Section, topic_filter_text


class Rule(Section):
    """One line of the authorization: what is allowed or denied to whom."""

    permission: Literal["allow", "deny"]
    """What the rule says of the requests that it matches."""
    action: Literal["publish", "subscribe", "all"]
    """The requests the rule is about."""
    topic_filter: Annotated[
        MqttText,
        AfterValidator(topic_filter_text),
        Expected("a topic filter: + and # fill a whole level, # only the last one"),
    ]
    """The topics the rule is about."""
    username: MqttText | None = None
    """The user the rule is about; null is every user and anonymous clients."""
    client_id: MqttText | None = None
    """The client id the rule is about; null is every one."""
    literal: bool = False
    """Whether the rule is about subscriptions with this very topic filter. Otherwise a rule that denies
    also refuses wider filters, because they would bring what it denies."""


class Authorization(Section):
    """What clients may publish and subscribe to."""

    default: Literal["allow", "deny"] = "allow"
    """What holds for a request that no rule matches."""
    rules: Annotated[tuple[Rule, ...], Strict(False)] = ()
    """The rules in order: the first that matches decides."""
