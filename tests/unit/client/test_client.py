"""The client against a node that follows a script."""

import asyncio
import socket

import pytest

from rookery.client import Client, ConnectionLost, ConnectionRefused, PublishRefused
from rookery.mqtt.encode import topic_to_wire
from rookery.mqtt.packets import (
    ConnAck,
    Disconnect,
    PingReq,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    SubscriptionRequest,
    UnsubAck,
    Unsubscribe,
    Will,
)
from rookery.mqtt.properties import Properties
from rookery.mqtt.types import V3_1, V3_1_1, V5, ReasonCode
from tests.support.scripted_node import play


def properties(**values):
    made = Properties()
    for name, value in values.items():
        setattr(made, name, value)
    return made


def publish(qos=0, packet_id=0, payload=b"x"):
    return Publish("t", topic_to_wire("t"), payload, qos, packet_id=packet_id)


async def welcome_and_wait(peer):
    await peer.welcome()
    await peer.expect(Disconnect)


class TestConnecting:
    @pytest.mark.parametrize("version", [V3_1, V3_1_1, V5])
    def test_connect_says_all_it_was_told(self, version):
        async def node(peer):
            connect = await peer.welcome()
            assert (connect.client_id, connect.version) == ("c", version)
            assert (connect.username, connect.password) == ("ann", b"pw")
            assert (connect.clean_start, connect.keep_alive_seconds) == (False, 7)
            assert (connect.will.topic, connect.will.payload) == ("w", b"gone")
            await peer.expect(Disconnect)
            assert await peer.next() is None

        async def client(make):
            async with make(
                client_id="c",
                version=version,
                username="ann",
                password=b"pw",
                clean_start=False,
                keep_alive_seconds=7,
                will=Will("w", b"gone"),
            ) as connected:
                assert connected.client_id == "c"

        play(node, client)

    def test_assigned_client_id(self):
        async def node(peer):
            await peer.welcome(properties(assigned_client_identifier="given"))
            await peer.expect(Disconnect)

        async def client(make):
            async with make() as connected:
                assert connected.client_id == "given"

        play(node, client)

    def test_refusal_tells_the_reason(self):
        async def node(peer):
            await peer.next()
            peer.send(ConnAck(ReasonCode.BANNED, properties=properties(reason_string="go away")))
            assert await peer.next() is None

        async def client(make):
            with pytest.raises(ConnectionRefused, match=r"banned \(go away\)") as caught:
                await make().__aenter__()
            assert caught.value.reason_code == ReasonCode.BANNED

        play(node, client)

    def test_refusal_of_3_1_1(self):
        async def node(peer):
            await peer.next()
            peer.send(ConnAck(ReasonCode.NOT_AUTHORIZED))

        async def client(make):
            with pytest.raises(ConnectionRefused) as caught:
                await make(version=V3_1_1).__aenter__()
            assert caught.value.reason_code == ReasonCode.NOT_AUTHORIZED

        play(node, client)

    def test_close_without_an_answer(self):
        async def node(peer):
            await peer.next()
            peer.close()

        async def client(make):
            with pytest.raises(ConnectionLost):
                await make().__aenter__()

        play(node, client)

    def test_no_answer_in_time(self):
        async def node(peer):
            await peer.next()
            assert await peer.next() is None

        async def client(make):
            with pytest.raises(TimeoutError, match=r"no answer within 0\.05 s"):
                await make(connect_seconds_max=0.05).__aenter__()

        play(node, client)

    def test_nobody_there(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # Bound and not listening: nobody else gets the port.

            async def connect():
                with pytest.raises(OSError, match="Connect call failed"):
                    await Client("127.0.0.1", taken.getsockname()[1]).__aenter__()

            asyncio.run(connect())

    def test_unix_socket(self, tmp_path):
        async def both():
            async def serve(reader, writer):
                assert (await reader.read(100))[0] == 0x10
                writer.write(b"\x20\x02\0\0")
                assert await reader.read(100) == b"\xe0\0"
                writer.close()

            path = tmp_path / "node.sock"
            async with (
                await asyncio.start_unix_server(serve, path),
                Client(unix_path=path, version=V3_1_1) as client,
            ):
                assert client.connack.session_present is False

        asyncio.run(both())


class TestPublishing:
    def test_every_qos(self):
        async def node(peer):
            await peer.welcome()
            assert (await peer.expect(Publish)).qos == 0
            first = await peer.expect(Publish)
            assert (first.topic, first.payload, first.retain) == ("a", b"1", True)
            peer.send(PubAck(first.packet_id, ReasonCode.NO_MATCHING_SUBSCRIBERS))
            second = await peer.expect(Publish)
            peer.send(PubRec(second.packet_id))
            assert (await peer.expect(PubRel)).packet_id == second.packet_id
            peer.send(PubComp(second.packet_id))
            await peer.expect(Disconnect)

        async def client(make):
            async with make() as connected:
                assert await connected.publish("a", b"0") == ReasonCode.SUCCESS
                answer = await connected.publish("a", b"1", 1, retain=True)
                assert answer == ReasonCode.NO_MATCHING_SUBSCRIBERS
                assert await connected.publish("a", b"2", 2) == ReasonCode.SUCCESS

        play(node, client)

    @pytest.mark.parametrize(("qos", "answer"), [(1, PubAck), (2, PubRec)])
    def test_refused(self, qos, answer):
        async def node(peer):
            await peer.welcome()
            for _ in range(2):  # The packet identifier is free again.
                packet_id = (await peer.expect(Publish)).packet_id
                peer.send(answer(packet_id, ReasonCode.QUOTA_EXCEEDED))
            await peer.expect(Disconnect)

        async def client(make):
            async with make() as connected:
                for _ in range(2):
                    with pytest.raises(PublishRefused, match="quota exceeded") as caught:
                        await connected.publish("a", b"", qos)
                    assert caught.value.reason_code == ReasonCode.QUOTA_EXCEEDED

        play(node, client)

    def test_receive_maximum_and_order(self):
        async def node(peer):
            await peer.welcome(properties(receive_maximum=2))
            first, second = [await peer.expect(Publish) for _ in range(2)]
            assert (first.payload, second.payload) == (b"0", b"1")
            peer.send(PubAck(first.packet_id))
            third = await peer.expect(Publish)
            assert third.payload == b"2"
            peer.send(PubAck(second.packet_id), PubAck(third.packet_id))
            fourth = await peer.expect(Publish)
            assert fourth.payload == b"3"
            peer.send(PubAck(fourth.packet_id))
            await peer.expect(Disconnect)

        async def client(make):
            async with make() as connected:
                await asyncio.gather(
                    *(connected.publish("a", b"%d" % number, 1) for number in range(4))
                )

        play(node, client)

    def test_the_window_is_kept_while_nothing_is_acknowledged(self):
        async def node(peer):
            await peer.welcome(properties(receive_maximum=2))
            ids = [(await peer.expect(Publish)).packet_id for _ in range(2)]
            # The ping comes with a third PUBLISH held back behind it, or after one that was not.
            await peer.expect(PingReq)
            peer.send(PubAck(ids[0]))
            third = await peer.expect(Publish)
            peer.send(PubAck(ids[1]), PubAck(third.packet_id))
            while await peer.next() is not None:
                pass

        async def client(make):
            async with make(keep_alive_seconds=1) as connected:
                await asyncio.gather(*(connected.publish("a", b"", 1) for _ in range(3)))

        play(node, client)

    def test_a_cancelled_publish_keeps_its_packet_identifier(self):
        async def node(peer):
            await peer.welcome()
            abandoned = await peer.expect(Publish)
            other = await peer.expect(Publish)
            assert other.packet_id != abandoned.packet_id
            peer.send(PubAck(abandoned.packet_id), PubAck(other.packet_id))
            await peer.expect(Disconnect)

        async def client(make):
            async with make() as connected:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(connected.publish("a", b"", 1), 0.01)
                await connected.publish("a", b"", 1)

        play(node, client)

    def test_too_large_for_the_node(self):
        async def node(peer):
            await peer.welcome(properties(maximum_packet_size=50))
            packet = await peer.expect(Publish)
            peer.send(PubAck(packet.packet_id))
            await peer.expect(Disconnect)

        async def client(make):
            async with make() as connected:
                with pytest.raises(PublishRefused, match="too large"):
                    await connected.publish("a", bytes(100), 1)
                await connected.publish("a", b"", 1)

        play(node, client)

    def test_lost_before_the_answer(self):
        async def node(peer):
            await peer.welcome()
            await peer.expect(Publish)
            peer.close()

        async def client(make):
            async with make() as connected:
                with pytest.raises(ConnectionLost):
                    await connected.publish("a", b"", 1)
                for qos in range(3):
                    with pytest.raises(ConnectionLost):
                        await connected.publish("a", b"", qos)

        play(node, client)


class TestSubscribing:
    def test_reason_codes_in_order(self):
        async def node(peer):
            await peer.welcome()
            packet = await peer.expect(Subscribe)
            assert [(each.topic_filter, each.qos_max) for each in packet.requests] == [
                ("a/#", 1),
                ("b", 0),
            ]
            codes = [ReasonCode.GRANTED_QOS_1, ReasonCode.NOT_AUTHORIZED]
            peer.send(SubAck(packet.packet_id, codes))
            packet = await peer.expect(Unsubscribe)
            assert packet.topic_filters == ["a/#"]
            peer.send(UnsubAck(packet.packet_id, [ReasonCode.NO_SUBSCRIPTION_EXISTED]))
            await peer.expect(Disconnect)

        async def client(make):
            async with make() as connected:
                requests = [SubscriptionRequest("a/#", 1), SubscriptionRequest("b")]
                assert await connected.subscribe(requests) == [1, 0x87]
                assert await connected.unsubscribe(["a/#"]) == [0x11]

        play(node, client)

    def test_messages_are_acknowledged_when_taken(self):
        async def node(peer):
            await peer.welcome()
            peer.send(publish(0), publish(1, 5), publish(2, 6))
            assert (await peer.expect(PubAck)).packet_id == 5
            assert (await peer.expect(PubRec)).packet_id == 6
            peer.send(PubRel(6))
            assert (await peer.expect(PubComp)).packet_id == 6
            peer.send(publish(payload=b"last"), publish(1, 7, b"untaken"))
            await peer.expect(Disconnect)  # And no PUBACK before it.

        async def client(make):
            async with make() as connected:
                messages = connected.messages()
                taken = [await anext(messages) for _ in range(4)]
                assert [each.qos for each in taken] == [0, 1, 2, 0]

        play(node, client)

    def test_iteration_ends_with_disconnect(self):
        async def client(make):
            async with make() as connected:
                await connected.disconnect()
                assert [each async for each in connected.messages()] == []

        play(welcome_and_wait, client)

    def test_iteration_raises_when_the_node_sends_the_client_away(self):
        async def node(peer):
            await peer.welcome()
            peer.send(publish(0), Disconnect(ReasonCode.SERVER_SHUTTING_DOWN))

        async def client(make):
            async with make() as connected:
                messages = connected.messages()
                assert (await anext(messages)).payload == b"x"
                with pytest.raises(ConnectionLost, match="server shutting down") as caught:
                    await anext(messages)
                assert caught.value.reason_code == ReasonCode.SERVER_SHUTTING_DOWN

        play(node, client)

    def test_a_full_inbox_stops_the_reading_but_not_an_answer(self):
        count = 5_000

        async def node(peer):
            await peer.welcome()
            for number in range(count):
                peer.send(publish(payload=b"%d" % number))
            packet = await peer.expect(Publish)
            peer.send(PubAck(packet.packet_id))
            await peer.expect(Disconnect)

        async def client(make):
            async with make() as connected:
                messages = connected.messages()
                await anext(messages)
                await connected.publish("a", b"", 1)
                for number in range(1, count):
                    assert (await anext(messages)).payload == b"%d" % number

        play(node, client)


class TestFaults:
    @pytest.mark.parametrize(
        "data",
        [b"\xff\xff\xff\xff\xff", b"\x40\x02\0\x09", b"\xc0\0"],
        ids=["bytes", "ack", "ping"],
    )
    def test_a_node_that_breaks_the_protocol(self, data):
        async def node(peer):
            await peer.welcome()
            peer.send_bytes(data)
            assert (await peer.expect(Disconnect)).reason_code >= 0x80
            assert await peer.next() is None

        async def client(make):
            async with make() as connected:
                with pytest.raises(ConnectionLost, match="broke the protocol"):
                    await anext(connected.messages())

        play(node, client)

    def test_abort_says_no_goodbye(self):
        async def node(peer):
            await peer.welcome()
            assert await peer.next() is None

        async def client(make):
            async with make() as connected:
                connected.abort()

        play(node, client)
