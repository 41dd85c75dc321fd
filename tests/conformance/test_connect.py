"""CONNECT and CONNACK (3.1, 3.2): what is accepted, what is refused and how."""

import pytest

from tests.support import wire
from tests.support.wire import (
    CONNACK,
    PINGREQ_PACKET,
    PUBLISH,
    V3_1,
    V3_1_1,
    V5,
    Will,
    packet,
    property_field,
    string,
    u16,
)
from tests.support.wire_client import Closed

MALFORMED = {V3_1_1: (), V5: (0x81, 0x82)}
"""How a CONNECT that breaks the format may be answered before the end."""

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@pytest.mark.clause(
    "3.1.1:MQTT-3.1.4-4",
    "5.0:MQTT-3.1.4-5",
    "3.1.1:MQTT-3.2.0-1",
    "5.0:MQTT-3.2.0-1",
    "5.0:MQTT-3.2.2-1",
    "5.0:MQTT-3.2.2-8",
    "3.1.1:MQTT-7.0.0-2",
)
def test_connack_is_the_first_packet(open_link, version, name):
    client = open_link(version)
    client.send(wire.connect(version, name) + PINGREQ_PACKET)
    client.expect(CONNACK, reason=0, session_present=False)
    client.expect(wire.PINGRESP)


def test_3_1_is_served(open_link, name):
    client = open_link(V3_1)
    client.connect(name)
    client.subscribe((name, 1))
    client.publish(name, b"x", qos=1)
    client.receive_message(name, b"x")


@pytest.mark.clause("5.0:MQTT-3.2.0-2", "3.1.1:MQTT-3.1.0-2", "5.0:MQTT-3.1.0-2")
def test_second_connect_closes(connect, version, name):
    client = connect(name, version=version)
    client.send(wire.connect(version, name))
    client.expect_closed(0x82)


@pytest.mark.clause("3.1.1:MQTT-3.1.0-1", "5.0:MQTT-3.1.0-1", "5.0:MQTT-3.14.0-1")
@pytest.mark.parametrize("kind", ["PINGREQ", "PUBLISH", "SUBSCRIBE", "DISCONNECT"])
def test_first_packet_is_not_connect(open_link, version, name, kind):
    client = open_link(version)
    client.send(
        {
            "PINGREQ": PINGREQ_PACKET,
            "PUBLISH": wire.publish(version, name),
            "SUBSCRIBE": wire.subscribe(version, [(name, 0)]),
            "DISCONNECT": wire.disconnect(version),
        }[kind]
    )
    client.expect_end()


@pytest.mark.clause("3.1.1:MQTT-3.1.2-1", "5.0:MQTT-3.1.2-1")
@pytest.mark.parametrize("protocol_name", ["mqtt", "MQTTX", "HTTP", ""])
def test_wrong_protocol_name(open_link, version, name, protocol_name):
    client = open_link(version)
    client.send(wire.connect(version, name, protocol_name=protocol_name))
    client.expect_refused(*([0x84] if version == V5 else []))


@pytest.mark.clause(
    "3.1.1:MQTT-3.1.2-2", "3.1.1:MQTT-3.2.2-4", "3.1.1:MQTT-3.2.2-5", "5.0:MQTT-3.1.2-2"
)
@pytest.mark.parametrize("level", [0, 2, 6, 0x84, 255])
def test_unknown_protocol_level(open_link, level, name):
    """Return code 0x01 in the 3.1.1 form, which every client of any version can read."""
    client = open_link(V3_1_1)
    client.send(wire.connect(V3_1_1, name, level=level))
    found = client.receive()
    assert (found.kind, found.reason, found.session_present) == (CONNACK, 0x01, False)
    client.expect_end()


@pytest.mark.clause(
    "3.1.1:MQTT-3.1.2-3", "5.0:MQTT-3.1.2-3", "3.1.1:MQTT-3.1.4-1", "5.0:MQTT-3.1.4-1"
)
def test_reserved_connect_flag(open_link, version, name):
    client = open_link(version)
    client.send(wire.connect(version, name, flags=0x03))
    client.expect_refused(*MALFORMED[version])


