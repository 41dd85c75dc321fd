"""A TCP proxy in the test's loop that plays a bad network between two programs.

A direction that is cut passes on nothing, the end of a connection included, and loses nothing either: as
with a real network, whose TCP sends again, all of it arrives when the cut is healed. Connections made
meanwhile are taken and lead nowhere. Further latency is set with ``delay``, and ``reset`` ends all connections at once.
"""

import asyncio
import collections
from typing import Final, Literal, Self

Direction = Literal["to_target", "to_client"]
DIRECTIONS: Final[tuple[Direction, ...]] = ("to_target", "to_client")
CHUNK_BYTES: Final = 65_536
CHUNKS_MAX: Final = 16
"""How many wait in a direction that is cut, before the sender finds the connection full."""


class CutProxy:
    """Running inside ``async with``; clients connect to ``host`` and ``port``."""

    def __init__(self, target_host: str, target_port: int) -> None:
        self._target = (target_host, target_port)
        self._passing = {direction: asyncio.Event() for direction in DIRECTIONS}
        self._delay_seconds = dict.fromkeys(DIRECTIONS, 0.0)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._carrying: set[asyncio.Task[None]] = set()
        self.connections = 0
        """How many were made so far."""
        self.bytes_passed: collections.Counter[Direction] = collections.Counter()
        self.recorded: dict[Direction, bytearray] | None = None
        """What passed, where a test wants to have it."""
        self.host, self.port = "127.0.0.1", 0
        self.heal()

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accepted, self.host, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.reset()
        for task in self._carrying:
            task.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)
        await self._server.wait_closed()

    def cut(self, *directions: Direction) -> None:
        """Let nothing through in these directions; in both when none is named."""
        for direction in directions or DIRECTIONS:
            self._passing[direction].clear()

    def heal(self) -> None:
        """Let everything through again."""
        for passing in self._passing.values():
            passing.set()

    def delay(self, seconds: float, *directions: Direction) -> None:
        """Keep what comes from now on so long on its way."""
        for direction in directions or DIRECTIONS:
            self._delay_seconds[direction] = seconds

    def reset(self) -> None:
        """End every connection, as a router does that forgot them."""
        for writer in self._writers:
            writer.transport.abort()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._carrying.add(task)
        self._writers.add(writer)
        far_writer: asyncio.StreamWriter | None = None
        try:
            await self._passing["to_target"].wait()
            far_reader, far_writer = await asyncio.open_connection(*self._target)
            self._writers.add(far_writer)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry("to_target", reader, far_writer))
                group.create_task(self._carry("to_client", far_reader, writer))
        except* OSError:
            pass
        finally:
            self._carrying.discard(task)
            for each in (writer, far_writer):
                if each is not None:
                    self._writers.discard(each)
                    each.transport.abort()

    async def _carry(
        self, direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS_MAX)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._take(direction, reader, chunks))
            group.create_task(self._pass_on(direction, chunks, writer))

    async def _take(
        self,
        direction: Direction,
        reader: asyncio.StreamReader,
        chunks: "asyncio.Queue[tuple[float, bytes]]",
    ) -> None:
        loop = asyncio.get_running_loop()
        data = b"-"
        while data:
            try:
                data = await reader.read(CHUNK_BYTES)
            except OSError:
                data = b""
            await chunks.put((loop.time() + self._delay_seconds[direction], data))

    async def _pass_on(
        self,
        direction: Direction,
        chunks: "asyncio.Queue[tuple[float, bytes]]",
        writer: asyncio.StreamWriter,
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await chunks.get()
            while (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            await self._passing[direction].wait()
            if not data:
                writer.write_eof()
                return
            self.bytes_passed[direction] += len(data)
            if self.recorded is not None:
                self.recorded[direction] += data
            writer.write(data)
            await writer.drain()
