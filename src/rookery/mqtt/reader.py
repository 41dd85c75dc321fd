"""Reads the data types of the wire (MQTT 5.0, 1.5) one after the other out of one packet's bytes.

Every method raises ``MalformedPacket`` where the packet ends too early or the value is not of its
type, so what builds on it reads straight down.
"""

from typing import final

from mypy_extensions import i64, mypyc_attr

from rookery.mqtt.errors import MalformedPacket, ProtocolViolation


def cut_short() -> MalformedPacket:
    """The fault of a packet whose fields need more bytes than it has."""
    return MalformedPacket("the packet is shorter than its fields")


def decode_text(raw: bytes) -> str:
    """Decode a UTF-8 Encoded String without its length bytes; a BOM stays. [MQTT-1.5.4-3]"""
    try:
        text = raw.decode("utf-8")  # [MQTT-1.5.4-1]
    except UnicodeDecodeError as error:
        raise MalformedPacket("a string is not well-formed UTF-8") from error
    if "\0" in text:  # [MQTT-1.5.4-2]
        raise MalformedPacket("a string contains U+0000")
    return text


@final
@mypyc_attr(acyclic=True)
class Reader:
    """A place in one packet: ``at`` is the next byte to read, ``stop`` the first one beyond it."""

    def __init__(self, data: bytes, at: i64, stop: i64) -> None:
        self.data = data
        self.at: i64 = at
        self.stop: i64 = stop

    def u8(self) -> int:
        """Read one byte."""
        at: i64 = self.at
        if at >= self.stop:
            raise cut_short()
        self.at = at + 1
        return self.data[at]

    def u16(self) -> int:
        """Read a Two Byte Integer."""
        at: i64 = self.at
        if self.stop - at < 2:
            raise cut_short()
        self.at = at + 2
        return self.data[at] << 8 | self.data[at + 1]

    def u32(self) -> int:
        """Read a Four Byte Integer."""
        return self.u16() << 16 | self.u16()

    def variable(self) -> int:
        """Read a Variable Byte Integer, 0 to 268,435,455."""
        value: i64 = self.u8()
        if value < 0x80:
            return value
        value &= 0x7F
        shift: i64 = 7
        while shift < 28:
            byte: i64 = self.u8()
            value |= (byte & 0x7F) << shift
            if byte == 0:  # [MQTT-1.5.5-1]
                raise MalformedPacket("a variable byte integer is longer than it need be")
            if byte < 0x80:
                return value
            shift += 7
        raise MalformedPacket("a variable byte integer has more than four bytes")

    def binary(self) -> bytes:
        """Read Binary Data."""
        at: i64 = self.u16()
        at += self.at
        if at > self.stop:
            raise cut_short()
        raw = self.data[self.at : at]
        self.at = at
        return raw

    def text(self) -> str:
        """Read a UTF-8 Encoded String."""
        return decode_text(self.binary())

    def packet_id(self) -> int:
        """Read a Packet Identifier, which is never 0. [MQTT-2.2.1-3]"""
        packet_id = self.u16()
        if packet_id == 0:
            raise ProtocolViolation("packet identifier 0")
        return packet_id

    def more(self) -> bool:
        """Whether a byte is left."""
        return self.at < self.stop

    def expect_end(self) -> None:
        """Refuse a packet that goes on after its last field."""
        if self.at < self.stop:
            raise MalformedPacket("the packet is longer than its fields")
