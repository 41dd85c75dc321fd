"""Packets of every kind for property tests, as hypothesis draws them.

``packets(version, sender)`` gives what that sender may send in that version and nothing that the
version cannot express, so that what was encoded is what is decoded.
"""

from hypothesis import strategies as st

from rookery.mqtt import types
from rookery.mqtt.packets import (
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    SubscriptionRequest,
    UnsubAck,
    Unsubscribe,
    Will,
)
from rookery.mqtt.properties import (
    BINARY,
    BYTE,
    PROPERTIES,
    TEXT,
    TEXT_PAIR,
    U16,
    U32,
    VARIABLE,
    WILL,
    Properties,
    Property,
)
from rookery.mqtt.reasons import CONNACK_FROM_3, FROM_CLIENT, FROM_SERVER, SUBACK_FROM_3
from rookery.mqtt.types import V3_1, V3_1_1, V5, ReasonCode
from rookery.mqtt.wire import topic_to_wire

VERSIONS = (V3_1, V3_1_1, V5)
SENDERS = ("client", "server")

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
"""What a UTF-8 Encoded String may hold."""

levels = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0/+#"), max_size=6
) | st.sampled_from(["a", "b", "$SYS", ""])

topic_names = st.lists(levels, min_size=1, max_size=5).map("/".join).filter(bool)

payloads = st.binary(max_size=200)
packet_ids = st.integers(1, 65_535)


@st.composite
def topic_filters(draw: st.DrawFn) -> str:
    """A valid topic filter, now and then a shared one."""
    parts = draw(st.lists(levels | st.just("+"), min_size=1, max_size=4))
    if draw(st.booleans()):
        parts.append("#")
    topic_filter = "/".join(parts) or "+"
    if draw(st.integers(0, 4)) == 0:
        topic_filter = f"$share/{draw(levels.filter(bool))}/{topic_filter}"
    return topic_filter


def values(row: Property) -> st.SearchStrategy[object]:
    """What one property may hold."""
    if row.name == "response_topic":
        return topic_names
    if row.kind == TEXT:
        return texts
    if row.kind == BINARY:
        return st.binary(max_size=20)
    if row.kind == TEXT_PAIR:
        return st.lists(st.tuples(texts, texts), max_size=3)
    maximum = {BYTE: 255, U16: 65_535, U32: 2**32 - 1, VARIABLE: 268_435_455}[row.kind]
    numbers = st.integers(row.minimum, min(row.maximum, maximum))
    return st.lists(numbers, max_size=3) if row.kind == VARIABLE else numbers


@st.composite
def properties(draw: st.DrawFn, packet_type: int, sender: str) -> Properties | None:
    """Some properties that this packet may carry from this sender, or none."""
    made = Properties()
    count = 0
    rows = [row for row in PROPERTIES.values() if packet_type in row.packets]
    for row in draw(st.lists(st.sampled_from(rows), unique_by=lambda row: row.name, max_size=6)):
        if row.name == "topic_alias" or not allowed(row, packet_type, sender):
            continue
        value = draw(values(row))
        if row.kind == VARIABLE and packet_type == types.SUBSCRIBE:
            value = value[:1]
        setattr(made, row.name, value)
        count += value != []
    if made.authentication_data is not None or packet_type == types.AUTH:
        made.authentication_method = draw(texts)
        count += 1
    return made if count else None


def allowed(row: Property, packet_type: int, sender: str) -> bool:
    """Whether the sender matters to a property, and then is the right one."""
    if row.kind == VARIABLE and packet_type == types.PUBLISH:
        return sender == "server"
    if row.name == "session_expiry_interval" and packet_type == types.DISCONNECT:
        return sender == "client"
    return True


def reasons(packet_type: int, sender: str) -> st.SearchStrategy[ReasonCode]:
    """A reason code that 5.0 allows."""
    codes = (FROM_CLIENT if sender == "client" else FROM_SERVER)[packet_type]
    return st.sampled_from(sorted(codes.values()))


def optional(packet_type: int, version: int, sender: str) -> st.SearchStrategy[Properties | None]:
    """Properties in 5.0, none before."""
    return properties(packet_type, sender) if version == V5 else st.none()


@st.composite
def wills(draw: st.DrawFn, version: int) -> Will:
    """A will."""
    return Will(
        draw(topic_names),
        draw(payloads),
        draw(st.integers(0, 2)),
        draw(st.booleans()),
        draw(optional(WILL, version, "client")),
    )


@st.composite
def connects(draw: st.DrawFn, version: int) -> Connect:
    """A CONNECT."""
    username = draw(st.none() | texts)
    with_password = version == V5 or username is not None
    return Connect(
        draw(texts),
        version,
        draw(st.booleans()),
        draw(st.integers(0, 65_535)),
        username,
        draw(st.none() | st.binary(max_size=20)) if with_password else None,
        draw(st.none() | wills(version)),
        draw(optional(types.CONNECT, version, "client")),
    )


