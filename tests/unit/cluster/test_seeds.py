import pytest

from rookery.cluster.addresses import BadAddress
from rookery.cluster.seeds import parse_seed


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("n1.example", ("address", "n1.example", 7)),
        ("n1.example:8", ("address", "n1.example", 8)),
        ("[::1]:8", ("address", "::1", 8)),
        ("dns", ("address", "dns", 7)),
        ("dns:all.example", ("dns", "all.example", 7)),
        ("dns:all.example:8", ("dns", "all.example", 8)),
        ("srv:_rookery._tcp.example.org", ("srv", "_rookery._tcp.example.org", 0)),
        ("kubernetes:mqtt.prod", ("dns", "mqtt.prod.svc.cluster.local", 7)),
        ("kubernetes:mqtt.prod:8", ("dns", "mqtt.prod.svc.cluster.local", 8)),
        ("kubernetes:mqtt.prod.svc.corp.example", ("dns", "mqtt.prod.svc.corp.example", 7)),
    ],
)
def test_what_seeds_mean(text: str, found: tuple[str, str, int]):
    seed = parse_seed(text, 7)
    assert (seed.kind, seed.name, seed.port) == found
    assert seed.text == text


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("srv:example.org", "srv:_service._tcp.domain"),
        ("srv:_a._tcp", "srv:_service._tcp.domain"),
        ("kubernetes:mqtt", "kubernetes:service.namespace"),
        ("kubernetes:mqtt.", "kubernetes:service.namespace"),
        ("dns:", "host:port"),
        ("dns:a:b", "'b' is no port"),
        ("a:b", "'b' is no port"),
    ],
)
def test_what_is_none_is_said_what_would_be_right(text: str, right: str):
    with pytest.raises(BadAddress, match=right):
        parse_seed(text, 7)
