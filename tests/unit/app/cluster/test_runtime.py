"""What a node does when its lease or the others change: with doubles for what lies below it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rookery.app.cluster.runtime import APART_SECONDS, NO_LEASE, ClusterRuntime
from rookery.cluster.cells import CellRecord
from rookery.config.models import Config
from rookery.engine.peers.hub import Hub
from tests.support.engine import Engine, said
from tests.support.peers import Cluster, FakeLink, hub_of

LASTING = {"session_expiry_interval": 3_600, "clean_start": False}


class FakeLease:
    def __init__(self) -> None:
        self.record = record("a")
        self.is_valid = True

    def valid(self, now: float) -> bool:
        return self.is_valid

    def tell(self, **changed: Any) -> None:
        self.told = changed


class FakeLinks:
    def __init__(self) -> None:
        self.members: dict[str, str] = {}

    def set_members(self, members: dict[str, str]) -> None:
        self.members = dict(members)

    def problems(self) -> list[str]:
        return []


class FakeMembership:
    def __init__(self) -> None:
        self.abandoned: list[str] = []

    def abandon(self, cell: str) -> None:
        self.abandoned.append(cell)


class FakeAdopter:
    def __init__(self) -> None:
        self.begun: list[str] = []

    def begin(self, of: CellRecord) -> None:
        self.begun.append(of.node_id)


def record(name: str, **more: Any) -> CellRecord:
    values = {
        "node_id": name,
        "holder": name,
        "boot": "x",
        "state": "up",
        "address": f"{name}:8081",
        "server_reference": f"{name}:1883",
    }
    return CellRecord(**{**values, **more})


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def runtime(engine: Engine, tmp_path: Path) -> Any:
    anew: list[tuple[str, float]] = []
    config = Config.model_validate({"broker": {"node_id": "a"}, "cluster": {"enabled": True}})
    made: Any = ClusterRuntime(
        config, tmp_path, engine.clock, lambda *why: anew.append(why), SimpleNamespace(), Path()
    )
    made.anew = anew
    made.broker = engine.broker
    made.hub = Hub(engine.broker, "a")
    engine.broker.peers = made.hub
    made._ground = SimpleNamespace(lease=FakeLease(), problems=list)
    made._links = FakeLinks()
    made._membership = FakeMembership()
    made._adopter = FakeAdopter()
    made.ready = True
    return made


def link(runtime: Any, name: str) -> None:
    runtime.hub.peer_up(name, "1-x", FakeLink(SimpleNamespace(), "a", name))
    runtime.hub.nodes[name].synced = True


class TestTheLease:
    def test_without_it_clients_are_sent_away_and_nobody_is_let_in(self, runtime, engine):
        client = engine.connect("c")
        runtime.cell_joined(record("b"))
        runtime.lease_lost()
        engine.settle()
        engine.flush()
        assert said(client.take()) == ["DISCONNECT 0x9C"]
        assert client.closed
        runtime._ground.lease.is_valid = False
        assert runtime.check() == (False, NO_LEASE)
        assert engine.broker.closed_for
        assert runtime.anew == []

    def test_with_it_again_the_node_goes_on(self, runtime, engine):
        runtime.lease_lost()
        runtime.lease_regained()
        assert runtime.check()[0]
        engine.connect("c")

    def test_had_again_opens_no_node_that_is_being_emptied(self, runtime, engine):
        runtime.broker.emptied_for = "it is being emptied"
        assert runtime.check() == (False, "it is being emptied")
        runtime.lease_lost()
        assert runtime.check() == (False, NO_LEASE)
        runtime.lease_regained()
        assert runtime.check() == (False, "it is being emptied")

    def test_lost_sends_those_away_as_well_whose_sessions_are_elsewhere(self, runtime, engine):
        cluster = Cluster("a", "b")
        cluster.connect("b", "c", **LASTING)
        peers = [cluster.connect("a", "c", clean_start=False), cluster.connect("a", "d")]
        runtime.broker = cluster.engines["a"].broker
        runtime.hub = hub_of(cluster.engines["a"])
        assert runtime.hub.relays.count == 1
        runtime.lease_lost()
        assert [cluster.taken(peer) for peer in peers] == [["DISCONNECT 0x89"]] * 2

    def test_of_no_use_to_a_node_that_has_not_joined_yet(self, runtime, engine):
        runtime.ready = False
        engine.broker.closed_for = "joining"
        runtime.lease_regained()
        assert engine.broker.closed_for == "joining"

    def test_taken_by_another_the_node_begins_anew_at_once(self, runtime):
        runtime.lease_taken(record("a", holder="b"))
        ((reason, pause_seconds),) = runtime.anew
        assert "b" in reason
        assert pause_seconds == 0

    def test_given_up_for_want_of_links_it_stays_away_until_others_have_its_cell(self, runtime):
        runtime.step_down()
        ((reason, pause_seconds),) = runtime.anew
        assert reason
        assert pause_seconds == APART_SECONDS

    def test_a_store_that_was_fenced_ends_the_node(self, runtime, engine):
        runtime._fenced("somebody else wrote")
        assert runtime.anew == [("somebody else wrote", 0.0)]
        assert engine.broker.closed_for


class TestTheOthers:
    def test_the_living_are_linked_to_and_the_dead_are_members_until_they_are_adopted(
        self, runtime
    ):
        runtime.cell_joined(record("b"))
        runtime.cell_joined(record("c"))
        assert runtime._links.members == {"b": "b:8081", "c": "c:8081"}
        link(runtime, "b")
        runtime.cell_dead(record("c"))
        assert runtime._links.members == {"b": "b:8081"}
        assert runtime.hub.nodes["c"].member
        assert runtime.nodes_running() == 2
        assert runtime._missing() == ["c"]
        runtime.cell_adopted(record("c", holder="b", state="adopted"))
        assert runtime._missing() == []
        assert not runtime.hub.nodes["c"].member

    def test_clients_are_sent_to_one_that_serves(self, runtime, engine):
        runtime.cell_joined(record("b", state="joining"))
        assert engine.broker.next_server() is None
        runtime.cell_changed(record("b"))
        assert [engine.broker.next_server() for _ in range(2)] == ["b:1883", "b:1883"]
        runtime.cell_joined(record("c"))
        told = [engine.broker.next_server() for _ in range(4)]
        assert told[:2] == told[2:]
        assert set(told) == {"b:1883", "c:1883"}
        runtime.cell_dead(record("b"))
        runtime.cell_dead(record("c"))
        assert engine.broker.next_server() is None

    def test_clients_are_sent_to_none_that_is_emptied(self, runtime, engine):
        for name in ("b", "c"):
            runtime.cell_joined(record(name))
            link(runtime, name)
            runtime.hub.nodes[name].clients = 3
        assert runtime.clients_elsewhere() == [3, 3]
        runtime.cell_changed(record("b", emptied=True))
        assert {engine.broker.next_server() for _ in range(4)} == {"c:1883"}
        assert runtime.clients_elsewhere() == [3]
        runtime.cell_changed(record("b"))
        assert {engine.broker.next_server() for _ in range(4)} == {"b:1883", "c:1883"}

    def test_are_told_that_this_one_is_emptied(self, runtime, engine):
        runtime.empty("it is being emptied")
        assert engine.broker.emptied_for == "it is being emptied"
        assert runtime._ground.lease.told == {"emptied": True}

    def test_a_cell_is_taken_over_by_a_node_that_has_joined(self, runtime):
        runtime.adopt(record("b"))
        runtime.ready = False
        runtime.adopt(record("c"))
        assert runtime._adopter.begun == ["b"]
        assert runtime._membership.abandoned == ["c"]

    def test_who_is_linked(self, runtime):
        runtime.cell_joined(record("b"))
        runtime.cell_joined(record("c"))
        link(runtime, "b")
        assert runtime.links() == {"b": True, "c": False}
        assert runtime._sees() == ("b",)
        assert [each.node_id for each in runtime.records()] == ["a", "b", "c"]
        assert runtime.is_reached("a")
        assert not runtime.is_reached("c")


def test_a_node_that_waits_says_for_whom(runtime):
    runtime.ready = False
    runtime.cell_joined(record("b"))
    assert runtime.check() == (False, "waiting for b")


def test_leaving_ends_the_node_for_good(runtime):
    runtime.leave()
    assert runtime.anew == [("", 0.0)]
    assert runtime._ground.lease.told == {"state": "leaving"}
