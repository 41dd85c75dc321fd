"""What can go wrong between a client and its node, beyond the operating system's ``OSError``."""

from rookery.mqtt.properties import Properties
from rookery.mqtt.types import ReasonCode


class ClientError(Exception):
    """Any of them. ``reason_code`` is what the node answered, ``None`` where it said nothing."""

    def __init__(self, text: str, reason_code: ReasonCode | None = None) -> None:
        super().__init__(text)
        self.reason_code = reason_code


class ConnectionRefused(ClientError):
    """The CONNECT was answered with a failure."""


class ConnectionLost(ClientError):
    """The connection ended and the client had not ended it."""


class PublishRefused(ClientError):
    """The node did not take a QoS 1 or 2 message, or its maximum packet size rules it out."""


def told(reason_code: ReasonCode, properties: Properties | None) -> str:
    """What a node says with a reason code, for people."""
    text = reason_code.name.lower().replace("_", " ")
    if properties is not None and properties.reason_string is not None:
        text += f" ({properties.reason_string})"
    return text