WRONG_FLAGS = [
    pytest.param(
        0x02 | 0x08,
        id="will QoS 1 without a will",
        marks=pytest.mark.clause("3.1.1:MQTT-3.1.2-11", "3.1.1:MQTT-3.1.2-13", "5.0:MQTT-3.1.2-11"),
    ),
    pytest.param(
        0x02 | 0x10,
        id="will QoS 2 without a will",
        marks=pytest.mark.clause("3.1.1:MQTT-3.1.2-13", "5.0:MQTT-3.1.2-11"),
    ),
    pytest.param(
        0x02 | 0x20,
        id="will retain without a will",
        marks=pytest.mark.clause("3.1.1:MQTT-3.1.2-11", "3.1.1:MQTT-3.1.2-15", "5.0:MQTT-3.1.2-13"),
    ),
    pytest.param(
        0x02 | 0x04,
        id="will without topic and payload",
        marks=pytest.mark.clause("3.1.1:MQTT-3.1.2-9", "5.0:MQTT-3.1.2-9"),
    ),
    pytest.param(
        0x02 | 0x80,
        id="user name missing",
        marks=pytest.mark.clause("3.1.1:MQTT-3.1.2-19", "5.0:MQTT-3.1.2-17"),
    ),
]


@pytest.mark.clause("3.1.1:MQTT-3.1.4-1", "5.0:MQTT-3.1.4-1", "3.1.1:MQTT-3.2.2-6")
@pytest.mark.parametrize("flags", WRONG_FLAGS)
def test_flags_that_the_payload_contradicts(open_link, version, name, flags):
    client = open_link(version)
    client.send(wire.connect(version, name, flags=flags))
    client.expect_refused(*MALFORMED[version])


@pytest.mark.clause("3.1.1:MQTT-3.1.2-14", "5.0:MQTT-3.1.2-12")
def test_will_qos_3(open_link, version, name):
    client = open_link(version)
    client.send(wire.connect(version, name, will=Will(name, qos=3)))
    client.expect_refused(*MALFORMED[version])


@pytest.mark.clause("3.1.1:MQTT-3.1.2-21", "5.0:MQTT-3.1.2-19")
def test_password_missing(open_link, version, name):
    client = open_link(version)
    client.send(wire.connect(version, name, user_name="u", flags=0xC2))
    client.expect_refused(*MALFORMED[version])


@pytest.mark.clause("3.1.1:MQTT-3.1.2-22")
def test_password_without_user_name_before_5(open_link, name):
    client = open_link(V3_1_1)
    client.send(wire.connect(V3_1_1, name, password=b"secret"))
    client.expect_refused()


@pytest.mark.clause(
    "3.1.1:MQTT-3.1.2-18", "3.1.1:MQTT-3.1.2-20", "5.0:MQTT-3.1.2-16", "5.0:MQTT-3.1.2-18"
)
@pytest.mark.parametrize("flags", [0x02, 0x82], ids=["neither flag", "no password flag"])
def test_credentials_without_their_flags(open_link, version, name, flags):
    client = open_link(version)
    client.send(wire.connect(version, name, user_name="u", password=b"p", flags=flags))
    client.expect_refused(*MALFORMED[version])


@pytest.mark.clause("3.1.1:MQTT-3.1.2-11")
def test_will_fields_without_their_flag(open_link, version, name):
    client = open_link(version)
    client.send(wire.connect(version, name, will=Will(name, b"gone"), flags=0x02))
    client.expect_refused(*MALFORMED[version])


@pytest.mark.clause("3.1.1:MQTT-3.1.3-3", "5.0:MQTT-3.1.3-3")
def test_client_id_missing(open_link, version):
    client = open_link(version)
    client.send(
        packet(0x10, string("MQTT"), bytes([version, 0x02]), u16(0), property_field(version))
    )
    client.expect_refused(*MALFORMED[version])


