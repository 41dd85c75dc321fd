"""The PROXY protocol header, versions 1 and 2: who a connection that came by a proxy really is from.

The header is the first thing on the connection, before TLS. A listener either expects one from everybody or
believes none: guessing would let any client choose its own address. (HAProxy's ``proxy-protocol.txt``, sections 2.1 and 2.2)
"""

import ipaddress
import struct
from typing import Final

from rookery.net.layers import Layer, LayerFault

V1_PREFIX: Final = b"PROXY "
V1_BYTES_MAX: Final = 107
"""The longest version 1 header there can be, with its line end. (Section 2.1)"""

V2_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
V2_HEAD: Final = struct.Struct("!12sBBH")
V2_LENGTH_MAX: Final = 4096
"""The most we take after the fixed head: addresses need 216 bytes, the rest is room for certificates' names."""

ADDRESS_BYTES: Final = {0: 0, 1: 12, 2: 36, 3: 216}
"""Version 2: how many bytes the addresses take, by family (unspecified, IPv4, IPv6, unix)."""

TLV_SSL: Final = 0x20
TLV_SSL_CN: Final = 0x22
SSL_CERTIFICATE: Final = 0x02 | 0x04
"""The client showed a certificate, on this connection or on the session that it resumes."""


class ProxyLayer(Layer):
    """Takes the header off the front of the stream; then everything passes unchanged."""

    def __init__(self) -> None:
        super().__init__()
        self.source: tuple[str, int] | None = None
        """The client's host and port; ``None`` where the proxy speaks for itself or for a unix socket."""
        self.client_name: str | None = None
        """The common name of a client certificate that the proxy has verified (version 2)."""
        self._header = b""
        self._ended = False

    def receive(self, data: bytes) -> bytes:
        """Parse the header, then pass on what follows it. (See the base class.)"""
        if self.opened:
            return data
        if self._ended:
            return b""
        self._header += data
        try:
            length = self._parse()
        except LayerFault:
            self._ended = True
            self._header = b""
            raise
        if length == 0:
            return b""
        rest = self._header[length:]
        self._header = b""
        self.opened = True
        return rest

    def _parse(self) -> int:
        """Return the whole header's length, 0 while it is incomplete."""
        header = self._header
        if header.startswith(V1_PREFIX[: len(header)]):
            return self._parse_v1(header)
        if header.startswith(V2_SIGNATURE[: len(header)]):
            return self._parse_v2(header)
        raise LayerFault("no PROXY header")

    def _parse_v1(self, header: bytes) -> int:
        end = header.find(b"\r\n", 0, V1_BYTES_MAX)
        if end < 0:
            if len(header) >= V1_BYTES_MAX:
                raise LayerFault(f"PROXY v1 header longer than {V1_BYTES_MAX} bytes")
            return 0
        fields = header[len(V1_PREFIX) : end].split(b" ")
        # UNKNOWN may be followed by anything up to the line's end, which is to be ignored.
        if fields[0] != b"UNKNOWN":
            self.source = _source_v1(fields)
        return end + 2

    def _parse_v2(self, header: bytes) -> int:
        if len(header) < V2_HEAD.size:
            return 0
        version_command: int
        family_transport: int
        length: int
        _, version_command, family_transport, length = V2_HEAD.unpack_from(header)
        if version_command not in {0x20, 0x21}:
            raise LayerFault(f"PROXY v2 header with version and command 0x{version_command:02x}")
        family, transport = divmod(family_transport, 16)
        if family not in ADDRESS_BYTES or transport > 2:
            raise LayerFault(f"PROXY v2 header with address family 0x{family_transport:02x}")
        if length > V2_LENGTH_MAX:
            raise LayerFault(
                f"PROXY v2 header of {length} bytes, at most {V2_LENGTH_MAX} are taken"
            )
        if len(header) < V2_HEAD.size + length:
            return 0
        # LOCAL (0x20): the proxy's own connection, a health check say; what it adds is to be skipped.
        if version_command == 0x21:
            content = header[V2_HEAD.size : V2_HEAD.size + length]
            self._take_v2(family if transport else 0, content)
        return V2_HEAD.size + length

    def _take_v2(self, family: int, content: bytes) -> None:
        """Take the source and the TLVs behind the addresses. Unspecified addresses have no known length."""
        if family == 0:
            return
        address_bytes = ADDRESS_BYTES[family]
        if len(content) < address_bytes:
            raise LayerFault(
                f"PROXY v2 header with {len(content)} bytes of {address_bytes} address bytes"
            )
        tlvs = _tlvs(content[address_bytes:])
        if family == 1:
            self.source = (str(ipaddress.IPv4Address(content[:4])), _port(content, 8))
        elif family == 2:
            self.source = (str(ipaddress.IPv6Address(content[:16])), _port(content, 32))
        if TLV_SSL in tlvs:
            self.client_name = _client_name(tlvs[TLV_SSL])


def _port(content: bytes, offset: int) -> int:
    return int.from_bytes(content[offset : offset + 2], "big")


def _source_v1(fields: list[bytes]) -> tuple[str, int]:
    """Parse ``TCP4 source destination source-port destination-port``."""
    if len(fields) != 5 or fields[0] not in {b"TCP4", b"TCP6"}:
        raise LayerFault("PROXY v1 header is not 'TCP4|TCP6|UNKNOWN source destination port port'")
    version = 4 if fields[0] == b"TCP4" else 6
    source, _ = _address_v1(fields[1], version), _address_v1(fields[2], version)
    source_port, _ = _port_v1(fields[3]), _port_v1(fields[4])
    return source, source_port


def _address_v1(field: bytes, version: int) -> str:
    try:
        address = ipaddress.ip_address(field.decode("ascii"))
    except ValueError:
        raise LayerFault("PROXY v1 header with an invalid address") from None
    # A zone names an interface of the proxy's machine and means nothing here.
    if address.version != version or b"%" in field:
        raise LayerFault(f"PROXY v1 header with an address that is not IPv{version}")
    return str(address)


def _port_v1(field: bytes) -> int:
    if not field.isdigit() or len(field) > 5 or int(field) > 65535:
        raise LayerFault("PROXY v1 header with an invalid port")
    return int(field)


def _tlvs(content: bytes) -> dict[int, bytes]:
    """Split type-length-value elements; of a repeated type the last one counts."""
    tlvs: dict[int, bytes] = {}
    position = 0
    while position < len(content):
        if position + 3 > len(content):
            raise LayerFault("PROXY v2 header with an element cut off")
        start = position + 3
        position = start + int.from_bytes(content[position + 1 : start], "big")
        if position > len(content):
            raise LayerFault("PROXY v2 header with an element longer than the header")
        tlvs[content[start - 3]] = content[start:position]
    return tlvs


def _client_name(element: bytes) -> str | None:
    """Return the certificate's common name out of the SSL element, if the certificate was verified."""
    if len(element) < 5:
        raise LayerFault("PROXY v2 header with an SSL element cut off")
    verified = element[1:5] == b"\0\0\0\0"
    name = _tlvs(element[5:]).get(TLV_SSL_CN)
    if name is None or not verified or not element[0] & SSL_CERTIFICATE:
        return None
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        raise LayerFault("PROXY v2 header with a common name that is not UTF-8") from None
