"""Will messages (3.1.2.5, 3.1.3.2, 3.14.4): when they are published, and how."""

import pytest

from tests.support import wire
from tests.support.wire import V5, Will


@pytest.mark.clause(
    "3.1.1:MQTT-3.1.2-8", "5.0:MQTT-3.1.2-7", "5.0:MQTT-3.1.2-8", "3.1.1:MQTT-3.1.2-9"
)
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_published_when_the_connection_closes(connect, version, name, qos):
    watcher = connect(version=version)
    watcher.subscribe(name)
    connect(version=version, will=Will(name, b"gone", qos=qos)).close()
    assert watcher.receive_message(name, b"gone").qos == qos


@pytest.mark.clause("3.1.1:MQTT-3.1.2-8", "5.0:MQTT-3.1.2-8")
def test_published_after_a_protocol_error(connect, version, name):
    watcher = connect(version=version)
    watcher.subscribe(name)
    client = connect(version=version, will=Will(name, b"gone"))
    client.send(wire.packet(0xC1))
    watcher.receive_message(name, b"gone")


@pytest.mark.clause(
    "3.1.1:MQTT-3.1.2-10", "3.1.1:MQTT-3.14.4-3", "5.0:MQTT-3.1.2-10", "5.0:MQTT-3.14.4-3"
)
def test_discarded_by_a_disconnect(connect, version, name):
    watcher = connect(version=version)
    watcher.subscribe(name)
    connect(version=version, will=Will(name, b"never")).disconnect()
    connect(version=version, will=Will(name, b"marker")).close()
    watcher.receive_message(name, b"marker")
    watcher.expect_silence()


@pytest.mark.clause("5.0:MQTT-3.1.2-8", "5.0:MQTT-3.1.2-10")
@pytest.mark.parametrize("reason", [0x04, 0x80, 0x97])
def test_published_after_a_disconnect_with_another_reason(connect, name, reason):
    watcher = connect()
    watcher.subscribe(name)
    connect(will=Will(name, b"gone")).disconnect(reason)
    watcher.receive_message(name, b"gone")


@pytest.mark.clause("3.1.1:MQTT-3.1.2-12")
def test_no_will_no_message(connect, version, name):
    watcher = connect(version=version)
    watcher.subscribe(f"{name}/#")
    first = connect(name, version=version, will=Will(f"{name}/old"))
    first.disconnect()
    connect(name, version=version).close()
    connect(version=version, will=Will(f"{name}/marker")).close()
    watcher.receive_message(f"{name}/marker")
    watcher.expect_silence()


@pytest.mark.clause("3.1.1:MQTT-3.1.2-10", "5.0:MQTT-3.1.2-10")
def test_published_once(connect, version, name):
    watcher = connect(version=version)
    watcher.subscribe(name)
    connect(name, version=version, will=Will(name, b"once"), persistent=True).close()
    watcher.receive_message(name, b"once")
    connect(name, version=version, persistent=True).close()
    connect(version=version, will=Will(name, b"marker")).close()
    watcher.receive_message(name, b"marker")


@pytest.mark.clause("3.1.1:MQTT-3.1.2-16", "5.0:MQTT-3.1.2-14")
def test_not_retained_unless_asked(connect, version, name):
    watcher = connect(version=version)
    watcher.subscribe(name)
    connect(version=version, will=Will(name, b"gone")).close()
    assert not watcher.receive_message(name, b"gone").retain
    late = connect(version=version)
    late.subscribe(name)
    late.expect_silence()


@pytest.mark.clause("3.1.1:MQTT-3.1.2-17", "5.0:MQTT-3.1.2-15")
def test_retained_when_asked(connect, version, name):
    watcher = connect(version=version)
    watcher.subscribe(name)
    connect(version=version, will=Will(name, b"gone", retain=True)).close()
    assert not watcher.receive_message(name, b"gone").retain
    late = connect(version=version)
    late.subscribe(name)
    assert late.receive_message(name, b"gone").retain
    late.publish(name, b"", qos=1, retain=True)


@pytest.mark.clause("3.1.1:MQTT-3.1.2-8", "5.0:MQTT-3.1.2-8", "5.0:MQTT-3.1.4-3")
def test_published_when_the_client_is_taken_over_by_a_clean_start(connect, version, name):
    watcher = connect(version=version)
    watcher.subscribe(name)
    connect(name, version=version, will=Will(name, b"displaced"))
    connect(name, version=version)
    watcher.receive_message(name, b"displaced")


