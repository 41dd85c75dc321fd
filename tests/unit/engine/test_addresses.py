import pytest

from rookery.engine.addresses import Addresses, address_key
from rookery.engine.settings import Rates


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", ""),
        ("a:b", "a:b"),
    ],
)
def test_one_machine_is_one_address(address: str, key: str):
    assert address_key(address) == key


def test_all_of_a_network_share_what_it_may():
    addresses = Addresses(None, 10)
    assert addresses.get("2001:db8::1", 0.0) is addresses.get("2001:db8::2", 0.0)
    assert addresses.get("2001:db8:0:1::1", 0.0) is not addresses.get("2001:db8::2", 0.0)


def test_what_does_not_matter_is_forgotten():
    addresses = Addresses(None, 100)
    for number in range(50):
        addresses.get(f"192.0.2.{number}", 0.0)
    assert len(addresses) == 1, "none has a connection, and nothing bounds how often they come"


def test_what_matters_stays():
    addresses = Addresses(Rates(connects_per_second_max=1.0), 100)
    for number in range(20):
        entry = addresses.get(f"192.0.2.{number}", 0.0)
        assert entry.connects is not None
        entry.connects.take(1, 0.0)
    assert len(addresses) == 20
    assert addresses.get("192.0.2.3", 0.5).connects.wait_seconds(0.5) == pytest.approx(0.5)
    for number in range(20, 50):
        addresses.get(f"192.0.2.{number}", 2.0)
    assert len(addresses) <= 4, "a second later it would be new all the same"


def test_messages_matter_as_well():
    addresses = Addresses(Rates(messages_per_second_max=1.0), 100)
    bound = addresses.get("192.0.2.1", 0.0).bound
    assert bound is not None and bound.messages is not None
    bound.messages.take(5, 0.0)
    addresses.get("192.0.2.2", 0.0)
    assert addresses.get("192.0.2.1", 1.0).bound is bound


def test_the_table_is_bounded_but_for_those_with_a_connection():
    addresses = Addresses(Rates(connects_per_second_max=0.001), 10)
    connected = addresses.get("192.0.2.255", 0.0)
    connected.open = 1
    for number in range(200):
        addresses.get(f"192.0.2.{number}", 0.0).connects.take(1, 0.0)
    assert len(addresses) <= 11
    assert addresses.get("192.0.2.255", 0.0) is connected
