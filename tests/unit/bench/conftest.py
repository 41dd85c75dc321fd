"""Brokers to put a load on: real ones, for a fraction of a second."""

from collections.abc import Iterator

import pytest

from rookery_bench.peers import Broker, Peer, PeerError, find_mosquitto, find_peer


@pytest.fixture(scope="session")
def mosquitto_peer() -> Peer:
    """mosquitto, or a skip that says how to get it."""
    try:
        return find_mosquitto()
    except PeerError as error:
        pytest.skip(f"THE LOAD IS NOT TRIED ON A BROKER: {error}")


@pytest.fixture(scope="session")
def mosquitto(mosquitto_peer: Peer) -> Iterator[Broker]:
    """A running mosquitto."""
    with mosquitto_peer.running(None) as broker:
        yield broker


@pytest.fixture(scope="session")
def rookery_peer() -> Peer:
    """Rookery as this source tree has it."""
    return find_peer("rookery-interpreted", None, None)
