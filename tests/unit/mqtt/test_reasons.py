"""Reason codes by packet, and their forms before 5.0."""

import pytest

from rookery.mqtt import types
from rookery.mqtt.reasons import (
    CONNACK_FROM_3,
    FROM_CLIENT,
    FROM_SERVER,
    connack_code_3,
    suback_code_3,
)
from rookery.mqtt.types import ReasonCode


def test_every_reason_code_has_a_packet():
    found = {code for codes in FROM_SERVER.values() for code in codes.values()}
    found |= {code for codes in FROM_CLIENT.values() for code in codes.values()}
    assert found == set(ReasonCode)


def test_each_byte_stands_for_the_code_of_its_value():
    for table in (*FROM_SERVER.values(), *FROM_CLIENT.values()):
        assert all(byte == code for byte, code in table.items())


def test_the_publish_handshake_is_the_same_from_both_sides():
    for packet_type in (types.PUBACK, types.PUBREC, types.PUBREL, types.PUBCOMP):
        assert FROM_CLIENT[packet_type] == FROM_SERVER[packet_type]


def test_disconnect_differs_by_side():
    client, server = FROM_CLIENT[types.DISCONNECT], FROM_SERVER[types.DISCONNECT]
    assert set(client) - set(server) == {0x04}
    assert ReasonCode.SESSION_TAKEN_OVER in set(server) - set(client)


def test_return_codes_go_there_and_back():
    for code, reason_code in CONNACK_FROM_3.items():
        assert connack_code_3(reason_code) == code


@pytest.mark.parametrize("reason_code", ReasonCode, ids=lambda code: code.name)
def test_suback(reason_code):
    expected = 0x80 if reason_code >= 0x80 else reason_code
    assert suback_code_3(reason_code) == expected
