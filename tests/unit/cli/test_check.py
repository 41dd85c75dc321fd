"""``rookery check cross-node`` against a node that is there twice, and one that is not."""

import json
import socket

import pytest
from typer.testing import CliRunner

from rookery.cli.main import app
from tests.support.broker import broker, broker_with
from tests.support.command import rookery

__all__ = ["broker", "broker_with"]


def check(*arguments: str) -> tuple[int, list[str]]:
    done = rookery("check", "cross-node", *arguments)
    assert done.stderr == b""
    return done.returncode, done.stdout.decode().splitlines()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


@pytest.mark.parametrize("qos", ["0", "1", "2"])
def test_every_pair_is_told_with_its_times(broker, qos: str):
    node = f"{broker.host}:{broker.port}"
    code, (header, *rows) = check("--nodes", ",".join([node] * 3), "--qos", qos, "--count", "3")
    assert code == 0
    assert header.split()[:4] == ["from", "to", "sent", "received"]
    assert len(rows) == 6
    assert all(row.split()[:4] == [node, node, "3", "3"] for row in rows)
    assert all(row.endswith("ok") for row in rows)


def test_json(broker):
    node = f"{broker.host}:{broker.port}"
    code, (line,) = check("--nodes", f"{node},{node}", "--count", "4", "--json")
    assert code == 0
    one, other = json.loads(line)["pairs"]
    assert (one["sent"], one["received"], one["ok"], one["failure"]) == (4, 4, True, None)
    assert 0 < one["rtt_seconds"]["min"] <= one["rtt_seconds"]["max"] < 5
    assert other["from"] == node


def test_a_node_that_is_not_there_fails_its_pairs_alone(broker):
    node, gone = f"{broker.host}:{broker.port}", f"127.0.0.1:{free_port()}"
    code, rows = check("--nodes", f"{node},{gone},{node}", "--count", "1")
    assert code == 1
    assert sum(row.endswith("ok") for row in rows) == 2
    assert sum(row.endswith(f"{gone}: connection refused") for row in rows) == 4


@pytest.mark.parametrize(
    "arguments",
    [
        ("--nodes", "a:1"),
        ("--nodes", "a:1,b"),
        ("--nodes", "a:1,b:0"),
        ("--nodes", ""),
        ("--topic", "a/#"),
        ("--topic", "$SYS"),
        ("--topic", "x" * 1_001),
        ("--qos", "3"),
        ("--count", "0"),
    ],
)
def test_a_wrong_command_line(arguments: tuple[str, ...]):
    assert CliRunner().invoke(app, ["check", "cross-node", *arguments]).exit_code == 2
