"""gmqtt: an asyncio client with a codec of its own."""

import asyncio

import gmqtt
import pytest
from gmqtt.mqtt.constants import MQTTv50, MQTTv311

VERSIONS = pytest.mark.parametrize("version", [MQTTv311, MQTTv50], ids=["3.1.1", "5"])


class Gmqtt:
    """A client with what it received in a queue."""

    def __init__(self, node, version, client_id, *, clean=True, over="tcp", **options):
        self.messages = asyncio.Queue()
        self.granted = asyncio.Queue()
        self.client = gmqtt.Client(client_id, clean_session=clean, **options)
        self.client.on_message = self._message
        self.client.on_subscribe = self._subscribed
        self._version, self._address = version, node.address(over)
        self._tls = node.trusting() if over == "tls" else False

    async def _message(self, client, topic, payload, qos, properties):
        await self.messages.put((topic, bytes(payload), qos, properties))
        return 0

    def _subscribed(self, client, mid, qos, properties):
        self.granted.put_nowait(qos)

    async def __aenter__(self):
        host, port = self._address
        await self.client.connect(host, port, ssl=self._tls, version=self._version)
        return self

    async def __aexit__(self, *_):
        await self.client.disconnect()

    async def subscribe(self, topic_filter, qos=2, **options):
        self.client.subscribe(topic_filter, qos, **options)
        return await self.granted.get()


def run(work):
    """Run to the end, in bounded time."""

    async def bounded():
        async with asyncio.timeout(20):
            await work()

    asyncio.run(bounded())


@VERSIONS
@pytest.mark.parametrize("over", ["tcp", "tls"])
def test_messages_in_order(node, name, version, over):
    async def work():
        async with Gmqtt(node, version, name, over=over) as client:
            assert await client.subscribe(f"{name}/#") in ((2,), [2])
            for number in range(150):
                client.client.publish(f"{name}/x", str(number), qos=number // 50)
            taken = [await client.messages.get() for _ in range(150)]
            # Over TLS the client stumbles over an acknowledgement that comes while it closes.
            for _ in range(2):
                client.client.publish(f"{name}/end", "", qos=0)
                await client.messages.get()
        for qos in range(3):
            numbers = [int(payload) for _, payload, found, _ in taken if found == qos]
            assert numbers == list(range(50 * qos, 50 * qos + 50))

    run(work)


def test_properties(node, name):
    async def work():
        async with Gmqtt(node, MQTTv50, name) as client:
            await client.subscribe(name, subscription_identifier=7)
            client.client.publish(
                name,
                "x",
                qos=1,
                retain=True,
                content_type="text/plain",
                user_property=[("a", "1"), ("a", "2")],
                message_expiry_interval=60,
            )
            *_, properties = await client.messages.get()
        assert properties["content_type"] == ["text/plain"]
        assert properties["user_property"] == [("a", "1"), ("a", "2")]
        assert properties["subscription_identifier"] == [7]
        assert properties["message_expiry_interval"][0] in (59, 60)

    run(work)


def test_session_is_resumed(node, name):
    async def work():
        options = {"clean": False, "session_expiry_interval": 60}
        async with Gmqtt(node, MQTTv50, f"{name}-a", **options) as client:
            await client.subscribe(name, 1)
        async with (
            Gmqtt(node, MQTTv50, f"{name}-b") as sender,
            Gmqtt(node, MQTTv50, f"{name}-c") as witness,
        ):
            await witness.subscribe(name, 1)
            for number in range(20):
                sender.client.publish(name, str(number), qos=1)
            for _ in range(20):
                await witness.messages.get()
        async with Gmqtt(node, MQTTv50, f"{name}-a", **options) as client:
            taken = [await client.messages.get() for _ in range(20)]
        assert [int(payload) for _, payload, _, _ in taken] == list(range(20))

    run(work)
