"""Gauges that stand still, for what reads them."""


class Standing:
    """Gauges of a node at some moment."""

    def connections(self) -> int:
        return 3

    def sessions(self) -> int:
        return 5

    def subscriptions(self) -> int:
        return 11

    def shared_subscriptions(self) -> int:
        return 4

    def topics(self) -> int:
        return 7

    def retained_messages(self) -> int:
        return 13

    def retained_bytes(self) -> int:
        return 1300

    def queued_messages(self) -> int:
        return 17

    def paced_clients(self) -> int:
        return 2

    def relayed_clients(self) -> int:
        return 4

    def half_open(self) -> int:
        return 6

    def overload_level(self) -> int:
        return 8

    def bans(self) -> int:
        return 9

    def store_bytes(self) -> int:
        return 19

    def store_problems(self) -> int:
        return 1
