import asyncio
import gc
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop
from structlog.testing import capture_logs

from rookery import app
from rookery.app import Node, compiled, tune_interpreter
from rookery.config.models import Config
from rookery.mqtt.link import CLIENT, Link
from rookery.mqtt.packets import Packet, Subscribe, SubscriptionRequest
from rookery.mqtt.types import PACKET_BYTES_LIMIT, V5
from rookery.net.listening import ListenFault
from tests.support.broker import nested
from tests.support.certificates import make_certificates
from tests.support.engine import connect, publish, said

PATIENCE_SECONDS = 5
USERS = [{"username": "u", "password": "secret", "algorithm": "plain"}]
TCP = {"type": "tcp", "name": "tcp", "host": "127.0.0.1", "port": 0}


def config(**changed: Any) -> Config:
    """Loopback, ports the system chooses, no metrics."""
    given = {
        "listeners": [TCP],
        "metrics.enabled": False,
        "mqtt.sys_interval_seconds": 0,
        "store.durability": "memory",
    }
    return Config.model_validate(nested(given | changed))


def run(work: Callable[[Node], Awaitable[None]], **changed: Any) -> Node:
    """Run a node, and the work beside it."""

    async def main() -> Node:
        node = Node(config(**changed))
        await node.start()
        try:
            await work(node)
        finally:
            await node.stop()
        return node

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())


