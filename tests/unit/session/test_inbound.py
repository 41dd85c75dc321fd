import pytest

from rookery.session.inbound import Inbound


@pytest.mark.clause("5.0:MQTT-4.3.3-10")
def test_an_identifier_is_held_from_publish_to_pubrel():
    inbound = Inbound()
    assert not inbound.holds(7)
    inbound.hold(7)
    assert inbound.holds(7)
    assert not inbound.holds(8)
    assert inbound.release(7)
    assert not inbound.holds(7)


def test_what_is_not_held_cannot_be_released():
    inbound = Inbound()
    inbound.hold(1)
    inbound.release(1)
    assert not inbound.release(1)
    assert not inbound.release(2)


def test_a_resend_holds_nothing_more():
    inbound = Inbound()
    inbound.hold(1)
    inbound.hold(1)
    assert inbound.unreleased == {1}
