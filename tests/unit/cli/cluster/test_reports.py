"""What nodes say, and what is said of those that say nothing."""

import os
import socket

from rookery.cli.cluster.folder import NodeState
from rookery.cli.cluster.plan import NodePlan, Ports
from rookery.cli.cluster.processes import Process, process_of
from rookery.cli.cluster.reports import reports_of
from rookery.cli.cluster.targets import Target
from tests.support.metrics_port import Admin, metrics_port

PLAN = NodePlan("a", Ports(1, 2, 3, 4, 5, 6))


def test_a_member_with_its_links():
    with metrics_port(Admin("a", {"a": "up", "b": "up", "c": "down"})) as address:
        (report,) = reports_of([Target(None, address)])
    assert (report.node_id, report.process, report.ready) == ("a", "unknown", True)
    assert report.links() == {"b": "up", "c": "down"}
    assert (report.told("epoch"), report.told("absent")) == (3, "-")
    assert report.problem is None
    assert report.to_json()["cluster"]["sessions"] == 5


def test_a_node_without_a_cluster():
    with metrics_port(unready="joining") as address:
        (report,) = reports_of([Target("a", address, NodeState(PLAN, process_of(os.getpid())))])
    assert (report.process, report.ready, report.cluster) == ("running", False, None)
    assert report.to_json()["reasons"] == ["cluster: joining"]
    assert report.to_json()["pid"] == os.getpid()
    assert report.problem == "this node is on its own: cluster.enabled is false"


def test_nodes_that_are_not_there():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        address = f"127.0.0.1:{sock.getsockname()[1]}"
    away, stopped, gone = reports_of(
        [
            Target("a", address),
            Target("b", address, NodeState(PLAN, None)),
            Target("c", address, NodeState(PLAN, Process(2**22 + 1, 1))),
        ]
    )
    assert (away.process, away.problem) == ("unknown", "connection refused")
    assert (stopped.process, stopped.problem) == ("stopped", "its process is stopped")
    assert (gone.process, gone.problem) == ("gone", "its process is gone")
    assert not any(each.ready for each in (away, stopped, gone))


def test_an_answer_that_says_less_than_it_should():
    with metrics_port(Admin("a", {}, members=["x", {"link": "up"}])) as address:
        (report,) = reports_of([Target(None, address)])
    assert report.links() == {}
