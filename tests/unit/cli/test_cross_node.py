"""What the check finds: nodes that do not know each other, refusals, and messages lost or repeated."""

import asyncio
from collections.abc import Callable

from rookery.cli.cross_node import Outcome, Plan, run
from rookery.mqtt.encode import topic_to_wire
from rookery.mqtt.packets import PubAck, Publish, SubAck, Subscribe, UnsubAck, Unsubscribe
from rookery.mqtt.types import ReasonCode
from tests.support.broker import broker, broker_with
from tests.support.scripted_node import Peer

__all__ = ["broker", "broker_with"]


def tried(
    *brokers, qos: int = 1, count: int = 3, seconds_max: float = 2.0, **more
) -> list[Outcome]:
    addresses = [(each.host, each.port) for each in brokers]
    return asyncio.run(run(Plan(addresses, qos, count, seconds_max, "check", **more)))


def test_nodes_that_have_nothing_to_do_with_each_other(broker_with):
    one, other = broker_with(), broker_with()
    outcomes = tried(one, other, seconds_max=0.3)
    assert [each.failure for each in outcomes] == ["nothing arrived within 0.3 s"] * 2
    assert not any(each.good for each in outcomes)
    assert outcomes[0].to_json()["rtt_seconds"] == {"min": None, "median": None, "max": None}


def test_refusals_are_told(broker_with):
    rules = [{"permission": "deny", "action": "subscribe", "topic_filter": "check/#"}]
    node = broker_with(**{"authorization.rules": rules})
    assert {each.failure for each in tried(node, node)} == {
        "the subscription was refused: not authorized"
    }
    shut = broker_with(**{"authentication.anonymous": "deny"})
    assert "bad user name or password" in str(tried(shut, shut)[0].failure)


def test_a_user_gets_in_with_the_password(broker_with):
    users = [{"username": "u", "password": "secret", "algorithm": "plain"}]
    node = broker_with(**{"broker.auth.users": users})
    assert all(each.good for each in tried(node, node, username="u", password=b"secret"))
    assert not any(each.good for each in tried(node, node, username="u", password=b"wrong"))


def through(copies: Callable[[bytes], int], qos: int, count: int = 3) -> Outcome:
    """What is found of a node that delivers so many copies of each message."""

    async def both() -> Outcome:
        subscribers: list[Peer] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            peer = Peer(reader, writer)
            await peer.welcome()
            while (packet := await peer.next()) is not None:
                if isinstance(packet, Subscribe):
                    subscribers.append(peer)
                    peer.send(SubAck(packet.packet_id, [ReasonCode.SUCCESS]))
                elif isinstance(packet, Unsubscribe):
                    subscribers.remove(peer)
                    peer.send(UnsubAck(packet.packet_id, [ReasonCode.SUCCESS]))
                elif isinstance(packet, Publish):
                    if packet.qos:
                        peer.send(PubAck(packet.packet_id))
                    for _ in range(copies(packet.payload)):
                        wire = topic_to_wire(packet.topic)
                        subscribers[-1].send(Publish(packet.topic, wire, packet.payload, 0, False))
            peer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()[:2]
        async with server:
            return (await run(Plan([address, address], qos, count, 0.3, "check")))[0]

    return asyncio.run(both())


def test_a_subscription_that_is_known_late_is_no_loss():
    probes: list[bytes] = []

    def late(payload: bytes) -> int:
        probes.append(payload)
        return int(len(probes) > 2)

    outcome = through(late, qos=1)
    assert outcome.good
    assert outcome.known_seconds is not None and outcome.known_seconds >= 0.2


def test_what_is_lost_is_counted():
    outcome = through(lambda payload: int(payload != b"message 1"), qos=1)
    assert (outcome.sent, outcome.received) == (3, 2)
    assert outcome.failure == "1 did not arrive within 0.3 s"


def test_what_comes_twice_is_wrong_but_for_qos_1():
    outcome = through(lambda payload: 1 + (payload == b"message 2"), qos=0)
    assert (outcome.received, outcome.failure) == (3, "1 arrived more than once")
    outcome = through(lambda payload: 1 + (payload == b"message 2"), qos=1)
    assert outcome.good
    assert outcome.row()[-1] == "ok, 1 repeated"
