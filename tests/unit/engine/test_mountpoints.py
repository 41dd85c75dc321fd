"""Clients below a mountpoint: they write and see topics without it, and share nothing with others."""

import pytest

from rookery.engine.mountpoints import label_of, mountpoint_of, session_key
from rookery.mqtt.packets import Auth, SubAck, Subscribe, SubscriptionRequest, UnsubAck, Unsubscribe
from rookery.mqtt.types import V3_1_1, V5, ReasonCode
from rookery.ports import Accepted, Principal
from tests.support.engine import (
    Engine,
    FakeAuthenticator,
    FakeAuthorizer,
    FakeStore,
    connect,
    props,
    publish,
    said,
    will,
)


def mounted(engine: Engine) -> Engine:
    """Users have their own mountpoint, the anonymous none, and a user called ``odd`` no fit one."""

    def mountpoint_of(_listener: str, principal: Principal) -> str | None:
        if principal.name is None:
            return ""
        return None if principal.name == "odd" else f"{principal.name}/"

    engine.broker.mountpoint_of = mountpoint_of
    return engine


@pytest.mark.parametrize("version", [V5, V3_1_1])
@pytest.mark.parametrize("qos", [0, 1])
def test_topics_are_put_below_it_and_taken_out_again(version, qos):
    engine = mounted(Engine())
    inside = engine.connect("a", version, username="t")
    other = engine.connect("a", version, username="u")
    outside = engine.connect("a", version)
    for peer in (inside, other, outside):
        peer.subscribe("#", qos=qos)
    packet_id = 9 if qos else 0
    outside.publish("t/x", qos=qos, packet_id=packet_id)
    suffix = " q1 #1" if qos else ""
    assert said(inside.take()) == [f"PUBLISH x=x{suffix}"]
    assert said(outside.take()) in ([], [f"PUBLISH t/x=x{suffix}"])
    inside.publish("y/z", qos=qos, packet_id=packet_id)
    assert [each for each in said(outside.take()) if "PUBLISH" in each] == [
        f"PUBLISH t/y/z=x{suffix.replace('1 #1', '1 #2')}"
    ]
    assert other.take() == []
    assert not any(peer.closed for peer in (inside, other, outside))


def test_one_fan_out_for_all_of_them():
    engine = mounted(Engine())
    readers = [engine.connect(str(n), username=name) for n, name in enumerate("ttu")]
    readers.append(engine.connect("9"))
    for reader in readers:
        reader.subscribe("t/#", "+/x/#", "x/#", "#")
    engine.connect("s").publish("t/x/1", b"p")
    found = [said(reader.take()) for reader in readers]
    assert found == [["PUBLISH x/1=p"], ["PUBLISH x/1=p"], [], ["PUBLISH t/x/1=p"]]


def test_one_delivery_below_mountpoints_in_each_other():
    engine = mounted(Engine())
    readers = [engine.connect(str(n), username=name) for n, name in enumerate(["t", "t/x"] * 2)]
    for reader in readers:
        reader.subscribe("#")
    engine.connect("s").publish("t/x/1")
    found = [said(reader.take()) for reader in readers]
    assert found == [["PUBLISH x/1=x"], ["PUBLISH 1=x"]] * 2


def test_retained_messages_and_their_aliases():
    engine = mounted(Engine())
    engine.connect("s").publish("t/r", b"kept", retain=True)
    reader = engine.connect("r", username="t", topic_alias_maximum=5)
    assert said(reader.subscribe("r")) == ["PUBLISH r=kept retain"]
    assert said(reader.subscribe("#")) == ["PUBLISH r=kept retain"]


def test_shared_subscriptions_keep_their_group():
    engine = mounted(Engine())
    members = [engine.connect(name, username="t") for name in "ab"]
    for member in members:
        member.subscribe("$share/g/x")
    assert list(members[0].actor.session.subscriptions) == ["$share/g/t/x"]
    engine.connect("s").send(publish("t/x"), publish("t/x"))
    assert [said(member.take()) for member in members] == [["PUBLISH x=x"]] * 2
    (unsuback,) = members[0].send(Unsubscribe(3, ["$share/g/x", "x"]))
    assert isinstance(unsuback, UnsubAck)
    assert list(unsuback.reason_codes) == [0, 0x11]


def test_rules_see_topics_as_the_client_writes_them():
    authorizer = FakeAuthorizer()
    engine = mounted(Engine(authorizer=authorizer))
    peer = engine.connect("a", username="t", will=will("w"))
    peer.subscribe("f", "$share/g/s")
    peer.publish("p")
    authorizer.generation += 1
    engine.turn()
    peer.drop()
    assert authorizer.asked == ["w", "f", "s", "p", "f", "s", "w"]


def test_there_is_no_dollar_below_it():
    engine = mounted(Engine(authorizer=FakeAuthorizer()))
    peer = engine.connect("a", username="t")
    engine.broker.publish("$SYS/uptime", b"1", retain=True)
    requests = [SubscriptionRequest(each, 0) for each in ("$SYS/#", "$share/g/$SYS/#", "$x", "#")]
    suback, *rest = peer.send(Subscribe(1, requests))
    assert isinstance(suback, SubAck)
    assert list(suback.reason_codes) == [0x87, 0x87, 0x87, 0]
    assert rest == []
    for topic in ("$SYS/a", "$x"):
        assert said(peer.publish(topic, qos=1, packet_id=1)) == ["PUBACK #1 0x87"]
    _, found = engine.ask(connect("b", username="t", will=will("$w")))
    assert said(found) == ["CONNACK 0x87"]