@pytest.mark.clause("5.0:MQTT-3.1.3-10", "5.0:MQTT-3.3.2-18")
def test_properties_are_forwarded_in_their_order(connect, name):
    watcher = connect()
    watcher.subscribe(name)
    user = [("a", "1"), ("b", "2"), ("a", "3")]
    properties = {
        "will_delay": 0,
        "payload_format": 1,
        "content_type": "text",
        "response_topic": "reply",
        "correlation_data": b"\0\1",
        "user": user,
    }
    connect(will=Will(name, b"gone", properties=properties)).close()
    found = watcher.receive_message(name, b"gone")
    assert found.get_all("user") == user
    assert {key: value for key, value in found.properties if key != "user"} == {
        "payload_format": 1,
        "content_type": "text",
        "response_topic": "reply",
        "correlation_data": b"\0\1",
    }


@pytest.mark.clause("5.0:MQTT-3.1.2-8")
def test_not_before_its_delay(connect, name):
    """A marker that dies later without delay comes first."""
    watcher = connect()
    watcher.subscribe(name)
    delayed = Will(name, b"late", properties={"will_delay": 1})
    connect(will=delayed, properties={"session_expiry": 60}).close()
    connect(will=Will(name, b"marker")).close()
    watcher.receive_message(name, b"marker")
    watcher.expect_silence()
    watcher.receive_message(name, b"late")


@pytest.mark.clause("5.0:MQTT-3.1.2-8", "5.0:MQTT-4.1.0-2")
def test_published_when_the_session_ends_before_the_delay(connect, name):
    watcher = connect()
    watcher.subscribe(name)
    connect(will=Will(name, b"gone", properties={"will_delay": 3600})).close()
    watcher.receive_message(name, b"gone")


@pytest.mark.clause("5.0:MQTT-3.1.2-8")
def test_a_clean_start_ends_the_session_and_its_delay(connect, name):
    watcher = connect()
    watcher.subscribe(name)
    delayed = Will(name, b"gone", properties={"will_delay": 3600})
    connect(name, will=delayed, properties={"session_expiry": 3600}).close()
    connect(name)
    watcher.receive_message(name, b"gone")


@pytest.mark.clause("5.0:MQTT-3.1.3-9", "5.0:MQTT-3.1.2-8")
def test_a_new_connection_before_the_delay_cancels_it(connect, name):
    watcher = connect()
    watcher.subscribe(name)
    delayed = Will(name, b"never", properties={"will_delay": 1})
    connect(name, will=delayed, properties={"session_expiry": 60}).close()
    connect(name, clean=False, properties={"session_expiry": 60})
    late = Will(name, b"marker", properties={"will_delay": 2})
    connect(will=late, properties={"session_expiry": 60}).close()
    watcher.receive_message(name, b"marker")
    watcher.expect_silence()


@pytest.mark.clause("5.0:MQTT-3.1.2-8")
def test_an_open_connection_taken_over_by_its_session_keeps_a_delayed_will(connect, name):
    """The delay has not passed when the new connection opens, so nothing is published."""
    watcher = connect()
    watcher.subscribe(name)
    delayed = Will(name, b"never", properties={"will_delay": 60})
    connect(name, will=delayed, properties={"session_expiry": 60})
    connect(name, clean=False, properties={"session_expiry": 60})
    connect(will=Will(name, b"marker")).close()
    watcher.receive_message(name, b"marker")
    watcher.expect_silence()


def test_message_expiry_of_a_will_is_forwarded(connect, name):
    watcher = connect()
    watcher.subscribe(name)
    connect(will=Will(name, b"gone", properties={"message_expiry": 100})).close()
    assert watcher.receive_message(name, b"gone").get("message_expiry") in range(90, 101)


@pytest.mark.clause("5.0:MQTT-4.7.3-1")
def test_empty_will_topic(open_link, name):
    client = open_link()
    client.send(wire.connect(V5, name, will=Will("")))
    client.expect_refused(0x81, 0x82, 0x90)


@pytest.mark.clause("3.1.1:MQTT-3.1.2-8", "5.0:MQTT-3.1.2-8")
def test_a_will_without_delay_is_published_when_its_session_is_resumed(connect, version, name):
    """The old connection was closed, and no delay is there that the new one could come before."""
    watcher = connect(version=version)
    watcher.subscribe(name)
    connect(name, version=version, will=Will(name, b"displaced"), persistent=True)
    connect(name, version=version, persistent=True)
    watcher.receive_message(name, b"displaced")


@pytest.mark.clause("5.0:MQTT-3.1.2-8")
def test_a_disconnect_can_end_the_session_and_so_the_delay(connect, name):
    watcher = connect()
    watcher.subscribe(name)
    delayed = Will(name, b"gone", properties={"will_delay": 3600})
    client = connect(will=delayed, properties={"session_expiry": 3600})
    client.disconnect(0x04, {"session_expiry": 0})
    watcher.receive_message(name, b"gone")
