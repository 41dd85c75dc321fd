"""Sessions (3.1.2, 4.1): begun, resumed, taken over, discarded, expired."""

import threading

import pytest

from tests.support import wire
from tests.support.wire import CONNACK, PUBLISH, V3_1_1, V5


@pytest.mark.clause(
    "3.1.1:MQTT-3.1.2-6",
    "5.0:MQTT-3.1.2-4",
    "3.1.1:MQTT-3.2.2-1",
    "5.0:MQTT-3.2.2-2",
    "3.1.1:MQTT-3.1.4-3",
    "5.0:MQTT-3.1.4-4",
)
def test_clean_start_discards_the_session(connect, version, name):
    first = connect(name, version=version, persistent=True)
    first.subscribe((name, 1))
    first.disconnect()
    publisher = connect(version=version)
    publisher.publish(name, b"for the old session", qos=1)
    second = connect(name, version=version)
    assert not second.connack.session_present
    publisher.publish(name, b"for nobody", qos=1)
    second.expect_silence()


@pytest.mark.clause("3.1.1:MQTT-3.1.2-6")
def test_a_clean_session_ends_with_its_connection(connect, name):
    first = connect(name, version=V3_1_1)
    first.subscribe((name, 1))
    first.disconnect()
    connect().publish(name, b"for nobody", qos=1)
    again = connect(name, version=V3_1_1, persistent=True)
    assert not again.connack.session_present
    again.expect_silence()


@pytest.mark.clause(
    "3.1.1:MQTT-3.1.2-4",
    "5.0:MQTT-3.1.2-5",
    "5.0:MQTT-3.1.2-6",
    "3.1.1:MQTT-3.2.2-2",
    "3.1.1:MQTT-3.2.2-3",
    "5.0:MQTT-3.2.2-3",
    "5.0:MQTT-3.1.2-23",
    "3.1.1:MQTT-4.1.0-1",
    "3.1.1:MQTT-3.1.4-3",
    "5.0:MQTT-3.1.4-4",
)
def test_a_lasting_session_is_resumed(connect, version, name):
    first = connect(name, version=version, persistent=True)
    assert not first.connack.session_present
    first.subscribe((name, 1))
    first.close()
    second = connect(name, version=version, persistent=True)
    assert second.connack.session_present
    connect(version=version).publish(name, b"to the old subscription", qos=1)
    second.receive_message(name, b"to the old subscription")


@pytest.mark.clause(
    "3.1.1:MQTT-3.1.2-5", "5.0:MQTT-3.1.2-23", "3.1.1:MQTT-4.5.0-1", "5.0:MQTT-4.5.0-1"
)
@pytest.mark.parametrize("end", ["disconnect", "close"])
def test_messages_wait_for_an_absent_client(connect, version, name, end):
    first = connect(name, version=version, persistent=True)
    first.subscribe((name, 2))
    first.disconnect() if end == "disconnect" else first.close()
    publisher = connect(version=version)
    publisher.publish(name, b"one", qos=1)
    publisher.publish(name, b"two", qos=2)
    second = connect(name, version=version, persistent=True)
    assert second.receive_message(name, b"one").qos == 1
    assert second.receive_message(name, b"two").qos == 2
    second.expect_silence()


@pytest.mark.clause("3.1.1:MQTT-3.2.0-1", "5.0:MQTT-3.2.0-1")
def test_connack_comes_before_what_has_waited(connect, open_link, version, name):
    first = connect(name, version=version, persistent=True)
    first.subscribe((name, 1))
    first.disconnect()
    connect(version=version).publish(name, b"waits", qos=1)
    second = open_link(version)
    second.send(wire.connect(version, name, clean=False), wire.PINGREQ_PACKET)
    second.expect(CONNACK, session_present=True)
    second.take(PUBLISH)


@pytest.mark.clause(
    "3.1.1:MQTT-3.1.4-2", "5.0:MQTT-3.1.4-3", "5.0:MQTT-4.13.2-1", "5.0:MQTT-3.14.2-1"
)
def test_takeover_disconnects_the_first_client(connect, version, name):
    first = connect(name, version=version)
    second = connect(name, version=version)
    first.expect_closed(0x8E)
    second.expect_silence()


@pytest.mark.clause("3.1.1:MQTT-3.1.4-2", "5.0:MQTT-3.1.4-3")
@pytest.mark.parametrize(("old", "new"), [(V3_1_1, V5), (V5, V3_1_1)], ids=["to v5", "to v311"])
def test_takeover_across_versions(connect, name, old, new):
    first = connect(name, version=old, persistent=True)
    first.subscribe((name, 1))
    second = connect(name, version=new, persistent=True)
    first.expect_closed(0x8E)
    assert second.connack.session_present
    second.publish(name, b"x", qos=1)
    second.receive_message(name, b"x")