@st.composite
def connacks(draw: st.DrawFn, version: int) -> ConnAck:
    """A CONNACK."""
    if version == V5:
        reason_code = draw(reasons(types.CONNACK, "server"))
    else:
        reason_code = draw(st.sampled_from(sorted(CONNACK_FROM_3.values())))
    present = version != V3_1 and reason_code == 0 and draw(st.booleans())
    return ConnAck(reason_code, present, draw(optional(types.CONNACK, version, "server")))


@st.composite
def publishes(draw: st.DrawFn, version: int, sender: str) -> Publish:
    """A PUBLISH."""
    topic = draw(topic_names)
    qos = draw(st.integers(0, 2))
    return Publish(
        topic,
        topic_to_wire(topic),
        draw(payloads),
        qos,
        draw(st.booleans()),
        qos > 0 and draw(st.booleans()),
        draw(packet_ids) if qos else 0,
        draw(optional(types.PUBLISH, version, sender)),
    )


@st.composite
def acknowledgements(draw: st.DrawFn, version: int, sender: str) -> Packet:
    """A PUBACK, PUBREC, PUBREL or PUBCOMP."""
    packet_type, kind = draw(
        st.sampled_from(
            [
                (types.PUBACK, PubAck),
                (types.PUBREC, PubRec),
                (types.PUBREL, PubRel),
                (types.PUBCOMP, PubComp),
            ]
        )
    )
    if version != V5:
        return kind(draw(packet_ids))
    return kind(
        draw(packet_ids),
        draw(reasons(packet_type, sender)),
        draw(properties(packet_type, sender)),
    )


@st.composite
def requests(draw: st.DrawFn, version: int) -> SubscriptionRequest:
    """One topic filter of a SUBSCRIBE."""
    topic_filter = draw(topic_filters())
    if version != V5:
        return SubscriptionRequest(topic_filter, draw(st.integers(0, 2)))
    return SubscriptionRequest(
        topic_filter,
        draw(st.integers(0, 2)),
        not topic_filter.startswith("$share/") and draw(st.booleans()),
        draw(st.booleans()),
        draw(st.integers(0, 2)),
    )


@st.composite
def subscribes(draw: st.DrawFn, version: int) -> Subscribe:
    """A SUBSCRIBE."""
    return Subscribe(
        draw(packet_ids),
        draw(st.lists(requests(version), min_size=1, max_size=4)),
        draw(optional(types.SUBSCRIBE, version, "client")),
    )


@st.composite
def subacks(draw: st.DrawFn, version: int) -> SubAck:
    """A SUBACK."""
    codes = FROM_SERVER[types.SUBACK] if version == V5 else SUBACK_FROM_3
    return SubAck(
        draw(packet_ids),
        draw(st.lists(st.sampled_from(sorted(codes.values())), min_size=1, max_size=4)),
        draw(optional(types.SUBACK, version, "server")),
    )


@st.composite
def unsubscribes(draw: st.DrawFn, version: int) -> Unsubscribe:
    """An UNSUBSCRIBE."""
    return Unsubscribe(
        draw(packet_ids),
        draw(st.lists(topic_filters(), min_size=1, max_size=4)),
        draw(optional(types.UNSUBSCRIBE, version, "client")),
    )


@st.composite
def unsubacks(draw: st.DrawFn, version: int) -> UnsubAck:
    """An UNSUBACK."""
    if version != V5:
        return UnsubAck(draw(packet_ids), [])
    return UnsubAck(
        draw(packet_ids),
        draw(st.lists(reasons(types.UNSUBACK, "server"), min_size=1, max_size=4)),
        draw(properties(types.UNSUBACK, "server")),
    )


@st.composite
def disconnects(draw: st.DrawFn, version: int, sender: str) -> Disconnect:
    """A DISCONNECT."""
    if version != V5:
        return Disconnect()
    return Disconnect(
        draw(reasons(types.DISCONNECT, sender)), draw(properties(types.DISCONNECT, sender))
    )


@st.composite
def auths(draw: st.DrawFn, sender: str) -> Auth:
    """An AUTH."""
    return Auth(draw(reasons(types.AUTH, sender)), draw(properties(types.AUTH, sender)))


def packets(version: int, sender: str) -> st.SearchStrategy[Packet]:
    """Any packet that may follow the CONNECT or CONNACK."""
    kinds: list[st.SearchStrategy[Packet]] = [
        publishes(version, sender),
        acknowledgements(version, sender),
    ]
    if sender == "client":
        kinds += [subscribes(version), unsubscribes(version), st.builds(PingReq)]
    else:
        kinds += [subacks(version), unsubacks(version), st.builds(PingResp)]
    if sender == "client" or version == V5:
        kinds.append(disconnects(version, sender))
    if version == V5:
        kinds.append(auths(sender))
    return st.one_of(kinds)


def openings(version: int, sender: str) -> st.SearchStrategy[Packet]:
    """The packet that a sender's stream begins with."""
    return connects(version) if sender == "client" else connacks(version)


@st.composite
def chunked(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """The same bytes in pieces of any length."""
    cuts = sorted(draw(st.sets(st.integers(0, len(data)), max_size=12)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
