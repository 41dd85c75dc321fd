"""aiomqtt: paho-mqtt as an asyncio program uses it."""

import asyncio

import aiomqtt
import pytest
from aiomqtt import ProtocolVersion

VERSIONS = pytest.mark.parametrize("version", list(ProtocolVersion), ids=lambda each: each.name)


def run(work):
    """Run to the end, in bounded time."""

    async def bounded():
        async with asyncio.timeout(20):
            await work()

    asyncio.run(bounded())


@VERSIONS
def test_request_and_response_between_two_clients(node, name, version):
    host, port = node.address("tcp")

    async def answer(client):
        async for message in client.messages:
            await client.publish(f"{name}/answer", b"re: " + message.payload, qos=message.qos)

    async def work():
        options = {"port": port, "protocol": version}
        async with (
            aiomqtt.Client(host, identifier=f"{name}-a", **options) as asking,
            aiomqtt.Client(host, identifier=f"{name}-b", **options) as answering,
            asyncio.TaskGroup() as group,
        ):
            await asking.subscribe(f"{name}/answer", qos=2)
            await answering.subscribe(f"{name}/ask", qos=2)
            answers = group.create_task(answer(answering))
            for number in range(60):
                await asking.publish(f"{name}/ask", str(number), qos=number % 3)
                message = await anext(asking.messages)
                assert message.payload == b"re: %d" % number
                assert message.qos == number % 3
            answers.cancel()

    run(work)


@VERSIONS
def test_retained_and_will(node, name, version):
    host, port = node.address("tls")
    options = {"port": port, "protocol": version, "tls_context": node.trusting()}

    async def work():
        async with aiomqtt.Client(host, identifier=f"{name}-a", **options) as client:
            await client.publish(name, "kept", qos=1, retain=True)
            await client.subscribe(f"{name}/#", qos=1)
            message = await anext(client.messages)
            assert (message.payload, message.retain) == (b"kept", True)
            will = aiomqtt.Will(f"{name}/will", "gone", qos=1)
            doomed = aiomqtt.Client(host, identifier=f"{name}-b", will=will, **options)
            await doomed.__aenter__()
            doomed._client.socket().shutdown(2)
            with pytest.raises(aiomqtt.MqttError):
                await anext(doomed.messages)
            assert (await anext(client.messages)).payload == b"gone"

    run(work)


def test_a_wrong_password(broker_with):
    users = [{"username": "ann", "password": "secret", "algorithm": "plain"}]
    broker = broker_with(**{"broker.auth.users": users})

    async def work():
        wrong = aiomqtt.Client(broker.host, broker.port, username="ann", password="wrong")
        with pytest.raises(aiomqtt.MqttError, match=r"(?i)not authorized|bad user name"):
            await wrong.__aenter__()
        async with aiomqtt.Client(broker.host, broker.port, username="ann", password="secret"):
            pass

    run(work)
