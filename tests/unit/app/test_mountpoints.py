import asyncio

import pytest

from rookery.app import Node
from rookery.app.mountpoints import Mountpoints
from rookery.config.listeners import Listener
from rookery.mqtt.packets import Subscribe, SubscriptionRequest
from rookery.ports import Principal
from tests.support.engine import connect, publish
from tests.support.node import TCP, config, dial, run


def listener(name, mountpoint):
    return Listener(type="tcp", name=name, mountpoint=mountpoint)


@pytest.mark.parametrize(
    ("mountpoint", "principal", "expected"),
    [
        (None, Principal("ann"), ""),
        ("tenant-a/", Principal("ann"), "tenant-a/"),
        ("t/${username}/%c/", Principal("ann", "c"), "t/ann/c/"),
        ("${username}/", Principal("a/b"), None),
        ("${username}/", Principal("$SYS"), None),
        ("${username}/", Principal(None), None),
        ("${jwt.tenant}/", Principal("ann", attributes={"jwt.tenant": "x"}), "x/"),
    ],
)
def test_by_listener_and_client(mountpoint, principal, expected):
    found = Mountpoints([listener("one", mountpoint), listener("two", "other/")])
    assert found.of("one", principal) == expected
    assert found.of("two", principal) == "other/"
    assert found.of("three", principal) == ""


@pytest.mark.parametrize("mountpoint", ["a", "+/", "a/#/", "$SYS/", "$share/g/", "${x}/", ""])
def test_what_is_no_mountpoint(mountpoint):
    with pytest.raises(ValueError, match="mountpoint"):
        listener("one", mountpoint)


def test_a_tenant_sees_its_own_topics_only():
    listeners = [{**TCP, "mountpoint": "tenant/"}, {**TCP, "name": "outside"}]

    async def work(node: Node) -> None:
        inside = await dial(node)
        node.ports["tcp"] = node.ports["outside"]
        outside = await dial(node)
        for client in (inside, outside):
            assert await client.ask(connect("same")) == ["CONNACK"]
            assert await client.ask(Subscribe(1, [SubscriptionRequest("#", 0)])) == ["SUBACK 0x00"]
        assert await outside.ask(publish("x", b"1")) == ["PUBLISH x=1"]
        assert await inside.ask(publish("y", b"2")) == ["PUBLISH y=2"]
        assert await outside.ask(answers=1) == ["PUBLISH tenant/y=2"]
        for client in (inside, outside):
            await client.close()

    run(work, listeners=listeners)


def test_what_a_client_inside_publishes_and_is_owed_is_kept(tmp_path):
    """In a real store, whose texts and log have to take the names of sessions."""
    settings = config(**{"listeners": [{**TCP, "mountpoint": "tenant/"}], "store.durability": "os"})

    async def lived(*work):
        node = Node(settings, tmp_path)
        await node.start()
        try:
            for each in work:
                await each(node)
        finally:
            await node.stop()
        return node

    async def subscribe(node):
        reader = await dial(node)
        assert await reader.ask(connect("r", session_expiry_interval=99)) == ["CONNACK"]
        assert await reader.ask(Subscribe(1, [SubscriptionRequest("x", 1)])) == ["SUBACK 0x01"]
        await reader.close()

    async def send(node):
        sender = await dial(node)
        assert await sender.ask(connect("s")) == ["CONNACK"]
        assert await sender.ask(publish("x", b"kept", qos=1, packet_id=1)) == ["PUBACK #1"]
        await sender.close()

    async def read(node):
        reader = await dial(node)
        again = connect("r", clean_start=False, session_expiry_interval=99)
        answers = await reader.ask(again, answers=2)
        assert answers == ["CONNACK present", "PUBLISH x=kept q1 #1"]
        await reader.close()

    asyncio.run(lived(subscribe, send))
    asyncio.run(lived(read))