@pytest.mark.clause("3.1.1:MQTT-3.1.4-1", "5.0:MQTT-3.1.4-1")
@pytest.mark.parametrize("cut", [1, 5, 9])
def test_connect_cut_short(open_link, version, name, cut):
    whole = wire.connect(version, name)[2:]
    client = open_link(version)
    client.send(packet(0x10, whole[: -len(string(name)) - cut + 1]))
    client.expect_refused(*MALFORMED[version])


@pytest.mark.clause("3.1.1:MQTT-3.1.3-1", "5.0:MQTT-3.1.3-1")
def test_fields_of_the_payload_are_read_in_their_order(connect, version, name):
    """Client id, will topic, will payload, user name, password: the will comes out as it went in."""
    watcher = connect(version=version)
    watcher.subscribe(name)
    dying = connect(
        version=version, will=Will(name, b"last words"), user_name="user", password=b"secret"
    )
    dying.close()
    watcher.receive_message(name, b"last words")


@pytest.mark.clause("3.1.1:MQTT-3.1.3-5", "5.0:MQTT-3.1.3-5")
@pytest.mark.parametrize(
    "client_id", [*(ALPHABET[i : i + 23] for i in range(0, 62, 23)), "q", "Z" * 23]
)
def test_client_ids_that_must_be_allowed(connect, version, client_id):
    connect(client_id, version=version)


@pytest.mark.clause(
    "3.1.1:MQTT-3.1.3-7",
    "3.1.1:MQTT-3.1.3-8",
    "3.1.1:MQTT-3.1.3-9",
    "3.1.1:MQTT-3.2.2-4",
    "3.1.1:MQTT-3.2.2-5",
)
def test_empty_client_id_with_a_lasting_session_before_5(open_link):
    client = open_link(V3_1_1)
    client.send(wire.connect(V3_1_1, "", clean=False))
    client.expect_refused(0x02)


@pytest.mark.clause("3.1.1:MQTT-3.1.3-6")
def test_empty_client_ids_get_distinct_ids_before_5(connect, name):
    first, second = connect("", version=V3_1_1), connect("", version=V3_1_1)
    for client in (first, second):
        client.subscribe((name, 0))
    first.publish(name, b"x")
    first.receive_message(name, b"x")
    second.receive_message(name, b"x")


@pytest.mark.clause("5.0:MQTT-3.1.3-6", "5.0:MQTT-3.1.3-7", "5.0:MQTT-3.2.2-16")
@pytest.mark.parametrize("clean", [True, False])
def test_empty_client_id_gets_one_assigned(connect, clean):
    first = connect("", clean=clean, properties={"session_expiry": 60})
    second = connect("", clean=clean)
    assigned = first.connack.get("assigned_client_id")
    assert assigned
    assert assigned != second.connack.get("assigned_client_id")
    first.disconnect()
    again = connect(assigned, clean=False)
    assert again.connack.session_present
    assert again.connack.get("assigned_client_id") is None


@pytest.mark.clause("5.0:MQTT-3.1.3-8", "5.0:MQTT-3.2.2-6", "5.0:MQTT-3.2.2-7")
def test_client_id_that_is_not_allowed(open_link, broker_with):
    """The longest id a string can hold is more than this broker is told to take."""
    broker = broker_with(**{"limits.client_id_bytes_max": 64})
    client = open_link(V5, broker)
    client.send(wire.connect(V5, "x" * 65))
    client.expect_refused(0x85)
    before_5 = open_link(V3_1_1, broker)
    before_5.send(wire.connect(V3_1_1, "x" * 65))
    before_5.expect_refused(0x02)


@pytest.mark.clause("3.1.1:MQTT-3.1.4-5", "5.0:MQTT-3.1.4-6")
def test_what_follows_a_refused_connect_is_not_read(open_link, connect, version, name):
    refused = open_link(version)
    refused.send(
        wire.connect(version, name, flags=0x03),
        wire.publish(version, name, b"smuggled", retain=True),
    )
    refused.expect_refused(*MALFORMED[version])
    witness = connect(version=version)
    witness.subscribe(name)
    witness.expect_silence()


