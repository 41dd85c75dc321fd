import pytest

from rookery.cluster.addresses import BadAddress, join_address, split_address


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a.example:7000", ("a.example", 7000)),
        ("10.0.0.1:0", ("10.0.0.1", 0)),
        ("[::1]:65535", ("::1", 65535)),
        ("a.example", ("a.example", 9)),
        ("[fe80::1%eth0]", ("fe80::1%eth0", 9)),
        ("fe80::1", ("fe80::1", 9)),
    ],
)
def test_hosts_and_ports(text: str, found: tuple[str, int]):
    assert split_address(text, 9) == found
    assert split_address(join_address(*found)) == found


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a", "has no port"),
        ("", "has to be host:port"),
        (":1", "has to be host:port"),
        ("a:", "a port is to follow the colon"),
        ("a:x", "'x' is no port"),
        ("a:65536", "'65536' is no port"),
        ("[::1]1", "after ] only :port"),
        ("tcp://a:1", "has to be host:port"),
        ("a b:1", "has to be host:port"),
    ],
)
def test_what_is_no_address_is_said_why(text: str, fault: str):
    with pytest.raises(BadAddress, match=fault):
        split_address(text)
