"""Who should lead what; that leaders move is shown with real servers (tests/integration/cluster)."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from rookery.cluster.jetstream import NoAnswer
from rookery.cluster.leaders import Leaders, has_everything, register_leaders, servers_of


def cluster(leader: str, *replicas: str, lagging: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "leader": leader,
        "replicas": [{"name": name, "current": name not in lagging} for name in replicas],
    }


class FakeJetStream:
    """Says who leads, and notes who is asked to step down."""

    connected = at_home = True

    def __init__(self, **streams: dict[str, Any]) -> None:
        self.streams = streams
        self.asked: list[str] = []

    async def api(
        self, name: str, asked: Mapping[str, object] | None = None, seconds: float = 1
    ) -> dict[str, Any]:
        if name.startswith("STREAM.INFO."):
            found = self.streams.get(name.removeprefix("STREAM.INFO."))
            if found is None:
                raise NoAnswer("no leader")
            return {"cluster": found}
        assert asked is not None
        self.asked.append(f"{name.rpartition('.')[2]} {asked['placement']}")
        return {}


def of_three(**changed: dict[str, Any]) -> FakeJetStream:
    streams = {
        "LOG_b": cluster("b", "a", "c"),
        "SNAP_b": cluster("b", "a", "c"),
        "REG_0": cluster("a", "b", "c"),
        "REG_1": cluster("b", "a", "c"),
        "REG_2": cluster("c", "a", "b"),
    }
    return FakeJetStream(**{**streams, **changed})


def look(jetstream: FakeJetStream) -> bool:
    return asyncio.run(Leaders(jetstream, "b").look())


def test_what_is_where_it_should_be_stays():
    jetstream = of_three()
    assert look(jetstream)
    assert jetstream.asked == []


@pytest.mark.parametrize("stream", ["LOG_b", "SNAP_b", "REG_1"])
def test_what_our_server_should_lead_is_called_home(stream: str):
    jetstream = of_three(**{stream: cluster("a", "b", "c")})
    assert not look(jetstream)
    assert jetstream.asked == [f"{stream} {{'preferred': 'b'}}"]


def test_a_server_that_is_not_named_like_the_node_calls_home_all_the_same():
    jetstream = of_three(LOG_w=cluster("a", "b", "c"), SNAP_w=cluster("b", "a", "c"))
    leaders = Leaders(jetstream, "w", "b")
    assert not asyncio.run(leaders.look())
    assert jetstream.asked == ["LOG_w {'preferred': 'b'}"]


def test_what_others_should_lead_is_theirs_to_call():
    jetstream = of_three(REG_0=cluster("b", "a", "c"), REG_2=cluster("b", "a", "c"))
    assert not look(jetstream)
    assert jetstream.asked == []


def test_nothing_moves_while_our_replica_lags_or_a_stream_has_no_leader():
    jetstream = of_three(LOG_b=cluster("a", "b", "c", lagging=("b",)))
    assert not look(jetstream)
    del jetstream.streams["REG_2"]
    jetstream.streams["LOG_b"] = cluster("a", "b", "c")
    assert not look(jetstream)
    assert jetstream.asked == []


def test_one_server_leads_all():
    alone = {name: {"leader": "b"} for name in ("LOG_b", "SNAP_b", "REG_0", "REG_1", "REG_2")}
    jetstream = FakeJetStream(**alone)
    assert look(jetstream)


@pytest.mark.parametrize(
    ("servers", "leaders"),
    [
        (["abc", "abc", "abc"], "abc"),
        (["cba", "bac", "acb"], "abc"),
        (["ab", "ab", "ab"], "aab"),
        (["a", "a", "a"], "aaa"),
        (["abc", "bcd", "ade"], "abd"),
        (["abc", "abc", "a"], "bca"),
    ],
)
def test_registers_are_led_by_different_servers(servers: list[str], leaders: str):
    assert "".join(register_leaders(servers)) == leaders


def test_who_keeps_a_stream():
    assert servers_of(cluster("a", "b", "c")) == {"a", "b", "c"}
    assert servers_of({}) == set()
    assert not has_everything({"replicas": [{"name": "b", "current": True, "offline": True}]}, "b")
