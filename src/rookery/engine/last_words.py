"""What the two sides of a link say at its end, and of what is refused: the client's DISCONNECT, and our reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rookery.mqtt.errors import ProtocolViolation
from rookery.mqtt.packets import Connect, Disconnect
from rookery.mqtt.properties import Properties
from rookery.mqtt.types import V5, ReasonCode

if TYPE_CHECKING:
    from rookery.engine.broker import Broker
    from rookery.engine.session_actor import SessionActor


def take_leave(actor: SessionActor, packet: Disconnect) -> None:
    """Do for a session what its client's DISCONNECT asks for; the link ends after it."""
    properties = packet.properties
    if properties is not None and properties.session_expiry_interval is not None:
        if actor.session.expiry_seconds == 0 and properties.session_expiry_interval > 0:
            raise ProtocolViolation("a session that was to end with its link cannot be kept")
        actor.set_expiry(
            min(
                properties.session_expiry_interval,
                actor.broker.settings.limits.session_expiry_seconds_max,
            )
        )
    if packet.reason_code == ReasonCode.SUCCESS:
        actor.set_will(None)  # [MQTT-3.14.4-3]


def last_words(broker: Broker, reason_code: ReasonCode, text: str) -> Disconnect:
    """Our DISCONNECT, with another server to go to or the reason, where there is one. [MQTT-3.14.2-1]"""
    properties: Properties | None = None
    reference: str | None = None
    if reason_code == ReasonCode.USE_ANOTHER_SERVER:
        reference = broker.next_server()
    if reference is not None:
        properties = Properties()
        properties.server_reference = reference
    elif text:
        properties = Properties()
        properties.reason_string = text
    return Disconnect(reason_code, properties)


def explanation(connect: Connect | None, reason_code: ReasonCode) -> Properties | None:
    """The reason string of a refusal, for a client that takes one. [MQTT-3.1.2-29]"""
    if reason_code < 0x80 or connect is None or connect.version != V5:
        return None
    asked = connect.properties
    if asked is not None and asked.request_problem_information == 0:
        return None
    properties = Properties()
    properties.reason_string = reason_code.name.lower().replace("_", " ")
    return properties
