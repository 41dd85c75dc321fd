"""Keep alive (3.1.2.10, 3.12): pings are answered, silence is not forgiven."""

import pytest

from tests.support import wire
from tests.support.wire import PINGREQ_PACKET, PINGRESP, V3_1_1, Will


@pytest.mark.clause("3.1.1:MQTT-3.12.4-1", "5.0:MQTT-3.12.4-1")
def test_ping_is_answered(connect, version):
    client = connect(version=version)
    client.send(PINGREQ_PACKET * 3)
    for _ in range(3):
        client.expect(PINGRESP)


@pytest.mark.clause(
    "3.1.1:MQTT-3.1.2-24", "5.0:MQTT-3.1.2-22", "5.0:MQTT-3.2.2-22", "5.0:MQTT-4.13.2-1"
)
def test_silence_beyond_one_and_a_half_times_the_interval_closes(connect, version, name):
    watcher = connect(version=version)
    watcher.subscribe(name)
    silent = connect(version=version, keep_alive=1, will=Will(name, b"timed out"))
    silent.expect_closed(0x8D)
    watcher.receive_message(name, b"timed out")


@pytest.mark.clause("3.1.1:MQTT-3.1.2-24", "5.0:MQTT-3.1.2-22")
def test_any_packet_keeps_the_connection(connect, name, a_while):
    """Its three seconds pass, but never three without a packet."""
    client = connect(keep_alive=2)
    for _ in range(3):
        a_while()
        client.publish(name, b"I am here")
    client.expect_silence()


@pytest.mark.clause("3.1.1:MQTT-3.1.2-24", "5.0:MQTT-3.1.2-22")
def test_zero_turns_it_off(connect, version):
    patient = connect(version=version, keep_alive=0)
    connect(version=V3_1_1, keep_alive=1).expect_closed()
    patient.expect_silence()


@pytest.mark.clause("5.0:MQTT-3.1.2-21", "5.0:MQTT-3.2.2-21")
def test_server_keep_alive_replaces_the_clients(connect, broker_with):
    """The client asked for an hour; the broker said one second and means it."""
    broker = broker_with(**{"mqtt.server_keep_alive_seconds": 1})
    client = connect(at=broker, keep_alive=3600)
    assert client.connack.get("server_keep_alive") == 1
    client.expect_closed(0x8D)


def test_a_packet_that_stays_incomplete_does_not_keep_the_connection(connect, name):
    client = connect(keep_alive=1)
    client.send(wire.publish(5, name, b"never ends")[:-3])
    client.expect_closed(0x8D)


def test_a_connection_without_connect_is_closed_at_the_deadline(open_link, broker_with, version):
    client = open_link(version, broker_with(**{"limits.connect_deadline_seconds": 0.2}))
    client.send(wire.connect(version, "half")[:5])
    client.expect_end()
