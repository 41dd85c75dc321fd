"""Ports, exactly."""

import pytest

from rookery.cli.cluster.plan import PlanFault, Ports, packed, planned, shared


def test_the_usual_ports():
    one, two, three = planned(3, {})
    assert (one.node_id, two.node_id, three.node_id) == ("node1", "node2", "node3")
    assert one.ports == Ports(1883, 8081, 8082, 18083, 4222, 6222)
    assert two.ports == Ports(1884, 8083, 8084, 18084, 4223, 6223)
    assert three.ports == Ports(1885, 8085, 8086, 18085, 4224, 6224)


def test_another_first_port_moves_that_service_alone():
    _, two = planned(2, {"mqtt": 3000, "nats_route": 7000})
    assert two.ports == Ports(3001, 8083, 8084, 18084, 4223, 7001)


FIRST = Ports(1883, 8081, 8082, 18083, 4222, 6222)


def test_nodes_on_one_port_differ_in_the_others():
    one, two = shared(2, "a", FIRST, {1883: "tcp"})
    assert (one.node_id, two.node_id) == ("a-1", "a-2")
    assert one.ports == FIRST
    assert two.ports == Ports(1883, 8083, 8084, 18084, 4222, 6222)


@pytest.mark.parametrize(
    ("taken", "told"),
    [
        ({8083: "ws"}, "grpc of a-2 would have port 8083, which is ws already"),
        ({18083: "tls"}, "dashboard of a-1 would have port 18083, which is tls already"),
    ],
)
def test_nodes_on_one_port_keep_clear_of_other_ports(taken: dict[int, str], told: str):
    with pytest.raises(PlanFault, match=told):
        shared(2, "a", FIRST, taken)


def test_nodes_on_one_port_keep_clear_of_each_other():
    with pytest.raises(
        PlanFault, match="grpc of a-2 would have port 8083, which is metrics of a-1"
    ):
        shared(2, "a", Ports(1883, 8081, 8083, 18083, 4222, 6222), {})


def test_all_in_one_row():
    one, two = packed(2, 100)
    assert (one.ports, two.ports) == (Ports(*range(100, 106)), Ports(*range(106, 112)))


@pytest.mark.parametrize(
    ("firsts", "told"),
    [
        ({"mqtt": 65_535}, "mqtt of node2 would have port 65536"),
        ({"mqtt": 4222}, "nats of node1 would have port 4222, which is mqtt of node1 already"),
        (
            {"metrics": 8083},
            "grpc of node2 would have port 8083, which is metrics of node1 already",
        ),
    ],
)
def test_ports_that_cannot_be(firsts: dict[str, int], told: str):
    with pytest.raises(PlanFault, match=told):
        planned(2, firsts)


def test_a_row_that_goes_too_far():
    assert packed(1, 65_530)
    with pytest.raises(PlanFault):
        packed(1, 65_531)
