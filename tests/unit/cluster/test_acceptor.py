from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import grpc
import pytest

from rookery.cluster import acceptor, handshake
from rookery.cluster.channels import open_channel
from rookery.cluster.handshake import Identity
from rookery.cluster.opening import Opening, dial_frames
from rookery.cluster.proto.cluster_pb2 import Frame, Proof, Refused
from rookery.cluster.proto.cluster_pb2_grpc import ClusterStub
from rookery.cluster.wire import AcceptedWire, WireBroken
from tests.support.links import SECRET, LinkNode, nodes, run


def test_another_major_version_of_the_protocol_is_refused(monkeypatch: pytest.MonkeyPatch):
    async def work() -> None:
        node = LinkNode("n2")
        async with nodes(node) as addresses:
            node.links.set_members({"n1": "127.0.0.1:1"})
            monkeypatch.setattr(handshake, "PROTOCOL_MAJOR", 1)
            hello = STRANGER.hello(1)
            monkeypatch.setattr(handshake, "PROTOCOL_MAJOR", 2)
            text = await said_to(addresses["n2"], Frame(hello=hello))
            assert text.startswith("other_protocol: ")
            await node.problem("speaks protocol 2, node n1 (version 9) speaks 1")

    run(work())


STRANGER = Identity("test", "n1", "b9", "9")


async def said_to(address: str, *frames: Frame) -> str:
    """Say this on a stream; the status it ends with."""
    channel = open_channel(address, None)
    try:
        call = ClusterStub(channel).Frames()
        for frame in frames:
            await call.write(frame)
        while await call.read() is not grpc.aio.EOF:
            pass
    except grpc.aio.AioRpcError as error:
        return str(error.details())
    else:
        return "no refusal"
    finally:
        await channel.close()


def test_a_recorded_handshake_is_worth_nothing_the_next_time():
    async def work() -> None:
        node = LinkNode("n2")
        async with nodes(node) as addresses:
            node.links.set_members({"n1": "127.0.0.1:1"})
            channel = open_channel(addresses["n2"], None)
            call = ClusterStub(channel).Frames()
            hello = STRANGER.hello(1)
            await call.write(Frame(hello=hello))
            answer = (await call.read()).hello
            mac = handshake.proof(SECRET.secret, "dialler", hello, answer)
            recorded = (Frame(hello=hello), Frame(proof=Proof(mac=mac)))
            await call.write(recorded[1])
            connection = await connected(addresses["n2"], await call.read())
            await node.told.said("up n1 b9")
            await channel.close()
            await node.told.said("down n1")
            connection.transport.close()
            assert (await said_to(addresses["n2"], *recorded)).startswith("wrong_secret: ")
            assert node.told.events == []

    run(work())


def test_what_is_no_handshake_is_refused():
    async def work() -> None:
        node = LinkNode("n2")
        async with nodes(node) as addresses:
            node.links.set_members({"n1": "127.0.0.1:1"})
            refused = await said_to(addresses["n2"], Frame(proof=Proof(mac=b"at once")))
            assert refused.startswith("malformed: ")
            higher = Identity("test", "n9", "b1", "1").hello(1)
            refused = await said_to(addresses["n2"], Frame(hello=higher))
            assert refused.startswith("not_expected: node n2 dials node n9")
            assert (await said_to(addresses["n2"])).startswith("no handshake within")

    run(work())


def test_what_the_dialler_does_not_like_is_known_here_too():
    async def work() -> None:
        node = LinkNode("n2")
        async with nodes(node) as addresses:
            node.links.set_members({"n1": "127.0.0.1:1"})
            refused = Frame(refused=Refused(reason="not_expected", detail="it is not as I\nwanted"))
            await said_to(addresses["n2"], Frame(hello=STRANGER.hello(1)), refused)
            await node.problem("no link with node n1 from 127.0.0.1: it is not as I?wanted")

    run(work())


def test_an_older_stream_of_the_same_boot_is_refused_and_a_newer_one_takes_over():
    async def work() -> None:
        node = LinkNode("n2")
        async with nodes(node) as addresses, open_streams(addresses["n2"]) as open_stream:
            node.links.set_members({"n1": "127.0.0.1:1"})
            await open_stream(5)
            await node.told.said("up n1")
            with pytest.raises(grpc.aio.AioRpcError, match="older_stream"):
                await open_stream(5)
            assert node.told.events == []
            await open_stream(6)
            assert "a newer stream" in await node.told.said("down n1")
            await node.told.said("up n1")
            assert node.told.events == []

    run(work())


def test_a_handshake_that_breaks_at_its_end_leaves_no_trace(monkeypatch: pytest.MonkeyPatch):
    class Breaking(AcceptedWire):
        async def write(self, frame: Frame) -> None:
            if frame.HasField("accepted"):
                raise WireBroken("just then")
            await super().write(frame)

    async def work() -> None:
        node = LinkNode("n2")
        async with nodes(node) as addresses, open_streams(addresses["n2"]) as open_stream:
            node.links.set_members({"n1": "127.0.0.1:1"})
            with monkeypatch.context() as patch:
                patch.setattr(acceptor, "AcceptedWire", Breaking)
                with pytest.raises(AssertionError):
                    await open_stream(1)
            # The same number again would be refused if the first one still had the place.
            await open_stream(1)
            assert node.told.events == ["up n1 b9"]

    run(work())


def test_so_many_may_try_at_a_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(acceptor, "HANDSHAKES_MAX", 1)

    async def work() -> None:
        node = LinkNode("n2")
        async with nodes(node) as addresses:
            channel = open_channel(addresses["n2"], None)
            slow = ClusterStub(channel).Frames()
            await slow.write(Frame(hello=STRANGER.hello(1)))
            await slow.read()
            assert (await said_to(addresses["n2"])).startswith("busy: ")
            await channel.close()

    run(work())


async def connected(address: str, answer: object) -> Opening:
    """The connection for frames, to a node that accepted."""
    assert isinstance(answer, Frame)
    assert answer.HasField("accepted")
    return await dial_frames(address, answer.accepted.ticket, SECRET.secret, None, None)


OpenStream = Callable[[int], Awaitable[None]]


@asynccontextmanager
async def open_streams(address: str) -> AsyncIterator[OpenStream]:
    """Opens streams of these numbers as node n1 does, each by a connection of its own."""
    channels: list[grpc.aio.Channel] = []
    connections: list[Opening] = []

    async def open_stream(number: int) -> None:
        channels.append(open_channel(address, None))
        call = ClusterStub(channels[-1]).Frames()
        hello = STRANGER.hello(number)
        await call.write(Frame(hello=hello))
        answer = (await call.read()).hello
        mac = handshake.proof(SECRET.secret, "dialler", hello, answer)
        await call.write(Frame(proof=Proof(mac=mac)))
        connections.append(await connected(address, await call.read()))

    try:
        yield open_stream
    finally:
        for connection in connections:
            connection.transport.close()
        for channel in channels:
            await channel.close()
