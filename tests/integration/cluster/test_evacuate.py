"""``rookery cluster evacuate`` and its like, with real nodes: who is sent where, and what is served all the while."""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rookery.cli.access import operator
from rookery.cli.cluster.asking import get
from tests.integration.cluster.test_up import SECONDS_MAX, started, told
from tests.support.command import rookery
from tests.support.ports import free_row
from tests.support.wire import CONNACK, DISCONNECT, V3_1_1, V5, Packet, connect
from tests.support.wire_client import Client, tcp

LASTING = {"clean": False, "properties": {"session_expiry": 3_600}}


@pytest.fixture(autouse=True)
def _without_variables(monkeypatch: pytest.MonkeyPatch):
    for variable in list(os.environ):
        if variable.startswith("ROOKERY_") or variable.endswith("_PORT"):
            monkeypatch.delenv(variable)


@pytest.fixture
def ports(tmp_path: Path) -> Iterator[list[int]]:
    """The MQTT ports of three nodes that run."""
    first = free_row(18)
    with started(tmp_path, 3, first) as up:
        up.until("Ctrl-C stops all nodes")
        know_each_other([f"127.0.0.1:{first + 6 * index + 2}" for index in range(3)])
        yield [first, first + 6, first + 12]
    rookery("cluster", "down", "-d", str(tmp_path))


def know_each_other(metrics: list[str]) -> None:
    """Wait until each node has read that the others serve."""
    deadline = time.monotonic() + SECONDS_MAX
    for address in metrics:
        while any(each["state"] != "up" for each in get(address, "/cluster").data["members"]):
            assert time.monotonic() < deadline, get(address, "/cluster").data
            time.sleep(0.05)


def at(port: int, version: int = V5) -> Client:
    return Client(tcp(("127.0.0.1", port)), version)


def reference_in(packet: Packet) -> object:
    return dict(packet.properties)["server_reference"]


def test_an_emptied_node_serves_its_sessions_through_the_others(tmp_path: Path, ports: list[int]):
    emptied, *others = ports
    elsewhere = {f"127.0.0.1:{port}" for port in others}
    with at(emptied) as guest:
        guest.connect("guest", **LASTING)
        guest.subscribe("t")
    with (
        at(others[0]) as guest,
        at(emptied) as one,
        at(emptied) as two,
        at(emptied, V3_1_1) as old,
        at(others[1]) as writer,
    ):
        assert guest.connect("guest", **LASTING).session_present
        one.connect("one", **LASTING)
        one.subscribe("t")
        old.connect("old")  # It is told nothing, and takes no turn of the nodes that are.
        two.connect("two", **LASTING)
        writer.connect("writer")

        code, text = told(tmp_path, "evacuate", "--node", "node1")
        assert (code, re.findall(r"clients sent away: (\d+)", text)) == (0, ["3"]), text
        leave = [client.expect(DISCONNECT, reason=0x9C) for client in (one, two)]
        assert {reference_in(packet) for packet in leave} == elsewhere
        old.expect_closed()
        with at(emptied) as late, at(emptied, V3_1_1) as late_old:
            late.send(connect(V5, "late"))
            assert reference_in(late.expect(CONNACK, reason=0x9C)) in elsewhere
            late_old.send(connect(V3_1_1, "late"))
            late_old.expect(CONNACK, reason=3)

        writer.publish("t", b"1", qos=1)
        guest.receive_message("t", b"1")
        with at(others[1]) as back:
            assert back.connect("one", **LASTING).session_present
            back.receive_message("t", b"1")
            writer.publish("t", b"2", qos=2)
            back.receive_message("t", b"2")
            guest.receive_message("t", b"2")

    code, text = told(tmp_path, "force-leave", "node9")
    assert code == 1
    assert "no node of this cluster is called 'node9': it knows node1, node2, node3" in text
    code, text = told(tmp_path, "rebalance")
    header, *rows = text.splitlines()
    assert (code, header) == (0, "node   done  clients sent away  even part")
    assert [row.split()[:2] for row in rows] == [[f"node{number}", "yes"] for number in (1, 2, 3)]
    acts = rookery("audit", "list", "-c", str(tmp_path / "node1" / "rookery.yaml")).stdout.decode()
    assert f"{operator()}  cluster evacuate  node1" in acts
    assert f"{operator()}  cluster rebalance  node1" in acts
