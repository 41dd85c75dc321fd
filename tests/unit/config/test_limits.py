"""What bounds clients, addresses and listeners."""

import pytest
from pydantic import ValidationError

from rookery.config.limits import Bans
from rookery.config.models import Config
from tests.support.config import problems


def test_nothing_bounds_rates_by_default_and_failures_do():
    config = Config()
    assert (config.limits.client, config.limits.address) == (None, None)
    assert config.limits.connections_per_address_max is None
    assert config.bans.failures is not None
    assert config.bans.flapping is None


def test_a_bound_of_an_address_that_could_never_hold():
    data = {"limits": {"half_open_max": 5, "half_open_per_address_max": 6}}
    assert problems(data) == [
        (
            ("limits", "half_open_per_address_max"),
            "is more than half_open_max (5), so it would never hold",
        )
    ]


@pytest.mark.parametrize("address", ["192.0.2.7", "192.0.2.7/24", "2001:db8::/32", "::1"])
def test_an_exempt_address_is_one_or_a_network(address: str):
    assert Bans(exempt_addresses=(address,)).exempt_addresses == (address,)


@pytest.mark.parametrize("address", ["", "example", "192.0.2.300", "192.0.2.0/33"])
def test_nothing_else_is(address: str):
    with pytest.raises(ValidationError):
        Bans(exempt_addresses=(address,))
