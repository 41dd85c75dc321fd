"""MQTT over WebSocket (chapter 6)."""

import pytest

from tests.support import wire
from tests.support.broker import RunningBroker
from tests.support.web_socket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, WebSocket
from tests.support.wire import CONNACK, PINGREQ_PACKET, PINGRESP
from tests.support.wire_client import Client, Closed


@pytest.fixture
def address(broker):
    if not isinstance(broker, RunningBroker):
        pytest.skip("needs a broker with a WebSocket listener")
    return broker.listener("ws")


@pytest.fixture
def socket(address):
    with WebSocket(address) as socket:
        yield socket


@pytest.fixture
def client(socket, version):
    return Client(socket, version)


@pytest.mark.clause("3.1.1:MQTT-6.0.0-4", "5.0:MQTT-6.0.0-4")
@pytest.mark.parametrize("offered", ["mqtt", "other, mqtt", "mqttv3.1, mqtt"])
def test_the_sub_protocol_is_mqtt(address, offered):
    with WebSocket(address, offered) as socket:
        assert socket.status == 101
        assert socket.sub_protocol == "mqtt"


@pytest.mark.parametrize("offered", [None, "other"])
def test_a_client_that_does_not_offer_mqtt_is_turned_away(address, offered):
    with WebSocket(address, offered) as socket:
        assert socket.status != 101


@pytest.mark.clause("3.1.1:MQTT-6.0.0-1", "5.0:MQTT-6.0.0-1")
def test_packets_come_in_binary_frames(client, name):
    """The socket refuses any other data frame."""
    client.connect(name)
    client.subscribe((name, 2))
    client.publish(name, bytes(70_000), qos=2)
    client.receive_message(name, bytes(70_000))
    client.disconnect()


@pytest.mark.clause("3.1.1:MQTT-6.0.0-1", "5.0:MQTT-6.0.0-1")
def test_a_text_frame_closes(socket, client, name):
    client.connect(name)
    socket.send_frame(TEXT, PINGREQ_PACKET)
    with pytest.raises(Closed):
        client.receive()


@pytest.mark.clause("3.1.1:MQTT-6.0.0-2", "5.0:MQTT-6.0.0-2")
def test_a_packet_in_many_frames(client, version, name):
    for byte in wire.connect(version, name):
        client.send(bytes([byte]))
    client.expect(CONNACK, reason=0)


@pytest.mark.clause("3.1.1:MQTT-6.0.0-2", "5.0:MQTT-6.0.0-2")
def test_many_packets_in_a_frame(client, version, name):
    whole = wire.connect(version, name) + PINGREQ_PACKET * 3
    client.send(whole[:-1])
    client.expect(CONNACK, reason=0)
    client.expect(PINGRESP)
    client.expect(PINGRESP)
    client.send(whole[-1:])
    client.expect(PINGRESP)


@pytest.mark.clause("3.1.1:MQTT-6.0.0-2", "5.0:MQTT-6.0.0-2")
def test_a_packet_in_a_fragmented_message(socket, client, version, name):
    whole = wire.connect(version, name)
    socket.send_frame(BINARY, whole[:4], final=False)
    socket.send_frame(CONTINUATION, whole[4:6], final=False)
    socket.send_frame(CONTINUATION, whole[6:])
    client.expect(CONNACK, reason=0)


def test_a_websocket_ping_is_answered(socket, client, name):
    client.connect(name)
    socket.send_frame(PING, b"are you there")
    assert socket.receive_frame() == (PONG, b"are you there")


def test_the_broker_says_goodbye_in_both_protocols(socket, client, version, name):
    client.connect(name)
    client.send(wire.packet(0xC1))
    client.expect_closed(0x81)
    assert socket.close_frame is not None


def test_a_websocket_close_ends_the_connection(socket, client, name):
    client.connect(name)
    socket.send_frame(CLOSE, b"\x03\xe8")
    client.expect_end()


def test_an_unmasked_frame_closes(socket, client, name):
    client.connect(name)
    socket.send_frame(BINARY, PINGREQ_PACKET, masked=False)
    with pytest.raises(Closed):
        client.receive()
