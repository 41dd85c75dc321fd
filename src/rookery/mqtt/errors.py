"""The peer's faults. Anything else that escapes the wire code is a bug of ours.

Both kinds carry the reason code the standard names for the fault, so one boundary (the link's owner)
can answer with it and close. (MQTT 5.0, 4.13)
"""

from rookery.mqtt.types import ReasonCode


class PeerFault(Exception):
    """The peer sent what it may not send; ``reason_code`` says what the standard calls it."""

    def __init__(self, reason_code: ReasonCode, text: str) -> None:
        super().__init__(text)
        self.reason_code = reason_code
        self.text = text


def untraced(fault: PeerFault) -> PeerFault:
    """The same fault without the way it took.

    A traceback holds the frames it went through and so the link, which is to keep the fault: a circle
    that only the cycle collector could open, with all that the link had not worked off.
    """
    fault.__traceback__ = None
    fault.__context__ = None
    fault.__cause__ = None
    return fault


class MalformedPacket(PeerFault):
    """The bytes cannot be parsed according to the standard (MQTT 5.0, 1.2 and 4.13.1)."""

    def __init__(self, text: str, reason_code: ReasonCode = ReasonCode.MALFORMED_PACKET) -> None:
        super().__init__(reason_code, text)


class ProtocolViolation(PeerFault):
    """The packet parses but may not be sent now or with this content."""

    def __init__(self, text: str, reason_code: ReasonCode = ReasonCode.PROTOCOL_ERROR) -> None:
        super().__init__(reason_code, text)
