import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest

from rookery.cluster.channels import open_channel
from rookery.cluster.proto.cluster_pb2 import Frame, Refused
from rookery.cluster.proto.cluster_pb2_grpc import (
    ClusterServicer,
    ClusterStub,
    add_ClusterServicer_to_server,
)
from rookery.cluster.wire import AcceptedWire, DialledWire, WireBroken
from tests.support.links import run


class Service(ClusterServicer):
    """Does with a stream what the test says."""

    def __init__(self, accepted: Callable[[AcceptedWire, Any], Awaitable[None]]) -> None:
        self._accepted = accepted

    async def Frames(self, request_iterator: object, context: Any) -> None:
        await self._accepted(AcceptedWire(context), context)


async def both_ends(
    accepted: Callable[[AcceptedWire, Any], Awaitable[None]],
    dialled: Callable[[DialledWire, Any], Awaitable[None]],
) -> None:
    server = grpc.aio.server()
    add_ClusterServicer_to_server(Service(accepted), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    channel = open_channel(f"127.0.0.1:{port}", None)
    try:
        call = ClusterStub(channel).Frames()
        await dialled(DialledWire(call), call)
    finally:
        await channel.close()
        await server.stop(None)


SAID = Frame(refused=Refused(reason="x"))


def test_frames_go_both_ways_and_the_status_is_the_text_of_the_end():
    async def accepted(wire: AcceptedWire, context: Any) -> None:
        await wire.write(await wire.read())
        await context.abort(grpc.StatusCode.ABORTED, "enough")

    async def dialled(wire: DialledWire, call: Any) -> None:
        await wire.write(SAID)
        assert await wire.read() == SAID
        for end in (wire.read(), wire.write(SAID)):
            with pytest.raises(WireBroken) as broken:
                await end
        assert broken.value.text

    run(both_ends(accepted, dialled))


@pytest.mark.parametrize("code", [grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE])
def test_what_the_other_side_says_at_the_end_is_no_cancellation(code: grpc.StatusCode):
    async def accepted(wire: AcceptedWire, context: Any) -> None:
        await context.abort(code, "gone")

    async def dialled(wire: DialledWire, call: Any) -> None:
        with pytest.raises(WireBroken):
            await wire.read()
        with pytest.raises(WireBroken):
            await wire.write(SAID)

    run(both_ends(accepted, dialled))


def test_a_call_that_was_cancelled_does_not_cancel_who_reads_it():
    async def accepted(wire: AcceptedWire, context: Any) -> None:
        await wire.read()

    async def dialled(wire: DialledWire, call: Any) -> None:
        asyncio.get_running_loop().call_later(0.01, call.cancel)
        with pytest.raises(WireBroken):
            await wire.read()

    run(both_ends(accepted, dialled))


def test_a_regular_end_is_one_for_both():
    ended: list[str] = []

    async def accepted(wire: AcceptedWire, context: Any) -> None:
        with pytest.raises(WireBroken, match="the other side ended"):
            await wire.read()
        ended.append("acceptor")

    async def dialled(wire: DialledWire, call: Any) -> None:
        await call.done_writing()
        with pytest.raises(WireBroken, match="the other side ended"):
            await wire.read()
        ended.append("dialler")

    run(both_ends(accepted, dialled))
    assert ended == ["acceptor", "dialler"]


def test_a_task_that_is_cancelled_stays_so():
    async def accepted(wire: AcceptedWire, context: Any) -> None:
        await wire.read()

    async def dialled(wire: DialledWire, call: Any) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await wire.read()

    run(both_ends(accepted, dialled))
