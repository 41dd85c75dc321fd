"""Packets as plain values: what tests compare, print and keep in data files."""

from rookery.mqtt.properties import PROPERTIES, Properties
from rookery.mqtt.types import ReasonCode

FIELDS = {
    "Connect": (
        "client_id version clean_start keep_alive_seconds username password will properties"
    ),
    "Will": "topic payload qos retain properties",
    "ConnAck": "reason_code session_present properties",
    "Publish": "topic payload qos retain dup packet_id properties",
    "PubAck": "packet_id reason_code properties",
    "PubRec": "packet_id reason_code properties",
    "PubRel": "packet_id reason_code properties",
    "PubComp": "packet_id reason_code properties",
    "Subscribe": "packet_id requests properties",
    "SubscriptionRequest": "topic_filter qos_max no_local retain_as_published retain_handling",
    "SubAck": "packet_id reason_codes properties",
    "Unsubscribe": "packet_id topic_filters properties",
    "UnsubAck": "packet_id reason_codes properties",
    "PingReq": "",
    "PingResp": "",
    "Disconnect": "reason_code properties",
    "Auth": "reason_code properties",
}


def describe(packet: object) -> dict[str, object]:
    """A packet as JSON has it: its type and the fields that are not the default, bytes as hex.

    ``Publish.topic_wire`` is left out, but must agree with the topic name.
    """
    kind = type(packet).__name__
    if kind == "Publish":
        raw = packet.topic.encode()
        assert packet.topic_wire == len(raw).to_bytes(2, "big") + raw
    found: dict[str, object] = {"type": kind}
    for name in FIELDS[kind].split():
        value = plain(getattr(packet, name))
        if said(value):
            found[name] = value
    return found


def said(value: object) -> bool:
    """Whether a field is named at all; an empty string is, for it differs from none."""
    return not (value is None or value is False or value == [] or value == 0)


def plain(value: object) -> object:
    """One field of a packet as JSON has it."""
    if isinstance(value, ReasonCode):
        return value.name if value else 0
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return [item.name if isinstance(item, ReasonCode) else plain(item) for item in value]
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, Properties):
        return describe_properties(value)
    found = describe(value)
    del found["type"]
    return found


def describe_properties(properties: Properties) -> dict[str, object]:
    """The properties that are there, a 0 among them."""
    found = {row.name: plain(getattr(properties, row.name)) for row in PROPERTIES.values()}
    return {name: value for name, value in found.items() if value is not None and value != []}


def same(one: object, other: object) -> bool:
    """Whether two packets say the same."""
    return describe(one) == describe(other)
