"""What a session's subscriptions make of it as a recipient."""

import pytest

from rookery.message import Delivery, node_message
from rookery.routing.subscriber import (
    Matches,
    Recipient,
    Subscriber,
    Subscription,
    recipient_of,
)
from tests.support.subscribers import FakeSession


def test_a_subscriber_begins_detached_and_not_durable():
    subscriber = Subscriber("a")
    assert (subscriber.client_id, subscriber.attached, subscriber.durable) == ("a", False, False)


def test_a_subscriber_must_say_how_it_is_told():
    delivery = Delivery(node_message("t", b"", False, 0.0), 0, False, (), "")
    with pytest.raises(NotImplementedError):
        Subscriber("a").tell(delivery)
    with pytest.raises(NotImplementedError):
        Subscriber("a").inflight_count()


def test_a_subscription_keeps_its_options():
    subscription = Subscription("a/+", 2, True, True, 1, 9)
    assert (
        subscription.topic_filter,
        subscription.qos_max,
        subscription.no_local,
        subscription.retain_as_published,
        subscription.retain_handling,
        subscription.identifier,
    ) == ("a/+", 2, True, True, 1, 9)


def test_a_recipient_has_the_options_of_the_subscription():
    session = FakeSession("a")
    recipient = recipient_of(session, Subscription("t", 1, True, True, identifier=7))
    assert recipient.subscriber is session
    assert (recipient.qos_max, recipient.no_local, recipient.retain_as_published) == (1, True, True)
    assert recipient.identifiers == (7,)


def test_identifier_0_is_none():
    assert recipient_of(FakeSession("a"), Subscription("t", 0)).identifiers == ()


@pytest.mark.clause("MQTT-3.3.4-2")
def test_merging_takes_the_highest_qos_either_way():
    session = FakeSession("a")
    low = Recipient(session, 0, False, False, ())
    high = Recipient(session, 2, False, False, ())
    assert low.merged_with(high).qos_max == 2
    assert high.merged_with(low).qos_max == 2


@pytest.mark.clause("MQTT-3.3.4-3", "MQTT-3.3.4-4")
def test_merging_keeps_all_identifiers_in_order_and_repeated_ones_too():
    session = FakeSession("a")
    first = Recipient(session, 0, False, False, (3, 9))
    second = Recipient(session, 0, False, False, (3, 1))
    assert first.merged_with(second).identifiers == (1, 3, 3, 9)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("second", [False, True])
def test_merging_is_local_if_any_is_and_retains_as_published_if_any_does(first, second):
    session = FakeSession("a")
    merged = Recipient(session, 0, first, first, ()).merged_with(
        Recipient(session, 0, second, second, ())
    )
    assert merged.subscriber is session
    assert merged.no_local == (first or second)
    assert (merged.own is None) == (first == second)
    assert merged.retain_as_published == (first or second)


def test_same_as_sees_each_difference():
    session = FakeSession("a")
    recipient = Recipient(session, 1, False, False, (1,))
    assert recipient.same_as(Recipient(session, 1, False, False, (1,)))
    assert not recipient.same_as(Recipient(FakeSession("a"), 1, False, False, (1,)))
    assert not recipient.same_as(Recipient(session, 2, False, False, (1,)))
    assert not recipient.same_as(Recipient(session, 1, True, False, (1,)))
    assert not recipient.same_as(Recipient(session, 1, False, True, (1,)))
    assert not recipient.same_as(Recipient(session, 1, False, False, (2,)))


def test_matches_hold_what_they_were_given():
    recipient = Recipient(FakeSession("a"), 1, False, False, ())
    matches = Matches([recipient], [])
    assert matches.recipients == [recipient]
    assert matches.shares == []
