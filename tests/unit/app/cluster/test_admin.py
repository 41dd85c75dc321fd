import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from rookery.app.cluster.admin import EVACUATED, ClusterDesk
from rookery.mqtt.types import V5
from rookery.observe.cluster import ClusterRefusal
from tests.support.engine import Engine, connect, said
from tests.unit.app.cluster.test_runtime import record


class FakeRuntime:
    """A node of two, the other of which has as many clients as a test says."""

    node_id = "a"
    name = "test"
    state = "up"
    epoch = 3
    ready = True

    def __init__(self, engine: Engine) -> None:
        self.broker = engine.broker
        self.elsewhere = [0]
        self.hub = SimpleNamespace(clients_here=lambda: self.broker.registry.attached)
        self.left = False
        self.dead: set[str] = set()
        self.adopted: set[str] = set()

    def records(self) -> list[Any]:
        return [record("a"), record("b")]

    def is_reached(self, name: str) -> bool:
        return name == "a"

    def cells(self) -> list[str]:
        return ["a", "b", *sorted(self.adopted)]

    def cell(self, name: str) -> Any:
        if name in self.adopted:
            return record(name, holder="b", state="adopted")
        return record(name) if name in self.cells() else None

    def clients_max(self) -> int:
        return self.broker.registry.attached

    def clients_elsewhere(self) -> list[int]:
        return self.elsewhere

    def empty(self, reason: str) -> None:
        self.broker.emptied_for = reason

    def is_living(self, name: str) -> bool:
        return name not in self.dead

    def leave(self) -> None:
        self.left = True


@pytest.fixture
def engine() -> Engine:
    engine = Engine()
    engine.broker.other_servers = ["b:1883"]
    return engine


@pytest.fixture
def runtime(engine: Engine) -> FakeRuntime:
    return FakeRuntime(engine)


def act(runtime: Any, action: str, **arguments: Any) -> dict[str, Any]:
    return asyncio.run(ClusterDesk(runtime).act(action, arguments, "127.0.0.1"))


def test_the_state_of_this_node_and_of_the_others(runtime, engine):
    engine.connect("c").subscribe("t")
    status = ClusterDesk(runtime).status()
    assert (status["node_id"], status["state"], status["epoch"]) == ("a", "up", 3)
    assert (status["sessions"], status["clients"], status["routes"]) == (1, 1, 1)
    assert [(each["node_id"], each["link"]) for each in status["members"]] == [
        ("a", "up"),
        ("b", "down"),
    ]


def test_a_node_is_emptied_and_lets_nobody_in(runtime, engine):
    clients = [engine.connect(f"c{n}") for n in range(3)]
    assert act(runtime, "evacuate") == {"node_id": "a", "clients_sent_away": 3}
    assert engine.broker.emptied_for == EVACUATED
    assert not engine.broker.closed_for
    assert all(client.closed for client in clients)
    late = engine.peer(V5)
    engine.turn((late, late.encode(connect("late", V5))))
    assert said(late.take()) == ["CONNACK 0x9C"]


def test_nobody_is_sent_away_when_there_is_nowhere_to_go(runtime, engine):
    engine.broker.other_servers = []
    client = engine.connect("c")
    with pytest.raises(ClusterRefusal, match="no other node"):
        act(runtime, "evacuate")
    assert not client.closed
    assert not engine.broker.emptied_for


def test_a_node_that_leaves_is_emptied_first(runtime, engine):
    client = engine.connect("c")
    assert act(runtime, "leave")["clients_sent_away"] == 1
    assert client.closed
    assert runtime.left


@pytest.mark.parametrize(
    ("elsewhere", "sent"), [([0], 5), ([4, 5], 3), ([10], 0), ([20, 20], 0), ([9], 0), ([9, 10], 0)]
)
def test_what_is_above_the_even_part_is_sent_away(runtime, engine, elsewhere, sent):
    for number in range(10):
        engine.connect(f"c{number}")
    runtime.elsewhere = elsewhere
    assert act(runtime, "rebalance")["clients_sent_away"] == sent
    assert engine.broker.registry.attached == 10 - sent


def test_an_emptied_node_has_no_part_of_the_clients(runtime, engine):
    act(runtime, "evacuate")
    runtime.elsewhere = [20, 20]
    assert act(runtime, "rebalance") == {"node_id": "a", "clients_sent_away": 0, "even_part": 0}


def test_acts_are_noted_whether_they_are_done_or_not(runtime):
    desk = ClusterDesk(runtime)
    noted: list[tuple[str, str, str]] = []
    details: list[str] = []

    def note(action: str, target: str, detail: str, by: str) -> None:
        noted.append((by, action, target))
        details.append(detail)

    desk.note = note
    asyncio.run(desk.act("evacuate", {"by": "anna", "node_id": "b"}, "::1"))
    asyncio.run(desk.act("rebalance", {}, "127.0.0.1"))
    with pytest.raises(ClusterRefusal):
        asyncio.run(desk.act("force-leave", {"by": "anna", "node_id": "b"}, "::1"))
    assert noted == [
        ("anna", "cluster evacuate", "a"),
        ("unnamed", "cluster rebalance", "a"),
        ("anna", "cluster force-leave", "b"),
    ]
    assert [detail.partition(",")[0].rpartition(" ")[2] for detail in details] == [
        "::1",
        "127.0.0.1",
        "::1",
    ]


@pytest.mark.parametrize("name", [None, 7, "n" * 256, "two\nlines"])
def test_no_line_of_the_audit_is_made_of_what_is_no_name(runtime, engine, name):
    client = engine.connect("c")
    desk = ClusterDesk(runtime)
    desk.note = lambda *noted: pytest.fail(f"{noted} was noted")
    with pytest.raises(ClusterRefusal, match="by must be a name"):
        asyncio.run(desk.act("evacuate", {"by": name}, "::1"))
    with pytest.raises(ClusterRefusal, match="node_id must be a name"):
        asyncio.run(desk.act("force-leave", {"node_id": name}, "::1"))
    assert not client.closed


def test_a_living_node_is_not_forced_out(runtime):
    with pytest.raises(ClusterRefusal, match="alive"):
        act(runtime, "force-leave", node_id="b")
    with pytest.raises(ClusterRefusal, match="alive"):
        act(runtime, "force-leave", node_id="a")


def test_what_becomes_of_a_dead_node_is_told(runtime):
    runtime.dead = {"b", "c", "d"}
    runtime.adopted = {"c"}
    assert act(runtime, "force-leave", node_id="b")["state"] == "adopting"
    adopted = {"node_id": "c", "state": "adopted", "by": "b"}
    assert act(runtime, "force-leave", node_id="c") == adopted
    with pytest.raises(
        ClusterRefusal, match=r"no node of this cluster is called 'd': it knows a, b, c$"
    ):
        act(runtime, "force-leave", node_id="d")
