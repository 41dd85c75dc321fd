"""Which streams a node asks for; that they come into being is shown in tests/integration/cluster."""

import pytest

from rookery.cluster.streams import unreliable, wanted_streams


def test_the_streams_of_a_node():
    made = {each["name"]: each for each in wanted_streams("a.b", 3)}
    assert list(made) == ["LOG_a=2eb", "SNAP_a=2eb", "REG_0", "REG_1", "REG_2"]
    assert made["LOG_a=2eb"]["subjects"] == ["log.a=2eb"]
    assert made["REG_1"]["subjects"] == ["reg.1.*"]
    assert all(each["allow_direct"] and each["num_replicas"] == 3 for each in made.values())
    # A log keeps every record, whatever else keeps the last one.
    assert {name: each.get("max_msgs_per_subject") for name, each in made.items()} == {
        "LOG_a=2eb": None,
        "SNAP_a=2eb": 1,
        "REG_0": 1,
        "REG_1": 1,
        "REG_2": 1,
    }


@pytest.mark.parametrize(
    ("replicas", "leader", "current", "new", "reason"),
    [
        (1, "", [], True, ""),
        (3, "", [True, True], False, "no leader"),
        (3, "a", [True, False], False, ""),
        (3, "a", [True, False], True, "1 of 2 other replicas"),
        (3, "a", [True], True, "1 of 2 other replicas"),
        (3, "a", [True, True], True, ""),
    ],
)
def test_what_can_be_relied_on(
    replicas: int, leader: str, current: list[bool], new: bool, reason: str
):
    cluster = {"leader": leader, "replicas": [{"current": each} for each in current]}
    told = unreliable({"config": {"num_replicas": replicas}, "cluster": cluster}, new)
    assert reason in told
    assert bool(told) == bool(reason)


@pytest.mark.parametrize(("before", "reason"), [(1, "is being given"), (3, "")])
def test_replicas_that_are_added_are_waited_for_whoever_asked_for_them(before: int, reason: str):
    # The shape of nats-server 2.15; a replacement of a server has as many replicas before as after.
    cluster = {
        "leader": "a",
        "replicas": [{"current": True}, {"current": True}],
        "desired": {"origin": {"replicas": before}, "status": {"type": "membership"}},
    }
    assert reason in unreliable({"config": {"num_replicas": 3}, "cluster": cluster}, new=False)
