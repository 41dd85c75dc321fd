"""``rookery sub`` as a process, against a running node; retained messages tell when it is there."""

import json
import signal

import pytest

from rookery.cli.sub import json_line, payload_line, topic_line
from rookery.mqtt.packets import Publish
from rookery.mqtt.properties import Properties
from tests.support.broker import broker, broker_with
from tests.support.command import SECONDS_MAX, rookery, rookery_open
from tests.support.wire import V5
from tests.support.wire_client import Client, tcp

__all__ = ["broker", "broker_with"]


def message(payload, properties=None):
    return Publish("a/ü", b"", payload, 1, retain=True, properties=properties)


class TestLines:
    def test_plain(self):
        assert payload_line(message(b"\xff\n")) == b"\xff\n"
        assert topic_line(message(b"\xff")) == "a/ü ".encode() + b"\xff"

    def test_json_is_one_line_with_all_of_it(self):
        properties = Properties()
        properties.user_properties = [("b", "1"), ("a", "2")]
        properties.correlation_data = b"\xff"
        properties.message_expiry_interval = 0
        line = json_line(message("grüße\n".encode(), properties))
        assert b"\n" not in line and "grüße".encode() in line
        assert json.loads(line) == {
            "topic": "a/ü",
            "qos": 1,
            "retain": True,
            "payload": "grüße\n",
            "properties": {
                "message_expiry_interval": 0,
                "correlation_data_base64": "/w==",
                "user_properties": [["b", "1"], ["a", "2"]],
            },
        }

    def test_json_of_bytes_that_are_no_text(self):
        shown = json.loads(json_line(message(b"\xff\0")))
        assert shown["payload_base64"] == "/wA=" and "payload" not in shown


@pytest.fixture
def sender(broker):
    with Client(tcp((broker.host, broker.port)), V5) as client:
        client.connect("sender")
        client.publish("sub/a", b"one", qos=1, retain=True)
        client.publish("sub/b", b"two", qos=1, retain=True)
        yield client


@pytest.fixture
def where(broker):
    return "-h", broker.host, "-p", str(broker.port)


@pytest.mark.parametrize("version", ["3.1", "3.1.1", "5"])
def test_so_many_messages(where, sender, version):
    done = rookery("sub", *where, "-t", "sub/#", "-v", "-C", "2", "-V", version)
    assert (done.returncode, done.stderr) == (0, b"")
    assert sorted(done.stdout.splitlines()) == [b"sub/a one", b"sub/b two"]


def test_several_filters_at_a_qos_as_json(where, sender):
    done = rookery("sub", *where, "-t", "sub/a", "-t", "sub/b", "-q", "1", "--json", "-C", "2")
    shown = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(each["topic"], each["qos"], each["retain"]) for each in shown] == [
        ("sub/a", 1, True),
        ("sub/b", 1, True),
    ]


def test_time_up(where, sender):
    done = rookery("sub", *where, "-t", "sub/a", "-t", "sub/none", "-W", "0.5")
    assert (done.returncode, done.stdout) == (27, b"one\n")


def test_messages_are_printed_when_they_come_and_interrupting_is_quiet(where, sender):
    with rookery_open("sub", *where, "-t", "sub/a", "-t", "sub/live") as running:
        assert running.stdout.readline() == b"one\n"
        sender.publish("sub/live", b"live")
        assert running.stdout.readline() == b"live\n"
        running.send_signal(signal.SIGINT)
        assert running.wait(SECONDS_MAX) == 130
        assert running.stderr.read() == b""


def test_a_reader_that_has_had_enough(where, sender):
    with rookery_open("sub", *where, "-t", "sub/a", "-t", "sub/live") as running:
        assert running.stdout.readline() == b"one\n"
        running.stdout.close()
        sender.publish("sub/live", b"live")
        assert running.wait(SECONDS_MAX) == 0
        assert running.stderr.read() == b""


def test_a_session_that_is_kept(where, sender):
    keep = ("-c", "-i", "keeper", "-q", "1")
    assert rookery("sub", *where, *keep, "-t", "sub/a", "-C", "1").stdout == b"one\n"
    sender.publish("sub/a", b"while away", qos=1)
    # The resumed session has it before the new SUBSCRIBE brings the retained message again.
    done = rookery("sub", *where, *keep, "-t", "sub/a", "-C", "1")
    assert done.stdout == b"while away\n"


def test_refusals_are_told(broker_with):
    rule = {"permission": "deny", "action": "subscribe", "topic_filter": "no/#"}
    broker = broker_with(**{"authorization.rules": [rule], "authorization.default": "allow"})
    where = ("-h", broker.host, "-p", str(broker.port))
    done = rookery("sub", *where, "-t", "no/a", "-t", "no/b")
    assert done.returncode == 1
    assert b"no/a: not authorized" in done.stderr and b"every subscription" in done.stderr
    done = rookery("sub", *where, "-t", "no/a", "-t", "yes", "-W", "0.5")
    assert done.returncode == 27 and b"no/a: not authorized" in done.stderr


def test_a_node_that_goes_away_is_told(broker_with):
    broker = broker_with()
    with Client(tcp((broker.host, broker.port)), V5) as sender:
        sender.connect("sender")
        sender.publish("a", b"here", qos=1, retain=True)
    with rookery_open("sub", "-h", broker.host, "-p", str(broker.port), "-t", "a") as running:
        assert running.stdout.readline() == b"here\n"
        broker.stop()
        assert running.wait(SECONDS_MAX) == 1
        assert b"server shutting down" in running.stderr.read()


@pytest.mark.parametrize(
    "arguments", [[], ["-t", "a/#/b"], ["-t", "a", "-c"], ["-t", "a", "-C", "0"]]
)
def test_a_wrong_command_line_connects_nowhere(arguments):
    assert rookery("sub", *arguments, "-h", "192.0.2.1").returncode == 2
