"""Subscribers for tests of the router: sessions without an engine."""

from rookery.message import Delivery
from rookery.routing.subscriber import Subscriber


class FakeSession(Subscriber):
    """A session that keeps what it is told."""

    def __init__(self, client_id: str, attached: bool = True, inflight: int = 0) -> None:
        super().__init__(client_id)
        self.attached = attached
        self.inflight = inflight
        self.told: list[Delivery] = []

    def tell(self, delivery: Delivery) -> None:
        self.told.append(delivery)

    def inflight_count(self) -> int:
        return self.inflight

    def __repr__(self) -> str:
        return self.client_id