WRONG_PROPERTIES = {
    "session expiry twice": b"\x11\0\0\0\x01\x11\0\0\0\x01",
    "receive maximum 0": b"\x21\0\0",
    "maximum packet size 0": b"\x27\0\0\0\0",
    "request response information 2": b"\x19\x02",
    "request problem information 2": b"\x17\x02",
    "authentication data alone": b"\x16\0\x01x",
    "of another packet": b"\x23\0\x01",
}


@pytest.mark.clause("5.0:MQTT-3.1.4-1", "5.0:MQTT-3.1.4-2", "5.0:MQTT-4.13.1-1")
@pytest.mark.parametrize("field", WRONG_PROPERTIES.values(), ids=list(WRONG_PROPERTIES))
def test_wrong_connect_properties(open_link, name, field):
    client = open_link()
    client.send(wire.connect(V5, name, properties=field))
    client.expect_refused(*MALFORMED[V5])


WRONG_WILL_PROPERTIES = {
    "will delay twice": b"\x18\0\0\0\x01\x18\0\0\0\x01",
    "payload format 2": b"\x01\x02",
    "topic alias": b"\x23\0\x01",
}


@pytest.mark.clause("5.0:MQTT-3.1.4-1", "5.0:MQTT-4.13.1-1")
@pytest.mark.parametrize("field", WRONG_WILL_PROPERTIES.values(), ids=list(WRONG_WILL_PROPERTIES))
def test_wrong_will_properties(open_link, name, field):
    client = open_link()
    client.send(wire.connect(V5, name, will=Will(name, properties=field)))
    client.expect_refused(*MALFORMED[V5])


@pytest.mark.clause("3.1.1:MQTT-4.7.1-1", "5.0:MQTT-4.7.0-1")
@pytest.mark.parametrize("topic", ["a/#", "a/+/b"])
def test_wildcards_in_the_will_topic(open_link, version, name, topic):
    client = open_link(version)
    client.send(wire.connect(version, name, will=Will(topic)))
    client.expect_refused(*([0x81, 0x82, 0x90] if version == V5 else []))


@pytest.mark.clause("5.0:MQTT-3.1.2-28")
@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({}, None),
        ({"request_response_information": 0}, None),
        ({"request_response_information": 1}, "answers"),
    ],
    ids=["silent", "no", "yes"],
)
def test_response_information_for_those_who_ask(connect, broker_with, asked, told):
    client = connect(at=broker_with(**{"mqtt.response_information": "answers"}), properties=asked)
    assert client.connack.get("response_information") == told


@pytest.mark.clause("5.0:MQTT-3.2.2-19", "5.0:MQTT-3.2.2-20")
def test_connack_fits_the_maximum_packet_size(open_link, name):
    """A refusal leaves its reason string out rather than grow beyond what the client takes."""
    client = open_link()
    client.send(
        wire.connect(
            V5, name, properties={"maximum_packet_size": 10, "auth_method": "no-such-method"}
        )
    )
    try:
        found = client.receive()
    except Closed:
        return
    assert found.kind == CONNACK
    assert found.size <= 10


def test_capabilities_are_told(connect):
    """What is not said is available: QoS 2, retain, wildcards, identifiers, shared subscriptions."""
    connack = connect().connack
    for name in ("retain_available", "wildcard_available", "shared_available"):
        assert connack.get(name) in (None, 1)
    assert connack.get("subscription_id_available") in (None, 1)
    assert connack.get("maximum_qos") is None


@pytest.mark.clause("3.1.1:MQTT-3.1.3-2", "5.0:MQTT-3.1.3-2")
def test_the_client_id_names_the_session(connect, version, name):
    first = connect(f"{name}-1", version=version, persistent=True)
    first.subscribe((name, 1))
    first.disconnect()
    connect(version=version).publish(name, b"kept", qos=1)
    other = connect(f"{name}-2", version=version, persistent=True)
    assert not other.connack.session_present
    other.expect_silence()
    again = connect(f"{name}-1", version=version, persistent=True)
    assert again.connack.session_present
    assert again.expect(PUBLISH).payload == b"kept"


def test_password_without_user_name_since_5(connect):
    """5.0 allows it: a password may be a token that needs no name."""
    connect(password=b"token")