class Client:
    """A client in the node's own loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.link = Link(CLIENT, PACKET_BYTES_LIMIT, 0, V5)
        self.packets: list[Packet] = []

    async def ask(self, *packets: Packet, answers: int = 1) -> list[str]:
        for packet in packets:
            self.link.send(packet)
        self.writer.write(self.link.take_output())
        while len(self.packets) < answers:
            data = await asyncio.wait_for(self.reader.read(65_536), PATIENCE_SECONDS)
            assert data, "the connection ended"
            self.packets += self.link.receive(data)
        taken, self.packets = self.packets[:answers], self.packets[answers:]
        return said(taken)

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


async def dial(node: Node, **more: Any) -> Client:
    return Client(*await asyncio.open_connection("127.0.0.1", node.ports["tcp"], **more))


def test_a_client_is_served():
    async def work(node: Node) -> None:
        client = await dial(node)
        assert await client.ask(connect("a")) == ["CONNACK"]
        subscribe = Subscribe(1, [SubscriptionRequest("t", 1)])
        assert await client.ask(subscribe) == ["SUBACK 0x01"]
        answers = await client.ask(publish("t", qos=1, packet_id=1), answers=2)
        assert answers == ["PUBACK #1", "PUBLISH t=x q1 #1"]
        await client.close()

    node = run(work)
    assert node.addresses == [f"tcp://127.0.0.1:{node.ports['tcp']}"]


def test_the_sys_topics_are_published():
    async def work(node: Node) -> None:
        client = await dial(node)
        await client.ask(connect("a"))
        (_, message) = await client.ask(
            Subscribe(1, [SubscriptionRequest("$SYS/broker/uptime")]), answers=2
        )
        assert message.startswith("PUBLISH $SYS/broker/uptime=")
        await client.close()

    run(work, **{"mqtt.sys_interval_seconds": 1})


class TestStop:
    def test_clients_are_told_and_nobody_new_is_let_in(self):
        clients: list[Client] = []

        async def work(node: Node) -> None:
            clients.append(await dial(node))
            await clients[0].ask(connect("a"))

            async def see_the_end() -> None:
                assert await clients[0].ask() == ["DISCONNECT 0x8B"]
                assert await clients[0].reader.read() == b""
                with pytest.raises(ConnectionRefusedError):
                    await dial(node)
                await clients[0].close()

            node.watching = asyncio.gather(see_the_end())

        async def main() -> None:
            node = Node(config())
            await node.start()
            await work(node)
            await node.stop()
            await node.watching

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())

    def test_a_client_that_does_not_read_is_not_waited_for_without_end(self, monkeypatch):
        monkeypatch.setattr(app, "DRAIN_SECONDS_MAX", 0.05)

        async def work(node: Node) -> None:
            far = socket.create_connection(("127.0.0.1", node.ports["tcp"]))
            far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            node.far = far
            link = Link(CLIENT, PACKET_BYTES_LIMIT, 0, V5)
            for packet in (connect("a"), Subscribe(1, [SubscriptionRequest("t")])):
                link.send(packet)
            far.send(link.take_output())
            far.setblocking(False)
            while not node.broker.router.subscription_count:
                await asyncio.sleep(0)
            for _ in range(8):
                node.broker.publish("t", b"x" * 4_000_000, False)
                await asyncio.sleep(0.001)

        with capture_logs() as logs:
            node = run(work, **{"limits.output_bytes_max": 64_000_000})
        node.far.close()
        assert "drain_incomplete" in [line["event"] for line in logs]

    def test_a_node_that_could_not_start_leaves_nothing_behind(self):
        async def main() -> None:
            with socket.create_server(("127.0.0.1", 0)) as taken:
                port = taken.getsockname()[1]
                node = Node(config(listeners=[TCP, TCP | {"name": "taken", "port": port}]))
                with pytest.raises(ListenFault):
                    await node.start()
                with pytest.raises(ConnectionRefusedError):
                    await dial(node)

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())


class TestHealth:
    def test_ready_from_start_to_drain(self):
        async def work(node: Node) -> None:
            assert node.health.ready().ok
            node.broker.committer.failing = True
            assert not node.health.ready().ok
            node.broker.committer.failing = False
            node.broker.draining = True
            report = node.health.ready()
            assert not report.ok
            assert "shutting down" in str(report.to_json())

        assert not Node(config()).health.ready().ok
        run(work)

    def test_metrics_are_served_on_their_port(self):
        async def work(node: Node) -> None:
            port = node.ports["metrics"]
            assert node.addresses[-1] == f"http://127.0.0.1:{port}/metrics"
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)
            assert answer.startswith(b"HTTP/1.1 200")
            writer.close()

        run(
            work,
            **{
                "metrics.enabled": True,
                "metrics.host": "127.0.0.1",
                "broker.metrics_port": 0,
            },
        )


class TestWhoIsLetIn:
    def test_users_with_their_passwords(self):
        async def work(node: Node) -> None:
            for password, answer in ((b"secret", "CONNACK"), (b"wrong", "CONNACK 0x86")):
                client = await dial(node)
                found = await client.ask(connect("a", username="u", password=password))
                assert found == [answer]
                await client.close()

        run(work, **{"broker.auth.enabled": True, "broker.auth.users": USERS})

    def test_rules_in_their_order(self):
        rules = [
            {"permission": "allow", "action": "publish", "topic_filter": "t/#", "username": None},
            {"permission": "deny", "action": "all", "topic_filter": "#"},
        ]

        async def work(node: Node) -> None:
            client = await dial(node)
            await client.ask(connect("a"))
            answers = [
                await client.ask(publish(topic, qos=1, packet_id=1)) for topic in ("t/1", "u")
            ]
            assert answers == [["PUBACK #1 0x10"], ["PUBACK #1 0x87"]]
            await client.close()

        run(work, **{"authorization.rules": rules})


class TestListeners:
    def test_tls(self, tmp_path):
        made = make_certificates(tmp_path)
        tls = {
            "certificate": str(made.server.certificate),
            "private_key": str(made.server.private_key),
        }

        async def work(node: Node) -> None:
            context = ssl.create_default_context(cafile=str(made.ca))
            client = await dial(node, ssl=context, server_hostname="localhost")
            assert await client.ask(connect("a")) == ["CONNACK"]
            await client.close()

        node = run(work, listeners=[TCP | {"type": "tls", "tls": tls}])
        assert node.addresses[0].startswith("tls://")

    def test_a_unix_socket(self, tmp_path):
        path = str(tmp_path / "s")

        async def work(node: Node) -> None:
            client = Client(*await asyncio.open_unix_connection(path))
            assert await client.ask(connect("a")) == ["CONNACK"]
            await client.close()

        node = run(work, listeners=[{"type": "unix", "name": "u", "path": path}])
        assert node.ports == {}


def test_the_core_says_how_it_runs():
    from rookery.mqtt import link

    assert compiled() == (not str(link.__file__).endswith(".py"))


def test_the_interpreter_is_set_up_for_traffic():
    before, switching = gc.get_threshold(), sys.getswitchinterval()
    try:
        tune_interpreter()
        assert gc.get_freeze_count() > 0
        assert gc.get_threshold()[0] > 10_000
        assert sys.getswitchinterval() < 0.001
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
        sys.setswitchinterval(switching)