@pytest.mark.clause("3.1.1:MQTT-3.1.2-4", "5.0:MQTT-3.1.2-5")
def test_takeover_resumes_the_session_with_its_unfinished_messages(connect, version, name):
    first = connect(name, version=version, persistent=True)
    first.subscribe((name, 1))
    connect(version=version).publish(name, b"unfinished", qos=1)
    message = first.expect(PUBLISH)
    second = connect(name, version=version, persistent=True)
    assert second.connack.session_present
    again = second.expect(PUBLISH, payload=b"unfinished", dup=True)
    assert again.packet_id == message.packet_id


@pytest.mark.clause("3.1.1:MQTT-3.1.2-7")
def test_retained_messages_outlive_the_session(connect, version, name):
    client = connect(version=version)
    client.publish(name, b"retained", qos=1, retain=True)
    client.disconnect()
    other = connect(version=version)
    other.subscribe(name)
    assert other.receive_message(name, b"retained").retain
    other.publish(name, b"", qos=1, retain=True)


@pytest.mark.clause("3.1.1:MQTT-4.1.0-2", "5.0:MQTT-4.1.0-1")
def test_a_session_lasts_as_long_as_its_connection(connect, version, name):
    """An expiry of 0 counts from the end of the connection, not before."""
    client = connect(name, version=version)
    client.subscribe((name, 1))
    client.expect_silence()
    connect(version=version).publish(name, b"x", qos=1)
    client.receive_message(name, b"x")


@pytest.mark.clause("5.0:MQTT-4.1.0-2")
def test_an_expiry_of_zero_ends_the_session_with_the_connection(connect, name):
    first = connect(name, clean=False)
    first.subscribe(name)
    first.disconnect()
    assert not connect(name, clean=False).connack.session_present


@pytest.mark.clause("5.0:MQTT-4.1.0-2", "5.0:MQTT-3.1.2-23")
def test_a_session_expires(connect, open_link, name):
    """One second after the end of the connection, give or take: asked until it is so."""
    first = connect(name, properties={"session_expiry": 1})
    first.subscribe(name)
    first.disconnect()
    watcher = connect()
    watcher.subscribe(f"{name}/gone")
    # The will of a second client with the same times tells when the second has passed.
    clock = connect(
        properties={"session_expiry": 1},
        will=wire.Will(f"{name}/gone", properties={"will_delay": 60}),
    )
    clock.close()
    watcher.receive_message(f"{name}/gone")
    assert not connect(name, clean=False).connack.session_present


@pytest.mark.clause("5.0:MQTT-3.1.2-23")
def test_disconnect_sets_another_expiry(connect, name):
    first = connect(name, properties={"session_expiry": 60})
    first.disconnect(properties={"session_expiry": 0})
    assert not connect(name, clean=False).connack.session_present


@pytest.mark.clause("5.0:MQTT-3.1.2-23")
def test_disconnect_keeps_the_expiry_it_does_not_name(connect, name):
    connect(name, properties={"session_expiry": 60}).disconnect()
    assert connect(name, clean=False).connack.session_present


@pytest.mark.clause("5.0:MQTT-4.13.1-1")
def test_disconnect_cannot_give_an_expiry_to_a_session_without(connect, name):
    client = connect(name)
    client.send(wire.disconnect(V5, 0, {"session_expiry": 60}))
    client.expect_closed(0x82)
    assert not connect(name, clean=False).connack.session_present


@pytest.mark.clause("5.0:MQTT-3.14.2-2")
def test_the_disconnect_of_the_broker_names_no_expiry(connect, name):
    first = connect(name, properties={"session_expiry": 60})
    connect(name, properties={"session_expiry": 60})
    found = first.expect(wire.DISCONNECT, reason=0x8E)
    assert found.get("session_expiry") is None


def test_an_expiry_that_never_comes_is_taken_or_named(connect, name):
    """All ones means never; a broker with a limit says so in CONNACK."""
    client = connect(name, properties={"session_expiry": 0xFFFFFFFF})
    assert client.connack.get("session_expiry") != 0
    client.disconnect()
    assert connect(name, clean=False).connack.session_present


@pytest.mark.clause("5.0:MQTT-3.14.2-1", "5.0:MQTT-3.14.4-2", "5.0:MQTT-4.13.2-1")
def test_a_broker_that_stops_says_so(connect, broker_with, version):
    broker = broker_with()
    client = connect(version=version, at=broker)
    stopping = threading.Thread(target=broker.stop)
    stopping.start()
    client.expect_closed(0x8B)
    client.close()
    stopping.join()
