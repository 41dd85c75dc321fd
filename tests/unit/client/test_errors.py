from rookery.client.errors import told
from rookery.mqtt.properties import Properties
from rookery.mqtt.types import ReasonCode


def test_reason_code_in_words():
    assert told(ReasonCode.NOT_AUTHORIZED, None) == "not authorized"
    assert told(ReasonCode.NOT_AUTHORIZED, Properties()) == "not authorized"


def test_reason_string_of_the_node():
    properties = Properties()
    properties.reason_string = "ask ann"
    assert told(ReasonCode.QUOTA_EXCEEDED, properties) == "quota exceeded (ask ann)"
