"""The fifteen control packets as values, one class each, the same for 3.1, 3.1.1 and 5.0.

What a version lacks is ``None`` or the default. Topic aliases never appear here: the link resolves
them, so a ``Publish`` always carries its topic name. (MQTT 5.0, chapter 3)

A packet holds values only and never a way back to itself, which ``acyclic`` tells the compiler: the
cycle collector then leaves the millions of them alone.
"""

from typing import final

from mypy_extensions import mypyc_attr

from rookery.mqtt.properties import Properties
from rookery.mqtt.types import ReasonCode


@mypyc_attr(acyclic=True)
class Packet:
    """Any control packet."""


@final
@mypyc_attr(acyclic=True)
class Will:
    """The will in a CONNECT: what to publish when the link ends without a goodbye. [MQTT-3.1.2-7]"""

    def __init__(
        self,
        topic: str,
        payload: bytes,
        qos: int = 0,
        retain: bool = False,
        properties: Properties | None = None,
    ) -> None:
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.properties = properties
        """With the will delay interval in seconds, among the others a PUBLISH may carry."""


@final
@mypyc_attr(acyclic=True)
class Connect(Packet):
    """A client asks for a session. ``clean_start`` is 3.1.1's clean session flag as well."""

    def __init__(
        self,
        client_id: str,
        version: int,
        clean_start: bool = True,
        keep_alive_seconds: int = 0,
        username: str | None = None,
        password: bytes | None = None,
        will: Will | None = None,
        properties: Properties | None = None,
    ) -> None:
        self.client_id = client_id
        self.version = version
        self.clean_start = clean_start
        self.keep_alive_seconds = keep_alive_seconds
        self.username = username
        self.password = password
        self.will = will
        self.properties = properties


@final
@mypyc_attr(acyclic=True)
class ConnAck(Packet):
    """The answer to a CONNECT."""

    def __init__(
        self,
        reason_code: ReasonCode = ReasonCode.SUCCESS,
        session_present: bool = False,
        properties: Properties | None = None,
    ) -> None:
        self.reason_code = reason_code
        self.session_present = session_present
        self.properties = properties


@final
@mypyc_attr(acyclic=True)
class Publish(Packet):
    """An application message on the wire. ``packet_id`` is 0 exactly when ``qos`` is 0.

    ``topic_wire`` is the topic name with its two length bytes, as it arrived or will be sent: it
    spares the hot path an encode.
    """

    def __init__(
        self,
        topic: str,
        topic_wire: bytes,
        payload: bytes,
        qos: int = 0,
        retain: bool = False,
        dup: bool = False,
        packet_id: int = 0,
        properties: Properties | None = None,
    ) -> None:
        self.topic = topic
        self.topic_wire = topic_wire
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.dup = dup
        self.packet_id = packet_id
        self.properties = properties


@final
@mypyc_attr(acyclic=True)
class PubAck(Packet):
    """QoS 1: the message is taken."""

    def __init__(
        self,
        packet_id: int,
        reason_code: ReasonCode = ReasonCode.SUCCESS,
        properties: Properties | None = None,
    ) -> None:
        self.packet_id = packet_id
        self.reason_code = reason_code
        self.properties = properties


@final
@mypyc_attr(acyclic=True)
class PubRec(Packet):
    """QoS 2, first answer: the message is taken and its packet identifier is held."""

    def __init__(
        self,
        packet_id: int,
        reason_code: ReasonCode = ReasonCode.SUCCESS,
        properties: Properties | None = None,
    ) -> None:
        self.packet_id = packet_id
        self.reason_code = reason_code
        self.properties = properties


@final
@mypyc_attr(acyclic=True)
class PubRel(Packet):
    """QoS 2, the sender lets go of the message."""

    def __init__(
        self,
        packet_id: int,
        reason_code: ReasonCode = ReasonCode.SUCCESS,
        properties: Properties | None = None,
    ) -> None:
        self.packet_id = packet_id
        self.reason_code = reason_code
        self.properties = properties


@final
@mypyc_attr(acyclic=True)
class PubComp(Packet):
    """QoS 2, the receiver lets go of the packet identifier."""

    def __init__(
        self,
        packet_id: int,
        reason_code: ReasonCode = ReasonCode.SUCCESS,
        properties: Properties | None = None,
    ) -> None:
        self.packet_id = packet_id
        self.reason_code = reason_code
        self.properties = properties


@final
@mypyc_attr(acyclic=True)
class SubscriptionRequest:
    """One topic filter of a SUBSCRIBE with its options. (MQTT 5.0, 3.8.3.1)"""

    def __init__(
        self,
        topic_filter: str,
        qos_max: int = 0,
        no_local: bool = False,
        retain_as_published: bool = False,
        retain_handling: int = 0,
    ) -> None:
        self.topic_filter = topic_filter
        self.qos_max = qos_max
        self.no_local = no_local
        self.retain_as_published = retain_as_published
        self.retain_handling = retain_handling


@final
@mypyc_attr(acyclic=True)
class Subscribe(Packet):
    """A client asks for subscriptions; at least one. [MQTT-3.8.3-2]"""

    def __init__(
        self,
        packet_id: int,
        requests: list[SubscriptionRequest],
        properties: Properties | None = None,
    ) -> None:
        self.packet_id = packet_id
        self.requests = requests
        self.properties = properties


@final
@mypyc_attr(acyclic=True)
class SubAck(Packet):
    """One reason code for each topic filter of the SUBSCRIBE, in order. [MQTT-3.8.4-6]"""

    def __init__(
        self,
        packet_id: int,
        reason_codes: list[ReasonCode],
        properties: Properties | None = None,
    ) -> None:
        self.packet_id = packet_id
        self.reason_codes = reason_codes
        self.properties = properties


@final
@mypyc_attr(acyclic=True)
class Unsubscribe(Packet):
    """A client gives up subscriptions; at least one topic filter. [MQTT-3.10.3-2]"""

    def __init__(
        self, packet_id: int, topic_filters: list[str], properties: Properties | None = None
    ) -> None:
        self.packet_id = packet_id
        self.topic_filters = topic_filters
        self.properties = properties


@final
@mypyc_attr(acyclic=True)
class UnsubAck(Packet):
    """One reason code for each topic filter of the UNSUBSCRIBE; 3.x sends none of them."""

    def __init__(
        self,
        packet_id: int,
        reason_codes: list[ReasonCode],
        properties: Properties | None = None,
    ) -> None:
        self.packet_id = packet_id
        self.reason_codes = reason_codes
        self.properties = properties


@final
@mypyc_attr(acyclic=True)
class PingReq(Packet):
    """A client shows that it is alive."""


@final
@mypyc_attr(acyclic=True)
class PingResp(Packet):
    """The node shows that it is alive."""


@final
@mypyc_attr(acyclic=True)
class Disconnect(Packet):
    """The last packet of a link, from either side in 5.0, from the client alone in 3.x."""

    def __init__(
        self,
        reason_code: ReasonCode = ReasonCode.SUCCESS,
        properties: Properties | None = None,
    ) -> None:
        self.reason_code = reason_code
        self.properties = properties


@final
@mypyc_attr(acyclic=True)
class Auth(Packet):
    """A step of enhanced authentication. (MQTT 5.0, 4.12)"""

    def __init__(
        self,
        reason_code: ReasonCode = ReasonCode.SUCCESS,
        properties: Properties | None = None,
    ) -> None:
        self.reason_code = reason_code
        self.properties = properties
