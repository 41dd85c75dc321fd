"""Both ends of gRPC's stream alike: read a frame, write a frame, and one error for all ways in which it breaks."""

import asyncio
from typing import Final, Protocol

import grpc

from rookery.cluster.proto.cluster_pb2 import Frame

BROKEN: Final = (grpc.RpcError, grpc.aio.BaseError, asyncio.InvalidStateError)

DialledCall = grpc.aio.StreamStreamCall[Frame, Frame]
AcceptedCall = grpc.aio.ServicerContext[Frame, Frame]


class WireBroken(Exception):
    """The stream is gone; the text is the status of the other side, or what gRPC says of the connection."""

    def __init__(self, text: str, code: grpc.StatusCode | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.code = code


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
        try:
            found = await self._call.read()
        except BROKEN as error:
            raise _broken(error) from None
        if not isinstance(found, Frame):
            raise WireBroken("the other side ended the stream")
        return found

    async def write(self, frame: Frame) -> None:
        """Send."""
        try:
            await self._call.write(frame)
        except BROKEN as error:
            raise _broken(error) from None


class AcceptedWire:
    """The end of the side that was dialled."""

    def __init__(self, call: AcceptedCall) -> None:
        self._call = call

    async def read(self) -> Frame:
        """The next frame."""
        try:
            found = await self._call.read()
        except BROKEN as error:
            raise _broken(error) from None
        if not isinstance(found, Frame):
            raise WireBroken("the other side ended the stream")
        return found

    async def write(self, frame: Frame) -> None:
        """Send."""
        try:
            await self._call.write(frame)
        except BROKEN as error:
            raise _broken(error) from None


def _broken(error: BaseException) -> WireBroken:
    if isinstance(error, grpc.aio.AioRpcError):
        return WireBroken(error.details() or error.code().name, error.code())
    return WireBroken(str(error) or type(error).__name__)
