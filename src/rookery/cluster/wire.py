"""Both ends of gRPC's stream alike: read a frame, write a frame, and one error for all ways in which it breaks."""

import asyncio
from collections.abc import Awaitable
from typing import Final, Protocol, TypeVar

import grpc

from rookery.cluster.proto.cluster_pb2 import Frame

T = TypeVar("T")

ENDED: Final = "the other side ended the stream"
BROKEN: Final = (grpc.RpcError, grpc.aio.BaseError, asyncio.InvalidStateError)

DialledCall = grpc.aio.StreamStreamCall[Frame, Frame]
AcceptedCall = grpc.aio.ServicerContext[Frame, Frame]


class WireBroken(Exception):
    """The stream is gone; the text is the status of the other side, or what gRPC says of the connection."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Wire(Protocol):
    """One stream. A task that is cancelled while it reads or writes breaks it."""

    async def read(self) -> Frame:
        """The next frame. Raises ``WireBroken`` at the end."""

    async def write(self, frame: Frame) -> None:
        """Send; returns when gRPC has room for more. Raises ``WireBroken``."""


class DialledWire:
    """The end of the side that dialled."""

    def __init__(self, call: DialledCall) -> None:
        self._call = call

    async def read(self) -> Frame:
        """The next frame."""
        return await _next(self._call.read())

    async def write(self, frame: Frame) -> None:
        """Send."""
        await _unbroken(self._call.write(frame))


class AcceptedWire:
    """The end of the side that was dialled."""

    def __init__(self, call: AcceptedCall) -> None:
        self._call = call

    async def read(self) -> Frame:
        """The next frame."""
        return await _next(self._call.read())

    async def write(self, frame: Frame) -> None:
        """Send."""
        await _unbroken(self._call.write(frame))


def is_cancelled() -> bool:
    """Whether this task is, when ``CancelledError`` came: gRPC raises it of a call that somebody cancelled, too."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _next(reading: Awaitable[object]) -> Frame:
    found = await _unbroken(reading)
    if not isinstance(found, Frame):
        raise WireBroken(ENDED)
    return found


async def _unbroken(work: Awaitable[T]) -> T:
    try:
        return await work
    except grpc.aio.AioRpcError as error:
        raise WireBroken(error.details() or error.code().name) from None
    except BROKEN as error:
        raise WireBroken(str(error) or type(error).__name__) from None
    except asyncio.CancelledError:
        if is_cancelled():
            raise
        raise WireBroken(ENDED) from None
