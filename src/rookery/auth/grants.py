"""What a token or an answer says that a client may do: the ``acl`` of EMQX, in both of its forms.

The short form lists topic filters that are allowed: ``{"pub": [...], "sub": [...], "all": [...]}``. The
long form is a list of rules, each with ``permission``, ``action``, ``topic`` and, where it is narrower,
``qos`` and ``retain``. What is not understood is refused as a whole: a rule that denies must not be lost.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal

from rookery.auth.placeholders import NoValue, filled
from rookery.auth.templates import is_safe
from rookery.mqtt.topics import TOPIC_BYTES_MAX, validate_topic_filter
from rookery.ports import Attempt, Grant

GRANTS_MAX: Final = 1000
"""They are asked one by one."""

Action = Literal["publish", "subscribe", "all"]
SHORT_FORM: Final[Mapping[str, Action]] = {"pub": "publish", "sub": "subscribe", "all": "all"}
ACTIONS: Final[Mapping[object, Action]] = {
    "publish": "publish",
    "subscribe": "subscribe",
    "all": "all",
}
LITERALLY: Final = "eq "


class GrantFault(ValueError):
    """An ``acl`` is not what it should be; the text says where."""


def read_grants(value: object, attempt: Attempt) -> tuple[Grant, ...]:
    """Read either form. Raises ``GrantFault``."""
    if isinstance(value, Mapping):
        grants = list(_short(value, attempt))
    elif isinstance(value, list):
        grants = [grant for rule in value for grant in _long(rule, attempt)]
    else:
        raise GrantFault("the acl is neither an object nor a list")
    if len(grants) > GRANTS_MAX:
        raise GrantFault(f"the acl has more than {GRANTS_MAX} topics")
    return tuple(grants)


def _short(value: Mapping[str, object], attempt: Attempt) -> Iterator[Grant]:
    for key, action in SHORT_FORM.items():
        for topic in _topics(value.get(key, []), attempt):
            yield Grant(True, action, topic)


def _long(rule: object, attempt: Attempt) -> Iterator[Grant]:
    if not isinstance(rule, Mapping):
        raise GrantFault("a rule of the acl is no object")
    permission = rule.get("permission")
    if permission not in ("allow", "deny"):
        raise GrantFault(f"the permission {permission!r} of the acl is neither allow nor deny")
    action = rule.get("action")
    if not isinstance(action, str) or action not in ACTIONS:
        raise GrantFault(
            f"the action {action!r} of the acl is none of {', '.join(SHORT_FORM.values())}"
        )
    if "topic" not in rule:
        raise GrantFault("a rule of the acl has no topic")
    retain = _retain(rule.get("retain"))
    for topic in _topics(rule["topic"], attempt):
        for qos_min, qos_max in _ranges(rule.get("qos")):
            yield Grant(permission == "allow", ACTIONS[action], topic, qos_min, qos_max, retain)


def _topics(value: object, attempt: Attempt) -> Iterator[str]:
    """Topic filters, with what is known of the client filled in."""
    for template in value if isinstance(value, list) else [value]:
        if not isinstance(template, str):
            raise GrantFault("a topic of the acl is no text")
        # Without wildcards a filter is the topic itself, which is what "eq" asks for.
        literal = template.removeprefix(LITERALLY)
        if literal != template and ("+" in literal or "#" in literal):
            raise GrantFault(f"the topic {template!r} of the acl: eq is not for wildcards")
        try:
            topic = filled(literal, attempt, _level, short=True)
        except NoValue as error:
            raise GrantFault(f"the topic {template!r} of the acl: {error}") from error
        if topic.startswith("$") and literal.startswith(("${", "%u", "%c")):
            raise GrantFault(f"the topic {topic!r} of the acl begins with $ by a client's own word")
        if not validate_topic_filter(topic, TOPIC_BYTES_MAX):
            raise GrantFault(f"the topic {topic!r} of the acl is no topic filter")
        yield topic


def _level(value: str) -> str:
    """A client's own words must not widen what it may do: they are a piece of one topic level."""
    if not is_safe(value):
        raise NoValue(f"{value!r} is more than a piece of one topic level")
    return value


def _ranges(value: object) -> list[tuple[int, int]]:
    """The qualities of service of a rule, as ranges without gaps."""
    if value is None:
        return [(0, 2)]
    listed = value if isinstance(value, list) else [value]
    numbers = {each for each in listed if type(each) is int and 0 <= each <= 2}
    if not listed or len(numbers) != len(set(map(repr, listed))):
        raise GrantFault(f"the qos {value!r} of the acl is neither 0, 1 or 2 nor a list of them")
    return _joined(sorted(numbers))


def _joined(numbers: Sequence[int]) -> list[tuple[int, int]]:
    if list(numbers) == [0, 2]:
        return [(0, 0), (2, 2)]
    return [(numbers[0], numbers[-1])]


def _retain(value: object) -> bool | None:
    if value is None or value == "all":
        return None
    if isinstance(value, bool):
        return value
    raise GrantFault(f"the retain {value!r} of the acl is neither true, false nor all")