def test_a_will_and_the_topic_to_answer_at():
    engine = mounted(Engine())
    outside, inside = engine.connect("o"), engine.connect("i", username="t")
    outside.subscribe("t/#")
    inside.subscribe("#")
    sender = engine.connect("s", username="t", will=will("w", response_topic="answer"))
    sender.publish("q", response_topic="here")
    sender.drop()
    for peer, prefix in ((outside, "t/"), (inside, "")):
        found = peer.take()
        assert [each.topic for each in found] == [f"{prefix}q", f"{prefix}w"]
        assert [each.properties.response_topic for each in found] == [
            f"{prefix}here",
            f"{prefix}answer",
        ]
    outside.publish("t/q", response_topic="elsewhere", message_expiry_interval=5)
    (found,) = inside.take()
    assert found.properties.response_topic == "elsewhere"
    assert found.properties.message_expiry_interval == 5


def test_limits_count_it_in():
    engine = mounted(Engine(topic_bytes_max=10, topic_levels_max=3))
    peer = engine.connect("a", username="tenant")
    answers = [
        said(peer.publish(topic, qos=1, packet_id=1)) for topic in ("abc", "abcd", "a/b", "//")
    ]
    assert answers == [
        ["PUBACK #1 0x10"],
        ["PUBACK #1 0x90"],
        ["PUBACK #1 0x10"],
        ["PUBACK #1 0x90"],
    ]
    requests = [SubscriptionRequest(each, 0) for each in ("abc", "abcd", "a/#", "//")]
    (suback,) = peer.send(Subscribe(1, requests))
    assert list(suback.reason_codes) == [0, 0x8F, 0, 0x8F]
    _, found = engine.ask(connect("b", username="tenant", will=will("abcd")))
    assert said(found) == ["CONNACK 0x90"]


def test_sessions_are_apart_and_survive():
    store = FakeStore(at_once=True)
    engine = mounted(Engine(store))
    peers = [engine.connect("a", username=name, session_expiry_interval=99) for name in ("t", None)]
    for peer in peers:
        peer.subscribe("x", qos=1)
    assert not peers[0].closed, "nobody took it over"
    for peer in peers:
        peer.drop()
    engine.connect("s").publish("t/x", b"kept", qos=1, packet_id=1)
    later = mounted(Engine.restart(store))
    _, more = later.connect_more("a", clean_start=False, username="t", session_expiry_interval=99)
    assert said(more) == ["PUBLISH x=kept q1 #1"]
    _, more = later.connect_more("a", clean_start=False, session_expiry_interval=99)
    assert more == []


def test_a_resend_is_seen_without_it():
    engine = mounted(Engine())
    reader = engine.connect("r", username="t", session_expiry_interval=99)
    reader.subscribe("x", qos=1)
    engine.connect("s").publish("t/x", qos=1, packet_id=1)
    assert said(reader.take()) == ["PUBLISH x=x q1 #1"]
    reader.drop()
    _, more = engine.connect_more("r", clean_start=False, username="t", session_expiry_interval=99)
    assert said(more) == ["PUBLISH x=x q1 #1 dup"]


def test_who_has_no_fit_name_for_it_is_refused():
    _, found = mounted(Engine()).ask(connect("a", username="odd"))
    assert said(found) == ["CONNACK 0x87"]


@pytest.mark.parametrize(("name", "stays"), [("t", True), ("u", False)])
def test_nobody_moves_to_another_one(name, stays):
    verdicts = [Accepted(Principal(each)) for each in ("t", name)]
    engine = mounted(Engine(authenticator=FakeAuthenticator(*verdicts, methods="M")))
    peer = engine.connect("a", authentication_method="M")
    method = props(authentication_method="M")
    answer = said(peer.send(Auth(ReasonCode.RE_AUTHENTICATE, method)))
    assert answer == (["AUTH"] if stays else ["DISCONNECT 0x87"])
    assert peer.closed is not stays


KEYS = [("", "a/b"), ("a/", "b"), ("", "\x1fa/\x1fb"), ("", "\x1f"), ("a/", "\x1fb"), ("", "")]


@pytest.mark.parametrize(("mountpoint", "client_id"), KEYS)
def test_the_name_of_a_session_tells_its_mountpoint(mountpoint, client_id):
    key = session_key(mountpoint, client_id)
    assert mountpoint_of(key) == mountpoint
    assert label_of(key) == mountpoint + client_id


def test_no_client_id_is_another_one_s_session():
    assert len({session_key(*each) for each in KEYS}) == len(KEYS)


def test_a_client_id_has_room_for_the_mountpoint():
    engine = mounted(Engine(client_id_bytes_max=65_535))
    _, found = engine.ask(connect("a" * 65_531, username="t"))
    assert said(found) == ["CONNACK"]
    _, found = engine.ask(connect("a" * 65_532, username="t"))
    assert said(found) == ["CONNACK 0x85"]
    _, found = engine.ask(connect("a", username="t\x1f"))
    assert said(found) == ["CONNACK 0x87"]
