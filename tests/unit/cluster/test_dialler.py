import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from rookery.cluster import dialler
from rookery.cluster.handshake import Identity, proof
from rookery.cluster.proto.cluster_pb2 import Accepted, Frame
from rookery.cluster.proto.cluster_pb2_grpc import ClusterServicer, add_ClusterServicer_to_server
from rookery.cluster.stream import Stream
from rookery.cluster.wire import DialledWire, WireBroken
from tests.support.links import SECRET, LinkNode, nodes, run

PEER = Identity("test", "n2", "b7", "9")


class Service(ClusterServicer):
    """A node that does what the test says once both Hellos are there."""

    def __init__(self, answer: Callable[[Any, Frame, Frame], Awaitable[None]]) -> None:
        self._answer = answer
        self.at: list[float] = []

    async def Frames(self, request_iterator: object, context: Any) -> None:
        self.at.append(asyncio.get_running_loop().time())
        hello, own = await context.read(), Frame(hello=PEER.hello())
        await context.write(own)
        await self._answer(context, hello, own)


@asynccontextmanager
async def dialled(
    answer: Callable[[Any, Frame, Frame], Awaitable[None]],
) -> AsyncIterator[tuple[LinkNode, Service]]:
    """A node n1, which dials that service as n2."""
    service = Service(answer)
    server = grpc.aio.server()
    add_ClusterServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    node = LinkNode("n1")
    async with nodes(node):
        node.links.set_members({"n2": f"127.0.0.1:{port}"})
        yield node, service
    await server.stop(None)


def test_an_acceptor_without_the_secret_is_refused_and_hears_why():
    said: list[Frame] = []

    async def answer(context: Any, hello: Frame, own: Frame) -> None:
        said.append(await context.read())
        # Its own proof, sent back, is none of ours.
        await context.write(Frame(accepted=Accepted(mac=said[0].proof.mac)))
        said.append(await context.read())

    async def work() -> None:
        async with dialled(answer) as (node, _):
            await node.problem("do not have the same secret")
            assert node.told.events == []
        assert said[1].refused.reason == "wrong_secret"

    run(work())


def test_an_acceptor_that_does_not_accept_is_refused():
    async def answer(context: Any, hello: Frame, own: Frame) -> None:
        await context.write(own)
        await context.read()

    async def work() -> None:
        async with dialled(answer) as (node, _):
            await node.problem("did not accept and did not refuse")

    run(work())


def test_why_one_is_refused_is_known_though_it_has_gone(monkeypatch: pytest.MonkeyPatch):
    class Broken(DialledWire):
        async def write(self, frame: Frame) -> None:
            if frame.HasField("refused"):
                raise WireBroken("gone")
            await super().write(frame)

    async def answer(context: Any, hello: Frame, own: Frame) -> None:
        await context.write(own)
        await context.read()

    async def work() -> None:
        monkeypatch.setattr(dialler, "DialledWire", Broken)
        async with dialled(answer) as (node, _):
            await node.problem("did not accept and did not refuse")

    run(work())


def test_an_acceptor_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dialler, "HANDSHAKE_SECONDS", 0.1)

    async def answer(context: Any, hello: Frame, own: Frame) -> None:
        await context.read()
        await context.read()

    async def work() -> None:
        async with dialled(answer) as (node, service):
            await node.problem("there was no answer within 0.1 seconds")
            while len(service.at) < 3:
                await asyncio.sleep(0.01)

    run(work())


@pytest.mark.parametrize("code", [grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE])
def test_it_goes_on_with_longer_and_longer_pauses(
    code: grpc.StatusCode, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(dialler, "PAUSE_SECONDS_MIN", 0.02)
    monkeypatch.setattr(dialler, "PAUSE_SECONDS_MAX", 0.16)

    async def answer(context: Any, hello: Frame, own: Frame) -> None:
        await context.abort(code, "not now")

    async def work() -> None:
        async with dialled(answer) as (_, service):
            while len(service.at) < 7:
                await asyncio.sleep(0.01)
            pauses = [later - at for at, later in zip(service.at, service.at[1:], strict=False)]
            for pause, least in zip(pauses, (0.01, 0.02, 0.04, 0.08, 0.08, 0.08), strict=True):
                assert pause >= least * 0.9
            assert pauses[-1] < 1.0

    run(work())


def test_a_cancellation_that_nobody_asked_for_is_not_the_end(monkeypatch: pytest.MonkeyPatch):
    """A timeout that ends together with its work leaves one to the next wait."""
    running = Stream.run

    async def stray(stream: Stream) -> None:
        if stream.node_id == "n2":
            monkeypatch.setattr(Stream, "run", running)
            raise asyncio.CancelledError
        await running(stream)

    async def work() -> None:
        one, other = LinkNode("n1"), LinkNode("n2")
        async with nodes(other) as addresses, nodes(one) as more:
            monkeypatch.setattr(Stream, "run", stray)
            one.links.set_members(addresses | more)
            other.links.set_members(addresses | more)
            for event in ("up", "down", "up"):
                assert (await one.told.said("")).startswith(event)

    run(work())


def test_a_new_address_is_tried_at_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dialler, "PAUSE_SECONDS_MIN", 60.0)

    async def work() -> None:
        node, other = LinkNode("n1"), LinkNode("n2")
        async with nodes(node, other) as right:
            await node.told.said("up n2 b1")
            node.links.set_members({"n2": "127.0.0.1:1"})
            node.told.links["n2"].close("to dial again")
            await node.problem("no link to node n2 at 127.0.0.1:1")
            node.links.set_members(right)
            await node.told.said("up n2 b1")
            assert node.links.problems() == []

    run(work())


def test_an_acceptor_that_takes_no_connection_is_unreachable():
    async def answer(context: Any, hello: Frame, own: Frame) -> None:
        await context.read()
        mac = proof(SECRET.secret, "acceptor", hello.hello, own.hello)
        await context.write(Frame(accepted=Accepted(mac=mac, ticket=bytes(16))))
        await context.read()

    async def work() -> None:
        async with dialled(answer) as (node, _):  # It is gRPC alone that listens there.
            await node.problem("it does not answer as a node does")
            assert node.told.events == []

    run(work())
