from typing import Any

import pytest

from rookery.cluster.peers import ALIVE_SECONDS, Peers
from rookery.cluster.problems import Problems
from rookery.cluster.refusals import Refusal


class Time:
    def monotonic(self) -> float:
        return 0.0

    def wall(self) -> float:
        return 0.0


class Fake:
    """A stream, as far as the table of peers asks."""

    def __init__(
        self, peers: Peers, node_id: str = "n2", boot: str = "b1", number: int = 1
    ) -> None:
        self.node_id, self.boot, self.number = node_id, boot, number
        self.opened = False
        self.silent_seconds = 0.0
        self._peers = peers

    def end(self, reason: str) -> None:
        self._peers.ended(self, reason)  # type: ignore[arg-type]


class Told:
    def __init__(self) -> None:
        self.events: list[str] = []

    def peer_up(self, node_id: str, boot: str, link: Any) -> None:
        self.events.append(f"up {node_id} {boot}")

    def peer_down(self, node_id: str, reason: str) -> None:
        self.events.append(f"down {node_id}")


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def peers(told: Told) -> Any:
    made = Peers("n1", told, Problems(Time()))  # type: ignore[arg-type]
    made.set_members({"n1": "a:1", "n2": "a:2", "n3": "a:3"})
    return made


def opened(peers: Any, *arguments: Any) -> Fake:
    stream = Fake(peers, *arguments)
    peers.enter(stream)
    peers.open(stream)
    return stream


def test_the_node_itself_is_no_peer_and_strangers_have_no_place(peers: Any):
    for node_id in ("n1", "n9"):
        with pytest.raises(Refusal, match="not_expected"):
            peers.enter(Fake(peers, node_id))


def test_a_newer_stream_takes_the_place_and_down_is_told_first(peers: Any, told: Told):
    first = opened(peers)
    with pytest.raises(Refusal, match="older_stream"):
        peers.enter(Fake(peers))
    second = opened(peers, "n2", "b1", 2)
    assert told.events == ["up n2 b1", "down n2", "up n2 b1"]
    first.end("late")
    assert peers.get("n2") is second
    assert len(told.events) == 3


def test_another_boot_waits_until_the_one_before_is_not_alive(peers: Any, told: Told):
    first = opened(peers)
    first.silent_seconds = ALIVE_SECONDS - 0.1
    with pytest.raises(Refusal, match="id_taken"):
        peers.enter(Fake(peers, "n2", "b2"))
    first.silent_seconds = ALIVE_SECONDS
    opened(peers, "n2", "b2")
    assert told.events == ["up n2 b1", "down n2", "up n2 b2"]


def test_what_was_not_open_is_not_told_of(peers: Any, told: Told):
    stream = Fake(peers)
    peers.enter(stream)
    assert peers.get("n2") is None
    stream.end("no")
    opened(peers)
    assert told.events == ["up n2 b1"]


def test_who_is_no_member_any_more_is_down(peers: Any, told: Told):
    opened(peers)
    opened(peers, "n3")
    peers.set_members({"n2": "elsewhere:2"})
    assert told.events[2:] == ["down n3"]
    peers.end_all("the end")
    assert told.events[3:] == ["down n2"]
