import pytest

from rookery.mqtt.types import SESSION_NEVER_EXPIRES
from rookery.session.inbound import Inbound
from rookery.session.outbound import Outbound
from rookery.session.session import GrantedSubscription, PendingWill, Session
from tests.support.engine import will


def session(expiry_seconds: int = 0) -> Session:
    made = Session("client", Inbound(), Outbound(1, 1, 1))
    made.expiry_seconds = expiry_seconds
    return made


def test_a_new_session_remembers_nothing_and_ends_with_its_link():
    made = session()
    assert made.client_id == "client"
    assert not made.durable
    assert made.subscriptions == {}
    assert made.will is None
    assert made.expires_at(50.0) == 50.0


@pytest.mark.clause("5.0:MQTT-3.1.2-23", "5.0:MQTT-4.1.0-2")
def test_an_expiry_makes_it_outlive_its_link():
    made = session(30)
    assert made.durable
    assert made.expires_at(50.0) == 80.0


def test_the_longest_expiry_is_none():
    made = session(SESSION_NEVER_EXPIRES)
    assert made.durable
    assert made.expires_at(50.0) is None
    assert session(SESSION_NEVER_EXPIRES - 1).expires_at(0.0) == SESSION_NEVER_EXPIRES - 1


@pytest.mark.clause("5.0:MQTT-3.1.2-8")
@pytest.mark.parametrize(
    ("delay", "expiry", "waits"), [(0, 60, 0), (20, 60, 20), (60, 20, 20), (20, 0, 0)]
)
def test_a_will_waits_no_longer_than_the_session_lasts(delay, expiry, waits):
    made = session(expiry)
    assert made.will_delay_seconds(PendingWill(will("w"), delay)) == waits


def test_what_was_granted_is_kept_as_it_was():
    granted = GrantedSubscription("a/#", "group", 2, True, False, 9)
    assert (granted.topic_filter, granted.share, granted.qos_max) == ("a/#", "group", 2)
    assert (granted.no_local, granted.retain_as_published, granted.identifier) == (True, False, 9)
