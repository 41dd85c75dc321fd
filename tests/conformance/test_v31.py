"""MQTT 3.1, which has no numbered statements: what its clients rely on."""

import pytest

from tests.support import wire
from tests.support.wire import CONNACK, PUBLISH, V3_1, V3_1_1, V5, Will
from tests.support.wire_client import Closed


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("other", [V3_1, V3_1_1, V5], ids=["v31", "v311", "v5"])
def test_messages_pass_between_versions(connect, name, qos, other):
    old, new = connect(version=V3_1), connect(version=other)
    for client in (old, new):
        client.subscribe((name, qos))
    for publisher in (old, new):
        publisher.publish(name, b"x", qos=qos)
        for client in (old, new):
            assert client.receive_message(name, b"x").qos == qos


def test_a_lasting_session_is_resumed(connect, name):
    first = connect(name, version=V3_1, persistent=True)
    first.subscribe((name, 1))
    first.close()
    connect().publish(name, b"kept", qos=1)
    again = connect(name, version=V3_1, persistent=True)
    found = again.expect(PUBLISH, payload=b"kept")
    again.close()
    last = connect(name, version=V3_1, persistent=True)
    last.expect(PUBLISH, payload=b"kept", dup=True, packet_id=found.packet_id)


def test_will(connect, name):
    watcher = connect(version=V3_1)
    watcher.subscribe(name)
    connect(version=V3_1, will=Will(name, b"gone", qos=1)).close()
    watcher.receive_message(name, b"gone")


def test_empty_client_id_is_rejected(open_link):
    """Only 3.1.1 lets the broker choose one."""
    client = open_link(V3_1)
    client.send(wire.connect(V3_1, ""))
    client.expect(CONNACK, reason=0x02)
    client.expect_end()


@pytest.mark.parametrize(("protocol_name", "level"), [("MQTT", 3), ("MQIsdp", 4), ("MQIsdp", 5)])
def test_name_and_level_belong_together(open_link, name, protocol_name, level):
    client = open_link(V3_1)
    client.send(wire.connect(V3_1, name, protocol_name=protocol_name, level=level))
    try:
        assert client.receive().reason == 0x01
    except Closed:
        return
    client.expect_end()
