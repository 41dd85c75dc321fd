import asyncio
import gc
import socket
import sys

import pytest
import uvloop
from structlog.testing import capture_logs

from rookery.app import Node, compiled, tune_interpreter
from rookery.app import node as node_module
from rookery.mqtt.link import CLIENT, Link
from rookery.mqtt.packets import Subscribe, SubscriptionRequest
from rookery.mqtt.types import PACKET_BYTES_LIMIT, V5
from rookery.net.listening import ListenFault
from tests.support.engine import connect, publish
from tests.support.node import TCP, Client, config, dial, run

PATIENCE_SECONDS = 5


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
        monkeypatch.setattr(node_module, "DRAIN_SECONDS_MAX", 0.05)

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
