from pathlib import Path

import pytest

from rookery_bench.cluster.nodes import Command, Node, Nodes, configuration, metric
from rookery_bench.peers import PeerError


def nodes(folder: Path, count: int) -> list[Node]:
    found = []
    for number in range(count):
        (folder / f"n{number}").mkdir()
        found.append(Node(f"n{number}", folder / f"n{number}"))
    return found


def test_the_nodes_of_a_cluster_know_each_other(tmp_path: Path) -> None:
    three = nodes(tmp_path, 3)
    config = configuration(three[1], three)
    others = [three[0], three[2]]
    assert config["broker"]["peer_nodes"] == [f"127.0.0.1:{each.ports['grpc']}" for each in others]
    assert config["cluster"]["nats"]["routes"] == [
        f"127.0.0.1:{each.ports['route']}" for each in others
    ]
    assert config["broker"]["mqtt_port"] == three[1].address.port
    ports = [port for each in three for port in each.ports.values()]
    assert len(set(ports)) == len(ports)


def test_one_node_is_no_cluster(tmp_path: Path) -> None:
    (one,) = nodes(tmp_path, 1)
    assert "cluster" not in configuration(one, [one])


def test_a_metric_is_found_by_its_whole_name() -> None:
    text = '# HELP a_b x\na_b_c 5.0\na_b{x="y"} 6.0\na_b 0.25\n'
    assert metric(text, "a_b") == 0.25
    assert metric(text, "a") is None


def test_a_node_that_is_not_there_says_nothing(tmp_path: Path) -> None:
    (node,) = nodes(tmp_path, 1)
    assert node.ask("/health") is None
    assert not node.ready
    assert node.lag_seconds is None


def test_a_node_that_ends_at_once_is_told_with_its_last_words(tmp_path: Path) -> None:
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho the reason\nexit 1\n")
    script.chmod(0o700)
    command = Command(str(script), "any", {"PATH": "/usr/bin:/bin"})
    with (
        pytest.raises(PeerError, match="node1 ended: the reason"),
        Nodes(command, "x", 1, tmp_path),
    ):
        pass
