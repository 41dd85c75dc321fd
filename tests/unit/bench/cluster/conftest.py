"""A broker of one process in the place of a cluster."""

import pytest

from rookery_bench.cluster.systems import BROKERS
from rookery_bench.links import Address
from rookery_bench.peers import Broker


class OneBroker:
    """A system of one node that is there anyway."""

    def __init__(self, name: str, broker: Broker) -> None:
        self.name = name
        self.version = "any"
        self._broker = broker

    @property
    def addresses(self) -> list[Address]:
        return [self._broker.address]

    def pids(self) -> dict[str, list[int]]:
        return {BROKERS: [self._broker.pid]}

    def expect_running(self) -> None:
        pass


@pytest.fixture
def system(mosquitto: Broker) -> OneBroker:
    return OneBroker("some", mosquitto)
