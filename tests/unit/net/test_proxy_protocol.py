"""The PROXY header: whom it names, and that nothing else gets by."""

import socket
import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rookery.net.layers import LayerFault
from rookery.net.proxy_protocol import V1_BYTES_MAX, V2_LENGTH_MAX, V2_SIGNATURE, ProxyLayer

IPV4 = (
    socket.inet_aton("192.0.2.7") + socket.inet_aton("192.0.2.8") + struct.pack("!HH", 40000, 1883)
)
IPV6 = (
    socket.inet_pton(socket.AF_INET6, "2001:db8::7")
    + socket.inet_pton(socket.AF_INET6, "2001:db8::8")
    + struct.pack("!HH", 40000, 1883)
)


def v2(content: bytes, *, version_command: int = 0x21, family: int = 0x11) -> bytes:
    return V2_SIGNATURE + struct.pack("!BBH", version_command, family, len(content)) + content


def tlv(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


def ssl_element(name: bytes, *, client: int = 0x07, verify: int = 0) -> bytes:
    inner = tlv(0x21, b"TLSv1.3") + tlv(0x22, name)
    return tlv(0x20, struct.pack("!BI", client, verify) + inner)


GOOD = {
    b"PROXY TCP4 192.0.2.7 192.0.2.8 40000 1883\r\n": ("192.0.2.7", 40000),
    b"PROXY TCP6 2001:DB8::7 2001:db8::8 40000 1883\r\n": ("2001:db8::7", 40000),
    b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n": ("255.255.255.255", 65535),
    b"PROXY UNKNOWN\r\n": None,
    b"PROXY UNKNOWN ffff:f...f:ffff and whatever 65535\r\n": None,
    b"PROXY UNKNOWN " + b"x" * (V1_BYTES_MAX - 16) + b"\r\n": None,
    v2(IPV4): ("192.0.2.7", 40000),
    v2(IPV6, family=0x21): ("2001:db8::7", 40000),
    v2(IPV4, family=0x12): ("192.0.2.7", 40000),
    v2(b"/run/a".ljust(108, b"\0") + b"/run/b".ljust(108, b"\0"), family=0x31): None,
    v2(b"", family=0x00): None,
    v2(b"ignored", family=0x00): None,
    v2(IPV4, family=0x10): None,
    v2(b"", version_command=0x20, family=0x00): None,
    v2(IPV4 + b"junk", version_command=0x20): None,
    v2(IPV4 + tlv(0x04, b"") + tlv(0xEE, b"x" * 300)): ("192.0.2.7", 40000),
    v2(IPV4 + tlv(0x04, b"\0" * (V2_LENGTH_MAX - 15))): ("192.0.2.7", 40000),
}

BAD = {
    b"\x10\x0c\x00\x04MQTT": "no PROXY header",
    b"GET / HTTP/1.1\r\n": "no PROXY header",
    b"PROXX": "no PROXY header",
    b"proxy TCP4 192.0.2.7 192.0.2.8 40000 1883\r\n": "no PROXY header",
    V2_SIGNATURE[:5] + b"x": "no PROXY header",
    b"PROXY TCP4 192.0.2.7 192.0.2.8 40000\r\n": "is not",
    b"PROXY TCP4  192.0.2.7 192.0.2.8 40000 1883\r\n": "is not",
    b"PROXY TCP5 192.0.2.7 192.0.2.8 40000 1883\r\n": "is not",
    b"PROXY UNKNOWNS\r\n": "is not",
    b"PROXY \r\n": "is not",
    b"PROXY TCP4 2001:db8::7 2001:db8::8 40000 1883\r\n": "not IPv4",
    b"PROXY TCP6 192.0.2.7 192.0.2.8 40000 1883\r\n": "not IPv6",
    b"PROXY TCP6 fe80::1%eth0 fe80::2 40000 1883\r\n": "not IPv6",
    b"PROXY TCP4 192.0.2.256 192.0.2.8 40000 1883\r\n": "invalid address",
    b"PROXY TCP4 192.0.2.7 nowhere 40000 1883\r\n": "invalid address",
    b"PROXY TCP4 \xff192.0.2.7 192.0.2.8 40000 1883\r\n": "invalid address",
    b"PROXY TCP4 192.0.2.7 192.0.2.8 65536 1883\r\n": "invalid port",
    b"PROXY TCP4 192.0.2.7 192.0.2.8 -1 1883\r\n": "invalid port",
    b"PROXY TCP4 192.0.2.7 192.0.2.8 40000 \r\n": "invalid port",
    b"PROXY TCP4 192.0.2.7 192.0.2.8 40000 000001883\r\n": "invalid port",
    b"PROXY UNKNOWN " + b"x" * (V1_BYTES_MAX - 15) + b"\r\n": "longer than 107",
    b"PROXY UNKNOWN " + b"x" * 200: "longer than 107",
    v2(IPV4, version_command=0x11): "version and command 0x11",
    v2(IPV4, version_command=0x22): "version and command 0x22",
    v2(IPV4, family=0x41): "address family 0x41",
    v2(IPV4, family=0x13): "address family 0x13",
    v2(IPV4[:-1]): "11 bytes of 12",
    v2(IPV6[:-1], family=0x21): "35 bytes of 36",
    v2(b"x" * 215, family=0x31): "215 bytes of 216",
    v2(b"x" * (V2_LENGTH_MAX + 1)): "at most 4096",
    v2(IPV4 + b"\x04\x00"): "element cut off",
    v2(IPV4 + b"\x04\x00\x02x"): "element longer",
    v2(IPV4 + tlv(0x20, b"\x07\x00")): "SSL element cut off",
    v2(IPV4 + ssl_element(b"\xff")): "not UTF-8",
}


@pytest.mark.parametrize(("header", "source"), GOOD.items())
def test_the_source_is_taken_and_the_rest_passes(
    header: bytes, source: tuple[str, int] | None
) -> None:
    layer = ProxyLayer()
    assert layer.receive(header + b"rest") == b"rest"
    assert layer.opened
    assert layer.source == source
    assert layer.receive(header) == header


@pytest.mark.parametrize(("header", "text"), BAD.items())
def test_a_bad_header_is_a_fault_and_nothing_passes(header: bytes, text: str) -> None:
    layer = ProxyLayer()
    with pytest.raises(LayerFault, match=text) as caught:
        layer.receive(header)
    assert caught.value.received == b""
    assert not layer.opened
    assert layer.receive(b"PROXY UNKNOWN\r\nrest") == b""


@pytest.mark.parametrize("header", GOOD)
def test_an_incomplete_header_waits(header: bytes) -> None:
    layer = ProxyLayer()
    assert layer.receive(header[:-1]) == b""
    assert not layer.opened


@pytest.mark.parametrize(
    ("element", "name"),
    [
        (ssl_element("müller".encode()), "müller"),
        (ssl_element(b"resumed", client=0x05), "resumed"),
        (ssl_element(b"not verified", verify=1), None),
        (ssl_element(b"no certificate", client=0x01), None),
        (tlv(0x20, b"\x07\0\0\0\0"), None),
        (b"", None),
    ],
)
def test_a_common_name_counts_only_from_a_verified_certificate(
    element: bytes, name: str | None
) -> None:
    layer = ProxyLayer()
    layer.receive(v2(IPV4 + tlv(0x01, b"mqtt") + element))
    assert layer.client_name == name


Outcome = tuple[bytes, bool, tuple[str, int] | None, str | None, str | None]


def outcome(chunks: list[bytes]) -> Outcome:
    layer = ProxyLayer()
    received, fault = b"", None
    for chunk in chunks:
        try:
            received += layer.receive(chunk)
        except LayerFault as error:
            fault = error.text
    return received, layer.opened, layer.source, layer.client_name, fault


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


HEADERS = st.sampled_from([*GOOD, *BAD, v2(IPV4 + ssl_element(b"name"))])


@given(HEADERS, st.binary(max_size=40), st.lists(st.integers(0, 5000), max_size=12))
def test_any_chunking_gives_the_same(header: bytes, rest: bytes, cuts: list[int]) -> None:
    assert outcome(split(header + rest, cuts)) == outcome([header + rest])


@given(st.sampled_from(list(GOOD)))
def test_byte_by_byte_gives_the_same(header: bytes) -> None:
    data = header + b"rest"
    assert outcome([bytes([byte]) for byte in data]) == outcome([data])


@given(st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", b"PROXY TCP6 ", V2_SIGNATURE]), st.binary())
def test_any_bytes_are_a_header_or_a_layer_fault(start: bytes, data: bytes) -> None:
    outcome([start + data])


@given(HEADERS, st.integers(0, 5000), st.integers(0, 255))
def test_any_damage_is_a_header_or_a_layer_fault(header: bytes, where: int, value: int) -> None:
    damaged = bytearray(header)
    damaged[where % len(header)] = value
    outcome([bytes(damaged), b"rest"])
