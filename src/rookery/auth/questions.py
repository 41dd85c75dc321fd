"""What a client wants to do, and texts with places for it: ``${topic}``, ``${username}``."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rookery.auth.templates import value_of
from rookery.ports import Principal

PLACEHOLDER: Final = re.compile(r"\$\{([^}]*)\}")
NAMES: Final = (
    "username",
    "clientid",
    "peerhost",
    "listener",
    "topic",
    "action",
    "qos",
    "retain",
)
"""What is known of every question; attributes of the client go by their own names."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a client wants to do."""

    principal: Principal
    action: str
    """``publish`` or ``subscribe``."""
    topic: str
    """The topic name or the topic filter."""
    qos: int
    retain: bool


def names_in(text: str) -> list[str]:
    """The names of the placeholders of a text."""
    return PLACEHOLDER.findall(text)


def unknown_names(text: str) -> list[str]:
    """Those that stand for nothing."""
    return [
        name
        for name in names_in(text)
        if name not in NAMES and not name.startswith("cert_") and "." not in name
    ]


def told(question: Question, name: str) -> str:
    """What a placeholder stands for; empty where nothing is known."""
    principal = question.principal
    match name:
        case "topic":
            return question.topic
        case "action":
            return question.action
        case "qos":
            return str(question.qos)
        case "retain":
            return "true" if question.retain else "false"
        case "peerhost":
            return principal.address
        case "listener":
            return principal.listener
    return value_of(principal, name) or ""


def filled(text: str, values: dict[str, str], escape: Callable[[str], str]) -> str:
    """Put values into a text, in one pass: what a client says is never read again."""

    def value(found: re.Match[str]) -> str:
        return escape(values[found[1]])

    return PLACEHOLDER.sub(value, text)
